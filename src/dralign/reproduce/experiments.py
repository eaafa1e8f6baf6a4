"""A.8, A.9 and A.14: alignment with augmentation, alone, and against pre-processing."""

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results, Values, hard, mean, precision, reading, shown, soft
from dralign.reproduce.table1 import D_F

HEADER = ("method", "paper AP", "our AP", "paper -DP", "minus soft gap", "minus hard gap")


def a8(results: Results) -> Reproduction:
    """Credit: DRAlign with Fair Mixup's penalty in the place of the gap."""
    text = printed("text")
    lines = tuple(
        (
            f"dralign, penalty {penalty}",
            *_compared(
                [
                    results.values(
                        figure, "dralign", data="german", fairness_weight=0.8, penalty=penalty
                    )
                    for figure in (precision, soft, hard)
                ],
                text[f"a8_{key}_ap"],
                text[f"a8_{key}_fairness"],
            ),
        )
        for penalty, key in (("gap", "dralign"), ("mixup", "mixup"))
    )
    return Reproduction(HEADER, lines, "The weights are assumed (lambda 0.8).")


def a9(results: Results) -> Reproduction:
    """Adult: the alignment without a gap term."""
    text = printed("text")
    lines = tuple(
        (
            label,
            *_compared(
                [results.values(f, method, fairness_weight=0.0) for f in (precision, soft, hard)],
                ap,
                fairness,
            ),
        )
        for label, method, ap, fairness in (
            ("erm", "erm", text["adult_erm_ap"], text["adult_erm_fairness"]),
            ("oversample", "oversample", None, None),
            ("dralign, lambda 0", "dralign", text["a9_ap"], text["a9_fairness"]),
        )
    )
    note = "Beta is assumed (0.02). Oversample draws the same batches as the alignment alone."
    return Reproduction(HEADER, lines, note)


def a14(results: Results) -> Reproduction:
    """Adult: inputs made uncorrelated with the sensitive attribute, and its parity score."""
    text, of_erm = printed("text"), printed("table1")["parity_score"][0]
    lines = []
    for method, ap, fairness, score in (
        ("erm", text["adult_erm_ap"], text["adult_erm_fairness"], of_erm),
        ("decorrelation", text["a14_ap"], text["a14_fairness"], text["a14_parity_score"]),
    ):
        ours = [results.values(f, method) for f in (precision, soft, hard)]
        scores = [results.values(reading(name), method) for name in D_F[:2]]
        shown_scores = (f"{mean(v):.3g} (n={len(v)})" if v else "–" for v in scores)
        lines.append((method, *_compared(ours, ap, fairness), f"{score:g}", *shown_scores))
    header = (*HEADER, "paper d_F", *(f"our {name}" for name in D_F[:2]))
    note = "The paper describes the method in one sentence; docs/methods.md says how it is read."
    return Reproduction(header, tuple(lines), note)


def _compared(ours: list[Values], ap: float | None, fairness: float | None) -> tuple[str, ...]:
    """The cells of a line: AP and minus both forms of the gap beside what is printed."""
    negative = [{seed: -value for seed, value in values.items()} for values in ours[1:]]
    return (
        "" if ap is None else f"{ap:g}",
        shown(ours[0]),
        "" if fairness is None else f"{fairness:g}",
        *(shown(values, 4) for values in negative),
    )
