"""``dralign sweep``: runs the trials of a plan, and continues where an earlier call stopped."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dralign.cli import options
from dralign.cli.console import tell_outcome
from dralign.cli.lines import print_json
from dralign.cli.work import KEPT, working
from dralign.errors import DralignError, OptionError
from dralign.files import write_atomically

if TYPE_CHECKING:
    from dralign.study import Plan, TrialRecord, TrialSpec


@working("dralign.cli.progress", interrupted=KEPT)
def sweep(
    plan: Annotated[Path, typer.Argument(help="A TOML file; docs/studies.md describes it.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; studies/ and the plan's name.")
    ] = None,
    jobs: options.Jobs = None,
    dask: Annotated[
        str | None, typer.Option(help="Run on a Dask cluster: local, or tcp://host:port.")
    ] = None,
    trial_timeout: options.TrialTimeout = None,
    max_trials: Annotated[
        int | None,
        typer.Option(help="Most trials that the plan may ask for; 10,000 if not given."),
    ] = None,
    data_home: options.DataHome = None,
    json: options.Json = False,
) -> None:
    """Run the trials of a plan on all CPUs or on a Dask cluster.

    Every finished trial is kept; the same command continues where an interrupted one stopped, and
    a plan that has grown runs only what is new.

    Example: `dralign sweep examples/adult.toml --out studies/adult`, then
    `dralign report studies/adult`.
    """
    from dralign.cli.progress import run_trials
    from dralign.study import Ledger, ledger_path, load_plan, only_writer, unfinished
    from dralign.training import Selection

    home = str(data_home) if data_home else ""
    described = load_plan(plan, data_home=home, max_trials=max_trials)
    folder = options.study_folder(out, Path("studies") / described.name)
    specs = list(described.trials)
    with Ledger(ledger_path(folder)) as ledger, only_writer(ledger):
        todo = unfinished(specs, ledger)
        _check(plan, [trial.spec for trial in todo.values()])
        # The plan stays beside its results: they do not tell what was assumed.
        kept = described.text.encode()
        write_atomically(folder / "plan.toml", lambda file: file.write_bytes(kept))
        records = run_trials(
            specs, ledger, rule=Selection(), jobs=jobs, dask=dask, trial_timeout=trial_timeout
        )
    failed = tell_outcome(records)
    skipped = len(records) - len(todo)
    if json:
        print_json(_result(described, records, failed, skipped, ledger.path))
    else:
        typer.echo(
            f"{described.name}: {len(records)} trials, {len(records) - len(failed)} done "
            f"({skipped} of them before), {len(failed)} failed; kept in {ledger.path}"
        )
    if failed:
        raise typer.Exit(1)


def _check(plan: Path, specs: Sequence["TrialSpec"]) -> None:
    """Finds out now, and not in every trial, what does not fit the data.

    Raises:
        OptionError: if a trial can't be run; the plan is named.
    """
    from dralign.study.trial import check_trials

    try:
        check_trials(specs)
    except DralignError as error:
        raise OptionError(f"{plan}: {error}") from error


def _result(
    plan: "Plan",
    records: "Sequence[TrialRecord]",
    failed: "Sequence[TrialRecord]",
    skipped: int,
    ledger: Path,
) -> dict[str, Any]:
    """How the sweep ended, for other programs."""
    return {
        "name": plan.name,
        "assumed": plan.assumed,
        "trials": len(records),
        "done": len(records) - len(failed),
        "skipped": skipped,
        "failed": [
            {"hash": record.hash, "trial": record.spec.to_dict(), "error": record.error}
            for record in failed
        ],
        "ledger": str(ledger),
    }
