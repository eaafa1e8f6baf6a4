"""A trial whose network is kept: trained, chosen among its epochs, and described."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from dralign.artifact import Artifact
from dralign.data import Dataset
from dralign.data.marks import RowMarks
from dralign.errors import DralignError, ModelError, OptionError
from dralign.metrics import Cells, GroupRow
from dralign.metrics.arrays import THRESHOLD
from dralign.metrics.decisions import (
    BASE_RATE,
    base_rate_threshold,
    check_bounded,
    check_threshold,
)
from dralign.models import architecture_of
from dralign.step import rank
from dralign.study.environment import environment
from dralign.study.spec import TrialSpec
from dralign.study.trial import Architecture, train_trial
from dralign.training import (
    Checkpoints,
    EpochRecord,
    History,
    Selection,
    cautions,
    find_device,
    group_thresholds,
    joined,
    predict_probability,
)
from dralign.training.evaluation import SplitFigures, score_splits

FEWEST_SHOWN: Final = 10  # rows of a group, of which a saved network tells the rates
_WEIGHTED: Final = ("base_rate", "weight")


@dataclass(frozen=True)
class TrainedNetwork:
    """What a training gave.

    Attributes:
        artifact: the network of the chosen epoch, with its preprocessing and figures, on the CPU.
        chosen: the record of that epoch.
        notes: what must be said of its decisions; mostly nothing.
    """

    artifact: Artifact
    chosen: EpochRecord
    notes: tuple[str, ...]


def train_network(
    spec: TrialSpec,
    *,
    rule: Selection | None = None,
    threshold: float | str = THRESHOLD,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    checkpoints: Path | None = None,
    pretrained: Path | None = None,
    on_data: Callable[[Dataset], None] | None = None,
    remember_rows: bool = True,
) -> TrainedNetwork | None:
    """Trains one network, to be saved with ``dralign.artifact.save_artifact``.

    Args:
        spec: the settings.
        rule: how the epoch is chosen; None for ``Selection()``.
        threshold: the probability from which on the decision is positive; ``"base-rate"`` finds the
            one that selects as many validation rows as are positive.
        device: to train on; with several processes ``"cuda"`` is a GPU for each.
        on_epoch: called with each record as it is made, in the first process.
        checkpoints: the folder that the run is saved in as it goes, and continues from.
        pretrained: a file of weights to begin with, as in ``dralign.models.load_weights``.
        on_data: called with the data before anything is trained, in the first process.
        remember_rows: whether the network keeps hashes of its rows (``dralign.data.marks``).

    Returns:
        The network; None in a process of several that is not the first.

    Raises:
        OptionError: if there is no such device, the threshold can't be one, or it is not 0.5 and a
            bound is on the hard gap, which is judged there.
        ModelError: if the file of weights can't be read.
    """
    rule, begun = rule or Selection(), _begun_with(pretrained)
    if threshold != THRESHOLD:
        check_network_threshold(threshold, spec, rule, spec.data.load(spec.seed).n_classes)
    with joined(find_device(device) if isinstance(device, str) else device) as index:
        first = rank() == 0
        fingerprint = fingerprint_before(spec) if first else ""
        dataset, architecture, run = train_trial(
            spec,
            on_epoch=on_epoch if first else None,
            device=index,
            keep=rule,
            checkpoints=None if checkpoints is None else Checkpoints(checkpoints),
            pretrained=pretrained,
            on_data=on_data if first else None,
        )
    if not first:
        return None
    run.model.cpu()
    chosen = run.restore(rule, spec.gap)
    return described(
        run.judged(dataset),
        dataset,
        architecture,
        spec=spec,
        rule=rule,
        history=run.history,
        chosen=chosen,
        threshold=threshold,
        fingerprint=fingerprint,
        remember_rows=remember_rows,
        begun=begun,
    )


def described(
    model: nn.Module,
    dataset: Dataset,
    architecture: Architecture,
    *,
    spec: TrialSpec,
    rule: Selection,
    history: History,
    chosen: EpochRecord,
    threshold: float | str,
    fingerprint: str,
    remember_rows: bool,
    begun: Mapping[str, Any],
) -> TrainedNetwork:
    """A trained network with all that is to be saved of it.

    Args:
        model: the network with the weights of the chosen epoch, on the CPU.
        dataset: what it was trained on.
        architecture: for ``dralign.models.build``.
        spec: the settings.
        rule: by which the epoch was chosen.
        history: the records it was chosen among.
        chosen: that of the epoch.
        threshold: as ``train_network`` takes it.
        fingerprint: of the data.
        remember_rows: whether the network keeps hashes of its rows.
        begun: what the record says of how training began.
    """
    bound = spec.gap_bound
    decided = _decided(model, dataset, spec, threshold)
    result = cautions(history, rule, spec.gap, names=dataset.group_names)
    if decided.threshold != THRESHOLD:  # the records decide at 0.5
        cells = {} if decided.test.cells is None else {"test": decided.test.cells}
        at = replace(chosen, test=decided.test.figures, cells=cells)
        result = [
            *(one for one in result if one.kind in {"epoch", "undefined"}),
            *cautions((at,), Selection("last", 0), spec.gap, names=dataset.group_names),
        ]
    notes = (*weighting_notes(dataset), *(one.text for one in result))
    trained = {
        "trial": spec.to_dict(),
        "fingerprint": fingerprint,
        "selection": rule.told(history, spec.gap),
        "epoch": chosen.epoch,
        "found_weight": chosen.found_weight,
        "bound_met": None if bound is None else chosen.keeps(bound, spec.gap, spec.bound_measure),
        "validation": chosen.validation,
        "test": decided.test.figures,
        "threshold": decided.threshold,
        "groups": decided.groups(dataset.group_names),
        "similarity": chosen.similarity,
        "notes": list(notes),
        "label_values": list(dataset.label_values),
        **({"rows": marks.to_dict()} if remember_rows and (marks := RowMarks.of(dataset)) else {}),
        "environment": dict(environment()),
        **begun,
    }
    artifact = Artifact(
        model=model,
        architecture=architecture_of(model, architecture),
        encoder=dataset.encoder,
        label=dataset.label,
        positive=dataset.positive,
        sensitive=dataset.sensitive,
        group_names=dataset.group_names,
        training=trained,
        class_names=dataset.class_names,
        thresholds=decided.thresholds,
        threshold=decided.threshold,
    )
    return TrainedNetwork(artifact, chosen, notes)


def fingerprint_before(spec: TrialSpec) -> str:
    """The fingerprint of the data, before they are read; empty where they can't be."""
    try:
        return spec.data.fingerprint()
    except DralignError:  # reading them will say why
        return ""


def _begun_with(pretrained: Path | None) -> dict[str, Any]:
    """What the record says of the weights that training begins with.

    Raises:
        ModelError: if the file can't be read.
    """
    if pretrained is None:
        return {}
    try:
        with pretrained.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{pretrained}: {error.strerror or error}") from error
    return {"pretrained": {"file": pretrained.name, "sha256": content}}


@dataclass(frozen=True)
class _Decided:
    """How the network decides, and what comes of it on the test rows."""

    thresholds: tuple[float, ...]
    threshold: float
    test: SplitFigures

    def groups(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The groups with their sizes and rates."""
        return [] if self.test.cells is None else told_groups(self.test.cells, names)


def weighting_notes(dataset: Dataset) -> tuple[str, ...]:
    """What a reader of figures must know where rows are weighted; else nothing."""
    line = (
        f"rows are weighted by {dataset.weight!r}: all rates, means, gaps and measures are; rows "
        "and positives are counted"
    )
    return (line,) if dataset.is_weighted else ()


def told_groups(cells: Cells, names: Sequence[str]) -> list[dict[str, Any]]:
    """The groups with their sizes and rates; of small ones nothing but that they are."""
    return [
        _told(row) if row.rows >= FEWEST_SHOWN else {"group": row.group, "rows": None}
        for row in cells.group_rows(names)
    ]


def _told(row: GroupRow) -> dict[str, Any]:
    """A group as JSON; what follows from rows and positives is told of weighted rows alone."""
    own = asdict(row)
    return own if row.weight is not None else {k: v for k, v in own.items() if k not in _WEIGHTED}


def check_network_threshold(
    threshold: float | str, spec: TrialSpec, rule: Selection, n_classes: int
) -> None:
    """Checks, before anything is trained, that a network can decide so.

    Raises:
        OptionError: if it can't, or a bound on the gap says nothing of such decisions.
    """
    if threshold == THRESHOLD:
        return
    check_threshold(threshold, n_classes=n_classes)
    if spec.gap_bound is not None:
        check_bounded(spec.bound_measure, threshold)
    if rule.bound is not None:
        check_bounded(rule.measure, threshold)
    if spec.build_method(n_classes).post_process is not None:
        raise OptionError(f"threshold: the method {spec.method!r} finds one for each group")


def _decided(
    model: nn.Module,
    dataset: Dataset,
    spec: TrialSpec,
    threshold: float | str,
) -> _Decided:
    """The thresholds, chosen on the validation rows, and the figures of the test rows by them."""
    method, rows = spec.build_method(dataset.n_classes), dataset.validation
    prob = predict_probability(model, rows.x)
    thresholds = group_thresholds(prob, dataset, method) or ()
    if threshold == BASE_RATE:
        threshold = base_rate_threshold(rows.y.numpy(), prob.numpy(), sample_weight=rows.weights)
    _, test = score_splits(model, dataset, method, threshold=float(threshold))
    return _Decided(thresholds, float(threshold), test)
