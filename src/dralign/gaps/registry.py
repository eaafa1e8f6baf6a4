"""Which gaps there are: each declares itself, and is found here by name."""

from typing import Final

from dralign.errors import OptionError, unknown
from dralign.extensions import Registry
from dralign.gaps.gap import AGGREGATES, Gap, GapType
from dralign.gaps.ranking import RANKINGS
from dralign.gaps.rates import RATES

_GAPS: Final = Registry[GapType]("gap", (*RATES, *RANKINGS))


def register_gap(kind: GapType) -> None:
    """Makes a gap known by its name, at every door.

    Installed packages do so in a module that they name in an entry point (docs/extending.md).

    Raises:
        OptionError: if the name is taken, or the gap that has its figures is unknown.
    """
    _GAPS.require_free(kind.name)
    if kind.figures_of and kind.figures_of not in _with_figures():
        raise OptionError(unknown("gap with figures", kind.figures_of, _with_figures()))
    _GAPS.add(kind)


def unregister_gap(name: str) -> None:
    """Forgets a gap that ``register_gap`` made known; for tests."""
    _GAPS.remove(name)


def gap_type(name: str) -> GapType:
    """The gap called ``name``.

    Raises:
        OptionError: if there is none.
    """
    return _GAPS.find(name)


def gap_names(n_classes: int = 2) -> tuple[str, ...]:
    """The names of all gaps that are defined for so many classes."""
    return tuple(kind.name for kind in _GAPS.all() if n_classes == 2 or kind.more_classes)


def figure_names(n_classes: int = 2) -> tuple[str, ...]:
    """The names of the gaps that have figures of their own in records, for so many classes."""
    return tuple(name for name in gap_names(n_classes) if name in _with_figures())


def judged_by(name: str) -> str:
    """The gap whose figures a network trained for the gap called ``name`` is judged by.

    Records have figures of these gaps alone, under keys such as ``soft_demographic_parity``.

    Raises:
        OptionError: if the gap is unknown.
    """
    return gap_type(name).figures_of or name


def resolve_gap(name: str, *, aggregate: str = "max", n_classes: int = 2) -> Gap:
    """The gap called ``name``, for any number of groups and for ``n_classes`` classes.

    Raises:
        OptionError: if ``name`` or ``aggregate`` is unknown, or the gap needs two classes.
    """
    return resolved(gap_type(name), aggregate, n_classes)


def resolved(kind: GapType, aggregate: str, n_classes: int) -> Gap:
    """The same of a gap that need not have a name.

    Raises:
        OptionError: if ``aggregate`` is unknown, or the gap needs two classes.
    """
    if aggregate not in AGGREGATES:
        raise OptionError(unknown("aggregate", aggregate, AGGREGATES))
    if n_classes > 2 and not kind.more_classes:
        raise OptionError(
            f"gap: {kind.name!r} needs two classes, the label has {n_classes}; choose "
            f"{' or '.join(gap_names(n_classes))}, or say which value is positive"
        )
    return Gap(kind, aggregate, n_classes)


def _with_figures() -> tuple[str, ...]:
    """The gaps registered so far that have figures of their own."""
    return tuple(kind.name for kind in _GAPS.so_far() if not kind.figures_of)
