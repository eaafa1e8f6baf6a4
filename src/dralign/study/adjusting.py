"""A saved network whose scores are shifted against a gap: nothing is trained again (Eq. 35)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from dralign.artifact import Artifact
from dralign.artifact.held_out import marks_of_used, training_data, used_rows
from dralign.data import Dataset, ImageEncoder, Split
from dralign.data.columns import require_columns
from dralign.data.grouping import table_groups, warn_of_lacking
from dralign.data.splitting import stratified_split
from dralign.errors import DataError, OptionError
from dralign.groups import require_groups
from dralign.metrics import Cells, gap_measure, measure
from dralign.metrics.decisions import check_threshold
from dralign.metrics.measures import DEFAULT, figures_of
from dralign.metrics.record import scored
from dralign.metrics.resampling import Interval
from dralign.metrics.scored_rows import Scored
from dralign.models import architecture_of
from dralign.postprocessing import CellModel, ShiftFront, ShiftPoint, front_of, shift_network
from dralign.study.front import row_intervals
from dralign.study.network import told_groups
from dralign.training import EpochRecord, Selection, cautions, predict_probability

_BY_GROUP: Final = "by the group of each row"
_WEIGHTED: Final = "adjust: training rows were weighted, and a shift takes no weights of rows"
_BY_INPUTS: Final = "by what the inputs tell of the group"


@dataclass(frozen=True)
class Wanted:
    """How the scores are to be shifted.

    Attributes:
        max_gap: the largest gap on the validation rows; None if the weight is given.
        weight: c; None if it is to be found. More than that of equal expected rates is that.
        gap: which gap.
        measure: in which measure the largest gap is meant.
        use_group: whether scores may depend on the group of each row.
        threshold: from which probability on the decision is positive, or ``"base-rate"``; None
            keeps the network's own.
    """

    max_gap: float | None = None
    weight: float | None = None
    gap: str = "demographic_parity"
    measure: str = DEFAULT
    use_group: bool = False
    threshold: float | str | None = None

    def __post_init__(self) -> None:
        """Checks it before any work.

        Raises:
            OptionError: if there is not one of a largest gap and a weight, or one can't be.
        """
        gap_measure(self.measure)
        if (self.max_gap is None) == (self.weight is None):
            raise OptionError("expected a largest gap (--max-gap) or a weight (--weight), not both")
        for name, value in (("max_gap", self.max_gap), ("weight", self.weight)):
            if value is not None and not 0 <= value < float("inf"):
                raise OptionError(f"{name}: expected a number from 0 up, got {value!r}")
        if self.threshold is not None:
            check_threshold(self.threshold)


@dataclass(frozen=True)
class AdjustedNetwork:
    """What an adjustment gave.

    Attributes:
        artifact: the network with its scores shifted.
        front: the figures of the validation rows at rising weights.
        chosen: the point of the front that was taken.
        met: whether it keeps the largest gap; True where a weight was given.
        before: the figures of the test rows as the network was.
        after: the same, shifted.
        intervals: for ``"before"`` and ``"after"`` the 95 % intervals of average precision and the
            gap, over test rows drawn anew.
        note: which rows these were.
    """

    artifact: Artifact
    front: ShiftFront
    chosen: ShiftPoint
    met: bool
    before: Mapping[str, float]
    after: Mapping[str, float]
    intervals: Mapping[str, Mapping[str, Interval]]
    note: str


def adjust_network(
    artifact: Artifact, data: Dataset, wanted: Wanted, *, note: str = ""
) -> AdjustedNetwork:
    """The network with its scores shifted as wanted; the trained weights stay as they are.

    The model of the groups is fitted on the training rows, the weight is chosen on the validation
    rows, and figures are of the test rows.

    Args:
        artifact: of two classes, of the columns of a table.
        data: the rows, as ``adjusting_rows`` gives them.
        wanted: how.
        note: which rows these are, for the card.

    Raises:
        OptionError: if the network is of images or more classes, or was adjusted already, or rows
            are weighted.
        GroupError: if a group has no training rows.
    """
    require_adjustable(artifact)
    if data.is_weighted:
        raise OptionError(_WEIGHTED)
    require_groups(data.train.group, data.group_names, where="training")
    n_groups, validation = data.n_groups, data.validation
    model = CellModel.fit(
        data.train.x, data.train.y, data.train.group, gap=wanted.gap, n_groups=n_groups
    )
    prob = predict_probability(artifact.model, validation.x)
    p, codes = prob.double().numpy(), validation.group.numpy()
    if wanted.use_group:
        shift, amount = model.shift_of_known(p, codes)
    else:
        shift, amount = model.shift_for(p, validation.x)
    front = front_of(
        p,
        amount,
        shift,
        label=validation.y.numpy(),
        group=codes,
        n_groups=n_groups,
        gap=wanted.gap,
        threshold=artifact.threshold if wanted.threshold is None else wanted.threshold,
        weights=None if wanted.weight is None else (shift.up_to_parity(wanted.weight),),
    )
    chosen, met = front.points[-1], True
    if wanted.max_gap is not None:
        chosen, met = front.select(wanted.max_gap, wanted.measure)
    moved = replace(artifact, sensitive=data.sensitive, group_names=data.group_names)
    moved = replace(moved, threshold=chosen.threshold)
    if wanted.use_group:
        pairs = (chosen.weight * model.cells.by_group(shift.per_cell)).tolist()
        moved = replace(moved, shifts=tuple((low, high) for low, high in pairs))
    else:
        network = shift_network(artifact.model, model, shift, chosen.weight).eval()
        architecture = architecture_of(network, artifact.architecture)
        moved = replace(moved, model=network, architecture=architecture)
    test = {
        "before": _scored(artifact, data.test, n_groups),
        "after": _scored(moved, data.test, n_groups),
    }
    before, after = map(figures_of, test.values())
    told = _told(wanted, chosen, met=met, front=front, note=note)
    training = _training(moved, data, told, after, Cells.of(test["after"]))
    training |= marks_of_used(artifact, data.train.x, data.validation.x)
    measures = (measure("average_precision"), gap_measure(wanted.measure))
    intervals = {name: row_intervals(rows, measures, wanted.gap) for name, rows in test.items()}
    adjusted = replace(moved, training=training)
    return AdjustedNetwork(adjusted, front, chosen, met, before, after, intervals, note)


def require_adjustable(artifact: Artifact) -> None:
    """Checks that the scores of a network can be shifted.

    Raises:
        OptionError: if not.
    """
    if isinstance(artifact.encoder, ImageEncoder):
        raise OptionError("adjust: this network takes images; scores of tables can be shifted")
    if artifact.class_names:
        raise OptionError(f"adjust: for two classes, this has {len(artifact.class_names)}")
    if artifact.source is not None and artifact.source.weight:
        raise OptionError(_WEIGHTED)
    if artifact.thresholds:
        raise OptionError("adjust: this network decides by the group already; train one with erm")
    if artifact.shifts or "adjusted" in artifact.training:
        raise OptionError("adjust: this network was adjusted already; take the one it was made of")


def adjusting_rows(
    artifact: Artifact,
    table: str | Path,
    *,
    sensitive: Sequence[str] = (),
    seed: int = 0,
    **reading: Any,  # noqa: ANN401 - as ``Artifact.read`` takes them
) -> tuple[Dataset, str]:
    """The rows to adjust a network by, and a line that says which they are.

    Of the table, or the built-in dataset, that the network was trained on, its own three parts. Of
    another table 60 % to learn the groups from, 20 % to choose the weight by, and 20 % for figures.

    Args:
        artifact: the network.
        table: a CSV or Parquet file with the columns of training, the label and the sensitive
            columns; or the name of the built-in dataset.
        sensitive: the columns that make the groups; empty for those of the training.
        seed: of the split of another table.
        **reading: ``sep``, ``decimal``, ``encoding`` and ``na`` of the table.

    Raises:
        OptionError: if the name is that of another dataset, or there are no sensitive columns.
        DataError: if a column is missing or can't be used.
    """
    require_adjustable(artifact)
    chosen = tuple(sensitive) or artifact.sensitive
    source, own = artifact.source, chosen == artifact.sensitive
    if not Path(table).suffix and not Path(table).exists():
        if source is None or source.name != str(table) or not own:
            raise OptionError(f"{table}: no such file, and not the dataset of this network")
        trial: Any = artifact.training.get("trial", {})
        return source.load(int(trial.get("seed", 0))), f"the parts of {table} it was trained with"
    known = training_data(artifact, table) if own else None
    if known is not None:
        return known, f"the parts of {Path(table).name} it was trained with"
    frame = artifact.prepared(artifact.read(table, **reading))
    if not chosen:
        raise OptionError(f"{table}: which column makes the groups? give it with --sensitive")
    require_columns(frame, [artifact.label, *chosen], where=str(table))
    if artifact.source is not None and artifact.source.drop_missing_label:
        frame = frame[frame[artifact.label].notna()]
    y = torch.from_numpy(artifact.coded_label(frame[artifact.label])[0]).long()
    groups = artifact.groups(frame) if own else table_groups(frame, chosen)
    warn_of_lacking(frame, chosen)
    x = torch.as_tensor(artifact.encoded(frame), dtype=torch.float32)
    rows = stratified_split(groups.codes.numpy() * 2 + y.numpy(), seed)
    if not all(map(len, rows)):
        raise DataError(f"{table}: {len(frame)} rows are too few for three parts")
    train, validation, test = (Split(x[at], y[at], groups.codes[at]) for at in rows)
    data = Dataset(
        name=Path(table).name,
        preparation="standard",
        train=train,
        validation=validation,
        test=test,
        group_names=groups.names,
        sensitive=chosen,
        label=artifact.label,
        positive=artifact.positive,
        encoder=artifact.encoder,
    )
    used = used_rows(artifact, x)
    trained = "" if used is None or not used.any() else f", {int(used.sum()):,} of them trained on"
    return data, f"{len(frame):,} rows of {data.name}{trained}, 60/20/20"


def _scores(artifact: Artifact, rows: Split) -> Tensor:
    """(n,) what the network says of rows of inputs, after shifts by group."""
    return artifact.shifted(predict_probability(artifact.model, rows.x), rows.group)


def _scored(artifact: Artifact, rows: Split, n_groups: int) -> Scored:
    """Rows with scores, and decisions at the network's threshold."""
    return scored(
        rows.y.numpy(),
        _scores(artifact, rows).numpy(),
        rows.group.numpy(),
        n_groups=n_groups,
        threshold=artifact.threshold,
    )


def _told(
    wanted: Wanted, chosen: ShiftPoint, *, met: bool, front: ShiftFront, note: str
) -> dict[str, Any]:
    """What the saved network says of its adjustment."""
    return {
        "method": "scores shifted",
        "how": _BY_GROUP if wanted.use_group else _BY_INPUTS,
        "weight": chosen.weight,
        "gap": wanted.gap,
        "measure": wanted.measure,
        "max_gap": wanted.max_gap,
        "validation_gap": chosen.gap(wanted.measure, wanted.gap),
        "met": None if wanted.max_gap is None else ("yes" if met else "NO"),
        "rows": note,
        "front": {str(index): row for index, row in enumerate(front.rows())},
    }


def _training(
    moved: Artifact,
    data: Dataset,
    told: Mapping[str, Any],
    test: Mapping[str, float],
    cells: Cells | None,
) -> dict[str, Any]:
    """The record of the network, with the figures it now has."""
    validation = figures_of(_scored(moved, data.validation, data.n_groups))
    of_test = {} if cells is None else {"test": cells}
    record = EpochRecord(0, 0.0, validation, dict(test), {}, 0.0, 0.0, cells=of_test)
    lines = cautions((record,), Selection("last", 0), told["gap"], names=data.group_names)
    return {
        **moved.training,
        "adjusted": dict(told),
        "validation": validation,
        "test": dict(test),
        "threshold": moved.threshold,
        "groups": [] if cells is None else told_groups(cells, data.group_names),
        "notes": [one.text for one in lines],
    }
