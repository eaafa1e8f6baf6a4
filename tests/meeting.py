"""The group of processes that a test of its own processes works in."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
import torch.distributed as dist


@contextmanager
def meeting(folder: Path | str, rank: int = 0, world_size: int = 2) -> Iterator[None]:
    """The block runs in a group of gloo, of which no thread is left afterwards.

    The functions of ``torch.distributed.nn`` have the group of the moment of their import as a
    default. Imported by torch within the block (DDP does it, and some first steps) they would keep
    it, and a thread of it that lets go of a tensor while Python ends aborts the process.
    """
    import_module("torch.distributed.nn.functional")
    torch.set_num_threads(1)
    where = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()
