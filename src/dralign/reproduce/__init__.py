"""Reproduction: what belongs to the paper's own tables and figures and nowhere else."""

from dralign.reproduce.readings import clamped_similarity, parity_score_readings

__all__ = ["clamped_similarity", "parity_score_readings"]
