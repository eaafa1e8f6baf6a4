"""The result table: text cells from rows, the same for the terminal, Markdown and HTML."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dralign.analysis import Interval, Row
from dralign.gaps import gap_type
from dralign.methods import method_type
from dralign.metrics import Measure, all_measures, gap_measure
from dralign.report.labels import (
    curve_label,
    data_labels,
    selection_text,
    setting_text,
    tells,
    varying_settings,
    weight_text,
)

if TYPE_CHECKING:
    import pandas as pd

_MOST_NAMED: Final = 6  # settings in a line
MARK = "*"
LEVEL_MARK = "†"
_BOUND_NOTE = "Bound met: seeds whose chosen epoch keeps the bound on the validation split. "
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "λ": r"$\lambda$",
    "β": r"$\beta$",
    "±": r"$\pm$",
    "–": "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


@dataclass(frozen=True)
class ResultTable:
    """A table as text.

    Attributes:
        header: the column names.
        cells: one tuple for each row.
        caption: what the figures are: data, gap, split, interval, selection rule, marks.
    """

    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    caption: str

    def within(self, width: int, spare: Sequence[str]) -> tuple["ResultTable", tuple[str, ...]]:
        """The table without the columns that a width has no room for, and what these are called.

        Args:
            width: how many characters a line may have.
            spare: columns that may be left out, the first of them first.
        """
        table, left = self, list[str]()
        for name in spare:
            if table.width <= width:
                break
            if name in table.header:
                table, left = table._without(name), [*left, name]
        return table, tuple(left)

    @property
    def width(self) -> int:
        """How many characters a line needs, with what stands between columns; a head may wrap."""
        columns = zip(self.header, *self.cells, strict=True)
        longest = [
            max(max(map(len, head.split()), default=0), *map(len, cells))
            for head, *cells in columns
        ]
        return sum(longest) + 3 * len(longest) + 2

    def _without(self, name: str) -> "ResultTable":
        """The table without a column."""
        at = self.header.index(name)
        head, *cells = ((*row[:at], *row[at + 1 :]) for row in (self.header, *self.cells))
        return ResultTable(head, tuple(cells), self.caption)

    def to_markdown(self) -> str:
        """The table in Markdown, its caption below."""
        lines = [self.header, ("---",) * len(self.header), *self.cells]
        text = ["| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines]
        return "\n".join([*text, "", _escape(self.caption)]) + "\n"

    def to_latex(self) -> str:
        """The table in LaTeX, its caption above; it needs the package booktabs."""
        lines = [" & ".join(map(_latex, line)) + r" \\" for line in (self.header, *self.cells)]
        return "\n".join(
            [
                "% needs \\usepackage{booktabs}",
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{{'l' * len(self.header)}}}",
                r"\toprule",
                lines[0],
                r"\midrule",
                *lines[1:],
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )


CAUTIONS: Final = {
    "decision": "nearly all test rows get the same decision, so that the hard gap says nothing",
    "level": "the mean score is more than a quarter off the share of positives",
    "epoch": "another epoch has a base-rate gap that is smaller by more than chance, or an AP "
    "higher by .02 at a gap no larger than by chance",
    "undefined": "no epoch has a gap on the validation rows; the highest AP there chose the epoch",
    "rows": "a group has fewer than 30 test rows",
}


def caution_lines(rows: Sequence[Row]) -> list[str]:
    """One line for each thing to know first, with the settings that it is true of."""
    varying = varying_settings([row.spec for row in rows])
    lines = []
    for kind, words in CAUTIONS.items():
        of = [
            f"{curve_label(row.spec, varying)} {weight_text(row.spec)}".strip()
            for row in rows
            if row.cautions.get(kind)
        ]
        seeds = sum(row.cautions.get(kind, 0) for row in rows)
        if of:
            several = f"{'; '.join(of[:_MOST_NAMED])}{' ...' if len(of) > _MOST_NAMED else ''}"
            every = "all settings" if len(of) == len(rows) else several
            lines.append(f"{words}: {every} ({seeds} of {sum(row.n for row in rows)} trials)")
    versions = sorted(frozenset().union(*(row.versions for row in rows)))
    if len(versions) > 1:
        lines.append(
            f"trials of dralign {' and '.join(versions)} stand side by side, which may prepare a "
            "table differently (CHANGELOG.md); for trials of one version begin in another folder"
        )
    return lines


def format_interval(interval: Interval, *, digits: int = 3, n: int | None = None) -> str:
    """A mean with its interval and n: ``".780 ± .004 (n=3)"``.

    One value has no interval: ``".780 (n=1)"``; no value at all is ``"undefined"``.

    Args:
        interval: what is written.
        digits: after the point.
        n: how many values are told of elsewhere; so many are not told again.
    """
    if not interval.n:
        return "undefined"
    width = f" ± {_decimal(interval.half_width, digits)}" if interval.n > 1 else ""
    count = "" if interval.n == n else f" (n={interval.n})"
    return f"{_decimal(interval.mean, digits)}{width}{count}"


def result_table(rows: Sequence[Row]) -> ResultTable:
    """The table of the rows, in their order.

    A setting that is the same everywhere (data, gap, width, ...) has no column; the data and the
    gap then stand in the caption. Whether a bound was met has one if a row has a bound.
    """
    bounded = any(row.bound_met is not None for row in rows)
    varying = varying_settings([row.spec for row in rows])
    data = data_labels(rows)
    gaps = [gap_type(row.spec.gap).words for row in rows]
    several = [
        (name, values) for name, values in (("data", data), ("gap", gaps)) if len(set(values)) > 1
    ]
    header = (
        *(name for name, _ in several),
        "method",
        "λ",
        "β",
        *(name.replace("_", " ") for name in varying),
        "n",
        *(measure.words for measure in _columns()),
        *(["bound met"] if bounded else []),
        "similarity",
        "seconds",
    )
    cells = tuple(
        (
            *(values[index] for _, values in several),
            f"{row.spec.method} {MARK}" if row.non_dominated else row.spec.method,
            *_weights(row),
            *(
                setting_text(getattr(row.spec, name)) if tells(row.spec, name) else "–"
                for name in varying
            ),
            str(row.n),
            *(_figure(row, measure.name) for measure in _columns()),
            *([_met(row)] if bounded else []),
            format_interval(row.similarity, n=row.n),
            format_interval(row.seconds, digits=1, n=row.n),
        )
        for index, row in enumerate(rows)
    )
    return ResultTable(header, cells, _caption(rows, data, gaps))


def figures_table(rows: Sequence[Row]) -> "pd.DataFrame":
    """The same rows as numbers, for one's own use: every interval is a mean and a half-width.

    Returns:
        A DataFrame with ``method``, ``fairness_weight`` and ``alignment_weight`` (NaN where a
        method has none, as found under a gap bound), the settings that differ, ``n`` seeds, the
        figures of the result table by the names of the measures, ``bound_met`` of n seeds where
        there is a bound, and ``non_dominated``.
    """
    import pandas as pd

    varying = varying_settings([row.spec for row in rows])
    bounded = any(row.bound_met is not None for row in rows)
    return pd.DataFrame(
        {
            "method": row.spec.method,
            **_weights_of(row),
            **{name: getattr(row.spec, name) for name in varying},
            "n": row.n,
            **_both(**{measure.name: row.figures[measure.name] for measure in _columns()}),
            **({"bound_met": row.bound_met} if bounded else {}),
            **_both(similarity=row.similarity, seconds=row.seconds),
            "non_dominated": row.non_dominated,
        }
        for row in rows
    )


def _both(**intervals: Interval) -> dict[str, float]:
    """The two columns of each interval."""
    return {
        f"{name}{ending}": value
        for name, one in intervals.items()
        for ending, value in (("", one.mean), ("_half_width", one.half_width))
    }


def _weights_of(row: Row) -> dict[str, float]:
    """Lambda and beta as numbers."""
    names = ("fairness_weight", "alignment_weight")
    own = {name: getattr(row.spec, name) if row.spec.uses(name) else math.nan for name in names}
    if row.found_weight.n:
        share = dict(method_type(row.spec.method).scaled).get("alignment_weight", math.nan)
        found = row.found_weight.mean
        own = dict(zip(names, (found, share * found), strict=True))
    return own


def _columns() -> list[Measure]:
    """The measures that have a column."""
    return [measure for measure in all_measures() if measure.column]


def _figure(row: Row, measure: str) -> str:
    """A measure of a row; the mean score has a mark where it is far off."""
    text = format_interval(row.figures[measure], n=row.n)
    return f"{text} {LEVEL_MARK}" if measure == "mean_probability" and row.level_note else text


def _weights(row: Row) -> tuple[str, str]:
    """Lambda and beta; under a gap bound lambda as it was found, and beta as its share of that."""
    if not row.found_weight.n:
        return f"{row.spec.fairness_weight:g}", f"{row.spec.alignment_weight:g}"
    share = dict(method_type(row.spec.method).scaled).get("alignment_weight")
    beta = "0" if share is None else f"{share:g} λ"
    return f"found: {format_interval(row.found_weight, n=row.n)}", beta


def _met(row: Row) -> str:
    """On how many seeds the bound was met."""
    return "no bound" if row.bound_met is None else f"{row.bound_met} of {row.n}"


def _caption(rows: Sequence[Row], data: Sequence[str], gaps: Sequence[str]) -> str:
    """What the figures of the table are."""
    if not rows:
        return "No trial is done."
    subject = [f"{data[0]}."] if len(set(data)) == 1 else []
    if len(set(gaps)) == 1:
        subject.append(f"Gap: {gaps[0]}, absolute for each seed;")
    else:
        subject.append("Gaps are absolute for each seed;")
    judged = gap_measure(rows[0].measure).words
    return (
        f"{' '.join(subject)} base-rate: of decisions that select as many rows as are positive; "
        "all-cut-offs: the mean over all shares that could be selected; both are decided by the "
        "order of the scores alone. Soft: on probabilities, hard: on decisions at 0.5; lower "
        "scores make both smaller. Lower gaps are better. Mean ± 95 % t-interval over n seeds, on "
        "the test split, at the epoch chosen on the "
        f"validation split by: {selection_text(rows)}. Similarity: of the groups' rationales per "
        "unit on the validation split, added up over layers. Seconds: training steps alone. "
        f"λ: fairness weight, β: alignment weight. {_notes(rows)}"
        f"{_BOUND_NOTE if any(row.bound_met is not None for row in rows) else ''}"
        f"{MARK} not dominated in mean AP and mean {judged}.{_level(rows)}"
    )


def _level(rows: Sequence[Row]) -> str:
    """What the mark at a mean score stands for, if there is one."""
    notes = dict.fromkeys(row.level_note for row in rows if row.level_note)
    if not notes:
        return ""
    shares = sorted({f"{row.positive_share:.3f}" for row in rows if row.level_note})
    return (
        f" {LEVEL_MARK} more than a quarter off the share of positives ({', '.join(shares)}): "
        f"{'; '.join(map(str, notes))}."
    )


def _notes(rows: Sequence[Row]) -> str:
    """What the methods say about their trials, where no column says it."""
    notes: dict[str, dict[str, None]] = {}
    for row in rows:
        note = method_type(row.spec.method).note(row.spec.options)
        notes.setdefault(row.spec.method, {})[note] = None
    return "".join(f"{next(iter(own))} " for own in notes.values() if len(own) == 1 and any(own))


def _decimal(value: float, digits: int) -> str:
    """A number without the zero before the point: ``.780``; 12.0 stays as it is."""
    if math.isnan(value):
        return "undefined"
    text = f"{value:.{digits}f}"
    if digits and (text.startswith(("0.", "-0."))):
        return text.replace("0.", ".", 1)
    return text


def _escape(text: str) -> str:
    """Text for a Markdown cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return " ".join("".join(_LATEX.get(sign, sign) for sign in text).split())
