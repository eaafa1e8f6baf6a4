"""Table 15: COMPAS."""

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Figure, Results, hard, precision, shown, soft

METHODS = ("erm", "oversample", "gap", "mixup", "dralign")


def table15(results: Results) -> Reproduction:
    """AP and gap of all methods under DP and EO."""
    paper = printed("table15")
    lines = []
    for short, gap in (("dp", "demographic_parity"), ("eo", "equalized_odds")):
        for method in METHODS:
            for index, weight in enumerate(weights(method, short)):
                ours = [
                    results.values(figure, method, data="compas", gap=gap, fairness_weight=weight)
                    for figure in (precision, soft, hard)
                ]
                lines.append(
                    (
                        short.upper(),
                        method,
                        f"{weight:g}",
                        f"{paper[f'{method}_{short}_ap'][index]:g}",
                        shown(ours[0]),
                        f"{paper[f'{method}_{short}'][index]:g}",
                        *(shown({s: -v for s, v in values.items()}) for values in ours[1:]),
                    )
                )
    header = ("gap", "method", "lambda", "paper AP", "our AP", "paper", "- soft gap", "- hard gap")
    return Reproduction(header, tuple(lines), f"{paper['read']} {_sizes(results)}")


def weights(method: str, short: str) -> list[float]:
    """The lambdas of a method in the table; 0 where it has none."""
    if method in {"erm", "oversample"}:
        return [0.0]
    paper = printed("table15")
    result: list[float] = paper.get(f"{method}_{short}_weights", paper[f"{short}_weights"])
    return result


def _sizes(results: Results) -> str:
    """How the sizes compare, from what lambda does to FairReg under DP."""
    paper, (low, *_, high) = printed("table15"), weights("gap", "dp")
    theirs, precisions = paper["gap_dp"], paper["gap_dp_ap"]

    def ours(figure: Figure, weight: float) -> str:
        found = results.values(
            figure, "gap", data="compas", gap="demographic_parity", fairness_weight=weight
        )
        return shown(found)

    return (
        f"The sizes are of another experiment: from a lambda of {low:g} to {high:g} FairReg's gap "
        f"goes from {-theirs[0]:g} to {-theirs[-1]:g} in the paper, ours (soft) from "
        f"{ours(soft, low)} to {ours(soft, high)}; AP at {low:g} is {precisions[0]:g} there, and "
        f"{ours(precision, low)} here. One of the assumed settings (race, features, split, "
        "batches) is not the paper's; only who is above whom is judged."
    )
