"""What the paper's trials on images would cost: by the times it prints, and by ours."""

from collections.abc import Mapping
from typing import Final

from dralign.reproduce.celeba import faces
from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.planned import PLANS, SAMPLE, WHOLE, plan
from dralign.reproduce.results import SECONDS_AN_HOUR, Results, mean, seconds
from dralign.reproduce.times import GAPS
from dralign.study import TrialSpec

# Floating-point operations an image: AlexNet of 256 x 256 pixels over that of the sample.
LARGER: Final = 21
_Key = tuple[str, str]  # method and gap

_NOTE: Final = (
    "By Table 9, a time for each trial; Adversarial, which it does not have, counts as FairReg. A "
    "core: the seconds of a step of 20 on the sample (64 x 64 pixels, classifier width 512, one "
    f"thread), times the steps of the plan, times {LARGER}, so many more floating-point operations "
    "an image takes at 256 x 256 pixels with the whole classifier. Evaluation comes on top. For "
    "ResNet-18 the paper prints no time and we measured none that says anything."
)


def image_cost(results: Results) -> Reproduction:
    """The hours of every plan on all of CelebA."""
    table = printed("table9")
    by_table = {
        (method, gap): value
        for short, gap in GAPS
        for method, value in zip(table["methods"], table[short], strict=True)
    }
    by_table |= {("adversarial", gap): by_table["gap", gap] for _, gap in GAPS}
    step = _seconds_a_step(results)
    lines = []
    for name in PLANS:
        if not name.startswith(WHOLE) or name.startswith(SAMPLE):
            continue
        trials = plan(name).trials
        theirs = [_value(by_table, spec) for spec in trials]
        ours = [_value(step, spec) for spec in trials]
        steps = [spec.epochs * spec.iterations * LARGER for spec in trials]
        lines.append(
            (
                name,
                str(len(trials)),
                _hours(theirs),
                _hours([None if s is None else s * n for s, n in zip(ours, steps, strict=True)]),
            )
        )
    header = ("plan", "trials", "hours of the authors' GPU", "hours of a core here")
    return Reproduction(header, tuple(lines), _NOTE)


def _seconds_a_step(results: Results) -> dict[_Key, float]:
    """The time of a training step on the sample, of every method that was timed there."""
    timed = faces(results, "times")
    trials = plan(f"{SAMPLE}times").trials
    (steps,) = {spec.epochs * spec.iterations for spec in trials}
    found = {
        (method, gap): timed.values(seconds, method, gap=gap)
        for method, gap in {(spec.method, spec.gap) for spec in trials}
    }
    return {key: mean(values) / steps for key, values in found.items() if values}


def _value(known: Mapping[_Key, float], spec: TrialSpec) -> float | None:
    """What is known of a trial's method with AlexNet, of which alone there are times."""
    return known.get((spec.method, spec.gap)) if spec.network == "alexnet" else None


def _hours(values: list[float | None]) -> str:
    """Seconds as hours; a dash if one is not known."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / SECONDS_AN_HOUR:,.0f}" if len(known) == len(values) else "–"
