"""Running trials with live progress: how many are done, what is left, the best so far."""

import time

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dralign.analysis import Row, summarise
from dralign.cli.console import errors, say, trial_words
from dralign.metrics import gap_measure
from dralign.study import Ledger, TrialRecord, TrialSpec, identify, run_study
from dralign.training import Selection


def run_trials(
    specs: list[TrialSpec],
    ledger: Ledger,
    *,
    rule: Selection,
    jobs: int | None,
    dask: str | None = None,
    trial_timeout: float | None = None,
) -> list[TrialRecord]:
    """Runs what is not in the ledger yet, showing progress; the records of all specs."""
    trials = identify(specs)
    records = {record.hash: record for record in ledger.records(trials, status="done")}
    several = len({(spec.data, spec.gap) for spec in specs}) > 1
    view = _View(len(trials), records, rule, several=several)

    def on_record(record: TrialRecord) -> None:
        records[record.hash] = record
        view.add(record)

    try:
        with Live(view.shown, console=errors, refresh_per_second=4, transient=True):
            run_study(
                specs,
                ledger,
                jobs=jobs,
                dask=dask,
                trial_timeout=trial_timeout,
                on_record=on_record,
            )
    except KeyboardInterrupt:
        # Asked anew: the interrupt may have come between a record's being kept and being counted.
        kept = len(ledger.done_hashes() & trials.keys())
        say(f"{kept} of {len(trials)} trials are kept in {ledger.path}")
        raise
    return list(records.values())


class _View:
    """What a person sees of a running study; ``records`` is filled by the caller."""

    def __init__(
        self, total: int, records: dict[str, TrialRecord], rule: Selection, *, several: bool
    ) -> None:
        self.total, self.records, self.rule, self.several = total, records, rule, several
        self.before, self.began = len(records), time.monotonic()
        self.failed = 0
        self.next_front = 0.0
        self.bar = Progress(
            TextColumn("[bold]trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=errors,
            speed_estimate_period=3600,  # trials may take minutes
        )
        # Trials of an earlier call are no measure of speed, so they are there from the start.
        self.task = self.bar.add_task("trials", total=total, completed=len(records), failed="")
        self.front = Text("")
        self.shown = Group(self.bar, self.front)

    def add(self, record: TrialRecord) -> None:
        """Shows that a trial has ended."""
        self.failed += record.status == "failed"
        self.bar.update(
            self.task, advance=1, failed=f"({self.failed} failed)" if self.failed else ""
        )
        if errors.is_terminal:
            self._renew_front()
        else:
            how = " failed" if record.status == "failed" else ""
            trial = trial_words(record.spec, several=self.several)
            say(f"{len(self.records)} of {self.total}: {trial}{how}{self._left()}")

    def _left(self) -> str:
        """About how long the other trials will take, after the pace of those of this call."""
        left = self.total - len(self.records)
        seconds = (time.monotonic() - self.began) / max(len(self.records) - self.before, 1) * left
        return f"; about {duration(seconds)} left" if left else ""

    def _renew_front(self) -> None:
        """Works out the front, at most once a second and a twentieth of the time."""
        start = time.monotonic()
        if start < self.next_front:
            return
        self.front.plain = _front(summarise(self.records.values(), selection=self.rule))
        end = time.monotonic()
        self.next_front = end + max(1.0, 20 * (end - start))


def duration(seconds: float) -> str:
    """A time in the unit that fits it: seconds, minutes, or hours."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _front(rows: list[Row]) -> str:
    """The non-dominated settings so far, one line each."""
    several = len({(row.spec.data, row.spec.gap) for row in rows}) > 1
    return "\n".join(
        f"  {_panel(row) if several else ''}{row.spec.method} λ={row.spec.fairness_weight:g}: "
        f"AP {row.average_precision.mean:.3f}, {gap_measure(row.measure).words} "
        f"{row.gap.mean:.3f} (n={row.n})"
        for row in rows
        if row.non_dominated
    )


def _panel(row: Row) -> str:
    """The data and gap of a row, where a study has several."""
    return f"{row.spec.data.name}, {row.spec.gap}: "
