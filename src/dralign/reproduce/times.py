"""Tables 8, 9 and 10: training time, as ratios to w.o.FairReg and to FairReg."""

from collections.abc import Sequence

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results, Values, mean, seconds, shown

GAPS = (("dp", "demographic_parity"), ("eo", "equalized_odds"))
BASES = ("erm", "gap")
_Method = tuple[str, str | None]  # with the module that Fair Mixup mixes


def table8(results: Results) -> Reproduction:
    """Adult."""
    return times(results, "table8", "adult")


def table10(results: Results) -> Reproduction:
    """Credit."""
    return times(results, "table10", "german")


def times(results: Results, table: str, data: str, *, more: Sequence[_Method] = ()) -> Reproduction:
    """A table of times.

    Args:
        results: our side.
        table: the paper's.
        data: the name of the dataset.
        more: methods that the paper's table does not have.
    """
    paper = printed(table)
    methods: list[_Method] = [(name, None) for name in paper["methods"]]
    lines = []
    for short, gap in GAPS:
        printed_times = dict(zip(methods, paper[short], strict=True))
        ours = {
            (name, layer): results.values(seconds, name, data=data, gap=gap, mixup_layer=layer)
            for name, layer in (*methods, *more)
        }
        for method, values in ours.items():
            theirs = printed_times.get(method)
            line = [short.upper(), _named(method), _short(theirs, "g"), shown(values, 1)]
            for base in ((name, None) for name in BASES):
                ratio = None if theirs is None else theirs / printed_times[base]
                line += [_short(ratio, ".2f"), _short(_ratio(values, ours[base]), ".2f")]
            lines.append(tuple(line))
    header = (
        "gap",
        "method",
        "paper, s",
        "ours, s",
        "paper / erm",
        "ours / erm",
        "paper / gap",
        "ours / gap",
    )
    return Reproduction(header, tuple(lines), _NOTE)


def _named(method: _Method) -> str:
    """A method, with the layer that is mixed."""
    name, layer = method
    return f"{name} of {layer}" if layer else name


def _ratio(first: Values, second: Values) -> float | None:
    """The ratio of two means; None without both."""
    return mean(first) / mean(second) if first and second else None


def _short(number: float | None, form: str) -> str:
    """A number as text; a dash without one."""
    return "–" if number is None else format(number, form)


_NOTE = (
    "Seconds of all training steps of a trial, the mean over its weights, with one thread. The "
    "trials of a study ran beside each other on machines that do other work, so seconds and ratios "
    "are rough, and no claim is judged by those of a trial; benchmarks/fit.py measures the "
    "ratios side by side."
)
