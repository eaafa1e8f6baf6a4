"""Workers of a Dask cluster: one of this machine's own, or one that is running somewhere.

Which worker has which trial is decided here, and once a second the scheduler reports which workers
there are, when it heard of each, and what each said it was executing. Nothing depends on the
cluster noticing that a trial was lost.
"""

import os
import threading
import uuid
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from dralign.errors import DralignError, DralignWarning, StudyError
from dralign.study.attempt import one_line
from dralign.study.pools import Call, Ended, Flight, Pool
from dralign.study.record import TrialRecord
from dralign.study.scheduler import (
    START_SECONDS,
    connect,
    kill,
    question,
    quietly,
    require_version,
    within,
)
from dralign.tiers import installing

PATIENCE_SECONDS: Final = 60.0  # how long a cluster may be without a worker, or any answer
LOOK_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 3.0  # before a worker that was not seen before gets its first trial
LOST: Final = "the connection to the cluster was lost; the same command continues"
QUIET_SECONDS: Final = 5.0  # a worker that was not heard of for so long gets no trial


@contextmanager
def open_cluster(jobs: int, address: str) -> Iterator[Pool]:
    """The workers of a Dask cluster for the length of a block.

    Args:
        jobs: the number of workers of a cluster of our own.
        address: ``"local"`` for one, or the address of a running scheduler.

    Raises:
        StudyError: if Dask is not installed, or the cluster can't be reached or has no workers.
    """
    try:
        import distributed
    except ImportError as error:
        raise StudyError(f"Dask is not installed; {installing('distributed')}") from error
    with ExitStack() as stack:
        client, own = connect(distributed, jobs, address, stack)
        pool = _Workers(client, address, own)
        stack.callback(pool.stop)
        yield pool


class _Sight(NamedTuple):
    """What the scheduler knows of a worker: itself, when it was heard of, what it executes."""

    identity: str
    heard: float
    threads: int
    executes: Sequence[str]


@dataclass(eq=False)
class _Seat:
    """A worker: what was last seen of it, for how long nothing, and what it is there for."""

    sight: _Sight
    quiet: float = 0.0
    asked: float = 0.0  # seconds since it was asked for its version
    ready: bool = False  # it has answered, and has this version of dralign
    flight: Flight | None = None
    future: Any = None


class _Workers(Pool):
    """The workers of a cluster; see ``Pool``."""

    def __init__(self, client: Any, address: str, own: Any) -> None:  # noqa: ANN401 - no types
        super().__init__()
        self.client, self.address, self.own = client, address, own
        self._seats: dict[str, _Seat] = {}
        self._mail: SimpleQueue[Callable[[], list[Ended]]] = SimpleQueue()
        # Seconds without a look, without a worker that is ready, and without word of any.
        self._unseen, self._without, self._unheard = 0.0, 0.0, 0.0
        self._warned = False
        topic = f"dralign-{uuid.uuid4().hex}"
        client.subscribe_topic(topic, self._look_came)
        report = _reports(topic, client.id)
        within(PATIENCE_SECONDS, lambda: client.run_on_scheduler(report, wait=False))

    def has_room(self) -> bool:
        return self._free_seat() is not None

    def hand_out(self, digest: str, call: Call, *arguments: object) -> None:
        result = self._free_seat()
        assert result is not None
        index, seat = result
        flight = Flight(digest, f"worker {index}")
        self.flights[digest] = seat.flight = flight
        self._submit(index, seat, flight, call, *arguments)

    def take_back(self, digest: str) -> None:
        flight = self.flights.pop(digest)
        index, seat = next(result for result in self._seats.items() if result[1].flight is flight)
        # When it is next seen it is asked again whether it answers.
        del self._seats[index]
        _aside(seat.future.cancel)
        if self.own is not None:
            self._kill(index)
        elif seat.quiet < QUIET_SECONDS:  # it listens
            _aside(self.client.run, _leave, workers=[index], on_error="ignore")

    def stop(self) -> None:
        """Forgets everything; the block that opened the cluster closes it."""
        self.flights.clear()
        self._seats.clear()

    def _news(self, seconds: float) -> list[Ended]:
        ended = list[Ended]()
        with suppress(Empty):
            ended += self._mail.get(timeout=seconds)()
            while True:
                ended += self._mail.get_nowait()()
        return ended

    def _age(self, step: float) -> None:
        super()._age(step)
        for index, seat in list(self._seats.items()):
            seat.quiet += step
            seat.asked += step
            if not seat.ready and seat.asked > PATIENCE_SECONDS:
                _aside(seat.future.cancel)
                del self._seats[index]  # it is asked again, if it is still there
        there = any(seat.ready for seat in self._seats.values())
        self._without = 0.0 if there else self._without + step
        self._unseen += step
        self._unheard += step
        if self._unseen > PATIENCE_SECONDS:
            raise StudyError(
                f"the Dask scheduler at {self.address} does not answer; the same command continues"
            )
        # One that is heard of has only not imported everything yet, which may take minutes.
        coming = self.own is not None or self._unheard < PATIENCE_SECONDS
        if self._without > (START_SECONDS if coming else PATIENCE_SECONDS):
            raise StudyError(
                f"the Dask cluster at {self.address} has lost all its workers, or they do not "
                "answer; start some and run the same command again to continue"
            )

    def _free_seat(self) -> tuple[str, _Seat] | None:
        """A worker without a trial of ours, and if possible without one of others."""
        free = [
            (bool(seat.sight.executes), index, seat)
            for index, seat in self._seats.items()
            if seat.flight is None and seat.quiet < QUIET_SECONDS and self._can_begin(index, seat)
        ]
        return min(free, key=lambda entry: entry[0])[1:] if free else None

    def _can_begin(self, index: str, seat: _Seat) -> bool:
        """Whether a worker is ready, and so is what starts it again.

        A nanny whose worker dies before it has heard of its start may never start another one
        (distributed 2026.8), and a trial may kill its worker at once.
        """
        if self.own is None:
            return seat.ready and seat.asked > SETTLE_SECONDS
        return seat.ready and any(
            nanny.worker_address == index and nanny.process.status.name == "running"
            for nanny in self.own.workers.values()
            if nanny.process is not None
        )

    def _submit(
        self, index: str, seat: _Seat, flight: Flight | None, call: object, *arguments: object
    ) -> None:
        """Lets one worker make a call, under a name of its own: no late answer is another's.

        Raises:
            StudyError: if it can't be sent.
        """
        try:
            seat.future = future = self.client.submit(
                call,
                *arguments,
                key=f"dralign-{uuid.uuid4().hex}",
                workers=[index],
                allow_other_workers=False,
                pure=False,
            )
        except Exception as error:
            if self.client.status != "running":
                raise StudyError(LOST) from error
            raise StudyError(
                f"a trial can't be sent to a worker: {one_line(str(error))}"
            ) from error

        def fetch() -> None:
            try:
                result, error = future.result(), None
            except BaseException as raised:  # noqa: BLE001 - told to the coordinator
                result, error = None, raised
            self._mail.put(lambda: self._answered(index, seat, flight, result, error))

        # The result comes from the worker, which may be gone or stopped by now: nobody but this
        # thread waits for it.
        threading.Thread(target=fetch, daemon=True).start()

    def _answered(
        self,
        index: str,
        seat: _Seat,
        flight: Flight | None,
        result: object,
        error: BaseException | None,
    ) -> list[Ended]:
        """What an answer of a worker ends; late ones nothing.

        Raises:
            StudyError: if the study can't go on.
        """
        if self._seats.get(index) is not seat or seat.flight is not flight:
            return []
        if error is not None:
            if not self._is_loss(error):
                self._refuse(error)
            del self._seats[index]  # when it is next seen, if ever, it is asked again
        seat.flight = seat.future = None
        if flight is None:  # that was the question whether it has this version
            if error is None:
                require_version(self.address, result)
                seat.ready = True
            return []
        del self.flights[flight.digest]
        return [(flight.digest, result if isinstance(result, TrialRecord) else None)]

    def _is_loss(self, error: BaseException) -> bool:
        """Whether an error only says that the call was lost with its worker."""
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        if isinstance(error, CancelledError):
            if self.client.status != "running":
                raise StudyError(LOST)
            return True
        return isinstance(error, (KilledWorker, CommClosedError))

    @staticmethod
    def _refuse(error: BaseException) -> None:
        """Ends a study whose trials can't be run.

        Raises:
            DralignError: one of ours, as it was raised by the worker.
            StudyError: for any other.
        """
        if isinstance(error, DralignError):
            raise error
        advice = ""
        if isinstance(error, (ImportError, AttributeError)):
            advice = "; every worker needs this version of dralign, and what runs a trial"
        raise StudyError(
            f"a worker can't run trials: {type(error).__name__}: {one_line(str(error))}{advice}"
        ) from error

    def _kill(self, index: str) -> None:
        """Kills a worker of our own cluster, which then starts another."""
        for nanny in self.own.workers.values():
            if nanny.worker_address == index:
                kill(nanny)

    def _look_came(self, event: tuple[float, dict[str, list[Any]]]) -> None:
        """Takes what the scheduler reports, in the client's thread."""
        sights = {index: _Sight(*sight) for index, sight in event[1].items()}
        self._mail.put(lambda: self._see(sights))

    def _see(self, sights: dict[str, _Sight]) -> list[Ended]:
        """Takes a look of the scheduler: who is new, who is alive, who is gone."""
        self._unseen = 0.0
        lost = list[Ended]()
        for index, seat in list(self._seats.items()):
            if index not in sights or sights[index].identity != seat.sight.identity:
                del self._seats[index]
                if seat.flight is not None:
                    del self.flights[seat.flight.digest]
                    lost.append((seat.flight.digest, None))
        for index, sight in sights.items():
            if index not in self._seats:
                self._seats[index] = seat = _Seat(sight)
                self._submit(index, seat, None, question(imports=True))
            self._alive(self._seats[index], sight)
        if self.own is not None and len(sights) < len(self.own.worker_spec):
            self.own.scale(len(self.own.worker_spec))  # those that were given up
        if not self._warned and any(sight.threads > 1 for sight in sights.values()):
            self._warned = True
            warnings.warn(
                "some Dask workers have several threads, a trial uses one: start them with "
                "--nthreads 1",
                DralignWarning,
                stacklevel=2,
            )
        return lost

    def _alive(self, seat: _Seat, sight: _Sight) -> None:
        """Notes that a worker was heard of since the last look, if it was."""
        if sight.heard == seat.sight.heard:
            return
        seat.sight, seat.quiet, self._unheard = sight, 0.0, 0.0
        if (flight := seat.flight) is not None and sight.executes:
            # Perhaps with another's work, behind which the trial waits.
            flight.silent, flight.told = 0.0, False
            flight.begun = flight.begun or seat.future.key in sight.executes


def _aside(call: Callable[..., object], *arguments: object, **options: object) -> None:
    """Makes a call in a thread of its own: nobody waits for it, and its failure changes nothing."""
    threading.Thread(target=quietly, args=(call, *arguments), kwargs=options, daemon=True).start()


def _reports(topic: str, client: str) -> Callable[..., Awaitable[None]]:
    """What lets the scheduler tell a client every second which workers there are."""
    pause = LOOK_SECONDS

    async def report(dask_scheduler: Any) -> None:  # noqa: ANN401 - travels as code
        import asyncio

        while client in dask_scheduler.clients:
            seen = {
                index: [
                    worker.server_id,
                    worker.last_seen,
                    worker.nthreads,
                    [str(task.key) for task in worker.executing],
                ]
                for index, worker in dask_scheduler.workers.items()
            }
            dask_scheduler.log_event(topic, seen)
            await asyncio.sleep(pause)

    return report


def _leave() -> None:
    """Ends the process it is run in."""
    os._exit(1)
