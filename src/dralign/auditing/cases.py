"""What an audit is given: a network and the rows it is run on, from files or a built-in dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from dralign.artifact import Artifact, load_artifact
from dralign.auditing.assessment import audit
from dralign.auditing.records import Audit
from dralign.data import DataSource, ImageEncoder, ImagePaths, read_table
from dralign.data.columns import require_columns
from dralign.data.frame import binary_label, class_label, table_groups
from dralign.errors import DataError, OptionError
from dralign.groups import GroupCodes

if TYPE_CHECKING:
    import pandas as pd

# Every split and every removal is a run of a network of images; these take minutes, not hours.
IMAGE_ROWS: Final = 500
IMAGE_SAMPLE: Final = 20


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
    """

    model: nn.Module
    x: Tensor | ImagePaths
    label: Tensor
    groups: GroupCodes
    title: str
    columns: tuple[str, ...] = ()

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
        groups = self.groups._replace(codes=self.groups.codes[chosen])
        return replace(self, x=self.x[chosen], label=self.label[chosen], groups=groups)

    def audit(self, *, sample: int | None = None, **options: Any) -> Audit:  # noqa: ANN401
        """The audit of the network on these rows; of images that are in files, on some drawn.

        Args:
            sample: as in ``dralign.audit``, but that None takes 20 of a network of images.
            **options: other options of ``dralign.audit``.
        """
        case = self if isinstance(self.x, Tensor) else self.drawn()
        return audit(
            case.model,
            cast("Tensor", case.x),
            label=case.label,
            group=case.groups.codes,
            group_names=case.groups.names,
            sample=IMAGE_SAMPLE if sample is None and case.of_images else sample,
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
) -> AuditCase:
    """A network that was saved, and a table, or the test rows of the built-in dataset it is of.

    Args:
        folder: of the network.
        table: a CSV or Parquet file, or the name of the built-in dataset.
        label: the column of the label; empty for the one of the training.
        positive: the value that counts as 1; empty for that of the training.
        sensitive: the columns that make the groups; empty for those of the training.
        images: the folder that paths of images count from; empty for the table's.
        data_home: the folder of datasets that are not in the package.
        partition: the file that puts the images of CelebA into parts.

    Raises:
        OptionError: if the network takes no images and their folder is given, or it was trained on
            other data than the built-in dataset.
    """
    artifact = load_artifact(folder)
    title = f"Audit of {Path(folder).name} on {Path(table).name}"
    of_images = isinstance(artifact.encoder, ImageEncoder)
    if images and not of_images:
        raise OptionError("images: this network takes the columns of a table, not images")
    if not Path(table).suffix and not Path(table).exists():
        if label or positive:
            raise OptionError(f"{table}: the label is given; --label is for your own files")
        home = {"data_home": str(data_home), "partition": str(partition)}
        return _built_in(artifact, str(table), tuple(sensitive), home, title)
    frame = read_table(str(table), of_images=of_images)
    target, chosen = label or artifact.label, sensitive or artifact.sensitive
    require_columns(frame, [target, *chosen], where=str(table))
    if artifact.class_names and target == artifact.label:
        y = class_label(frame[target], artifact.class_names)
    else:
        positive = positive or (artifact.positive if target == artifact.label else "")
        y, _ = binary_label(frame[target], positive)
    x = _inputs(artifact, frame, Path(images) if images else Path(table).parent)
    codes = table_groups(frame, chosen)
    return AuditCase(artifact.model, x, torch.from_numpy(y.astype(np.int64)), codes, title)


def network_case(
    model: nn.Module,
    table: str | Path,
    *,
    label: str,
    sensitive: Sequence[str],
    positive: str = "",
    include_sensitive: bool = False,
    name: str = "",
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

    Raises:
        OptionError: if no label or no sensitive column is given.
    """
    if not label or not sensitive:
        raise OptionError(f"{table}: which columns? give them with --label and --sensitive")
    frame = read_table(str(table))
    require_columns(frame, [label, *sensitive], where=str(table))
    y = _label(frame[label], positive)
    x, columns = _numbers(frame, [label, *(() if include_sensitive else sensitive)])
    codes = table_groups(frame, sensitive)
    title = f"Audit of {name or type(model).__name__} on {Path(table).name}"
    return AuditCase(model, torch.from_numpy(x), y, codes, title, columns)


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
    groups = GroupCodes(dataset.test.group, dataset.group_names)
    return AuditCase(artifact.model, dataset.test.x, dataset.test.y, groups, title)


def _inputs(artifact: Artifact, frame: "pd.DataFrame", folder: Path) -> Tensor | ImagePaths:
    """What the network is given for the rows of a table; paths of images count from ``folder``."""
    encoder = artifact.encoder
    if isinstance(encoder, ImageEncoder):
        return encoder.listed(frame, folder)
    x = _numbers(frame, [])[0] if encoder is None else encoder.transform(frame)
    return torch.as_tensor(x, dtype=torch.float32)


def _label(values: "pd.Series[Any]", positive: str) -> Tensor:
    """Labels 0 and 1, or classes 0..C-1 where whole numbers are given and no positive value.

    Raises:
        DataError: if it is not clear what they are.
    """
    from pandas.api.types import is_integer_dtype

    if not positive and is_integer_dtype(values) and values.min() == 0 and values.max() > 1:
        return torch.from_numpy(values.to_numpy(dtype=np.int64, copy=True))
    y, _ = binary_label(values, positive)
    return torch.from_numpy(y.astype(np.int64))


def _numbers(frame: "pd.DataFrame", left_out: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n, d) float32 values of the columns of numbers, and their names.

    Raises:
        DataError: if there is none, or a value is missing.
    """
    inputs = frame.drop(columns=left_out).select_dtypes(["number", "bool"])
    if not len(inputs.columns):
        raise DataError("the table has no column of numbers to give to the network")
    for name in inputs.columns:
        if inputs[name].isna().any():
            missing = int(inputs[name].isna().sum())
            raise DataError(f"column {name!r}: {missing} of {len(inputs)} values are missing")
    values = inputs.to_numpy(dtype=np.float32, copy=True)
    return values, tuple(map(str, inputs.columns))
