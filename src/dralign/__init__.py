"""Decision rationale alignment: train and audit classifiers by what matters to each group.

Implements FAIRER: Fairness as Decision Rationale Alignment (Li et al., ICML 2023). The README
shows the doors: a term for a training loop, a command line, and the parts they are made of.
"""

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.data import fetch_adult, fetch_german
from dralign.gaps import (
    demographic_parity_gap,
    equal_opportunity_gap,
    equalized_odds_gap,
    predictive_parity_gap,
)
from dralign.groups import encode_groups
from dralign.rationale import group_losses

__all__ = [
    "RationaleAlignment",
    "aligned_backward",
    "demographic_parity_gap",
    "encode_groups",
    "equal_opportunity_gap",
    "equalized_odds_gap",
    "fetch_adult",
    "fetch_german",
    "group_losses",
    "predictive_parity_gap",
]
