"""The table of a Parquet file; nothing that it says about itself is believed unseen."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dralign.data.limits import check_names, check_room
from dralign.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

BLOCK_ROWS: Final = 8_192  # that are decoded at a time
CELL_BYTES = 8  # a column of one value repeated takes next to nothing in the file, but not here


def parse_parquet(path: Path, content: bytes) -> "pd.DataFrame":
    """The table of a Parquet file; a stored row index is dropped.

    Types come from the columns alone: what pandas wrote about them may be out of date, or from
    anyone. Checksums of pages are compared where there are any, and texts are checked to be UTF-8.

    Raises:
        DataError: if it is none, or would be too large in memory.
        MemoryError: if it is too large in memory all the same.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        about = file.metadata
        check_names(path, file.schema_arrow.names)
        stored = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        row = sum(max(CELL_BYTES, about.schema.column(i).length) for i in range(about.num_columns))
        check_room(path, max(stored, row * about.num_rows))
        texts = 0
        for size in text_sizes(pa.BufferReader(content), file):
            check_room(path, texts := texts + size)
        table = file.read()
        table.validate(full=True)
        frame = to_frame(table)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged files make pyarrow raise anything
        raise DataError(f"{path}: not a Parquet file ({one_line(error)})") from error
    return frame


def text_sizes(source: Any, file: "pq.ParquetFile") -> Iterator[int]:  # noqa: ANN401 - what opens
    """The bytes that the texts of each ``BLOCK_ROWS`` rows take in memory, none of which is made.

    The file may hold a long text once and name it in many rows: its texts are read as they are
    stored, and the length of each is counted as often as it is named.

    Args:
        source: the path or the content of the file.
        file: the same, opened.
    """
    import pyarrow.parquet as pq

    columns = map(file.schema.column, range(len(file.schema)))
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    if not texts:
        return
    with pq.ParquetFile(
        source, pre_buffer=False, read_dictionary=texts, page_checksum_verification=True
    ) as stored:
        for batch in stored.iter_batches(BLOCK_ROWS, columns=texts, use_threads=False):
            yield sum(map(_text_bytes, batch.columns))


def _text_bytes(array: "pa.Array") -> int:
    """The bytes of the texts that an array of codes, or of lists or records of them, names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary).cast(pa.int64())
        return pc.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(map(_text_bytes, array.flatten()))
    return _text_bytes(array.flatten()) if pa.types.is_nested(array.type) else 0


def to_frame(table: "pa.Table") -> "pd.DataFrame":
    """The columns of a table as pandas has them, without a stored row index."""
    import pandas as pd

    index = _index_columns(table.schema.metadata, table.column_names)
    frame: pd.DataFrame = table.drop_columns(index).replace_schema_metadata().to_pandas()
    for name in frame.columns[frame.dtypes.map(pd.api.types.is_object_dtype)]:
        if pd.api.types.infer_dtype(frame[name], skipna=True) == "decimal":
            frame[name] = pd.to_numeric(frame[name])
    return frame


def _index_columns(metadata: Any, names: list[str]) -> list[str]:  # noqa: ANN401
    """The columns that pandas stored its row index in, as far as they are there."""
    try:
        index = list(json.loads((metadata or {})[b"pandas"])["index_columns"])
        return [name for name in names if name in index]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []


def one_line(error: Any) -> str:  # noqa: ANN401
    """The start of an error's text, in one line."""
    return " ".join(str(error).split())[:120]
