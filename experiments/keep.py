"""Copies the trials of a study for version control, or back, so that a sweep goes on from there.

    python experiments/keep.py studies/settle_adult results/settle_adult.jsonl.gz
    python experiments/keep.py results/settle_adult.jsonl.gz studies/settle_adult
    python experiments/keep.py studies/all results/compas.jsonl.gz --plan PLAN.toml    # a part

The copy has a line of JSON for each trial: its settings, hash, versions and machine, and every
figure of every epoch in six digits. Score quantiles, three quarters of the bytes of a ledger, stay
for the epochs that one of `RULES` picks, of data that may be passed on. `zcat` shows it.
"""

import argparse
import gzip
import json
from dataclasses import replace
from pathlib import Path

from dralign.data import catalogue
from dralign.forms import to_json
from dralign.study import Ledger, TrialRecord, ledger_path, load_plan
from dralign.training import PUBLISHED_RULE, Selection

RULES = (Selection("last"), Selection("highest_ap"), PUBLISHED_RULE, Selection())
ENDING = ".jsonl.gz"


def records_of(path):
    """The records of a study, or of a copy of one."""
    if path.name.endswith(ENDING):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [TrialRecord.from_dict(json.loads(line)) for line in file]
    with Ledger(ledger_path(path), create=False) as ledger:
        return ledger.records()


def slim(record):
    """The record without the quantiles of other epochs; all of them for data we may not pass on."""
    free = record.spec.data.name in {one.name for one in catalogue.ENTRIES if one.embedded}
    rules = RULES if record.history and free else ()
    kept = {rule.choose(record.history, record.spec.gap).epoch for rule in rules}
    history = tuple(
        epoch
        if epoch.epoch in kept
        else replace(
            epoch, cells={split: replace(c, quantiles="") for split, c in epoch.cells.items()}
        )
        for epoch in record.history
    )
    return replace(record, history=history)


def rounded(value):
    """A JSON form with its figures in six digits."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def line_of(record):
    """The record as a line; its settings stay as they are, as the hash is theirs."""
    form = slim(record).to_dict()
    return to_json({**rounded(form), "spec": form["spec"]})


def copied(records, path):
    """Writes the copy; the same records give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file,
    ):
        for record in records:
            file.write(line_of(record).encode() + b"\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--plan", type=Path, help="keep the trials of this plan alone")
    given = parser.parse_args()
    records = records_of(given.source)
    if given.plan is not None:
        wanted = {spec.portable() for spec in load_plan(given.plan).trials}
        records = [record for record in records if record.spec in wanted]
    if given.target.name.endswith(ENDING):
        copied(records, given.target)
        print(f"{given.target}: {len(records)} trials, {given.target.stat().st_size / 1e6:.1f} MB")
        return
    with Ledger(ledger_path(given.target)) as ledger:
        for record in records:
            ledger.add(record)
    print(f"{ledger.path}: {len(records)} trials")


if __name__ == "__main__":
    main()
