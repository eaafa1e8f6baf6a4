"""Reports: tables, figures and pages, made from the records and rows of a study."""

from dralign.report.figures import tradeoff_figure
from dralign.report.html import write_report
from dralign.report.tables import ResultTable, format_interval, result_table

__all__ = ["ResultTable", "format_interval", "result_table", "tradeoff_figure", "write_report"]
