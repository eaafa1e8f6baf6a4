"""Tables 11, 12 and 14: widths, t-tests, and two more measures, all on Adult."""

from math import isnan

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results, hard, precision, shown, soft
from dralign.study.significance import p_values

WIDTHS = (10, 20, 50, 200)


def table11(results: Results) -> Reproduction:
    """AP of FairReg by width and lambda."""
    paper = printed("table11")
    lines = []
    for width in WIDTHS:
        lines.append((f"c{width}", "paper", *(f"{value:.3f}" for value in paper[f"ap_{width}"])))
        ours = [
            results.values(precision, "gap", fairness_weight=w, hidden=width)
            if w
            else results.values(precision, "oversample", hidden=width)
            for w in paper["weights"]
        ]
        lines.append((f"c{width}", "ours", *(shown(v) for v in ours)))
    header = ("network", "", *(f"lambda {w:g}" for w in paper["weights"]))
    return Reproduction(header, tuple(lines), "Test AP at the smallest validation gap.")


def table12(results: Results) -> Reproduction:
    """P-values that FairReg and DRAlign have the same gap at equal lambda."""
    paper = printed("table12")
    lines = []
    for weight, value in zip(paper["weights"], paper["p_value"], strict=True):
        for form, figure in (("soft", soft), ("hard", hard)):
            gap, aligned = (
                results.values(figure, name, fairness_weight=weight) for name in ("gap", "dralign")
            )
            p = p_values(aligned, gap)
            lines.append(
                (
                    f"{weight:g}",
                    form,
                    f"{value:g}",
                    *("–" if isnan(x) else f"{x:.2g}" for x in (p.paired_t, p.welch_t, p.wilcoxon)),
                    shown(gap),
                    shown(aligned),
                )
            )
    header = ("lambda", "form", "paper p", "paired t", "Welch t", "Wilcoxon", "gap", "dralign")
    return Reproduction(header, tuple(lines), paper["read"])


def table14(results: Results) -> Reproduction:
    """EOP and PP: FairReg and DRAlign at equal lambda."""
    paper = printed("table14")
    lines = []
    for short, gap in (("eop", "equal_opportunity"), ("pp", "predictive_parity")):
        for place, weight in enumerate(paper[f"{short}_weights"]):
            for method in ("dralign", "gap"):
                ours = [
                    results.values(figure, method, gap=gap, fairness_weight=weight)
                    for figure in (precision, soft, hard)
                ]
                lines.append(
                    (
                        short.upper(),
                        f"{weight:g}",
                        method,
                        f"{paper[f'{method}_{short}_ap'][place]:.4f}",
                        shown(ours[0]),
                        f"{paper[f'{method}_{short}'][place]:.4f}",
                        *(shown(v, 4) for v in ours[1:]),
                    )
                )
    header = ("gap", "lambda", "method", "paper AP", "our AP", "paper", "soft gap", "hard gap")
    return Reproduction(header, tuple(lines), paper["read"])
