"""What a process has once, torch's random state and the filters of warnings: threads take turns.

A block that changes one of them and puts it back would undo what another thread does meanwhile. A
thread may begin such a block inside of another one; to wait there for a thread that needs one too
is to wait for ever.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_turn = threading.RLock()


@contextmanager
def random_state_kept(device: torch.device | None = None) -> Iterator[None]:
    """The state of torch's global generators as it was before the block.

    Args:
        device: whose generator is kept beside the CPU's; None for those of every device.
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with _turn, torch.random.fork_rng(None if device is None else devices):
        yield


@contextmanager
def warnings_kept() -> Iterator[None]:
    """The filters of warnings as they were before the block."""
    with _turn, warnings.catch_warnings():
        yield


@contextmanager
def warnings_recorded() -> Iterator[list[warnings.WarningMessage]]:
    """All warnings of the block, which are put into the list and not shown."""
    with _turn, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
