"""The plans whose trials the entries show, their small version, and what suits the images there."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import as_file, files
from typing import Final

from dralign.data import catalogue, celeba
from dralign.errors import OptionError
from dralign.reproduce.results import Results, plain
from dralign.study import Plan, TrialSpec, load_plan

TABLES: Final = (
    "adult_dp",
    "adult_eo",
    "credit",
    "compas",
    "measures",
    "widths_dp",
    "widths_eo",
    "printed",
)
WHOLE, SAMPLE = "celeba_", "celeba_sample_"  # begin the names of plans of images
PLANS: Final = (
    *TABLES,
    *(WHOLE + name for name in ("dp", "eo", "attractive", "resnet18", "beta")),
    *(SAMPLE + name for name in ("dp", "times", "resnet18", "eo", "attractive", "beta")),
)
# The quick form: what its trials are cut to, and what is said of it.
_TABLE, _IMAGES = {"epochs": 2, "iterations": 20}, {"epochs": 1, "iterations": 5}
_SEEDS, _SEEDS_OF_IMAGES = 2, 1
QUICK: Final = (
    f"Quick: {_SEEDS} seeds, {_TABLE['epochs']} epochs of {_TABLE['iterations']} iterations and "
    "the smallest and largest weight of each method (on images "
    f"{_SEEDS_OF_IMAGES} seed and {_IMAGES['epochs']} epoch of {_IMAGES['iterations']}), to see "
    "every step work. No figure here says anything of the paper or of the methods."
)


@cache
def plan(name: str, *, data_home: str = "") -> Plan:
    """One of ``PLANS``."""
    with as_file(files("dralign.reproduce") / "plans" / f"{name}.toml") as path:
        return load_plan(path, data_home=data_home)


def plans_of_images(*names: str) -> tuple[str, ...]:
    """The plans of images of these short names: those on all of CelebA, then those on a sample."""
    return tuple(p + name for p in (WHOLE, SAMPLE) for name in names if p + name in PLANS)


@cache
def trials(*names: str) -> frozenset[TrialSpec]:
    """The trials of these plans as records keep them, small ones included."""
    whole = [spec for name in names for spec in plan(name).trials]
    return frozenset(plain(spec) for spec in (*whole, *reduced(whole)))


def begun(names: Sequence[str], results: Results) -> bool:
    """Whether a trial of these plans is among the results."""
    return not trials(*names).isdisjoint(plain(record.spec) for record in results.records)


def needed(
    names: Iterable[str], *, quick: bool = False, seeds: int | None = None, data_home: str = ""
) -> list[TrialSpec]:
    """The trials of these plans, images last and then by seed.

    Args:
        names: those of ``PLANS``, in any order.
        quick: whether a small version is enough.
        seeds: how many of the first seeds; None for all.
        data_home: the folder of the datasets that are not built in.

    Raises:
        OptionError: if the number of seeds is not positive.
    """
    if seeds is not None and seeds < 1:
        raise OptionError(f"--seeds: expected at least 1, got {seeds}")
    wanted = set(names)
    specs = [
        spec for name in PLANS if name in wanted for spec in plan(name, data_home=data_home).trials
    ]
    if quick:
        specs = reduced(specs)
    kept = [spec for spec in specs if seeds is None or spec.seed < seeds]
    return sorted(kept, key=lambda spec: (of_images(spec), spec.seed))


def absent(specs: Iterable[TrialSpec]) -> set[str]:
    """The names of the datasets of these trials that are not on this machine."""
    homes = {(spec.data.name, spec.data.data_home) for spec in specs}
    return {name for name, home in homes if catalogue.entry(name).location(home) == "missing"}


def reduced(specs: Iterable[TrialSpec]) -> list[TrialSpec]:
    """A small version of a plan, to see every step of it work; its figures mean nothing.

    A few seeds, epochs and iterations, as ``QUICK`` says, and of each method's weights the smallest
    and the largest.
    """
    kept = [spec for spec in specs if spec.seed < (_SEEDS_OF_IMAGES if of_images(spec) else _SEEDS)]
    ends: dict[TrialSpec, list[float]] = {}
    for spec in kept:
        ends.setdefault(_curve(spec), []).append(spec.fairness_weight)
    return [
        spec.but(**(_IMAGES if of_images(spec) else _TABLE))
        for spec in kept
        if spec.fairness_weight in {min(ends[_curve(spec)]), max(ends[_curve(spec)])}
    ]


def of_images(spec: TrialSpec) -> bool:
    """Whether it is a trial on CelebA."""
    return spec.data.name == "celeba"


def suited(
    specs: Iterable[TrialSpec], *, data_home: str = "", quick: bool = False
) -> list[TrialSpec]:
    """The trials that suit the images in the folder; those on tables are all kept.

    With all of CelebA these are the paper's, with a part of it those that have a partition file of
    their own; quickly only the latter, because to evaluate a network on all images takes minutes.

    Raises:
        DataError: if a file of the folder is missing or not of its form.
    """
    several = list(specs)
    whole = False
    if any(of_images(spec) for spec in several):
        result = celeba.read_faces((), data_home=data_home or None)
        whole = len(result.files.names) == celeba.ROWS
    return [
        spec
        for spec in several
        if not of_images(spec) or (not whole if spec.data.partition else whole and not quick)
    ]


def _curve(spec: TrialSpec) -> TrialSpec:
    """What the trials of a curve have in common."""
    return spec.but(fairness_weight=0.0, alignment_weight=0.0, gap_bound=None)
