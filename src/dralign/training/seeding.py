"""Randomness of a run: independent streams from one integer, and nothing seeded for good."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from dralign.errors import OptionError
from dralign.turns import random_state_kept


@dataclass(frozen=True)
class Seeds:
    """The independent seeds of one run.

    Attributes:
        initialisation: of the network's weights.
        sampling: of the batches.
        noise: of whatever is random inside the network and the method (dropout, mixing).
    """

    initialisation: int
    sampling: int
    noise: int


def spawn_seeds(seed: int) -> Seeds:
    """The seeds of a run, all derived from one.

    Raises:
        OptionError: if ``seed`` is negative.
    """
    if seed < 0:
        raise OptionError(f"seed: expected a number from 0 up, got {seed}")
    return Seeds(
        *(int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(3))
    )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Runs a block with torch's global generators seeded; their state comes back afterwards.

    Threads take turns (``dralign.turns``), so that each draws what it would alone.
    """
    with random_state_kept():
        torch.manual_seed(seed)
        yield
