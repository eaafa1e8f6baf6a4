"""How near our absolute numbers are to the paper's, for the tables of tabular data."""

from collections.abc import Sequence
from dataclasses import replace

from dralign.reproduce.entry import printed
from dralign.reproduce.results import (
    DP,
    EO,
    Figure,
    Results,
    Values,
    hard,
    mean,
    precision,
    rate_ratio,
    soft,
)
from dralign.reproduce.table15 import weights as weights_of_15
from dralign.training import Selection


def nearness(results: Results) -> list[tuple[str, ...]]:
    """For each row of figures: what it is, the paper's range, our mean distance, how many cells."""
    highest = replace(results, selection=Selection("highest_ap", measure="soft"))
    of_1 = printed("table1")
    gaps = [-value for value in of_1["fairness"]]
    of_11 = printed("table11")
    lines = [
        _line("Adult, AP, 200 units, highest AP (Table 11)", of_11["ap_200"], _adult(
            highest, precision, of_11["weights"])),
        _line("Adult, AP, 200 units, smallest gap (Table 11)", of_11["ap_200"], _adult(
            results, precision, of_11["weights"])),
        _line("Adult, soft gap (Table 1)", gaps, _adult(results, soft, of_1["weights"])),
        _line("Adult, hard gap (Table 1)", gaps, _adult(results, hard, of_1["weights"])),
        _line("Adult, hard gap, first 10 epochs (Table 1)", gaps, _adult(
            replace(results, epochs=10), hard, of_1["weights"])),
    ]  # fmt: skip
    return [*lines, *_table14(results), *_table15(results)]


def _adult(results: Results, figure: Figure, weights: Sequence[float]) -> list[Values]:
    """A figure of FairReg at every lambda; at 0 it is Oversample."""
    return [
        results.values(figure, "gap", fairness_weight=weight)
        if weight
        else results.values(figure, "oversample")
        for weight in weights
    ]


def _table14(results: Results) -> list[tuple[str, ...]]:
    """EOP as a ratio, and PP in its two forms."""
    paper = printed("table14")
    lines = []
    for words, key, gap, figure in (
        ("Adult, EOP (Table 14)", "eop", "equal_opportunity", rate_ratio),
        ("Adult, PP, printed surrogate (Table 14)", "pp", "printed_predictive_parity", soft),
        ("Adult, PP as defined (Table 14)", "pp", "predictive_parity", soft),
    ):
        ours = [
            results.values(figure, method, gap=gap, fairness_weight=weight)
            for method in ("dralign", "gap")
            for weight in paper[f"{key}_weights"]
        ]
        lines.append(_line(words, [*paper[f"dralign_{key}"], *paper[f"gap_{key}"]], ours))
    return lines


def _table15(results: Results) -> list[tuple[str, ...]]:
    """AP and gaps of COMPAS."""
    paper = printed("table15")
    lines = []
    for words, suffix, figure in (("AP", "_ap", precision), ("hard gap", "", hard)):
        values, ours = [], []
        for short, gap in (("dp", DP), ("eo", EO)):
            for method in ("erm", "oversample", "gap", "mixup", "dralign"):
                values += [abs(value) for value in paper[f"{method}_{short}{suffix}"]]
                ours += [
                    results.values(figure, method, data="compas", gap=gap, fairness_weight=weight)
                    for weight in weights_of_15(method, short)
                ]
        lines.append(_line(f"COMPAS, {words} (Table 15)", values, ours))
    return lines


def _line(words: str, paper: Sequence[float], ours: Sequence[Values]) -> tuple[str, ...]:
    """The mean distance of our means, over the cells that have trials."""
    off = [abs(mean(v) - p) for v, p in zip(ours, paper, strict=True) if v]
    distance = f"{sum(off) / len(off):.4f}" if off else "–"
    range_ = f"{min(paper):g} to {max(paper):g}"
    return words, range_, distance, f"{len(off)} of {len(paper)} cells"
