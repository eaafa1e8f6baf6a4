"""Reproduction: what belongs to the paper's own tables and figures and nowhere else."""
