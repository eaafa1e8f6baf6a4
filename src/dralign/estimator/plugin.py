"""The scikit-learn door of the plug-in: any classifier, its scores shifted against a gap."""

import warnings
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_consistent_length, check_random_state, get_tags
from sklearn.utils._indexing import _safe_indexing
from sklearn.utils.validation import check_is_fitted, validate_data

from dralign.errors import DataError, DralignWarning, OptionError
from dralign.estimator.fitting import MITIGATED_OUTSIDE, as_before_if_it_fails, gap_text, not_kept
from dralign.estimator.group_model import group_model_of
from dralign.estimator.inputs import checked_array, class_codes, coded_groups, rows_kept_back
from dralign.groups import GroupCodes
from dralign.methods.shared import FAIRNESS_WEIGHT
from dralign.metrics import gap_measure
from dralign.metrics.arrays import Codes, Floats
from dralign.postprocessing import (
    ComparedCells,
    ScoreShift,
    ShiftFront,
    check_max_gap,
    fit_shift,
    front_of,
    shifted,
)


class PluginClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """Any classifier of two classes, its scores shifted against a gap; it predicts without groups.

    If the classifier's probabilities are right, no other scores have a smaller expected log loss at
    the same gap (Eq. 35). One fit gives every weight: ``front_`` has the figures of the rows kept
    back at each, and ``select`` takes another one without a fit.

    ``fit`` keeps ``validation_fraction`` of every cell (a group within a label) back, to choose the
    weight by. It asks metadata routing for ``sensitive_features``. The second of two labels in
    sorted order is the positive one.

    Args:
        estimator: a classifier with ``predict_proba``.
        fairness_weight: c, from 0 up; None takes 0.2. More than that of equal expected rates is
            that, as it would turn the gap around.
        max_gap: the largest gap on the rows kept back, in place of a weight: the smallest weight
            that keeps it is found.
        gap: ``"demographic_parity"``, ``"equalized_odds"`` or ``"equal_opportunity"``.
        measure: in which measure ``max_gap`` is meant: a name of
            ``dralign.metrics.gap_measure_names()``.
        group_estimator: the classifier that guesses the groups (within labels, where the gap needs
            it) from X; None takes a clone of ``estimator`` without the settings that are about
            labels, such as ``class_weight``.
        prefit: whether ``estimator`` is fitted already. It should not have seen the rows of
            ``fit``, of which the groups and the weight are learned.
        validation_fraction: the share of rows kept back, between 0 and 1.
        random_state: of the split.

    Attributes:
        classes_: (2,) the labels.
        estimator_: the fitted classifier.
        group_estimator_: the fitted one of the groups; None without any.
        n_features_in_: the number of columns of X.
        feature_names_in_: their names, if X had names.
        fairness_weight_: c, as it was given (or that of equal rates) or found.
        front_: the figures of the rows kept back at rising weights; None without groups.
        max_gap_met_: whether the rows kept back have that gap at most; None without one.
        group_names_: the name of every group, crossed columns joined by ``" & "``.
        mitigated_: whether scores are shifted at all.
    """

    # Routed by default: without its groups it would quietly shift nothing.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sensitive_features": True}

    def __init__(
        self,
        estimator: Any,  # noqa: ANN401 - whatever has the methods
        *,
        fairness_weight: float | None = None,
        max_gap: float | None = None,
        gap: str = "demographic_parity",
        measure: str = "base_rate",
        group_estimator: Any = None,  # noqa: ANN401
        prefit: bool = False,
        validation_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.fairness_weight = fairness_weight
        self.max_gap = max_gap
        self.gap = gap
        self.measure = measure
        self.group_estimator = group_estimator
        self.prefit = prefit
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: object, *, sensitive_features: object = None) -> Self:  # noqa: ANN401, N803
        """Fits the classifier and the one of the groups, and finds the shift; or nothing changes.

        Args:
            X: what ``estimator`` takes.
            y: (n,) labels of two different values.
            sensitive_features: what makes the groups: (n,) or (n, c) values of any type. A row with
                a missing value is in no group. None shifts nothing, with a warning.

        Raises:
            DataError: if y has not two values, or is not what the fitted classifier tells apart.
            GroupError: if there is one group only.
            OptionError: if a parameter can't be.
        """
        self._check_parameters()
        with as_before_if_it_fails(self):
            X = self._checked(X, reset=True)  # noqa: N806
            self.classes_, labels = class_codes(y)
            check_consistent_length(X, labels)
            if len(self.classes_) > 2:
                raise DataError(
                    "Only binary classification is supported. The type of the target is multiclass"
                )
            groups = self._groups(sensitive_features, len(labels))
            self.group_names_ = groups.names
            self.group_estimator_: Any = self._group_model() if groups.names else None
            parts = _Parts(*rows_kept_back(labels, groups, self.validation_fraction, self._seed()))
            self._fit_estimator(X, self.classes_[labels], parts.train)
            self.front_: ShiftFront | None = None
            self.max_gap_met_: bool | None = None
            self.fairness_weight_, self.mitigated_ = 0.0, False
            if groups.names:
                self._fit_shift(X, labels, groups, parts)
                if self.max_gap is not None:
                    self._select(self.max_gap, self.measure)
        return self

    def predict_proba(self, X: object) -> np.ndarray:  # noqa: N803
        """(n, 2) probabilities of ``classes_``; no sensitive features are needed."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)  # noqa: N806
        prob = self._positive(X)
        if self.group_estimator_ is not None and self.fairness_weight_:
            prob = shifted(prob, self._shift.amount(self._cells(X)), self.fairness_weight_)
        return np.column_stack([1 - prob, prob])

    def predict(self, X: object) -> np.ndarray:  # noqa: N803
        """(n,) labels: the positive one from a probability of 0.5 on."""
        prob = self.predict_proba(X)[:, 1]
        labels: np.ndarray = self.classes_[(prob >= 0.5).astype(int)]
        return labels

    def select(self, max_gap: float, *, measure: str | None = None) -> Self:
        """Takes the smallest weight of the front that keeps another gap; nothing is fitted.

        Args:
            max_gap: the largest gap on the rows kept back.
            measure: in which measure; None takes the one of the parameters.

        Raises:
            OptionError: if there are no groups to compare, the measure is unknown, or the gap is
                negative or not a number.
        """
        check_is_fitted(self)
        if self.front_ is None:
            raise OptionError("select: it was fitted without sensitive_features")
        self._select(max_gap, measure or self.measure)
        return self

    def _select(self, max_gap: float, measure: str) -> None:
        """``select`` after its checks, for the caller of what calls it."""
        kind = gap_measure(measure)
        assert self.front_ is not None
        chosen, self.max_gap_met_ = self.front_.select(max_gap, measure)
        self.fairness_weight_, self.mitigated_ = chosen.weight, chosen.weight > 0
        if not self.max_gap_met_:
            warnings.warn(
                f"{not_kept('weight', kind.words, max_gap)}; {chosen.weight:g} comes nearest, with "
                f"{gap_text(chosen.gap(measure, self.gap))}",
                DralignWarning,
                stacklevel=3,
            )

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - as scikit-learn has them
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def _checked(self, X: Any, *, reset: bool) -> Any:  # noqa: ANN401, N803
        """X as it is if it is a frame, whose columns are the estimator's matter; else an array."""
        if hasattr(X, "columns"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        tags = get_tags(self.estimator).input_tags
        kind = None if tags.string or tags.categorical else "numeric"
        how = {"accept_sparse": "csr", "dtype": kind, "ensure_all_finite": False}
        return checked_array(self, X, reset=reset, **how)

    def _check_parameters(self) -> None:
        """Checks what is not looked at by others.

        Raises:
            OptionError: if a parameter can't be.
        """
        gap_measure(self.measure)
        ComparedCells.of(self.gap, 2)
        if self.max_gap is not None and self.fairness_weight is not None:
            raise OptionError("max_gap finds the fairness_weight; give one or the other")
        FAIRNESS_WEIGHT.checked(self.fairness_weight or 0.0)
        if self.max_gap is not None:
            check_max_gap(self.max_gap)
        if not 0 < self.validation_fraction < 1:
            raise OptionError(
                f"validation_fraction: expected a number between 0 and 1, got "
                f"{self.validation_fraction!r}"
            )
        if not hasattr(self.estimator, "predict_proba"):
            raise OptionError(
                f"estimator: expected a classifier with predict_proba, got {self.estimator!r}"
            )

    def _seed(self) -> int:
        """The integer that the split is drawn by."""
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _groups(self, sensitive_features: object, n_rows: int) -> GroupCodes:
        """The groups; without any a warning."""
        if sensitive_features is not None:
            return coded_groups(sensitive_features, n_rows)
        warnings.warn(
            "no sensitive_features: scores are those of the estimator, nothing is mitigated",
            DralignWarning,
            stacklevel=3,
        )
        import torch

        return GroupCodes(torch.full((n_rows,), -1), ())

    def _group_model(self) -> Any:  # noqa: ANN401
        """The classifier of the groups before it is fitted."""
        given = self.group_estimator
        return group_model_of(self.estimator) if given is None else clone(given)

    def _fit_estimator(self, X: Any, y: np.ndarray, rows: Codes) -> None:  # noqa: ANN401, N803
        """The classifier, fitted on the rows to learn from unless it was before.

        Raises:
            DataError: if one that is fitted tells other labels apart.
        """
        if self.prefit:
            check_is_fitted(self.estimator)
            self.estimator_ = self.estimator
        else:
            self.estimator_ = _fit(clone(self.estimator), _safe_indexing(X, rows), y[rows])
        if list(self.estimator_.classes_) != list(self.classes_):
            raise DataError(
                f"y: has the labels {self.classes_.tolist()}, the fitted estimator "
                f"{list(self.estimator_.classes_)}"
            )

    def _fit_shift(self, X: Any, labels: Codes, groups: GroupCodes, parts: "_Parts") -> None:  # noqa: ANN401, N803
        """The classifier of the groups, the line, the front and the weight."""
        n_groups, codes = len(groups.names), groups.codes.numpy()
        cells = ComparedCells.of(self.gap, n_groups)
        own = cells.codes(codes, labels)
        rows = parts.train[own[parts.train] >= 0]
        _fit(self.group_estimator_, _safe_indexing(X, rows), own[rows])
        self._n_cells = cells.n_classes
        kept = _safe_indexing(X, parts.kept)
        prob, likely = self._positive(kept), self._cells(kept)
        self._shift: ScoreShift = fit_shift(prob, likely, cells.shares(own[rows]), cells)
        front: ShiftFront = front_of(
            prob,
            self._shift.amount(likely),
            self._shift,
            label=labels[parts.kept],
            group=codes[parts.kept],
            n_groups=n_groups,
            gap=self.gap,
        )
        self.front_ = front
        given_weight = self.fairness_weight
        self.fairness_weight_ = self._shift.up_to_parity(
            float(FAIRNESS_WEIGHT.default if given_weight is None else given_weight)
        )
        self.mitigated_ = self.fairness_weight_ > 0

    def _positive(self, X: object) -> Floats:  # noqa: N803
        """(n,) the classifier's own probability of the second label."""
        return np.asarray(self.estimator_.predict_proba(X)[:, 1], dtype=np.float64)

    def _cells(self, X: object) -> Floats:  # noqa: N803
        """(n, cells) how likely each cell is for a row; 0 for those that had no rows."""
        likely = self.group_estimator_.predict_proba(X)
        result = np.zeros((len(likely), self._n_cells))
        result[:, self.group_estimator_.classes_] = likely
        return result


class _Parts(NamedTuple):
    """Rows to learn from, and rows kept back to choose the weight by."""

    train: Codes
    kept: Codes


def _fit(estimator: Any, X: Any, y: Codes) -> Any:  # noqa: ANN401, N803
    """Fits a classifier, which is not told the groups: the shift is what mitigates."""
    before = MITIGATED_OUTSIDE.set(True)
    try:
        return estimator.fit(X, y)
    finally:
        MITIGATED_OUTSIDE.reset(before)
