"""Everything that is written about a study, from one function."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dralign.analysis import Row, compare_with_baseline, summarise
from dralign.errors import OptionError, unknown
from dralign.files import write_atomically
from dralign.report.contrasts import contrasts_as_csv, contrasts_as_json
from dralign.report.figures import tradeoff_figure, write_figure
from dralign.report.html import write_report
from dralign.report.tables import result_table
from dralign.study import TrialRecord
from dralign.study.overview import NONE_KNOWN, Overviews
from dralign.training import Selection

FILES: Final = {
    "html": "report.html",
    "png": "tradeoff.png",
    "svg": "tradeoff.svg",
    "md": "table.md",
    "tex": "table.tex",
    "csv": "statistics.csv",
    "json": "statistics.json",
}


def write_study(
    folder: Path | str,
    records: Sequence[TrialRecord],
    *,
    selection: Selection,
    formats: Sequence[str] = tuple(FILES),
    baseline: str | None = None,
    measure: str | None = None,
    title: str = "",
    overviews: Overviews = NONE_KNOWN,
    rows: Sequence[Row] | None = None,
) -> dict[str, Path]:
    """Writes page, figures, tables and statistics of a study; trials may be missing or failed.

    Args:
        folder: where the files go; it is made if it is missing.
        records: the trials, failed ones too.
        selection: chooses each trial's epoch.
        formats: which of ``FILES``, by its keys.
        baseline: the method that the others are compared with; None as in
            ``compare_with_baseline``.
        measure: in which measure of the gap fronts and statistics are; that of the selection if
            not given. Tables show several.
        title: the heading of the page; empty for the data and the gap.
        overviews: what the data hold, which the page then tells.
        rows: what ``summarise`` makes of the records under the selection, where that is known.

    Returns:
        The files by format.

    Raises:
        OptionError: if a format, the baseline or the measure is unknown.
        StudyError: if a file can't be written.
    """
    for name in formats:
        if name not in FILES:
            raise OptionError(unknown("format", name, FILES))
    rows = summarise(records, selection=selection, measure=measure) if rows is None else rows
    comparisons = (
        compare_with_baseline(records, baseline, selection=selection, measure=measure)
        if {"html", "csv", "json"} & set(formats)
        else []
    )

    def text(content: Callable[[], str]) -> Callable[[Path], Path]:
        return lambda path: write_atomically(
            path, lambda file: file.write_text(content(), encoding="utf-8")
        )

    table = result_table(rows)
    writers: dict[str, Callable[[Path], Path]] = {
        "html": lambda path: write_report(
            path, records, rows, comparisons=comparisons, title=title, overviews=overviews
        ),
        "png": lambda path: write_figure(tradeoff_figure(rows), path),
        "svg": lambda path: write_figure(tradeoff_figure(rows), path),
        "md": text(table.to_markdown),
        "tex": text(table.to_latex),
        "csv": text(lambda: contrasts_as_csv(comparisons, rows)),
        "json": text(lambda: contrasts_as_json(comparisons)),
    }
    return {name: writers[name](Path(folder) / FILES[name]) for name in formats}
