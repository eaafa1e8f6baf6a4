"""Many sweeps of four trials, one of which kills its worker once, on a busy machine.

    python tests/faults/loop_sweeps.py 500 --engine processes --log sweeps.jsonl

Each sweep is a line of the log; those that are there count, and only the missing ones are run. The
table at the end counts sweeps that hung, trials that were lost or came twice, and says how long the
longest lost trial was waited for, from the kill to its record. The exit code is 1 if any is wrong.

Engines: ``processes`` keeps its workers from sweep to sweep, ``dask`` uses one cluster for all of
them by its address, ``dask-local`` starts a cluster for each.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import records as made_up
import study_runs as runs
from busy import add_option, busy_machine, load
from dralign.errors import DralignWarning
from dralign.study import Ledger, TrialSpec, identify, run_study

LIMIT = 900  # seconds, after which a sweep hangs; on a busy machine one may take minutes
SPECS = [TrialSpec(made_up.ADULT, "erm", seed=seed) for seed in range(4)]


def main():
    options = parsed()
    log = Path(options.log)
    with busy_machine(already=options.busy), engine(options.engine) as where:
        for place in range(len(lines(log, options.engine)), options.sweeps):
            found = sweep(where)
            line = {"engine": options.engine, "sweep": place, **found, "load": load()}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)
    return summary(lines(log, options.engine))


def sweep(where):
    """Runs one, and counts."""
    seen, ended = Counter(), {}

    def on_record(record):
        seen[record.hash] += 1
        ended[record.spec.seed] = time.time()

    hung, error, start = False, "", time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        # Workers of a running cluster keep the environment, and with it the folder, of their start.
        os.environ["MARKS"] = where["marks"] or folder
        for mark in Path(os.environ["MARKS"]).glob("erm-*"):
            mark.unlink()
        mark = Path(os.environ["MARKS"]) / "erm-2"
        with Ledger(Path(folder) / "study.sqlite") as ledger, warnings.catch_warnings():
            warnings.simplefilter("ignore", DralignWarning)
            signal.alarm(LIMIT)
            try:
                run_study(
                    SPECS, ledger, run=runs.dies_once, on_record=on_record, **where["options"]
                )
            except TimeoutError:
                hung = True
            except Exception as reason:  # noqa: BLE001 - counted
                error = f"{type(reason).__name__}: {reason}"
            finally:
                signal.alarm(0)
            kept = [record for record in ledger.records() if record.status == "done"]
        killed = mark.stat().st_mtime if mark.exists() else None
    expected = set(identify(SPECS))
    good = {r.hash for r in kept if r.history == made_up.history(r.spec)}
    return {
        "seconds": round(time.monotonic() - start, 2),
        "hung": hung,
        "error": error,
        "lost": len(expected - good),
        "doubled": sum(count - 1 for count in seen.values()) + len(kept) - len(good),
        "killed": killed is not None,
        "waited": round(ended[2] - killed, 2) if killed and 2 in ended else None,
    }


@contextmanager
def engine(name):
    """The options of ``run_study`` for an engine, and where its workers leave their marks."""
    if name != "dask":
        yield {"marks": "", "options": {"jobs": 2, "dask": "local" if "dask" in name else None}}
        return
    import dask
    import distributed

    # A restart takes longer than Dask's 15 s here, after which it would give the worker up.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "600 s"})
    with tempfile.TemporaryDirectory() as marks:
        os.environ["MARKS"] = marks
        with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as cluster:
            yield {"marks": marks, "options": {"dask": cluster.scheduler_address}}


def lines(log, engine):
    """The sweeps that were run."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return [one for one in map(json.loads, text.splitlines()) if one["engine"] == engine]


def summary(found):
    """Prints the table; 1 if anything was wrong."""
    waits = sorted(one["waited"] for one in found if one["waited"] is not None)
    table = {
        "sweeps": len(found),
        "hung": sum(one["hung"] for one in found),
        "ended by an error": sum(bool(one["error"]) for one in found),
        "trials lost": sum(one["lost"] for one in found),
        "trials doubled": sum(one["doubled"] for one in found),
        "without a kill": sum(not one["killed"] for one in found),
    }
    for name, value in table.items():
        print(f"{name:>28}  {value}")
    if waits:
        print(f"{'wait for a lost trial, s':>28}  median {waits[len(waits) // 2]}, max {waits[-1]}")
    return int(any(value for name, value in table.items() if name != "sweeps"))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sweeps", type=int)
    parser.add_argument("--engine", choices=["processes", "dask", "dask-local"], required=True)
    parser.add_argument("--log", default="loop_sweeps.jsonl")
    add_option(parser)
    return parser.parse_args()


def late(*_):
    raise TimeoutError


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, late)
    sys.exit(main())
