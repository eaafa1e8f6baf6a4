"""A.8, A.9 and A.14: alignment with augmentation, alone, and against pre-processing."""

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results, Values, hard, precision, reading, shown, soft
from dralign.reproduce.table1 import D_F
from dralign.reproduce.verdicts import Finding, lower, together

HEADER = ("method", "paper AP", "our AP", "paper fairness", "- soft gap", "- hard gap")


def a8(results: Results) -> Reproduction:
    """Credit: DRAlign with Fair Mixup's penalty in the place of the gap."""
    text = printed("text")
    ours = {
        penalty: {
            figure: results.values(
                figure, "dralign", data="german", fairness_weight=0.8, penalty=penalty
            )
            for figure in (precision, soft, hard)
        }
        for penalty in ("gap", "mixup")
    }
    lines = [
        (
            f"dralign, penalty {penalty}",
            f"{text[f'a8_{key}_ap']:g}",
            shown(ours[penalty][precision]),
            f"{text[f'a8_{key}_fairness']:g}",
            *(shown(_minus(ours[penalty][figure]), 4) for figure in (soft, hard)),
        )
        for penalty, key in (("gap", "dralign"), ("mixup", "mixup"))
    ]
    finding = Finding(
        "on Credit, augmentation makes DRAlign's DP gap smaller and its AP higher (A.8)",
        *together(
            [
                ("gap", lower(ours["mixup"][soft], ours["gap"][soft])),
                ("AP", lower(ours["gap"][precision], ours["mixup"][precision])),
            ]
        ),
    )
    return Reproduction(HEADER, tuple(lines), (finding,), "The weights are assumed (lambda 0.8).")


def a9(results: Results) -> Reproduction:
    """Adult: the alignment without a gap term."""
    text = printed("text")
    lines = []
    for method, ap, fairness in (
        ("erm", text["adult_erm_ap"], text["adult_erm_fairness"]),
        ("oversample", None, None),
        ("dralign", text["a9_ap"], text["a9_fairness"]),
    ):
        ours = [results.values(f, method, fairness_weight=0.0) for f in (precision, soft, hard)]
        lines.append(
            (
                f"{method}, lambda 0",
                "" if ap is None else f"{ap:g}",
                shown(ours[0]),
                "" if fairness is None else f"{fairness:g}",
                *(shown(_minus(values)) for values in ours[1:]),
            )
        )
    aligned, plain = (
        {f: results.values(f, method, fairness_weight=0.0) for f in (precision, soft)}
        for method in ("dralign", "oversample")
    )
    finding = Finding(
        "alignment alone makes the DP gap smaller and AP higher than training without it (A.9)",
        *together(
            [
                ("gap", lower(aligned[soft], plain[soft])),
                ("AP", lower(plain[precision], aligned[precision])),
            ]
        ),
    )
    note = (
        "Beta is assumed (0.02). The comparison is with Oversample, which draws the same batches."
    )
    return Reproduction(HEADER, tuple(lines), (finding,), note)


def a14(results: Results) -> Reproduction:
    """Adult: inputs made uncorrelated with the sensitive attribute, and its parity score."""
    text = printed("text")
    ours = [results.values(f, "decorrelation") for f in (precision, soft, hard)]
    lines = [
        (
            "decorrelation",
            f"{text['a14_ap']:g}",
            shown(ours[0]),
            f"{text['a14_fairness']:g}",
            *(shown(_minus(values)) for values in ours[1:]),
        )
    ]
    parts = [
        (name, lower(*(results.values(reading(name), m) for m in ("decorrelation", "erm"))))
        for name in D_F[:2]
    ]
    return Reproduction(
        HEADER,
        tuple(lines),
        (
            Finding(
                "pre-processing has a smaller DP gap than standard training (A.14)",
                *lower(ours[1], results.values(soft, "erm")),
            ),
            Finding(
                "pre-processing has a lower parity score: .43 against .624 (A.14)", *together(parts)
            ),
        ),
        "The paper describes the method in one sentence; docs/methods.md says how it is read.",
    )


def _minus(values: Values) -> Values:
    return {seed: -value for seed, value in values.items()}
