"""Rationales: how much each weight matters for each group, and how far apart groups are."""

from dralign.rationale.coverage import Coverage, coverage_of
from dralign.rationale.gradients import group_gradients
from dralign.rationale.layers import (
    Granularity,
    Layer,
    LayerChoice,
    LayerType,
    original,
    register_layer,
    select_layers,
    unregister_layer,
)
from dralign.rationale.losses import group_losses, per_sample_loss
from dralign.rationale.outputs import logits, logits_in
from dralign.rationale.parity import ParityScores, parity_scores
from dralign.rationale.taylor import mean_pairwise_similarity, normalised_rationale

__all__ = [
    "Coverage",
    "Granularity",
    "Layer",
    "LayerChoice",
    "LayerType",
    "ParityScores",
    "coverage_of",
    "group_gradients",
    "group_losses",
    "logits",
    "logits_in",
    "mean_pairwise_similarity",
    "normalised_rationale",
    "original",
    "parity_scores",
    "per_sample_loss",
    "register_layer",
    "select_layers",
    "unregister_layer",
]
