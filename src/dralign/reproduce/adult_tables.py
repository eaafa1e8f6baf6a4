"""Tables 11, 12 and 14: widths, t-tests, and two more measures, all on Adult."""

from dataclasses import replace
from math import isnan

from dralign.analysis.significance import p_values
from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results, Values, hard, precision, rate_ratio, shown, soft
from dralign.training import Selection

WIDTHS = (10, 20, 50, 200)


def table11(results: Results) -> Reproduction:
    """AP of FairReg by width and lambda, by the rule of A.6 and by the published one."""
    paper = printed("table11")
    rules = (
        ("ours, highest AP", replace(results, selection=Selection("highest_ap", measure="soft"))),
        ("ours, smallest gap", results),
    )
    lines = []
    for width in WIDTHS:
        lines.append((f"c{width}", "paper", *(f"{value:.3f}" for value in paper[f"ap_{width}"])))
        for words, ruled in rules:
            ours = (_precision_at(ruled, weight, width) for weight in paper["weights"])
            lines.append((f"c{width}", words, *map(shown, ours)))
    header = ("network", "", *(f"lambda {w:g}" for w in paper["weights"]))
    note = (
        "Test AP at the epoch of the highest validation AP, as A.6 says ('chosen according to the "
        "performance on the validation dataset'), and of the smallest validation gap."
    )
    return Reproduction(header, tuple(lines), note)


def _precision_at(results: Results, weight: float, width: int) -> Values:
    """AP of FairReg; at lambda 0 it is Oversample."""
    if not weight:
        return results.values(precision, "oversample", hidden=width)
    return results.values(precision, "gap", fairness_weight=weight, hidden=width)


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
    """EOP and PP: FairReg and DRAlign at equal lambda; EOP as the ratio that the paper prints."""
    paper = printed("table14")
    lines = []
    for short, gap, own in (
        ("eop", "equal_opportunity", rate_ratio),
        ("pp", "printed_predictive_parity", soft),
        ("pp as defined", "predictive_parity", soft),
    ):
        key = short.split()[0]
        for index, weight in enumerate(paper[f"{key}_weights"]):
            for method in ("dralign", "gap"):
                ours = [
                    results.values(figure, method, gap=gap, fairness_weight=weight)
                    for figure in (precision, own, soft, hard)
                ]
                lines.append(
                    (
                        short.replace(key, key.upper()),
                        f"{weight:g}",
                        method,
                        f"{paper[f'{method}_{key}_ap'][index]:.4f}",
                        shown(ours[0]),
                        f"{paper[f'{method}_{key}'][index]:.4f}",
                        *(shown(v, 4) for v in ours[1:]),
                    )
                )
    header = (
        "gap", "lambda", "method", "paper AP", "our AP", "paper", "ours", "soft gap", "hard gap"
    )  # fmt: skip
    return Reproduction(header, tuple(lines), f"{paper['read']} {_SIZES_OF_PP}")


_SIZES_OF_PP = (
    "'Ours' of EOP is the ratio of the true positive rates of the two groups; of PP it is the soft "
    "gap that was trained, first with the surrogate printed in A.11 (which is the batch's gap of "
    "mean probabilities), then by the definition of PP. The printed sizes of PP fit the surrogate; "
    "those of PP as defined are of another experiment."
)
