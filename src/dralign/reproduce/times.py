"""Tables 8 and 10: training time, as ratios to w.o.FairReg and to FairReg."""

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results, mean, seconds, shown

GAPS = (("dp", "demographic_parity"), ("eo", "equalized_odds"))


def table8(results: Results) -> Reproduction:
    """Adult."""
    return _times(results, "table8", "adult")


def table10(results: Results) -> Reproduction:
    """Credit."""
    return _times(results, "table10", "german")


def _times(results: Results, table: str, data: str) -> Reproduction:
    paper = printed(table)
    methods = paper["methods"]
    lines = []
    for short, gap in GAPS:
        ours = {name: results.values(seconds, name, data=data, gap=gap) for name in methods}
        for place, name in enumerate(methods):
            line = [short.upper(), name, f"{paper[short][place]:g}", shown(ours[name], 1)]
            for base in ("erm", "gap"):
                theirs = paper[short][place] / paper[short][methods.index(base)]
                both = ours[name] and ours[base]
                line += [
                    f"{theirs:.2f}",
                    f"{mean(ours[name]) / mean(ours[base]):.2f}" if both else "–",
                ]
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


_NOTE = (
    "Seconds of all training steps of a trial, the mean over its weights, with one thread. The "
    "trials of a study ran beside each other on machines that do other work, so seconds and ratios "
    "are rough; benchmarks/fit.py measures the ratios side by side."
)
