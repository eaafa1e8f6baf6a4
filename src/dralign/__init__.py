"""Decision rationale alignment: train and audit classifiers by what matters to each group.

Implements FAIRER: Fairness as Decision Rationale Alignment (Li et al., ICML 2023). The README
shows the doors: a term for a training loop, a command line, and the parts they are made of.
"""

from typing import TYPE_CHECKING

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.data import fetch_adult, fetch_compas, fetch_german
from dralign.gaps import (
    demographic_parity_gap,
    equal_opportunity_gap,
    equalized_odds_gap,
    predictive_parity_gap,
)
from dralign.groups import encode_groups
from dralign.rationale import ParityScores, group_losses, parity_scores

if TYPE_CHECKING:
    from dralign.auditing import Audit, audit
    from dralign.estimator import DRAlignClassifier

__all__ = [
    "Audit",
    "DRAlignClassifier",
    "ParityScores",
    "RationaleAlignment",
    "aligned_backward",
    "audit",
    "demographic_parity_gap",
    "encode_groups",
    "equal_opportunity_gap",
    "equalized_odds_gap",
    "fetch_adult",
    "fetch_compas",
    "fetch_german",
    "group_losses",
    "parity_scores",
    "predictive_parity_gap",
]

_LATE = {
    "Audit": "dralign.auditing",
    "DRAlignClassifier": "dralign.estimator",
    "audit": "dralign.auditing",
}


def __getattr__(name: str) -> object:
    """A name on its first use, because ``import dralign`` loads torch and numpy only.

    Raises:
        AttributeError: if there is no such name.
    """
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
