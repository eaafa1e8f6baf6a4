"""Copies a ledger for version control: score quantiles stay at the epochs that rules pick.

    python experiments/keep.py studies/settle_adult results/settle_adult.sqlite

All figures of all epochs stay, and so does every hash: a sweep goes on from the copy as from the
ledger. Quantiles are three quarters of its bytes, and are kept for the last epoch and for those of
the smallest soft and base-rate gap. An older copy is replaced.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from dralign.study import Ledger, ledger_path
from dralign.training import PUBLISHED_RULE, Selection

RULES = (Selection("last"), PUBLISHED_RULE, Selection())


def slim(record):
    """The record without the quantiles of other epochs."""
    kept = {rule.choose(record.history, record.spec.gap).epoch for rule in RULES if record.history}
    history = tuple(
        epoch
        if epoch.epoch in kept
        else replace(
            epoch, cells={split: replace(c, quantiles="") for split, c in epoch.cells.items()}
        )
        for epoch in record.history
    )
    return replace(record, history=history)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("copy", type=Path)
    given = parser.parse_args()
    with Ledger(ledger_path(given.study), create=False) as ledger:
        records = ledger.records()
    given.copy.unlink(missing_ok=True)
    with Ledger(given.copy) as copy:
        for record in records:
            copy.add(slim(record))
    print(f"{given.copy}: {len(records)} trials, {given.copy.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
