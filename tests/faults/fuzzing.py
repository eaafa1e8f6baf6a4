"""What fuzzing scripts share: a case is tried with a limit of time, and what came of it is counted.

An outcome is ``refused`` (one line of ours), ``accepted``, ``traceback`` (anything else that was
raised, or a message of several lines), ``hang`` (ten seconds of computing, or ten minutes of
anything; an hour ends the script and shows where it was), or ``silent`` (what was accepted is not
what it should be).
"""

import faulthandler
import random
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from dralign.errors import DralignError

LIMIT = 10  # seconds of computing
LONGEST = 1000  # characters of a message
BAD = ("traceback", "hang", "silent")
Case = Callable[[random.Random], None]


class ChangedError(Exception):
    """What was accepted is not what it should be."""


class Late(BaseException):
    """The time is over; not an Exception, so that nothing takes it for one of its own."""


@contextmanager
def limited() -> Iterator[list[int]]:
    """Raises ``Late`` in the block when its time is over; on a busy machine a moment is seconds.

    Yields:
        The signals that told so, which grows as they come.
    """
    fired: list[int] = []

    def late(number, frame):
        fired.append(number)
        raise Late

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, LIMIT),
        signal.SIGALRM: (signal.ITIMER_REAL, 600),
    }
    before = {number: signal.signal(number, late) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    faulthandler.dump_traceback_later(360 * LIMIT, exit=True, file=sys.__stderr__)
    try:
        yield fired
    finally:
        faulthandler.cancel_dump_traceback_later()
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def outcome(case: Case, seed: str) -> tuple[str, str]:
    """What came of a case, and what was raised."""
    with limited() as fired, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            case(random.Random(seed))
        except DralignError as error:
            text = str(error)
            return ("traceback" if "\n" in text or len(text) > LONGEST else "refused"), repr(error)
        except ChangedError as error:
            return "silent", str(error)
        except (Late, KeyboardInterrupt):  # the second stands for the first where SQLite was asked
            if not fired:
                raise
            return "hang", ""
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return "traceback", f"{type(error).__name__}: {error}"
    return "accepted", ""


def fuzz(cases: dict[str, Case], count: int, *, seed: int = 0) -> tuple[Counter, list[str]]:
    """Tries so many cases, of each kind in turn.

    Returns:
        How often each kind had each outcome, and a line for each bad one.
    """
    found, bad = Counter(), []
    kinds = list(cases)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        what, detail = outcome(cases[kind], f"{seed} {number}")
        found[kind, what] += 1
        if what in BAD:
            bad.append(f"{what}: {kind}, seed {seed}, number {number}: {detail[:300]}")
    return found, bad


def run(cases: dict[str, Case], arguments: Iterable[str]) -> int:
    """The script: ``fuzz_x.py COUNT [SEED]`` prints a table, and fails if anything is bad."""
    numbers = [int(text) for text in arguments]
    count, seed = (*numbers, *(1000, 0)[len(numbers) :])
    found, bad = fuzz(cases, count, seed=seed)
    columns = ("refused", "accepted", *BAD)
    print(f"{'':24}" + "".join(f"{name:>11}" for name in columns))
    for kind in cases:
        print(f"{kind:24}" + "".join(f"{found[kind, name]:>11}" for name in columns))
    for line in bad:
        print(line, file=sys.stderr)
    return 1 if bad else 0
