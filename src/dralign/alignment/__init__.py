"""Alignment: the term that pulls the rationales of the groups together, plain and fast."""

from dralign.alignment.engine import aligned_backward, backward_in_blocks
from dralign.alignment.parts import Everyone, count_rows, split
from dralign.alignment.passes import (
    WHOLE,
    Passes,
    random_state,
    random_state_set,
    running_statistics_kept,
)
from dralign.alignment.processes import add_up, collect, gradients_added_up, n_processes, rank
from dralign.alignment.term import RationaleAlignment, Strata, at_least_float32

__all__ = [
    "WHOLE",
    "Everyone",
    "Passes",
    "RationaleAlignment",
    "Strata",
    "add_up",
    "aligned_backward",
    "at_least_float32",
    "backward_in_blocks",
    "collect",
    "count_rows",
    "gradients_added_up",
    "n_processes",
    "random_state",
    "random_state_set",
    "rank",
    "running_statistics_kept",
    "split",
]
