"""The classifier itself: parameters, fit, predict, save and load."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from dralign.artifact import load_artifact, save_artifact
from dralign.data import Dataset
from dralign.errors import ArtifactError, DralignWarning, UndefinedMetricWarning
from dralign.estimator.inputs import (
    class_codes,
    coded_groups,
    column_names,
    label_weights,
    row_weights,
    training_data,
)
from dralign.estimator.network import Module, check_network, initial_network, probabilities
from dralign.estimator.parameters import (
    check_class_weight,
    check_numbers,
    chosen_method,
    chosen_selection,
    training_settings,
    without_groups,
)
from dralign.estimator.saving import learned, to_artifact
from dralign.estimator.table import feature_table
from dralign.gaps import Aggregate
from dralign.methods import Method
from dralign.metrics.decisions import BASE_RATE, base_rate_threshold
from dralign.rationale import Granularity, LayerChoice
from dralign.step import LossConvention
from dralign.training import (
    Checkpoints,
    EpochRecord,
    Precision,
    Rule,
    Selection,
    cautions,
    train,
)

_UNGROUPED_FIGURES = ("average_precision", "accuracy", "balanced_accuracy")


class DRAlignClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # sklearn is untyped
    """A network trained by a method of ``dralign.methods``; it predicts without groups.

    ``X`` is an array of numbers, or a pandas DataFrame whose columns may hold text and missing
    values. Either way columns of numbers are standardised; text, booleans and categories become
    one-hot, a missing value of a DataFrame is kept as such, and its columns that can't help (dates,
    keys, a single value) are left out with a warning. The second of two labels in sorted order is
    the positive one, for which average precision and the gaps are counted; of more than two labels
    each is a class, as Eq. 23 says.

    ``fit`` keeps ``validation_fraction`` of every cell (a group within a label) back and chooses
    an epoch by it. It asks metadata routing for ``sensitive_features``. Torch's thread settings
    are left as they are; one thread (``torch.set_num_threads(1)``) is fastest for small networks.

    Args:
        method: a name of ``dralign.methods.method_names()`` that predicts without groups.
        gap: the gap it is trained for, and judged by.
        fairness_weight: lambda; None takes 0.2 where the method uses it.
        alignment_weight: beta; None takes a tenth of lambda where the method uses it.
        granularity: of the rationales that are aligned: per ``"unit"`` or ``"parameter"``.
        layers: the layers to be aligned: ``"all"``, the last k, or names.
        gap_bound: the largest gap on the rows kept back; lambda is then found while training and
            beta is a tenth of it, so that both weights stay None.
        loss: the loss convention, as in ``build_method``.
        aggregate: of more than two groups, train on the ``"max"`` or the ``"mean"`` over pairs.
        alignment_every: of dralign, the alignment term enters every k-th step (Eq. 21); None takes
            8 (docs/speed.md says what that may lose), and 1 is the paper's.
        penalty: of dralign, what lambda weighs: the ``"gap"``, or Fair Mixup's penalty
            (``"mixup"``).
        mixup_layer: the module whose output Fair Mixup mixes; None mixes the inputs.
        hidden: units in each hidden layer of the perceptron.
        depth: the number of its hidden layers.
        module: a network of one's own in place of the perceptron, returning one logit a row (C for
            C > 2 classes): a module, of which a copy is trained, or a function that takes the
            number of inputs.
        epochs: epochs, each ending in an evaluation on the rows kept back.
        iterations: steps per epoch.
        batch_size: rows per group (per cell, for gaps that condition on the label) in a batch;
            None takes 500.
        learning_rate: of Adam.
        micro_batch: rows to forward at a time, where a batch does not fit in memory.
        precision: of forward passes, as in ``TrainingSettings``.
        patience: training stops once the chosen epoch has been the same for so many epochs.
        select: the rule that chooses the epoch, as in ``Selection``; None takes
            ``"smallest_gap"``, and with a gap bound ``"highest_ap_under_bound"``. Without groups
            there is no gap, and ``"highest_ap"`` stands in for every rule but ``"last"``.
        warmup: epochs at the start that are not chosen.
        bound: the largest gap of the rule ``"highest_ap_under_bound"``, and of no other; None
            takes the gap bound.
        measure: in which gaps are measured when an epoch is chosen and a bound is kept:
            ``"base_rate"``, which lower scores don't make smaller, or another of
            ``dralign.metrics.gap_measure_names()``; None takes the first.
        threshold: of two classes, the probability from which on the positive one is predicted, or
            ``"base-rate"``, which predicts it for as many of the rows kept back as have it.
        class_weight: what a row of each label counts in the training loss, besides its
            ``sample_weight``: a dict by label (1 for others), or ``"balanced"``, by which all
            labels weigh the same; None weighs none. Figures of the rows kept back do not heed it.
        validation_fraction: the share of rows kept back, between 0 and 1.
        random_state: of the split, the initial weights and the batches; the same integer gives the
            same network on the CPU.
        device: where to train and predict.
        checkpoints: a folder where ``fit`` saves the run as it goes; the same ``fit`` goes on from
            there, to the same end as without a stop. For one fit: another one is refused there.

    Attributes:
        classes_: (C,) the labels; the second of two is the positive one.
        n_features_in_: the number of columns of X.
        feature_names_in_: their names, if X had names.
        encoder_: turns columns into inputs.
        module_: the trained network, with the weights of the chosen epoch.
        history_: one ``EpochRecord`` per epoch; its figures are of the rows kept back.
        chosen_epoch_: the number of the chosen epoch.
        selection_: the rule it was chosen by.
        group_names_: the name of every group, crossed columns joined by ``" & "``.
        fairness_weight_: lambda: as it was found by the end of the chosen epoch, or as it was
            fixed; 0 where the method has none.
        bound_met_: whether the chosen epoch keeps the gap bound on the rows kept back; None without
            one.
        mitigated_: whether training used the groups; False for ``method="erm"`` and without any.
        threshold_: the probability from which on the positive one of two labels is predicted.
        notes_: what must be said of the figures, for example that nearly all rows get the same
            decision, so that the hard gap says nothing; mostly empty.
        architecture_: what ``dralign.models.build`` needs; None where ``module`` was given.
        label_name_: what y was called.
        sensitive_names_: what the sensitive columns were called.
    """

    # Routed by default: a classifier that never sees its groups would quietly not mitigate.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sensitive_features": True}

    def __init__(
        self,
        method: str = "dralign",
        *,
        gap: str = "demographic_parity",
        fairness_weight: float | None = None,
        alignment_weight: float | None = None,
        granularity: Granularity | None = None,
        layers: LayerChoice | None = None,
        gap_bound: float | None = None,
        loss: LossConvention = "batch_mean",
        aggregate: Aggregate | None = None,
        alignment_every: int | str | None = None,
        penalty: str | None = None,
        mixup_layer: str | None = None,
        hidden: int = 200,
        depth: int = 2,
        module: Module | None = None,
        epochs: int = 10,
        iterations: int = 100,
        batch_size: int | None = None,
        learning_rate: float = 1e-3,
        micro_batch: int | None = None,
        precision: Precision = "float32",
        patience: int | None = None,
        select: Rule | None = None,
        warmup: int = 1,
        bound: float | None = None,
        measure: str | None = None,
        threshold: float | str = 0.5,
        class_weight: Mapping[Any, float] | str | None = None,
        validation_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        checkpoints: str | Path | None = None,
    ) -> None:
        self.method = method
        self.gap = gap
        self.fairness_weight = fairness_weight
        self.alignment_weight = alignment_weight
        self.granularity = granularity
        self.layers = layers
        self.gap_bound = gap_bound
        self.loss = loss
        self.aggregate = aggregate
        self.alignment_every = alignment_every
        self.penalty = penalty
        self.mixup_layer = mixup_layer
        self.hidden = hidden
        self.depth = depth
        self.module = module
        self.epochs = epochs
        self.iterations = iterations
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.micro_batch = micro_batch
        self.precision = precision
        self.patience = patience
        self.select = select
        self.warmup = warmup
        self.bound = bound
        self.measure = measure
        self.threshold = threshold
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.checkpoints = checkpoints

    def fit(
        self,
        X: object,  # noqa: N803
        y: object,
        sample_weight: object = None,
        *,
        sensitive_features: object = None,
    ) -> Self:
        """Trains on the rows of ``X`` and restores the chosen epoch.

        Args:
            X: (n, d) array of numbers or DataFrame.
            y: (n,) labels, of two or more different values.
            sample_weight: (n,) what each row counts (Eq. 38), from 0 up, in training and in the
                figures of the rows kept back; a row of weight 0 is left out. None, or the same for
                all, weighs none.
            sensitive_features: what makes the groups: (n,) or (n, c) values of any type, several
                columns crossed. A row with a missing value is in no group. None trains the task
                loss alone (``method="erm"``) with a warning.

        Raises:
            DataError: if X, y or the sensitive features can't be used.
            GroupError: if there is one group only, or a group or needed cell has no training rows.
            OptionError: if a parameter is unknown or not in range, the checkpoints are of another
                fit, or the method can't train on weighted rows.
            ModelError: if the network doesn't fit the inputs, or its loss stops being finite.
            OutputError: if a checkpoint can't be written.
        """
        parameters = self.get_params(deep=False)
        check_numbers(parameters)
        chosen_method(parameters)  # complains about parameters before it looks at the data
        selection = chosen_selection(parameters)
        table = feature_table(self, X, reset=True)
        self.label_name_ = column_names(y, "y")[0]
        self.sensitive_names_ = column_names(sensitive_features, "sensitive_features")
        check_consistent_length(table, y)
        kept, weight = row_weights(sample_weight, n_given := len(table))
        table = table.iloc[kept]
        self.classes_, labels = class_codes(y, kept)
        method = chosen_method(parameters, len(self.classes_))
        groups = None
        if sensitive_features is not None:
            groups = coded_groups(sensitive_features, n_given, kept)
        else:
            warnings.warn(
                "no sensitive_features: the task loss alone is trained, nothing is mitigated",
                DralignWarning,
                stacklevel=2,
            )
            method, selection = without_groups(parameters, len(self.classes_))
        check_class_weight(parameters, method)
        self.mitigated_ = method.needs_groups
        self.group_names_ = () if groups is None else groups.names
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        data, self.encoder_ = training_data(
            table,
            labels,
            groups,
            classes=self.classes_,
            fraction=self.validation_fraction,
            seed=seed,
            leave_out=hasattr(X, "columns"),
            weight=weight,
            label_weight=label_weights(self.class_weight, self.classes_, labels, weight),
        )
        self._train(data, method, selection, seed)
        return self

    def predict_proba(self, X: object) -> np.ndarray:  # noqa: N803
        """(n, C) float64 probabilities of ``classes_``; no sensitive features are needed.

        Raises:
            DataError: if a column can't be read.
        """
        inputs = torch.from_numpy(self.network_inputs(X))  # first, as it asks for a fit
        prob = probabilities(self.module_, inputs, own=self.architecture_ is not None)
        return np.column_stack([1 - prob, prob]) if prob.ndim == 1 else prob

    def network_inputs(self, X: object) -> np.ndarray:  # noqa: N803
        """(n, d) float32 inputs of ``module_``, for the rows of X.

        Raises:
            DataError: if a column can't be read.
        """
        check_is_fitted(self)
        return self.encoder_.transform(feature_table(self, X, reset=False))

    def predict(self, X: object) -> np.ndarray:  # noqa: N803
        """(n,) labels: the likeliest; of two the positive one from a probability of ``threshold_``.

        Raises:
            DataError: if a column can't be read.
        """
        prob = self.predict_proba(X)
        positive = prob[:, 1] >= self.threshold_
        chosen = positive.astype(int) if prob.shape[1] == 2 else prob.argmax(1)
        labels: np.ndarray = self.classes_[chosen]
        return labels

    def save(self, path: str | Path) -> Path:
        """Writes the fitted classifier as an artifact: a folder of weights, JSON and a model card.

        ``dralign predict`` reads it too. A random state that is not an integer is not kept.

        Returns:
            The folder.

        Raises:
            ArtifactError: if the network is one's own, or the folder can't be written.
        """
        check_is_fitted(self)
        return save_artifact(to_artifact(self), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The classifier that ``save`` wrote, on the CPU.

        Raises:
            ArtifactError: if it is missing, damaged or not written by ``save``.
        """
        parameters, attributes = learned(load_artifact(path), path)
        try:
            loaded = cls(**parameters)
        except TypeError as error:
            raise ArtifactError(f"{path}: written by another version ({error})") from error
        for name, value in attributes.items():
            setattr(loaded, name, value)
        return loaded

    def _train(self, data: Dataset, method: Method, selection: Selection, seed: int) -> None:
        """Trains a network and keeps it with the weights of the chosen epoch."""
        sizes = {"hidden": int(self.hidden), "depth": int(self.depth)}
        if data.n_classes > 2:
            sizes["n_outputs"] = data.n_classes
        architecture = {"name": "mlp", "n_inputs": data.n_inputs, **sizes}
        self.module_ = initial_network(self.module, architecture, seed=seed, device=self.device)
        check_network(self.module_, data.train.x[:2], data.n_classes)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* has no test rows", UndefinedMetricWarning)
            bound = self.gap_bound if data.group_names else None
            settings = training_settings(self.get_params(deep=False), seed, gap_bound=bound)
            folder = None if self.checkpoints is None else Checkpoints(self.checkpoints)
            result = train(self.module_, data, method, settings, keep=selection, checkpoints=folder)
        chosen = result.restore(selection, method.gap.name)
        self.module_ = result.judged(data)
        self.chosen_epoch_ = chosen.epoch
        self.bound_met_ = (
            None if bound is None else chosen.keeps(bound, method.gap.name, settings.bound_measure)
        )
        fixed = getattr(method, "fairness_weight", 0.0)
        self.fairness_weight_ = fixed if chosen.found_weight is None else chosen.found_weight
        self.module_.eval()
        self.notes_ = tuple(
            one.text
            for one in cautions(
                result.history,
                selection,
                method.gap.name,
                names=self.group_names_,
                split="validation",
                rows="rows kept back",
                decisions=[str(label) for label in self.classes_],
            )
        )
        self.threshold_ = (
            base_rate_threshold(
                data.validation.y.numpy(),
                probabilities(self.module_, data.validation.x, own=self.module is None),
                sample_weight=data.validation.weights,
            )
            if self.threshold == BASE_RATE
            else float(self.threshold)
        )
        for line in self.notes_:
            warnings.warn(line, DralignWarning, stacklevel=3)
        self.history_ = tuple(self._known(record) for record in result.history)
        self.selection_ = str(selection)
        self.architecture_ = architecture if self.module is None else None

    def _known(self, record: EpochRecord) -> EpochRecord:
        """The record without figures of test rows, and of groups where there are none."""
        if self.group_names_:
            return replace(record, test={}, cells={})
        known = {name: record.validation[name] for name in _UNGROUPED_FIGURES}
        return replace(record, validation=known, test={}, cells={})
