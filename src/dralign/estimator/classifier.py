"""The classifier itself: parameters, fit, predict, save and load."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted
from torch import nn

from dralign.artifact import load_artifact, save_artifact
from dralign.data import TableEncoder
from dralign.errors import ArtifactError, DralignWarning
from dralign.estimator.fitting import (
    Outcome,
    as_before_if_it_fails,
    gap_text,
    keep,
    not_kept,
    prepare,
    untrained,
)
from dralign.estimator.frontier import Frontier, check_frontier, train_frontier
from dralign.estimator.network import Module, probabilities
from dralign.estimator.parameters import own_loss, training_settings
from dralign.estimator.saving import learned, to_artifact
from dralign.estimator.table import feature_table
from dralign.gaps import Aggregate
from dralign.metrics import gap_measure
from dralign.rationale import Granularity, LayerChoice
from dralign.rationale.losses import RowLoss
from dralign.step import LossConvention
from dralign.training import Checkpoints, History, Precision, Rule, train
from dralign.training.front import WEIGHTS
from dralign.training.updates import OptimiserFactory, SchedulerFactory


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
    Fits in several Python threads take turns, and end as each would alone; use processes to train
    at the same time. Prediction waits for none.

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
        share_step: of fairbatch, alpha, by which it moves shares at a time; None takes 0.005.
        hidden: units in each hidden layer of the perceptron.
        depth: the number of its hidden layers.
        module: a network of one's own in place of the perceptron, returning one logit a row (C for
            C > 2 classes): a module, of which a copy is trained, or a function that takes the
            number of inputs. Its weights are float32 or float64.
        epochs: epochs, each ending in an evaluation on the rows kept back.
        iterations: steps per epoch.
        batch_size: rows per group (per cell, for gaps that condition on the label) in a batch;
            None takes 500.
        learning_rate: of Adam.
        weight_decay: of AdamW, as in ``TrainingSettings``; 0 is plain Adam.
        clip_norm: the largest norm of all gradients of a step together; None for any.
        optimiser: as ``dralign.training.train`` takes it, like the next: a function from parameters
            to an optimiser of torch; None takes Adam.
        scheduler: a function from the optimiser to a schedule of torch; None keeps the rate.
        row_loss: a function from outputs and labels, as codes 0..C-1, to a value per row, in the
            place of cross-entropy (``loss`` of ``train``); probabilities are made of the outputs as
            of logits all the same. Classifiers with a ``lambda`` for one of the three can't be
            pickled.
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
            ``"base-rate"``, which predicts it for as many of the rows kept back as have it. Beside
            a bound on the hard gap, which is judged at 0.5, another one is refused.
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
        selection_: how it was chosen.
        group_names_: the name of every group, crossed columns joined by ``" & "``.
        fairness_weight_: lambda: as it was found by the end of the chosen epoch, or as it was
            fixed; 0 where the method has none.
        bound_met_: whether the chosen epoch keeps the gap bound, or the ``max_gap`` of
            ``Frontier.select``, on the rows kept back; None without one.
        mitigated_: whether training used the groups; False for ``method="erm"`` and without any.
        threshold_: the probability from which on the positive one of two labels is predicted.
        front_weights_: the weights of the front that the network is a point of; None after ``fit``.
        notes_: what must be said of the figures, for example that nearly all rows get the same
            decision, so that the hard gap says nothing; mostly empty, and always without groups.
        architecture_: what ``dralign.models.build`` needs; None where ``module`` was given.
        label_name_: what y was called.
        sensitive_names_: what the sensitive columns were called.
    """

    # Routed by default: a classifier that never sees its groups would quietly not mitigate.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sensitive_features": True}

    classes_: np.ndarray
    encoder_: TableEncoder
    module_: nn.Module
    history_: History
    chosen_epoch_: int
    selection_: str
    group_names_: tuple[str, ...]
    fairness_weight_: float
    bound_met_: bool | None
    mitigated_: bool
    threshold_: float
    front_weights_: tuple[float, ...] | None
    notes_: tuple[str, ...]
    architecture_: dict[str, Any] | None
    label_name_: str
    sensitive_names_: tuple[str, ...]

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
        share_step: float | None = None,
        hidden: int = 200,
        depth: int = 2,
        module: Module | None = None,
        epochs: int = 10,
        iterations: int = 100,
        batch_size: int | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        optimiser: OptimiserFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        row_loss: RowLoss | None = None,
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
        self.share_step = share_step
        self.hidden = hidden
        self.depth = depth
        self.module = module
        self.epochs = epochs
        self.iterations = iterations
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.optimiser = optimiser
        self.scheduler = scheduler
        self.row_loss = row_loss
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
        """Trains on the rows of ``X`` and restores the chosen epoch; or nothing changes.

        Args:
            X: (n, d) array of numbers, or a frame of pandas, polars or pyarrow.
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
        with as_before_if_it_fails(self):
            prepared = prepare(self, X, y, sample_weight, sensitive_features)
            (model, data), method = untrained(self, prepared), prepared.method
            parameters = self.get_params(deep=False)
            bound = self.gap_bound if data.group_names else None
            settings = training_settings(parameters, prepared.seed, gap_bound=bound)
            rule, gap = prepared.selection, method.gap.name
            run = train(
                model,
                data,
                method,
                settings,
                keep=rule,
                checkpoints=None if self.checkpoints is None else Checkpoints(self.checkpoints),
                optimiser=self.optimiser,
                scheduler=self.scheduler,
                loss=own_loss(parameters),
            )
            chosen = run.restore(rule, gap)
            met = None if bound is None else chosen.keeps(bound, gap, settings.bound_measure)
            keep(self, data, Outcome(run.judged(data), method, rule, run.history, chosen, met))
            if bound is not None and not met:
                kind = gap_measure(settings.bound_measure)
                told = not_kept("epoch", kind.words, bound)
                found = gap_text(kind.of(chosen.validation, gap))
                told = f"{told}; epoch {chosen.epoch} is restored, with {found}"
                warnings.warn(told, DralignWarning, stacklevel=2)
            for line in self.notes_:
                warnings.warn(line, DralignWarning, stacklevel=2)
        return self

    def frontier(
        self,
        X: object,  # noqa: N803
        y: object,
        sample_weight: object = None,
        *,
        sensitive_features: object,
        weights: Sequence[float] = WEIGHTS,
    ) -> Frontier:
        """Trains a network for each of several fairness weights, all from one early network.

        The classifier itself stays as it is. The smallest weight takes all epochs; each larger one
        begins with its network of the highest AP on the rows kept back, and takes a fifth of the
        epochs at a quarter of the learning rate: the ten weights take 2.8 times the steps of one
        ``fit`` (``dralign.training.train_front``).

        Args:
            X: as ``fit`` takes it, like the next.
            y: labels.
            sample_weight: what each row counts.
            sensitive_features: what makes the groups; there is no front without.
            weights: lambda, different and not negative, in any order; beta is a tenth of each where
                ``alignment_weight`` is None.

        Raises:
            DataError: if X, y or the sensitive features can't be used.
            GroupError: if there is one group only, or a group or needed cell has no training rows.
            OptionError: if a parameter is unknown, not in range or means nothing for a front
                (``fairness_weight``, ``gap_bound``, ``checkpoints``, ``optimiser``,
                ``scheduler``), or the method has no
                fairness weight or can't train on weighted rows.
            ModelError: if the network doesn't fit the inputs, or its loss stops being finite.
        """
        check_frontier(self.get_params(deep=False), sensitive_features, weights)
        begun = clone(self)
        prepared = prepare(begun, X, y, sample_weight, sensitive_features)
        return train_frontier(begun, prepared, weights)

    def predict_proba(self, X: object) -> np.ndarray:  # noqa: N803
        """(n, C) float64 probabilities of ``classes_``; no sensitive features are needed.

        Raises:
            DataError: if a column can't be read.
        """
        inputs = torch.from_numpy(self.network_inputs(X))  # first, as it asks for a fit
        prob = probabilities(self.module_, inputs, own=self.architecture_ is not None)
        return np.column_stack([1 - prob, prob]) if prob.ndim == 1 else prob

    def network_inputs(self, X: object) -> np.ndarray:  # noqa: N803
        """(n, d) float32 inputs of ``module_`` (which takes them in the type of its weights), of X.

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

        ``dralign predict`` reads it too. A random state that is not an integer is not kept,
        nor are functions; ``artifact.json`` names those.

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
