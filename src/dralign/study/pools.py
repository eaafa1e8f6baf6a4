"""Where trials run: what the runner asks of the workers of this machine or of a cluster.

A worker has one trial at a time, and it is known which. So a trial on a worker that died, was
stopped or forgot it can be taken back, whatever the engine below thinks of it. Executors of
``concurrent.futures`` do not tell where a call runs: loky (joblib 1.6) ends all workers when one
dies and waits for ever for one that is stopped, and Dask's may keep a future open with idle workers
(dask/distributed#3196).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dralign.study.record import TrialRecord

# Small networks are fastest with one thread each, and one process for each core.
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
# Between two looks at most so much is counted: a coordinator that was itself stopped, or slept with
# the machine, has not waited in the meantime.
MOST_SECONDS: Final = 2.0

Call = Callable[..., TrialRecord]
Ended = tuple[str, TrialRecord | None]


@dataclass(eq=False)
class Flight:
    """A trial that is under way.

    Attributes:
        digest: its hash.
        worker: which one, in words.
        begun: whether the worker is known to have begun with it.
        running: seconds since then.
        silent: seconds without a sign that it is being worked on.
        told: whether the user was told of the silence.
    """

    digest: str
    worker: str
    begun: bool = False
    running: float = 0.0
    silent: float = 0.0
    told: bool = False


class Pool(ABC):
    """Workers that run one trial each; a context manager that ends what is under way.

    Attributes:
        flights: the trials under way, by hash.
    """

    def __init__(self) -> None:
        self.flights: dict[str, Flight] = {}
        self._looked = time.monotonic()

    @abstractmethod
    def has_room(self) -> bool:
        """Whether a worker is free."""

    @abstractmethod
    def hand_out(self, digest: str, call: Call, *arguments: object) -> None:
        """Gives a trial to a free worker, as a call that returns its record."""

    @abstractmethod
    def take_back(self, digest: str) -> None:
        """Ends a trial and, where that is possible, its worker; nothing is heard of it again."""

    @abstractmethod
    def _news(self, seconds: float) -> list[Ended]:
        """What ended meanwhile, as of ``wait``; a sign of life makes a flight's silence 0."""

    def wait(self, seconds: float) -> list[Ended]:
        """The trials that ended, after so many seconds at most.

        Returns:
            Hash and record of each; None for a record of a trial whose worker is gone.

        Raises:
            StudyError: if the study can't go on.
        """
        ended = self._news(seconds)
        now = time.monotonic()
        step = min(now - self._looked, MOST_SECONDS)
        self._looked = now
        self._age(step)
        return ended

    def _age(self, step: float) -> None:
        """Counts the time since the last look."""
        for flight in self.flights.values():
            flight.silent += step
            if flight.begun:
                flight.running += step
