"""Reports: tables, figures and pages, made from the records and rows of a study."""

from dralign.tiers import require

require("dralign.report", "jinja2", "matplotlib", "pandas", "plotly")

from dralign.report.contrasts import contrast_table
from dralign.report.figures import tradeoff_figure, write_figure
from dralign.report.html import write_report
from dralign.report.lines import Curve, Curves, line_figure
from dralign.report.outputs import write_study
from dralign.report.tables import ResultTable, caution_lines, format_interval, result_table
from dralign.report.verdict import verdict

__all__ = [
    "Curve",
    "Curves",
    "ResultTable",
    "caution_lines",
    "contrast_table",
    "format_interval",
    "line_figure",
    "result_table",
    "tradeoff_figure",
    "verdict",
    "write_figure",
    "write_report",
    "write_study",
]
