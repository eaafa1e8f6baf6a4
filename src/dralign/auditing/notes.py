"""What must be known before the figures of an audit are read."""

import warnings
from collections.abc import Sequence
from typing import Final

from dralign.auditing.parts import Plan
from dralign.auditing.removal import Network
from dralign.auditing.small import withheld_line
from dralign.errors import DralignWarning
from dralign.metrics.decisions import decisions, same_decision

ENOUGH_SPLITS: Final = 200


def notes_on_rows(
    network: Network,
    names: Sequence[str],
    withheld: Sequence[str],
    left_out: int,
    *,
    positive: str,
) -> list[str]:
    """Which rows take no part, what is withheld, and whether all get the same decision."""
    notes = [f"{left_out} rows of no group take no part"] if left_out else []
    label, group = network.rows.label.cpu().numpy(), network.rows.group.cpu().numpy()
    of_two = slice(0 if network.n_classes > 2 else None)  # no figure of classes is at a label
    at_labels = (label[of_two], group[of_two], names)
    if line := withheld_line(withheld, *at_labels, least=network.least, positive=positive):
        warnings.warn(line, DralignWarning, stacklevel=3)
        notes.append(line)
    prob = network.probabilities(network.tensors)
    decided = decisions(prob, group=group, thresholds=network.thresholds)
    weight = network.rows.weights
    if line := same_decision(decided, "rows", then="hard gaps say nothing", weight=weight):
        notes.append(line)
    return notes


def notes_on_plan(plan: Plan, *, binary: bool, n_splits: int) -> list[str]:
    """What was left out or approximated."""
    notes = list(plan.notes)
    if not binary and plan.parts & {"outcomes", "what_if"}:
        notes.append("group figures and the what-if need two classes and are left out")
    if n_splits < ENOUGH_SPLITS and "similarity" in plan.parts:
        notes.append(
            f"the noise floor rests on {n_splits} random splits; {ENOUGH_SPLITS} or more are "
            "reliable"
        )
    return notes
