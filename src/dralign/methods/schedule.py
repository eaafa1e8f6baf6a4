"""Schedules: in which steps a term enters, and with how many times its weight."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from dralign.errors import OptionError, quoted, unknown


@runtime_checkable
class Schedule(Protocol):
    """How many times its weight a term has in each step; its text says how to make it again."""

    def weight(self, step: int) -> float:
        """The factor in step 0, 1, ...; 0 where the term does not enter and costs nothing."""
        ...


@dataclass(frozen=True)
class Every:
    """In every k-th step, from the first, with k times its weight (Eq. 21).

    Attributes:
        k: 1 or more; 1 is the paper's.
    """

    k: int = 1

    def __post_init__(self) -> None:
        """Checks the range.

        Raises:
            OptionError: if k is below 1.
        """
        if self.k < 1:
            raise OptionError(f"alignment_every: expected a whole number from 1 up, got {self.k}")

    def weight(self, step: int) -> float:
        """The number k in steps 0, k, 2 k, ..., and 0 between."""
        return float(self.k) if step % self.k == 0 else 0.0

    def __str__(self) -> str:
        return str(self.k)


SCHEDULES: Final[dict[str, Callable[[str], Schedule]]] = {}


def register_schedule(name: str, make: Callable[[str], Schedule]) -> None:
    """Makes a schedule known as ``"name:text"``; ``make`` gets what stands behind the colon.

    Raises:
        OptionError: if the name is taken.
    """
    if name in SCHEDULES:
        raise OptionError(f"schedule: {name!r} is known already")
    SCHEDULES[name] = make


def schedule_of(value: Any) -> Schedule:  # noqa: ANN401 - that is what is found out
    """The schedule that a number k, a text or a schedule stands for.

    Raises:
        OptionError: if it stands for none.
    """
    if isinstance(value, Schedule):
        return value
    text = str(value)
    if not isinstance(value, bool) and text.isdecimal():
        return Every(int(text))
    name, _, rest = text.partition(":")
    if isinstance(value, str) and name in SCHEDULES:
        return SCHEDULES[name](rest)
    if isinstance(value, str) and SCHEDULES:
        raise OptionError(unknown("schedule", value, ("a number k", *SCHEDULES)))
    raise OptionError(f"alignment_every: expected a whole number from 1 up, got {quoted(value)}")


def written_schedule(value: Any) -> int | str:  # noqa: ANN401 - as above
    """A schedule as plans and records keep it: k, or its text.

    Raises:
        OptionError: if the value stands for no schedule, or for one that can't be made again from
            its text.
    """
    schedule = schedule_of(value)
    if isinstance(schedule, Every):
        return schedule.k
    text = str(schedule)
    if schedule_of(text) != schedule:
        raise OptionError(
            f"schedule: {quoted(text)} is not one that was registered; pass it to DRAlign"
        )
    return text
