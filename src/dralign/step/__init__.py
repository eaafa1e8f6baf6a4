"""A step: how any batch goes through any network, in parts and in several processes."""

from dralign.step.backward import (
    BatchTerm,
    LossConvention,
    Regulariser,
    backward_in_parts,
    task_loss,
)
from dralign.step.batch import Batch, Block, batch_in_blocks, part_of
from dralign.step.parts import AllRows, count_rows, split, with_mean_one
from dralign.step.passes import (
    WHOLE,
    Passes,
    double_backward_kernels,
    forward_blocks,
    mixes_rows,
    random_state,
    random_state_set,
    running_statistics_kept,
    takes_statistics,
)
from dralign.step.processes import (
    add_up,
    add_up_where_there,
    collect,
    gradients_added_up,
    n_processes,
    rank,
)
from dralign.step.sampler import Balance, Sampler

__all__ = [
    "WHOLE",
    "AllRows",
    "Balance",
    "Batch",
    "BatchTerm",
    "Block",
    "LossConvention",
    "Passes",
    "Regulariser",
    "Sampler",
    "add_up",
    "add_up_where_there",
    "backward_in_parts",
    "batch_in_blocks",
    "collect",
    "count_rows",
    "double_backward_kernels",
    "forward_blocks",
    "gradients_added_up",
    "mixes_rows",
    "n_processes",
    "part_of",
    "random_state",
    "random_state_set",
    "rank",
    "running_statistics_kept",
    "split",
    "takes_statistics",
    "task_loss",
    "with_mean_one",
]
