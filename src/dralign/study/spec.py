"""Trials: the settings that define one, and the content hash that identifies it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from dralign.data import DataSource
from dralign.errors import DralignError, OptionError, StudyError, quoted
from dralign.methods import Method, build_method, method_options, method_settings, method_type
from dralign.methods.shared import GAP, LOSS
from dralign.models import NETWORK
from dralign.settings import Setting, resolved
from dralign.training import TrainingSettings
from dralign.training.settings import BOUND_MEASURE, GAP_BOUND, SEED, TRAINING

RECORD_FORMAT = 2
READINGS: Final = Setting(
    "readings",
    "Keep every reading of the rationales that the paper's tables may show, for the epoch that the "
    "published rule picks.",
    "flag",
    default=False,
    panel="output",
)
COMMON: Final = (GAP, GAP_BOUND, BOUND_MEASURE, LOSS, *NETWORK, *TRAINING, READINGS, SEED)


@dataclass(frozen=True, init=False)
class TrialSpec:
    """Everything that decides the outcome of one training run on the CPU.

    Every setting is an attribute, for example ``spec.epochs`` or ``spec.fairness_weight``; one that
    the method does not use has the value that stands for that (docs/settings.md). Settings are
    brought to one form (``1`` to ``1.0`` for a weight), so that equal settings are equal trials.

    Attributes:
        data: where the rows come from and how they are prepared.
        method: a name of ``dralign.methods.method_names()``.
        values: every setting that the trial has, by name, in their order.
    """

    data: DataSource
    method: str
    values: tuple[tuple[str, Any], ...]

    def __init__(
        self,
        data: DataSource,
        method: str,
        *,
        values: Iterable[tuple[str, Any]] = (),
        **settings: Any,  # noqa: ANN401 - what is declared in ``COMMON`` and by the method
    ) -> None:
        """Checks every setting now, rather than in the middle of a study.

        Args:
            data: where the rows come from.
            method: the name of the method.
            values: settings of another trial, over which ``settings`` go.
            **settings: of ``COMMON`` and of the method; what is not given, or None, takes its
                default.

        Raises:
            OptionError: if a setting is unknown, not a number where one is needed, not in range, or
                not used by the method.
        """
        given = {**dict(values), **settings}
        common = {s.name: given.pop(s.name) for s in COMMON if s.name in given}
        kind = method_type(method)
        common = resolved(COMMON, common)
        options = method_options(kind, given, gap_bound=common["gap_bound"])
        ordered = {GAP.name: common.pop(GAP.name), **options, **common}
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "values", tuple(ordered.items()))
        self.build_method()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the setting holds
        if name.startswith("_") or name in {"data", "method", "values"}:
            raise AttributeError(name)
        if name in self._settings:
            return self._settings[name]
        known = method_settings()
        if name not in known:
            raise AttributeError(f"TrialSpec has no setting {name!r}")
        return known[name].off

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """The values by name."""
        return dict(self.values)

    def uses(self, setting: str) -> bool:
        """Whether a setting means anything for this trial."""
        return setting in self._settings

    def but(self, **settings: Any) -> "TrialSpec":  # noqa: ANN401 - as above
        """The trial with other settings."""
        return TrialSpec(self.data, self.method, values=self.values, **settings)

    def at_weight(self, fairness_weight: float) -> "TrialSpec":
        """The trial at another lambda; what equals its default by lambda (beta) follows it."""
        following: dict[str, None] = {}
        for setting in method_type(self.method).settings:
            if callable(setting.default):
                default = setting.checked(setting.default(self._settings))
                if self._settings[setting.name] == default:
                    following[setting.name] = None
        return self.but(fairness_weight=fairness_weight, **following)

    @property
    def options(self) -> dict[str, Any]:
        """The settings of the method."""
        names = method_type(self.method).setting_names
        return {name: value for name, value in self.values if name in names}

    def build_method(self, n_classes: int = 2) -> Method:
        """The method that these settings describe, for a label of so many classes.

        Under a gap bound its lambda is 1, which training multiplies.
        """
        return build_method(
            self.method,
            gap=self.gap,
            loss=self.loss,
            n_classes=n_classes,
            gap_bound=self.gap_bound,
            **self.options,
        )

    def training_settings(self) -> TrainingSettings:
        """The settings of the training loop."""
        names = [setting.name for setting in (*TRAINING, SEED, GAP_BOUND, BOUND_MEASURE)]
        return TrainingSettings(**{name: self._settings[name] for name in names})

    def portable(self) -> "TrialSpec":
        """The spec as records keep it: it names a file, and does not say where it lies."""
        return TrialSpec.from_dict(self.to_dict())

    @property
    def hash(self) -> str:
        """The content hash of ``Trial``; the data are read to take their fingerprint."""
        return Trial(self, self.data.fingerprint()).hash

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form. It leaves out where the data lie on this machine (``data_home``)."""
        data = {k: v for k, v in self.data.to_dict().items() if k != "data_home"}
        lists = {k: list(v) if isinstance(v, tuple) else v for k, v in self.values}
        return {"data": data, "method": self.method, **lists}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "TrialSpec":
        """The spec that ``to_dict`` gave, without ``data_home``.

        A record that was written before a setting was there has it switched off.

        Raises:
            StudyError: if a key is unknown or missing.
        """
        declared = {**{s.name: s for s in COMMON}, **method_settings()}
        if extra := sorted(set(form) - {"data", "method"} - set(declared)):
            raise StudyError(
                f"trial: unknown setting {quoted(extra[0])}; written by a newer dralign?"
            )
        if lacking := sorted({"data", "method"} - set(form)):
            raise StudyError(f"trial: the setting {lacking[0]!r} is missing")
        given = {name: value for name, value in form.items() if name not in {"data", "method"}}
        kind = method_type(form["method"])
        off = {s.name: s.off for s in kind.settings if s.name not in given}
        return cls(DataSource.from_dict(form["data"]), kind.name, **{**off, **given})


def check_taken(given: Mapping[str, Iterable[Any]], specs: Iterable[TrialSpec]) -> None:
    """Checks that settings that were given for several methods are those of some trial.

    A method goes without what it does not use; what none of them uses was asked for in vain.

    Args:
        given: the values of each setting; None asks for nothing.
        specs: the trials that came of them.

    Raises:
        OptionError: if no trial has any of the values of a setting.
    """
    specs = list(specs)
    declared = {**{s.name: s for s in COMMON}, **method_settings()}
    for name, values in given.items():
        asked = {declared[name].checked(value) for value in values if value is not None}
        if asked and not asked & {getattr(spec, name) for spec in specs}:
            methods = ", ".join(dict.fromkeys(spec.method for spec in specs))
            told = ", ".join(quoted(value) for value in values)
            raise OptionError(f"{name}: not used by the methods given ({methods}), got {told}")


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
        setting that is switched off is left out of the text, so that a setting added later leaves
        the hashes of older trials alone.
        """
        declared = {**{s.name: s for s in COMMON}, **method_settings()}
        form = self.spec.to_dict()
        settings = {
            name: value
            for name, value in form.items()
            if name not in declared or value != declared[name].off
        }
        text = json.dumps(
            {"format": RECORD_FORMAT, "fingerprint": self.fingerprint, "settings": settings},
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def check_data(self) -> None:
        """Checks that the data are still those of the fingerprint, where this process runs.

        Raises:
            StudyError: if they are others, or can't be read.
        """
        name = self.spec.data.name
        try:
            result = self.spec.data.fingerprint()
        except DralignError as error:
            raise StudyError(f"{error}; it could be read when the study began") from error
        if result != self.fingerprint:
            raise StudyError(
                f"{name}: the file changed while the study ran (or is another one where a worker "
                "runs); what is recorded is of the old one, the same command begins anew"
            )


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
