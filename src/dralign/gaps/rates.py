"""The gaps of rates: what they compare, in words, and as a weighted mean.

Every gap compares a rate between groups, and every rate is a weighted mean over the rows of a
group, sum w v / sum w, of a value v with a weight w (f is the probability, y the label):

=========================  =======  ==============
gap                        value    weights
=========================  =======  ==============
demographic_parity         f        1
equalized_odds             f        1 - y, then y
equal_opportunity          f        y
predictive_parity          y        f
printed_predictive_parity  f        1
=========================  =======  ==============

The last is the surrogate printed in A.11, Eq. 22: the demographic parity of batches in which every
label of a group has the same number of rows. Figures of rows of any mixture are those of rows that
were weighted so.

With more than two classes demographic parity and equalized odds are taken for every class c, with
f_c in the place of f and a stratum per label, and of the classes the largest or the mean is taken
within each stratum (Eq. 23).
"""

from typing import Any, Final

from dralign.gaps.gap import GapType

Weighted = tuple[Any, tuple[Any, ...]]


def _of_all(f: Any, y: Any, n_classes: int) -> Weighted:  # noqa: ANN401, ARG001 - tensor or array
    return f, (None,)


def _of_the_selected(f: Any, y: Any, n_classes: int) -> Weighted:  # noqa: ANN401, ARG001
    return y, (f,)


DEMOGRAPHIC_PARITY: Final = GapType("demographic_parity", "demographic parity", more_classes=True)
EQUALIZED_ODDS: Final = GapType("equalized_odds", "equalized odds", strata=None, more_classes=True)
EQUAL_OPPORTUNITY: Final = GapType("equal_opportunity", "equal opportunity", strata=(1,))
PREDICTIVE_PARITY: Final = GapType(
    "predictive_parity", "predictive parity", strata=(0, 1), terms=_of_the_selected
)
PRINTED_PREDICTIVE_PARITY: Final = GapType(
    "printed_predictive_parity",
    "predictive parity as printed",
    strata=(0, 1),
    terms=_of_all,
    labels_alike=True,
)
RATES: Final = (
    DEMOGRAPHIC_PARITY,
    EQUALIZED_ODDS,
    EQUAL_OPPORTUNITY,
    PREDICTIVE_PARITY,
    PRINTED_PREDICTIVE_PARITY,
)
