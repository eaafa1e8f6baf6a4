"""Rationales: how much each weight matters for each group, and how far apart groups are."""

from dralign.rationale.gradients import group_gradients
from dralign.rationale.layers import Granularity, Layer, LayerChoice, select_layers
from dralign.rationale.losses import group_losses, per_sample_loss, probability
from dralign.rationale.parity import ParityScores, parity_scores
from dralign.rationale.taylor import mean_pairwise_similarity, normalised_rationale

__all__ = [
    "Granularity",
    "Layer",
    "LayerChoice",
    "ParityScores",
    "group_gradients",
    "group_losses",
    "mean_pairwise_similarity",
    "normalised_rationale",
    "parity_scores",
    "per_sample_loss",
    "probability",
    "select_layers",
]
