"""A trained network, and all that is needed to use and judge it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dralign.artifact.layout import BY_GROUP, FORMAT, VERSION
from dralign.data import DataSource, Encoder, ImageEncoder, TableEncoder, read_table
from dralign.data.columns import noted, require_columns
from dralign.data.encoding import NO_RULES, warn_unseen
from dralign.data.grouping import in_order, table_groups
from dralign.data.labels import binary_label, class_label, require_values
from dralign.data.reading import read_as_written
from dralign.data.rules import Rules
from dralign.errors import DataError, DralignError, DralignWarning, OptionError
from dralign.groups import GroupCodes
from dralign.metrics.arrays import THRESHOLD
from dralign.metrics.decisions import check_threshold
from dralign.models import shifted_logits
from dralign.training import predict_probability

if TYPE_CHECKING:
    import pandas as pd

_BY_GROUP = "this network decides by the group, but the table"


@dataclass(frozen=True)
class Artifact:
    """A trained network and all that is needed to use and judge it.

    Attributes:
        model: the network; it returns logits.
        architecture: what ``dralign.models.build`` needs.
        encoder: turns raw rows into inputs; None where inputs are given as they are.
        label: the name of the label column.
        positive: how label 1 is written in the raw data; empty with more than two classes.
        sensitive: the sensitive columns of the training data; not needed for prediction, unless
            there are thresholds.
        group_names: the groups they make.
        training: how it was trained and chosen, and its figures; JSON-ready.
        class_names: with more than two classes, how the labels 0, 1, ... are written.
        thresholds: for each group the probability from which on the decision is positive; empty
            where that is the same for everybody.
        threshold: that one, for everybody.
        shifts: for each group how far its scores are shifted if the label is 0, and if it is 1 (k
            of Eq. 35); empty where scores do not depend on the group.
    """

    model: nn.Module
    architecture: Mapping[str, Any]
    encoder: Encoder | None
    label: str
    positive: str
    sensitive: tuple[str, ...]
    group_names: tuple[str, ...]
    training: Mapping[str, Any]
    class_names: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    threshold: float = THRESHOLD
    shifts: tuple[tuple[float, float], ...] = ()

    def predict_proba(self, rows: object, *, folder: str | Path = "") -> Tensor:
        """Probabilities for raw rows, float32 in [0, 1].

        Args:
            rows: a DataFrame with the columns of training, or one that names image files; (n, d)
                inputs if there is no encoder. Images are decoded block by block.
            folder: that relative paths of images are counted from; the current one if not given.

        Returns:
            (n,) of the positive label; (n, C) of each of more than two classes.

        Raises:
            DataError: if a column is missing, or it or an image can't be read.
            GroupError: if scores depend on the group, and there is one that was not there before.
            ModelError: if the network has no probability for a row.
        """
        prob = self._of_network(rows, folder)
        return self.shifted(prob, self._groups_of(rows)) if self.shifts else prob

    def shifted(self, prob: Tensor, group: Tensor) -> Tensor:
        """(n,) probabilities after the shifts of (n,) group codes; a row of no group has none."""
        if not self.shifts:
            return prob
        own = torch.tensor([*self.shifts, (0.0, 0.0)], dtype=torch.float64)[group]  # (n, 2)
        p = prob.double()
        k = own[:, 0] * (1 - p) + own[:, 1] * p
        moved = torch.sigmoid(shifted_logits(torch.logit(p), k)).float()
        return torch.where(k == 0, prob, moved)

    def _of_network(self, rows: object, folder: str | Path) -> Tensor:
        """What the network itself says of raw rows."""
        if isinstance(self.encoder, ImageEncoder):
            images = self.encoder.listed(rows, folder)
            return predict_probability(self.model, cast("Tensor", images))
        x = _numbers(rows) if self.encoder is None else self.encoder.transform(rows)
        return predict_probability(self.model, torch.as_tensor(x, dtype=torch.float32))

    def decide(self, rows: Any, prob: Tensor) -> Tensor:  # noqa: ANN401 - pandas is loaded lazily
        """Decisions for raw rows of two classes, 0 or 1: by the thresholds of their groups.

        Without thresholds the rows are not looked at. A row with a missing sensitive value is
        decided at 0.5.

        Args:
            rows: a DataFrame with the sensitive columns.
            prob: (n,) what ``predict_proba`` gave for them.

        Returns:
            (n,) int64.

        Raises:
            DataError: if a sensitive column is missing, or a probability is.
            GroupError: if a value makes a group that was not there in training.
        """
        if missing := int((~torch.isfinite(prob)).sum()):
            raise DataError(f"prob: {missing} of {len(prob)} are NaN or infinite")
        if not self.thresholds:
            return (prob.double() >= self.threshold).long()  # which lies between two float32
        limits = torch.tensor([*self.thresholds, THRESHOLD], dtype=torch.float64)
        return (prob >= limits[self._groups_of(rows)]).long()  # code -1 takes the last limit

    def _groups_of(self, rows: Any) -> Tensor:  # noqa: ANN401 - pandas is loaded lazily
        """(n,) the codes of the groups of raw rows, which prediction needs here.

        Raises:
            DataError: if a sensitive column is missing.
        """
        if not hasattr(rows, "columns"):
            raise DataError(f"{_BY_GROUP} has no columns; pass a DataFrame with the sensitive ones")
        require_columns(rows, self.sensitive, where=_BY_GROUP)
        codes = in_order(self.groups(self.prepared(rows)), self.group_names)
        if lacking := int((codes < 0).sum()):
            kept = "their scores are not shifted"
            then = f"they are decided at {THRESHOLD:g}" if self.thresholds else kept
            warnings.warn(
                f"{lacking:,} of {len(codes):,} rows are in no group of "
                f"{' and '.join(self.sensitive)}, by which this network decides: {then}",
                DralignWarning,
                stacklevel=3,
            )
        return codes

    def deciding_at(self, threshold: float) -> "Artifact":
        """The same network with another threshold for everybody.

        Args:
            threshold: the probability from which on a decision is positive, 0 to 1.

        Raises:
            OptionError: if it is not that, there are more than two classes, or the network decides
                by the group.
        """
        if self.class_names:
            raise OptionError(f"threshold: for two classes, this has {len(self.class_names)}")
        if self.thresholds:
            raise OptionError("threshold: this network has one for each group")
        check_threshold(threshold, named=False)
        return replace(self, threshold=float(threshold))

    @property
    def label_values(self) -> tuple[str, ...]:
        """The values of the label that training knew; empty where that is not recorded."""
        known = self.training.get("label_values")
        return tuple(map(str, known)) if isinstance(known, list) else ()

    def coded_label(self, values: "pd.Series[Any]", positive: str = "") -> tuple[np.ndarray, str]:
        """(n,) codes of its label in other rows, and how 1 is written (empty with classes).

        Args:
            values: the column, as ``prepared`` gives it.
            positive: another value that counts as 1 than in training.

        Raises:
            DataError: if a value is missing, or is not one of training.
        """
        if self.class_names:
            return class_label(values, self.class_names), ""
        if self.label_values:
            require_values(values, self.label_values)
        return binary_label(values, positive or self.positive)

    @property
    def source(self) -> DataSource | None:
        """The data it was trained on, without their folder; None where that is not recorded."""
        trial = self.training.get("trial")
        known = trial.get("data") if isinstance(trial, Mapping) else None
        try:
            return DataSource.from_dict(known) if isinstance(known, Mapping) else None
        except DralignError:  # written by another version
            return None

    def read(
        self,
        table: str | Path,
        *,
        sep: str = "",
        decimal: str = "",
        encoding: str = "",
        na: Sequence[str] = (),
    ) -> Any:  # noqa: ANN401 - pandas is loaded lazily
        """The raw rows of a file, read as that of the training was unless something else is said.

        Args:
            table: the file.
            sep: the mark between columns.
            decimal: the decimal mark.
            encoding: of the text.
            na: texts that stand for missing values, besides those of the training.
        """
        of_images = isinstance(self.encoder, ImageEncoder)
        like = None if of_images else self.source
        marks = self.encoder.rules.marks if isinstance(self.encoder, TableEncoder) else {}
        frame = read_table(
            table,
            sep=sep or (like.sep if like else ""),
            decimal=decimal or (like.decimal if like else ""),
            encoding=encoding or (like.encoding if like else ""),
            of_images=of_images,
            texts=[name for name, mark in marks.items() if mark == ","],
        )
        return Rules(na=tuple(na)).apply(frame)

    def as_written(
        self, table: str | Path, names: Sequence[str], *, sep: str = "", encoding: str = ""
    ) -> Any:  # noqa: ANN401 - pandas is loaded lazily
        """Columns of a file as they stand there, which is read as ``read`` does."""
        like = None if isinstance(self.encoder, ImageEncoder) else self.source
        mark, text = sep or (like.sep if like else ""), encoding or (like.encoding if like else "")
        return read_as_written(table, names, sep=mark, encoding=text)

    def prepared(self, rows: Any) -> Any:  # noqa: ANN401 - pandas is loaded lazily
        """Raw rows with missing values and bins as in training; they are not changed."""
        rules = self.encoder.rules if isinstance(self.encoder, TableEncoder) else NO_RULES
        return rules.apply(rows)

    def groups(self, rows: Any) -> GroupCodes:  # noqa: ANN401 - pandas is loaded lazily
        """The groups of the rows that ``prepared`` gave, small ones as in training.

        Raises:
            GroupError: if there are too many.
        """
        known, source = self.group_names, self.source
        least = source.min_group_size if source is not None else 0
        return table_groups(rows, self.sensitive, min_size=least, known=known)

    def encoded(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, d) float32 inputs for the rows that ``prepared`` gave, which are not prepared again.

        Raises:
            DataError: if there is no encoder of a table, or a column is missing or can't be read.
        """
        if self.encoder is None:
            raise DataError("this network has no encoder of a table")
        if not isinstance(self.encoder, TableEncoder):
            return self.encoder.transform(rows)
        inputs, unseen = self.encoder.encode(rows)
        warn_unseen(unseen)
        return inputs

    def filled(self, rows: Any) -> str:  # noqa: ANN401 - pandas is loaded lazily
        """A line about the missing values of raw rows, of columns that had some in training.

        It is empty where there are none; those of other columns are warned of as they are encoded.
        """
        if not isinstance(self.encoder, TableEncoder):
            return ""
        rows = self.prepared(rows)
        columns = [column for column in self.encoder.columns if column.flag_missing]
        counts = {column.name: int(rows[column.name].isna().sum()) for column in columns}
        told = [f"{name!r} ({n:,} row{'s' * (n > 1)})" for name, n in counts.items() if n]
        return f"missing values, taken as those of training: {noted(told)}" if told else ""

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, JSON-ready."""
        return {
            "format": FORMAT,
            "version": BY_GROUP if self.shifts else VERSION,
            "architecture": dict(self.architecture),
            "encoder": None if self.encoder is None else self.encoder.to_dict(),
            "label": self.label,
            "positive": self.positive,
            "sensitive": list(self.sensitive),
            "group_names": list(self.group_names),
            "class_names": list(self.class_names),
            "thresholds": list(self.thresholds),
            "threshold": self.threshold,
            **({"shifts": [list(pair) for pair in self.shifts]} if self.shifts else {}),
            "training": dict(self.training),
        }


def _numbers(rows: object) -> np.ndarray:
    """Rows as inputs, as they are.

    Raises:
        DataError: if they are not rows of numbers.
    """
    try:
        x = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError("this network has no encoder; it takes rows of numbers") from error
    if x.ndim < 2:
        raise DataError(f"expected rows of numbers, got shape {x.shape}")
    return x
