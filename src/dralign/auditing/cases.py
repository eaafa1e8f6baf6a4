"""What an audit is given: a network and the rows it is run on, from files or a built-in dataset."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from dralign.artifact import Artifact, load_artifact
from dralign.artifact.held_out import training_data, used_rows
from dralign.auditing.assessment import audit
from dralign.auditing.columns import label_of, numbers_of
from dralign.auditing.outcomes import Threshold
from dralign.auditing.records import UNKNOWN, Audit, Meaning
from dralign.data import Dataset, DataSource, ImageEncoder, ImagePaths, read_table
from dralign.data.columns import require_columns
from dralign.data.grouping import table_groups, warn_of_lacking
from dralign.data.labels import binary_label, is_favourable, label_values
from dralign.data.weighting import weighed_as_trained
from dralign.errors import DralignWarning, OptionError
from dralign.groups import GroupCodes

if TYPE_CHECKING:
    import pandas as pd

# Every split and every removal is a run of a network of images; these take minutes, not hours.
IMAGE_ROWS: Final = 500
IMAGE_SAMPLE: Final = 20
FEWEST_NEW: Final = 0.05  # of the rows; fewer may be twins of others, and say nothing anyway


@dataclass(frozen=True)
class AuditCase:
    """A network, and the rows it is judged by.

    Attributes:
        model: returns logits.
        x: (n, ...) inputs; images are read as they are asked for.
        label: (n,) labels.
        groups: (n,) codes, and the names of the groups.
        title: what the page of the audit is called.
        columns: the names of the inputs, where columns of numbers are given to the network as they
            are.
        note: which rows of a table these are, in words; empty if nothing is known about it.
        meaning: what labels and inputs are, and what the network was trained on.
        weight: (n,) float64 positive weights of the rows; None where they are not weighted.
        threshold: the probability from which on the network decides, as ``dralign.audit`` takes it.
    """

    model: nn.Module
    x: Tensor | ImagePaths
    label: Tensor
    groups: GroupCodes
    title: str
    columns: tuple[str, ...] = ()
    note: str = ""
    meaning: Meaning = UNKNOWN
    weight: Tensor | None = None
    threshold: Threshold | None = None

    @property
    def of_images(self) -> bool:
        """Whether the inputs are images."""
        return len(self.x.shape) == 4

    def drawn(self, rows: int | None = None, *, seed: int = 0) -> "AuditCase":
        """The case with its inputs in memory.

        Args:
            rows: how many are drawn at random, if there are more; None takes all, 500 of images.
            seed: of the draw.

        Raises:
            OptionError: if less than one row is asked for.
        """
        if rows is not None and rows < 1:
            raise OptionError(f"rows: expected at least 1, got {rows}")
        n = len(self.x)
        most = rows or (IMAGE_ROWS if self.of_images else n)
        chosen = torch.arange(n)
        if most < n:
            draw = np.random.default_rng(seed).choice(n, most, replace=False)
            chosen = torch.from_numpy(np.sort(draw))
        return self.only(chosen)

    def only(self, rows: Tensor) -> "AuditCase":
        """The case of the rows with these (m,) numbers alone."""
        groups = _present(self.groups._replace(codes=self.groups.codes[rows]))
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, x=self.x[rows], label=self.label[rows], groups=groups, weight=weight)

    def audit(self, *, sample: int | None = None, **options: Any) -> Audit:  # noqa: ANN401
        """The audit of the network on these rows; of images that are in files, on some drawn.

        Args:
            sample: as in ``dralign.audit``, but that None takes 20 of a network of images.
            **options: other options of ``dralign.audit``.
        """
        case = self if isinstance(self.x, Tensor) else self.drawn()
        audited = (f"audited: {self.note}",) if self.note else ()
        meaning = replace(self.meaning, data=(*audited, *self.meaning.data))
        return audit(
            case.model,
            cast("Tensor", case.x),
            label=case.label,
            group=case.groups.codes,
            group_names=case.groups.names,
            sample_weight=case.weight,
            sample=IMAGE_SAMPLE if sample is None and case.of_images else sample,
            threshold=case.threshold,
            meaning=meaning,
            **options,
        )


def artifact_case(
    folder: str | Path,
    table: str | Path,
    *,
    label: str = "",
    positive: str = "",
    sensitive: Sequence[str] = (),
    images: str | Path = "",
    data_home: str | Path = "",
    partition: str | Path = "",
    all_rows: bool = False,
    favourable: str = "",
    weight: str = "",
    **reading: Any,  # noqa: ANN401 - as ``Artifact.read`` takes them
) -> AuditCase:
    """A network that was saved, and a table, or the test rows of the built-in dataset it is of.

    Of the table that it was trained on, those are its test rows; of another one, the rows that it
    was not trained on. Where it was trained on all of them, a warning says so.

    Args:
        folder: of the network.
        table: a CSV or Parquet file, or the name of the built-in dataset.
        label: the column of the label; empty for the one of the training.
        positive: the value that counts as 1; empty for that of the training.
        sensitive: the columns that make the groups; empty for those of the training.
        images: the folder that paths of images count from; empty for the table's.
        data_home: the folder of datasets that are not in the package.
        partition: the file that puts the images of CelebA into parts.
        all_rows: whether to take the rows that it was trained on too.
        favourable: the label value that is good for a person; empty for what training was told.
        weight: the column of weights; empty for that of the training, if the table has it.
        **reading: ``sep``, ``decimal``, ``encoding`` and ``na`` of the table.

    Raises:
        OptionError: if the network takes no images and their folder is given, it was trained on
            other data than the built-in dataset, or it decides by other groups.
    """
    artifact = load_artifact(folder)
    if artifact.shifts:
        raise OptionError(
            f"{folder}: its scores depend on the group of each row, which is no input of the "
            "network; audit its predictions: dralign predict, then dralign audit --score"
        )
    if artifact.thresholds and tuple(sensitive) not in {(), artifact.sensitive}:
        columns = ", ".join(map(repr, artifact.sensitive))
        raise OptionError(
            f"{folder}: it decides by the groups of {columns}; audit it without --sensitive, or "
            "audit its decisions: dralign predict, then dralign audit --score"
        )
    title = f"Audit of {Path(folder).name} on {Path(table).name}"
    of_images = isinstance(artifact.encoder, ImageEncoder)
    if images and not of_images:
        raise OptionError("images: this network takes the columns of a table, not images")
    if not Path(table).suffix and not Path(table).exists():
        if label or positive:
            raise OptionError(f"{table}: the label is given; --label is for your own files")
        if weight:
            raise OptionError(f"{table}: has no weights; --weight is for your own files")
        home = {"data_home": str(data_home), "partition": str(partition)}
        case = _built_in(artifact, str(table), tuple(sensitive), home, title)
        return _meaning(case, artifact, favourable, artifact.label, artifact.label_values)
    target, chosen = label or artifact.label, tuple(sensitive) or artifact.sensitive
    as_trained = target == artifact.label and positive in {"", artifact.positive}
    own_weight = "" if artifact.source is None else artifact.source.weight
    as_trained &= weight in {"", own_weight}
    if as_trained and chosen == artifact.sensitive and not (all_rows or of_images):
        dataset = training_data(artifact, table)
        if dataset is not None:
            case = _test_rows(artifact, dataset, title)
            note = f"the {len(case.x):,} test rows of {Path(table).name}; the network was not "
            case = replace(case, note=f"{note}trained on them")
            return _meaning(case, artifact, favourable, target, dataset.label_values)
    frame = artifact.prepared(artifact.read(str(table), **reading))
    require_columns(frame, [target, *chosen], where=str(table))
    if artifact.source is not None and artifact.source.drop_missing_label:
        frame = frame[frame[target].notna()]
    frame, counted = weighed_as_trained(frame, weight, own_weight, where=str(table))
    own = target == artifact.label
    y, shown = (artifact.coded_label if own else binary_label)(frame[target], positive)
    x = _inputs(artifact, frame, Path(images) if images else Path(table).parent)
    as_trained = chosen == artifact.sensitive
    groups = artifact.groups(frame) if as_trained else table_groups(frame, chosen)
    warn_of_lacking(frame, chosen)
    case = AuditCase(artifact.model, x, torch.from_numpy(y.astype(np.int64)), groups, title)
    case = _counting(case, counted)
    case = _not_trained_on(case, used_rows(artifact, x), all_rows=all_rows)
    return _meaning(case, artifact, favourable, target, label_values(frame[target]), shown)


def _meaning(
    case: AuditCase,
    artifact: Artifact,
    favourable: str,
    label: str,
    values: Sequence[str],
    positive: str = "",
) -> AuditCase:
    """The case with what its labels and inputs are, what it was trained on, and where it decides.

    Args:
        case: the case.
        artifact: the network.
        favourable: the label value that is good for a person; empty for what training was told.
        label: the column of the label.
        values: of the label; none if they are not known.
        positive: how label 1 is written; empty for that of the training.
    """
    if not favourable and artifact.source is not None and label == artifact.label:
        favourable = artifact.source.favourable
    overview = artifact.training.get("overview")
    told = [str(line) for line in overview] if isinstance(overview, list) else []
    encoder = artifact.encoder
    meaning = Meaning(
        positive=positive or artifact.positive or "1",
        favourable=is_favourable(favourable, label, values, positive or artifact.positive),
        inputs=() if encoder is None else tuple(encoder.feature_names),
        data=(f"trained on {told[0]}", *told[1:]) if told else (),
    )
    by_group = dict(zip(artifact.group_names, artifact.thresholds, strict=False))
    return replace(case, meaning=meaning, threshold=by_group or artifact.threshold)


def _not_trained_on(case: AuditCase, used: np.ndarray | None, *, all_rows: bool) -> AuditCase:
    """The rows of a case that the network was not trained on, if they are more than a few."""
    if used is None or not used.any():
        return case
    n, trained = len(used), int(used.sum())
    if all_rows or n - trained < FEWEST_NEW * n:
        what = f"all {n:,} rows" if trained == n else f"{trained:,} of {n:,} rows"
        warnings.warn(
            f"{what} were trained on, or an epoch was chosen by them: figures of new rows are "
            "mostly worse",
            DralignWarning,
            stacklevel=3,
        )
        return case
    rest = case.only(torch.from_numpy(np.flatnonzero(~used)))
    note = f"{n - trained:,} of {n:,} rows; the network was trained on the others, or an epoch "
    return replace(rest, note=f"{note}chosen by them (--all-rows takes them too)")


def network_case(
    model: nn.Module,
    table: str | Path,
    *,
    label: str,
    sensitive: Sequence[str],
    positive: str = "",
    include_sensitive: bool = False,
    name: str = "",
    favourable: str = "",
    weight: str = "",
    **reading: Any,  # noqa: ANN401 - as ``read_table`` takes them
) -> AuditCase:
    """A network of any kind, and the columns of numbers of a table, in their order, as its inputs.

    Args:
        model: returns logits.
        table: a CSV or Parquet file.
        label: its column of the label, which is no input.
        sensitive: its columns that make the groups.
        positive: the value of the label that counts as 1.
        include_sensitive: whether the sensitive columns are inputs.
        name: what the network is called; empty for that of its class.
        favourable: the label value that is good for a person; empty if nobody says so.
        weight: the column of weights, which is no input; empty if rows are not weighted.
        **reading: ``sep``, ``decimal`` and ``encoding`` of the table.

    Raises:
        OptionError: if no label or no sensitive column is given.
    """
    if not label or not sensitive:
        raise OptionError(f"{table}: which columns? give them with --label and --sensitive")
    frame = read_table(str(table), **reading)
    require_columns(frame, [label, *sensitive], where=str(table))
    frame, counted = weighed_as_trained(frame, weight, "", where=str(table))
    y, shown = label_of(frame[label], positive)
    apart = [label, *(() if include_sensitive else sensitive), *([weight] if weight else [])]
    x, columns = numbers_of(frame, apart)
    codes = table_groups(frame, sensitive)
    title = f"Audit of {name or type(model).__name__} on {Path(table).name}"
    good = is_favourable(favourable, label, label_values(frame[label]), shown)
    meaning = Meaning(positive=shown or "1", favourable=good, inputs=columns)
    case = AuditCase(model, torch.from_numpy(x), y, codes, title, columns, meaning=meaning)
    return _counting(case, counted)


def _built_in(
    artifact: Artifact,
    name: str,
    sensitive: tuple[str, ...],
    home: dict[str, str],
    title: str,
) -> AuditCase:
    """The test rows of the built-in dataset that the network was trained on.

    Raises:
        OptionError: if it was trained on other data, or they would be encoded differently.
    """
    trial: Any = artifact.training.get("trial", {})
    known = trial.get("data", {}) if isinstance(trial, dict) else {}
    given: Any = {key: value for key, value in home.items() if value}
    source = DataSource(name, **given)
    if isinstance(known, dict) and known.get("name") == name:
        source = replace(DataSource.from_dict(known), **given)
    if sensitive:
        source = replace(source, sensitive=sensitive)
    seed = trial.get("seed", 0) if isinstance(trial, dict) else 0
    dataset = source.load(seed if isinstance(seed, int) else 0)
    ours, theirs = artifact.encoder, dataset.encoder
    if ours is None or theirs is None or ours.to_dict() != theirs.to_dict():
        raise OptionError(
            f"{name}: the network was trained on other inputs than these options give; write the "
            "table to a file and name its columns"
        )
    return _test_rows(artifact, dataset, title)


def _test_rows(artifact: Artifact, dataset: Dataset, title: str) -> AuditCase:
    """The network and the test rows of a dataset."""
    groups = _present(GroupCodes(dataset.test.group, dataset.group_names))
    test = dataset.test
    return AuditCase(artifact.model, test.x, test.y, groups, title, weight=test.weight)


def _counting(case: AuditCase, weight: np.ndarray | None) -> AuditCase:
    """The case with weights of its rows."""
    return replace(case, weight=None if weight is None else torch.from_numpy(weight))


def _present(groups: GroupCodes) -> GroupCodes:
    """The groups that have a row among these."""
    names = [n for code, n in enumerate(groups.names) if bool((groups.codes == code).any())]
    index = [names.index(name) if name in names else -1 for name in groups.names]
    return GroupCodes(torch.tensor([*index, -1])[groups.codes], tuple(names))


def _inputs(artifact: Artifact, frame: "pd.DataFrame", folder: Path) -> Tensor | ImagePaths:
    """What the network is given for the rows of a table; paths of images count from ``folder``."""
    encoder = artifact.encoder
    if isinstance(encoder, ImageEncoder):
        return encoder.listed(frame, folder)
    x = numbers_of(frame, [])[0] if encoder is None else artifact.encoded(frame)
    return torch.as_tensor(x, dtype=torch.float32)
