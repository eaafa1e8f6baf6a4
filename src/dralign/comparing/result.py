"""What a comparison of methods gave: records, and all that is made of them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from dralign.analysis import Row, compare_with_baseline, summarise
from dralign.data import DataSource
from dralign.data.source import Overview
from dralign.report import caution_lines, result_table, tradeoff_figure, write_report
from dralign.report.charts import tradeoff_chart
from dralign.report.labels import panels
from dralign.report.page import Table, part_html
from dralign.report.tables import figures_table
from dralign.report.verdict import smallest_gap, verdict
from dralign.study import TrialRecord, TrialSpec
from dralign.study.overview import overviews_of
from dralign.training import Selection

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class MethodComparison:
    """What a comparison gave.

    Attributes:
        records: the trials, failed ones too.
        selection: chose each trial's epoch.
        overview: what the data hold.
        source: the data, for trials of one's own.
    """

    records: tuple[TrialRecord, ...]
    selection: Selection
    overview: Overview
    source: DataSource

    @cached_property
    def rows(self) -> list[Row]:
        """The results of each setting over its seeds."""
        return summarise(self.records, selection=self.selection)

    @property
    def failed(self) -> tuple[TrialRecord, ...]:
        """The trials that failed, each with its ``error``."""
        return tuple(record for record in self.records if record.status == "failed")

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each setting: its weights, n seeds, and every figure of the test rows.

        ``average_precision`` is a mean over seeds, ``average_precision_half_width`` how far its
        95 % interval reaches to both sides (NaN for one seed), and so on.
        """
        return figures_table(self.rows)

    @property
    def verdict(self) -> str:
        """The smallest gap at nearly the precision of ``erm`` in a sentence; empty without it.

        The setting is chosen by validation rows, and told with its figures on the test rows.
        """
        return verdict(panels(self.rows)[0])

    @property
    def cautions(self) -> tuple[str, ...]:
        """A line for each thing that must be known to read the figures."""
        return tuple(caution_lines(self.rows))

    @property
    def best(self) -> TrialSpec | None:
        """The setting of the verdict under its first seed, for ``train_network``; None without."""
        row = smallest_gap(panels(self.rows)[0])
        # Records keep the name of the data alone, and this is to be trained.
        return (
            None if row is None else TrialSpec(self.source, row.spec.method, values=row.spec.values)
        )

    def plot(self) -> "Figure":
        """Average precision against the gap, as a figure of matplotlib."""
        return tradeoff_figure(self.rows)

    def chart(self) -> "go.Figure":
        """The same as a figure of plotly, with a menu of the measures of the gap."""
        return tradeoff_chart(panels(self.rows)[0])

    def report(self, path: Path | str) -> Path:
        """Writes the page: one HTML file that needs no network.

        Returns:
            The path of the file.

        Raises:
            OutputError: if it can't be written.
        """
        comparisons = compare_with_baseline(self.records, selection=self.selection)
        overviews = overviews_of(self.source, self.overview)
        return write_report(
            path, self.records, self.rows, comparisons=comparisons, overviews=overviews
        )

    def __repr__(self) -> str:
        methods = ", ".join(dict.fromkeys(row.spec.method for row in self.rows))
        return f"<MethodComparison of {methods}: {len(self.records)} trials>"

    def __str__(self) -> str:
        lines = (self.verdict, *self.cautions, "", result_table(self.rows).to_markdown())
        return "\n".join(lines).strip()

    def _repr_html_(self) -> str:
        result = result_table(self.rows)
        around = Markup("<p>{}</p>")
        above = [around.format(line) for line in (self.verdict, *self.cautions) if line]
        table = part_html("plain_table", Table("Results", result.header, result.cells))
        return "".join([*above, table, around.format(result.caption)])
