"""Trials: the settings that define one, and the content hash that identifies it."""

import hashlib
import json
import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_args

from dralign.data import DataSource
from dralign.errors import OptionError, StudyError, unknown
from dralign.gaps import Aggregate
from dralign.methods import LossConvention, Method, Penalty, bounded_weights, build_method
from dralign.rationale import Granularity
from dralign.training import Precision, TrainingSettings

RECORD_FORMAT = 1
Layers = Literal["all"] | int | tuple[str, ...]
Network = Literal["auto", "mlp", "alexnet", "resnet18"]

_FLOATS = ("fairness_weight", "alignment_weight", "gap_bound", "learning_rate")
_OPTIONAL = ("batch_size", "classifier_width", "micro_batch", "patience")
_COUNTS = {
    "alignment_every": 1,
    "classifier_width": 1,
    "hidden": 1,
    "depth": 0,
    "epochs": 1,
    "iterations": 1,
    "batch_size": 1,
    "micro_batch": 1,
    "patience": 1,
    "seed": 0,
}


@dataclass(frozen=True)
class TrialSpec:
    """Everything that decides the outcome of one training run on the CPU.

    Numbers are brought to one form (``1`` to ``1.0`` for a weight, ``-0.0`` to ``0.0``), so that
    equal settings are equal trials.

    Attributes:
        data: where the rows come from and how they are prepared.
        method: a name of ``dralign.methods.METHOD_NAMES``.
        gap: the gap it is trained for, and judged by.
        fairness_weight: lambda.
        alignment_weight: beta.
        gap_bound: the largest soft validation gap, under which lambda is found while training (and
            beta, a tenth of it); both weights are then 0 here.
        granularity: of the rationales that are aligned.
        layers: the layers to be aligned: all, the last k, or names.
        alignment_every: the alignment term enters every k-th step.
        aggregate: whether training makes the largest difference of any two groups small, or the
            mean over pairs; the gap that is recorded is always the largest.
        loss: the loss convention.
        penalty: of dralign, what lambda weighs: the gap, or Fair Mixup's penalty.
        mixup_layer: the module whose output is mixed, of mixup and that penalty; None for inputs.
        network: ``"mlp"``, ``"alexnet"`` or ``"resnet18"``; ``"auto"`` is the perceptron for a
            table, and AlexNet for images.
        classifier_width: units in each hidden layer of AlexNet's classifier; None for 4096.
        hidden: units in each hidden layer of the perceptron.
        depth: the number of its hidden layers.
        epochs: as in ``TrainingSettings``, like the next three.
        iterations: steps per epoch.
        batch_size: rows per block of a batch; None takes the dataset's own.
        learning_rate: of Adam.
        micro_batch: as in ``TrainingSettings``, like the next two.
        precision: of forward passes.
        patience: epochs without another chosen one, after which training stops.
        readings: whether the record keeps every reading of the rationales that the paper's tables
            may show (``dralign.rationale.readings``), for the epoch that the published rule picks.
        seed: of the split, the initialisation and the sampling.
    """

    data: DataSource
    method: str
    gap: str = "demographic_parity"
    fairness_weight: float = 0.0
    alignment_weight: float = 0.0
    gap_bound: float | None = None
    granularity: Granularity = "unit"
    layers: Layers = "all"
    alignment_every: int = 1
    aggregate: Aggregate = "max"
    loss: LossConvention = "batch_mean"
    penalty: Penalty = "gap"
    mixup_layer: str | None = None
    network: Network = "auto"
    classifier_width: int | None = None
    hidden: int = 200
    depth: int = 2
    epochs: int = 10
    iterations: int = 100
    batch_size: int | None = None
    learning_rate: float = 1e-3
    micro_batch: int | None = None
    precision: Precision = "float32"
    patience: int | None = None
    readings: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every setting now, rather than in the middle of a study.

        Raises:
            OptionError: if a setting is unknown, not a number where one is needed, or not in range.
        """
        for name in _FLOATS:
            if name != "gap_bound" or self.gap_bound is not None:
                self._set(name, _number(name, getattr(self, name)))
        for name, least in _COUNTS.items():
            if name not in _OPTIONAL or getattr(self, name) is not None:
                self._set(name, _count(name, getattr(self, name), least))
        if not isinstance(self.layers, (str, int)):
            self._set("layers", tuple(self.layers))
        if self.granularity not in get_args(Granularity):
            raise OptionError(unknown("granularity", self.granularity, get_args(Granularity)))
        if self.network not in get_args(Network):
            raise OptionError(unknown("network", self.network, get_args(Network)))
        self._check_types()
        self.build_method()
        self.training_settings()

    def _check_types(self) -> None:
        """Checks what nothing else looks at before it is used.

        Raises:
            OptionError: if a setting is of another type.
        """
        if isinstance(self.layers, tuple) and not all(isinstance(k, str) for k in self.layers):
            raise OptionError(f"layers: expected all, a count or names, got {self.layers!r}")
        if not isinstance(self.mixup_layer, (str, type(None))):
            raise OptionError(
                f"mixup_layer: expected the name of a module, got {self.mixup_layer!r}"
            )
        if not isinstance(self.readings, bool):
            raise OptionError(f"readings: expected True or False, got {self.readings!r}")

    def _set(self, name: str, value: object) -> None:
        """Stores a normalised value in the frozen instance."""
        object.__setattr__(self, name, value)

    def build_method(self, n_classes: int = 2) -> Method:
        """The method that these settings describe, for a label of so many classes.

        Under a gap bound its lambda is 1, which training multiplies.
        """
        weights = self.fairness_weight, self.alignment_weight
        if self.gap_bound is not None:
            weights = bounded_weights(self.method, *weights)
        return build_method(
            self.method,
            gap=self.gap,
            fairness_weight=weights[0],
            alignment_weight=weights[1],
            granularity=self.granularity,
            layers=self.layers,
            alignment_every=self.alignment_every,
            aggregate=self.aggregate,
            loss=self.loss,
            penalty=self.penalty,
            mixup_layer=self.mixup_layer,
            n_classes=n_classes,
        )

    def training_settings(self) -> TrainingSettings:
        """The settings of the training loop."""
        return TrainingSettings(
            epochs=self.epochs,
            iterations=self.iterations,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            micro_batch=self.micro_batch,
            precision=self.precision,
            patience=self.patience,
            gap_bound=self.gap_bound,
            seed=self.seed,
        )

    def portable(self) -> "TrialSpec":
        """The spec as records keep it: it names a file, and does not say where it lies."""
        return TrialSpec.from_dict(self.to_dict())

    @property
    def hash(self) -> str:
        """The content hash of ``Trial``; the data are read to take their fingerprint."""
        return Trial(self, self.data.fingerprint()).hash

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form. It leaves out where the data lie on this machine (``data_home``)."""
        form = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        form["data"] = {k: v for k, v in self.data.to_dict().items() if k != "data_home"}
        if isinstance(self.layers, tuple):
            form["layers"] = list(self.layers)
        return form

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "TrialSpec":
        """The spec that ``to_dict`` gave, without ``data_home``.

        Raises:
            StudyError: if a key is unknown or missing.
        """
        known = {entry.name for entry in fields(cls)}
        if extra := sorted(set(form) - known):
            raise StudyError(f"trial: unknown setting {extra[0]!r}; written by a newer dralign?")
        if lacking := sorted({"data", "method"} - set(form)):
            raise StudyError(f"trial: the setting {lacking[0]!r} is missing")
        return cls(**{**form, "data": DataSource.from_dict(form["data"])})


@dataclass(frozen=True)
class Trial:
    """A spec together with the content of its data.

    Attributes:
        spec: the settings.
        fingerprint: what ``DataSource.fingerprint`` gave for the data.
    """

    spec: TrialSpec
    fingerprint: str

    @property
    def hash(self) -> str:
        """The content hash that identifies the trial, the same on every machine.

        SHA-256 of a canonical JSON text of the settings, the fingerprint and the record format. A
        setting at its default is left out of the text, so that a setting added later leaves the
        hashes of older trials alone; whoever changes a default must raise ``RECORD_FORMAT``.
        """
        defaults = {entry.name: entry.default for entry in fields(TrialSpec)}
        settings = {
            name: value
            for name, value in self.spec.to_dict().items()
            if defaults[name] is MISSING or value != defaults[name]
        }
        text = json.dumps(
            {"format": RECORD_FORMAT, "fingerprint": self.fingerprint, "settings": settings},
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()


def identify(specs: Iterable[TrialSpec]) -> dict[str, Trial]:
    """The trials by content hash, in the given order; each data source is read once.

    Raises:
        OptionError: if a name in them is not UTF-8.
    """
    fingerprints: dict[DataSource, str] = {}
    trials: dict[str, Trial] = {}
    for spec in specs:
        if spec.data not in fingerprints:
            fingerprints[spec.data] = spec.data.fingerprint()
        _check_texts(spec)
        trial = Trial(spec, fingerprints[spec.data])
        trials.setdefault(trial.hash, trial)
    return trials


def _check_texts(spec: TrialSpec) -> None:
    """Checks that a record can hold what the trial is.

    Raises:
        OptionError: if a text has half a surrogate pair, as has a file's name that is not UTF-8.
    """
    try:
        json.dumps(spec.to_dict(), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        name = ascii(error.object[max(0, error.start - 20) : error.end + 20])
        raise OptionError(f"a name is not UTF-8: {name}; rename the file or column") from error


def _number(name: str, value: object) -> float:
    """A finite float; adding 0.0 turns -0.0 into 0.0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise OptionError(f"{name}: expected a finite number, got {value!r}")
    return float(value) + 0.0


def _count(name: str, value: object, least: int) -> int:
    """A whole number from ``least`` up."""
    try:
        count = operator.index(value)  # type: ignore[arg-type]  # that is what is tried
    except TypeError:
        count = least - 1
    if not least <= count < 2**63:  # what a column of a table can hold
        raise OptionError(f"{name}: expected a whole number from {least} up, got {value!r}")
    return count
