"""The frozen dataset: what every loader returns and everything else takes."""

from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from dralign.data.summary import groups_line, label_line, split_line
from dralign.data.weighting import weights_line
from dralign.errors import DataError, GroupError

Preparation = Literal["paper", "standard"]
PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True, repr=False)
class Split:
    """The rows of one part of a dataset.

    Attributes:
        x: (n, d) float32 inputs; of images an ``Images`` that makes (n, 3, H, W) of them.
        y: (n,) int64 labels, 0 or 1 (0..C-1 with C classes).
        group: (n,) int64 group codes 0..G-1, -1 where the sensitive value is missing.
        weight: (n,) float64 positive numbers, what each row counts; None where rows are not
            weighted.
    """

    x: Tensor
    y: Tensor
    group: Tensor
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        """Checks that the three tensors belong together.

        Raises:
            DataError: if lengths or types differ from what the class promises, x is NaN, or a
                weight is not positive.
        """
        n = len(self.x)
        if len(self.y) != n or len(self.group) != n:
            raise DataError(
                f"x, y and group differ in length: {n}, {len(self.y)}, {len(self.group)}"
            )
        if self.y.dtype != torch.int64 or self.group.dtype != torch.int64:
            raise DataError(f"y and group must be int64, got {self.y.dtype} and {self.group.dtype}")
        if self.x.is_floating_point() and not bool(torch.isfinite(self.x).all()):
            raise DataError("x holds NaN or infinite values")
        if self.weight is None:
            return
        if self.weight.shape != (n,) or self.weight.dtype != torch.float64:
            raise DataError(f"weight: expected {n} float64 numbers, got {self.weight.dtype}")
        if not bool(((self.weight > 0) & torch.isfinite(self.weight)).all()):
            raise DataError("weight: expected positive numbers; leave rows of weight 0 out")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"<Split of {len(self):,} rows>"

    @property
    def weights(self) -> np.ndarray | None:
        """(n,) the weights as an array; None where rows are not weighted."""
        return None if self.weight is None else self.weight.numpy()

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, labels and groups of the rows with these (m,) numbers."""
        # index_select is three times as fast as x[rows]; Images know only the latter.
        x = self.x.index_select(0, rows) if isinstance(self.x, Tensor) else self.x[rows]
        return x, self.y.index_select(0, rows), self.group.index_select(0, rows)


class Encoder(Protocol):
    """Turns a raw table into the inputs of a network; written to and read from JSON."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input column."""
        ...

    def transform(self, frame: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, d) float32 inputs for the rows of a pandas DataFrame."""
        ...

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form; its ``"kind"`` tells which encoder it is."""
        ...


@dataclass(frozen=True, repr=False)
class Dataset:
    """A dataset ready for training: three parts and what their columns mean.

    Attributes:
        name: what it is called in records, for example ``"adult"`` or a file's name.
        preparation: how it was prepared, for example ``"paper"``.
        train: rows for training.
        validation: rows for model selection.
        test: rows for the reported figures.
        group_names: the name of group code 0, 1, ...
        sensitive: the sensitive column(s) that make the groups.
        label: the name of the label column.
        positive: how the value coded 1 is written in the raw data; empty with more than two
            classes.
        encoder: turns raw rows into inputs; None where inputs are given as they are.
        batch_sizes: rows per block of a batch (a group under DP, a cell under EO, EOP and PP), by
            gap name, where the source states them; other gaps take the trainer's default.
        class_names: with more than two classes, how the values coded 0, 1, ... are written.
        fingerprint: of the content that was read, as ``DataSource.fingerprint`` gives it for the
            files as they are; empty where there are none.
        label_values: the two values of the label as they are written, or its classes; empty where
            they are not known, or several count as 0.
        favourable: the one that is good for the person it is about; empty if nobody said so.
        weight: the column that says what each row counts; empty if there is none.
    """

    name: str
    preparation: str
    train: Split
    validation: Split
    test: Split
    group_names: tuple[str, ...]
    sensitive: tuple[str, ...]
    label: str
    positive: str
    encoder: Encoder | None = None
    batch_sizes: tuple[tuple[str, int], ...] = ()
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""
    label_values: tuple[str, ...] = ()
    favourable: str = ""
    weight: str = ""

    def __post_init__(self) -> None:
        """Checks that labels and groups are codes of the classes and groups there are.

        Raises:
            DataError: if a label is not one of 0..C-1.
            GroupError: if a group is not one of 0..G-1, or -1.
        """
        for where in PARTS:
            split: Split = getattr(self, where)
            if not len(split):
                continue
            low, high = int(split.y.min()), int(split.y.max())
            if low < 0 or high >= self.n_classes:
                raise DataError(
                    f"{where} labels: expected codes from 0 to {self.n_classes - 1}, got {low} to "
                    f"{high}"
                )
            low, high = int(split.group.min()), int(split.group.max())
            if low < -1 or high >= self.n_groups:
                raise GroupError(
                    f"{where} groups: expected codes from -1 to {self.n_groups - 1}, got {low} to "
                    f"{high}"
                )

    def __repr__(self) -> str:
        return f"<Dataset {self.name!r}, {self.n_rows:,} rows>"

    def __str__(self) -> str:
        return "\n".join(self.summary())

    def summary(self) -> tuple[str, ...]:
        """What it holds: rows and inputs, label, groups, split, and weights if there are any."""
        counts, weights = self._counts(), self._counts(weighted=True)
        names = self.class_names or (self.positive,)
        lines = [
            f"{self.name}, {self.preparation}: {self.n_rows:,} rows, inputs: {self.n_inputs}",
            label_line(self.label, names, weights, self.favourable, weighted=self.is_weighted),
            groups_line(self.sensitive, self.group_names, counts, weights),
            split_line([len(getattr(self, part)) for part in PARTS]),
        ]
        if self.is_weighted:
            parts = [split.weights for split in self._parts() if split.weights is not None]
            lines.append(weights_line(self.weight, np.concatenate(parts)))
        return tuple(lines)

    def _counts(self, *, weighted: bool = False) -> np.ndarray:
        """(G + 1, C) rows, or their weights, of each group and class; the last: in no group."""
        kind = np.float64 if weighted and self.is_weighted else np.int64
        counts = np.zeros((self.n_groups + 1, self.n_classes), dtype=kind)
        for split in self._parts():
            each = split.weights if weighted and split.weights is not None else 1
            np.add.at(counts, (split.group.numpy(), split.y.numpy()), each)
        return counts

    def _parts(self) -> list[Split]:
        """Training, validation and test rows."""
        return [self.train, self.validation, self.test]

    @property
    def is_weighted(self) -> bool:
        """Whether rows of a part are weighted."""
        return any(getattr(self, part).weight is not None for part in PARTS)

    @property
    def n_rows(self) -> int:
        """The number of rows of the three parts."""
        return sum(len(getattr(self, part)) for part in PARTS)

    @property
    def n_inputs(self) -> int:
        """The number of input columns; of images that of their channels."""
        return int(self.train.x.shape[1])

    @property
    def n_groups(self) -> int:
        """The number of groups."""
        return len(self.group_names)

    @property
    def n_classes(self) -> int:
        """The number of classes of the label."""
        return len(self.class_names) or 2
