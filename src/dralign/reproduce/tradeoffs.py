"""Figs. 2, 3 and 5: average precision against the gap. The paper prints no numbers for them."""

from collections.abc import Sequence
from pathlib import Path

from dralign.analysis import Row
from dralign.reproduce.celeba import faces
from dralign.reproduce.entry import Reproduction
from dralign.reproduce.results import Results, interval_text

METHODS = ("erm", "oversample", "gap", "mixup", "adversarial", "dralign")
PANELS = (
    ("adult", "demographic_parity"),
    ("adult", "equalized_odds"),
    ("german", "demographic_parity"),
    ("german", "equalized_odds"),
    ("celeba", "demographic_parity"),
    ("celeba", "equalized_odds"),
)
FACES = ("dp", "eo")  # the plans of the CelebA panels
HEADER = ("data", "gap", "method", "lambda", "AP", "soft gap", "hard gap")


def fig2(results: Results) -> Reproduction:
    """Adult under DP; the caption says five methods, the figure names four."""
    return Reproduction(HEADER, _lines(_fig2(results)), _NOTE)


def draw_fig2(results: Results, path: Path) -> Path:
    """Fig. 2 as a picture."""
    return _draw(_fig2(results), path)


def fig3(results: Results) -> Reproduction:
    """Adult, Credit and CelebA (wavy hair) under DP and EO."""
    note = f"{_NOTE} CelebA: {faces(results, *FACES).note}"
    return Reproduction(HEADER, _lines(_fig3(results)), note)


def draw_fig3(results: Results, path: Path) -> Path:
    """Fig. 3 as a picture."""
    return _draw(_fig3(results), path)


def fig5(results: Results) -> Reproduction:
    """Fig. 2 with the alignment alone, without a gap term (lambda 0)."""
    return Reproduction(HEADER, _lines(_fig5(results)), _NOTE)


def draw_fig5(results: Results, path: Path) -> Path:
    """Fig. 5 as a picture."""
    return _draw(_fig5(results), path)


_NOTE = (
    "Figures on the test rows at the epoch of the smallest soft validation gap. The paper draws "
    "these curves and prints no numbers; nothing is read off a figure. Its statements about them "
    "are among the claims."
)


def _fig2(results: Results) -> list[Row]:
    rows = results.rows(
        data="adult",
        gap="demographic_parity",
        methods=("erm", "oversample", "gap", "mixup", "dralign"),
    )
    return [row for row in rows if row.spec.method != "dralign" or row.spec.fairness_weight]


def _fig3(results: Results) -> list[Row]:
    return [
        row
        for data, gap in PANELS
        for row in (faces(results, *FACES).results if data == "celeba" else results).rows(
            data=data, gap=gap, methods=METHODS
        )
        if row.spec.method != "dralign" or row.spec.fairness_weight
    ]


def _fig5(results: Results) -> list[Row]:
    return results.rows(
        data="adult", gap="demographic_parity", methods=("erm", "oversample", "gap", "dralign")
    )


def _lines(rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            row.spec.data.name,
            row.spec.gap.replace("_", " "),
            row.spec.method + (" with mixup" if row.spec.penalty == "mixup" else ""),
            f"{row.spec.fairness_weight:g}",
            *(interval_text(row.figures[name]) for name in ("average_precision", "soft", "hard")),
        )
        for row in rows
    )


def _draw(rows: Sequence[Row], path: Path) -> Path:
    from dralign.report import tradeoff_figure, write_figure

    return write_figure(tradeoff_figure(rows), path)
