"""Gaps: differentiable differences between groups in what a network says about them.

:mod:`dralign.gaps.rates` and :mod:`dralign.gaps.ranking` declare those that there are;
``register_gap`` adds others. :mod:`dralign.gaps.functions` says what the functions take.
"""

from dralign.gaps.functions import (
    check_label,
    demographic_parity_gap,
    equal_opportunity_gap,
    equalized_odds_gap,
    predictive_parity_gap,
    smooth_all_cutoffs_gap,
)
from dralign.gaps.gap import Aggregate, Gap, GapType
from dralign.gaps.ranking import at_all_cutoffs
from dralign.gaps.registry import (
    figure_names,
    gap_names,
    gap_type,
    judged_by,
    register_gap,
    resolve_gap,
    unregister_gap,
)

__all__ = [
    "Aggregate",
    "Gap",
    "GapType",
    "at_all_cutoffs",
    "check_label",
    "demographic_parity_gap",
    "equal_opportunity_gap",
    "equalized_odds_gap",
    "figure_names",
    "gap_names",
    "gap_type",
    "judged_by",
    "predictive_parity_gap",
    "register_gap",
    "resolve_gap",
    "smooth_all_cutoffs_gap",
    "unregister_gap",
]
