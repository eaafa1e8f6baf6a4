"""A copy of a frame in memory: a private file, which other processes of this machine read too."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.numerals import LOOSE_NUMBERS
from dralign.data.parquet import one_line, parse_parquet
from dralign.data.raw import IN_MEMORY, frame_rows
from dralign.errors import DataError
from dralign.files import private_folder, read_whole, write_atomically
from dralign.groups import written

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FrameCopy:
    """The rows of a frame, known by their content; small to send to another process.

    Attributes:
        digest: the SHA-256 of names, types and values, the same on every machine.
        path: the file; it goes with the process that made it.
        checksum: the SHA-256 of the file.
    """

    digest: str
    path: str = field(compare=False, repr=False)
    checksum: str = field(compare=False, repr=False)

    @classmethod
    def of(cls, frame: Any) -> "FrameCopy":  # noqa: ANN401 - of any library
        """Writes a copy of a frame of pandas, polars or pyarrow; later changes of it don't matter.

        Raises:
            DataError: if it is none, has no rows or a name twice, or a column that no file can
                keep.
            OutputError: if the copy can't be written.
        """
        rows = frame_rows(frame)
        rows = rows.assign(**{name: _storable(rows[name]) for name in rows.columns})
        path = private_folder() / f"{os.urandom(8).hex()}.parquet"
        write_atomically(path, lambda new: rows.to_parquet(new, engine="pyarrow", index=False))
        content = path.read_bytes()
        # Of what will be read: types that the file does not know are others afterwards.
        digest = content_digest(parse_parquet(path, content))
        return cls(digest, str(path), hashlib.sha256(content).hexdigest())

    def read(self) -> "pd.DataFrame":
        """The rows.

        Raises:
            DataError: if the file is not there any more, or another one.
        """
        again = "give the frame again (dralign.compare, DataSource.from_frame)"
        try:
            content = read_whole(self.path, at_most=Path(self.path).stat().st_size)
        except (OSError, ValueError) as error:
            raise DataError(f"{IN_MEMORY}: the copy of the frame is gone; {again}") from error
        if hashlib.sha256(content).hexdigest() != self.checksum:
            raise DataError(f"{IN_MEMORY}: the copy of the frame was changed; {again}")
        return parse_parquet(Path(self.path), content)


def content_digest(frame: "pd.DataFrame") -> str:
    """The SHA-256 of names, types and values of a frame, in the order of its columns and rows."""
    total = hashlib.sha256()
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
            kind, content = values.dtype.str, values.to_numpy().tobytes()
        else:
            kind = _kind(values)
            missing = values.isna()
            texts = [None if no else str(one) for one, no in zip(values, missing, strict=True)]
            content = json.dumps(texts).encode()
        total.update(json.dumps([str(name), kind, len(content)]).encode())
        total.update(content)
    return total.hexdigest()


def _kind(values: "pd.Series[Any]") -> str:
    """What a column that is none of numbers holds, as far as it is used in another way.

    Texts and missing values are "texts", also where they are kept in different ways.
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return "categories"
    kind = pd.api.types.infer_dtype(values, skipna=True)
    return "texts" if kind in {"string", "empty"} else kind


def _storable(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """The column as a file can keep it: categories that are no texts by what they are called.

    Raises:
        DataError: if no file can keep its values.
    """
    import pandas as pd
    import pyarrow as pa

    is_category = isinstance(values.dtype, pd.CategoricalDtype)
    raw = values.astype(object) if is_category else values
    kind = pd.api.types.infer_dtype(raw, skipna=True)
    if is_category and kind in {"string", "empty"}:
        return values
    if is_category or (raw.dtype == object and kind in LOOSE_NUMBERS):
        return _named(raw)
    try:
        pa.array(raw, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        if raw.dtype == object:
            return _named(raw)
        raise DataError(
            f"column {values.name!r}: {raw.dtype} can't be kept in a file ({one_line(error)}); "
            "make it numbers or texts, or leave it out"
        ) from error
    return values


def _named(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """The column as categories, each called as it is written."""
    return values.map(written, na_action="ignore").astype("category")
