"""A Parquet file that is larger than memory: a sample of it as a dataset, the rest in batches."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from dralign.data.columns import index_in
from dralign.data.content import State
from dralign.data.dataset import Dataset
from dralign.data.encoding import TableEncoder
from dralign.data.frame import load_table
from dralign.data.grouping import in_order, table_groups
from dralign.data.labels import require_values
from dralign.data.limits import check_names, check_room
from dralign.data.parquet import BLOCK_ROWS, one_line, text_sizes, to_frame
from dralign.data.rules import Rules
from dralign.data.splitting import SHARES, check_seed
from dralign.errors import DataError, GroupError, OptionError
from dralign.files import is_file, open_regular
from dralign.groups import encode_groups
from dralign.table_options import TableOptions

if TYPE_CHECKING:
    from io import BufferedReader

    import pandas as pd
    import pyarrow.parquet as pq

SAMPLE_ROWS: Final = 100_000
BATCH_ROWS: Final = 1_000
WINDOW_ROWS: Final = 50_000  # encoded rows that are shuffled among each other
AT_ONCE: Final = 4  # row groups that are read in turn
_BUFFER: Final = 2**20  # bytes of a column that are read at a time
_PIECES: Final = 100  # of a sample, before they are put together
_PART: Final = "dralign: part"  # the column that says what a sampled row is for
_UNSUITED: Final = ("test", "split_column", "weight", "min_group_size")

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass
class TableStream:
    """The training rows of a Parquet file, in batches; each once in a pass, in another order.

    ``AT_ONCE`` row groups, chosen at random, are read in turn, and their rows shuffled in windows
    of ``WINDOW_ROWS``. No more than a few blocks of rows as they are, and a window of encoded ones,
    are in memory.

    Attributes:
        path: of the file.
        dataset: made from the sample: its encoder, groups, validation and test rows are those of
            the stream. Its training rows are in the stream too.
        batch_rows: rows of a batch, about; those of a window are dealt out evenly.
        seed: of the order.
        options: how the table is read.
    """

    path: Path
    dataset: Dataset
    batch_rows: int
    seed: int
    options: TableOptions
    _held: np.ndarray = field(repr=False)  # the rows of validation and test, rising
    _state: State = field(repr=False)  # of the file
    _epoch: int = field(default=0, repr=False)

    def set_epoch(self, epoch: int) -> None:
        """Says the number of the pass that begins: another number is another order."""
        self._epoch = epoch

    def __len__(self) -> int:
        """The number of training rows, with those that have no label and are left out."""
        with _opened(self.path, self._state) as (file, _):
            return int(file.metadata.num_rows) - len(self._held)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of a pass: (n, d) float32 inputs, (n,) labels and (n,) group codes.

        Raises:
            DataError: if the file can't be read or has changed, or a value can't be used.
        """
        draws = np.random.default_rng((self.seed, self._epoch))
        window: list[Batch] = []
        for block in self._encoded(draws):
            window.append(block)
            if sum(len(y) for _, y, _ in window) >= WINDOW_ROWS:
                yield from self._dealt(window, draws)
                window = []
        if window:
            yield from self._dealt(window, draws)

    def _dealt(self, window: list[Batch], draws: np.random.Generator) -> Iterator[Batch]:
        """The rows of a window at random, in batches of nearly the same size."""
        x, y, group = (torch.cat(parts) for parts in zip(*window, strict=True))
        window.clear()
        n_batches = max(round(len(y) / self.batch_rows), 1)
        for rows in np.array_split(draws.permutation(len(y)), n_batches):
            at = torch.from_numpy(rows)
            yield x[at], y[at], group[at]

    def _encoded(self, draws: np.random.Generator) -> Iterator[Batch]:
        """The training rows in blocks, of several row groups in turn.

        Raises:
            DataError: if the file has changed since it was opened, or changes until it is read.
        """
        with _opened(self.path, self._state) as (file, _):
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            starts = np.cumsum([0, *sizes])
            waiting = [int(index) for index in draws.permutation(len(sizes))]
            reading: list[Iterator[tuple[int, pd.DataFrame]]] = []
            while waiting or reading:
                while waiting and len(reading) < AT_ONCE:
                    index = waiting.pop()
                    reading.append(_blocks(file, int(starts[index]), [index]))
                for blocks in reading.copy():
                    start, frame = next(blocks, (0, None))
                    if frame is None:
                        reading.remove(blocks)
                        continue
                    block = self._block(start, frame)
                    if len(block[1]):
                        yield block

    def _block(self, start: int, frame: "pd.DataFrame") -> Batch:
        """The training rows among some, encoded; ``start`` is the number of the first."""
        data = self.dataset
        assert isinstance(data.encoder, TableEncoder)
        first, last = np.searchsorted(self._held, [start, start + len(frame)])
        own = np.ones(len(frame), dtype=bool)
        own[self._held[first:last] - start] = False
        frame = data.encoder.rules.apply(frame)
        if self.options.drop_missing_label:
            own &= frame[data.label].notna().to_numpy()
        frame = frame[own]
        x, _ = data.encoder.encode(frame)
        code = index_in(frame[data.label], data.class_names or (data.positive,))
        y = code if data.class_names else (code == 0).astype(np.int64)
        groups = table_groups(frame, data.sensitive, known=data.group_names)
        return torch.from_numpy(x), torch.from_numpy(y), in_order(groups, data.group_names)


def stream_table(
    path: str | Path,
    *,
    label: str,
    positive: str = "",
    sensitive: Sequence[str] | str,
    include_sensitive: bool = False,
    seed: int = 0,
    batch_rows: int = BATCH_ROWS,
    sample_rows: int = SAMPLE_ROWS,
    **options: Any,  # noqa: ANN401 - what ``TableOptions`` declares
) -> TableStream:
    """A Parquet file of any number of rows, to be trained on in batches.

    A sample of the rows becomes a dataset in memory, as ``load_table`` makes it: 60 % of them fit
    the encoder, 20 % each are the validation and the test rows. All rows of the file but these two
    parts are in the stream. The file is gone through once, for the sample and for the groups and
    labels that there are.

    Args:
        path: the file.
        label: as ``load_table`` takes it, like the next three.
        positive: the value that counts as 1.
        sensitive: the columns that make the groups.
        include_sensitive: whether they are inputs too.
        seed: of the sample and of the order.
        batch_rows: rows of a batch, about.
        sample_rows: how many rows are sampled at most.
        **options: as ``load_table`` takes them, but for ``test``, ``split_column``, ``weight`` and
            ``min_group_size``.

    Raises:
        OptionError: if an option is not in range, or can't be used here.
        DataError: if the file or a column can't be used, or rows have no label.
        GroupError: if there are fewer than two groups, or one is not in the sample.
    """
    check_seed(seed)
    how = TableOptions.of_keywords(options)
    if given := [name for name in _UNSUITED if name in how.given()]:
        raise OptionError(f"{given[0]}: can't be used with a stream; leave it out")
    for name, number in (("batch_rows", batch_rows), ("sample_rows", sample_rows)):
        if number < 1:
            raise OptionError(f"{name}: expected at least 1, got {number}")
    path = Path(path)
    columns = (sensitive,) if isinstance(sensitive, str) and sensitive else tuple(sensitive)
    draws = np.random.default_rng(seed)
    with _opened(path) as (file, state):
        n = file.metadata.num_rows
        if not n:
            raise DataError(f"{path}: the file has no rows")
        rows = np.sort(draws.choice(n, min(n, sample_rows), replace=False))
        _check_texts(path, file, len(rows) / n)
        sample, kinds = _sampled(file, rows, [label, *columns], Rules.of(how))
    parts = _parts(len(rows), draws)
    dataset = load_table(
        sample.assign(**{_PART: parts}),
        label=label,
        positive=positive,
        sensitive=columns,
        include_sensitive=include_sensitive,
        seed=seed,
        split_column=_PART,
        **options,
    )
    _check_kinds(path, kinds, dataset, how, len(rows))
    held = rows[parts != "train"]
    named = replace(dataset, name=path.name)
    return TableStream(path, named, batch_rows, seed, how, held, state)


def _check_texts(path: Path, file: "pq.ParquetFile", share: float) -> None:
    """Checks that there is room for the texts of the blocks of a pass, and of a share of all rows.

    Raises:
        DataError: if there is not.
    """
    texts = 0
    for size in text_sizes(path, file):
        texts += size
        check_room(path, max(AT_ONCE * size, int(share * texts)))


def _parts(n: int, draws: np.random.Generator) -> np.ndarray:
    """(n,) what each row of a sample is for."""
    first, second = round(SHARES[0] * n), round((SHARES[0] + SHARES[1]) * n)
    parts = np.full(n, "test", dtype=object)
    order = draws.permutation(n)
    parts[order[:first]], parts[order[first:second]] = "train", "validation"
    return parts


def _sampled(
    file: "pq.ParquetFile", rows: np.ndarray, columns: Sequence[str], rules: Rules
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """The rows with these rising numbers, and the different rows of some columns by the rules."""
    import pandas as pd

    taken: list[pd.DataFrame] = []
    kinds: list[pd.DataFrame] = []
    for start, frame in _blocks(file, 0):
        first, last = np.searchsorted(rows, [start, start + len(frame)])
        taken.append(frame.iloc[rows[first:last] - start])
        if len(taken) == _PIECES:  # a frame takes kilobytes, however few its rows
            taken = [pd.concat(taken, ignore_index=True)]
        there = [name for name in columns if name in frame]  # others are told of with the sample
        kinds.append(rules.apply(frame[there].drop_duplicates()))
        if sum(map(len, kinds)) > 2 * len(kinds[0]):  # so each row is looked at few times
            kinds = [pd.concat(kinds, ignore_index=True).drop_duplicates()]
    different = pd.concat(kinds, ignore_index=True).drop_duplicates()
    return pd.concat(taken, ignore_index=True), different


def _check_kinds(
    path: Path, kinds: "pd.DataFrame", dataset: Dataset, how: TableOptions, sampled: int
) -> None:
    """Checks the labels and groups of the whole file.

    Raises:
        DataError: if a label is missing or not in the sample.
        GroupError: if a group is not in the sample.
    """
    label = kinds[dataset.label]
    if how.drop_missing_label:
        label = label.dropna()
    elif label.isna().any():
        raise DataError(
            f"{path}: rows have no label {dataset.label!r}; to leave them out: "
            "drop_missing_label=True"
        )
    if dataset.label_values:
        require_values(label, dataset.label_values)
    groups = encode_groups(kinds[list(dataset.sensitive)])
    known = set(dataset.group_names)
    if new := [name for name in groups.names if name not in known]:
        raise GroupError(
            f"{path}: group {new[0]!r} is not among the {sampled:,} rows that were sampled; give a "
            "larger sample_rows, or put values together with bin"
        )


def _blocks(
    file: "pq.ParquetFile", start: int, row_groups: Sequence[int] | None = None
) -> Iterator[tuple[int, "pd.DataFrame"]]:
    """The rows of some row groups, or of all, block by block, with the number of the first."""
    import pyarrow as pa

    for batch in file.iter_batches(BLOCK_ROWS, row_groups=row_groups, use_threads=False):
        yield start, to_frame(pa.Table.from_batches([batch]))
        start += batch.num_rows


@contextmanager
def _opened(path: Path, known: State | None = None) -> Iterator[tuple["pq.ParquetFile", State]]:
    """The file, of which no more is read than is asked for, and its state.

    Args:
        path: of the file.
        known: the state that it has to be in; None for any. It has to stay the same in the block.

    Raises:
        DataError: if it is not a Parquet file, is damaged, or changed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not is_file(path):
        raise DataError(f"{path}: no such file")
    try:
        with open_regular(path) as source:
            state = _state_of(path, source, known)
            try:
                with pq.ParquetFile(
                    source, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True
                ) as file:
                    check_names(path, file.schema_arrow.names)
                    yield file, state
            except Exception:  # whatever half of a new content leads to
                _state_of(path, source, state)
                raise
            _state_of(path, source, state)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file ({one_line(error)})") from error


def _state_of(path: Path, file: "BufferedReader", known: State | None) -> State:
    """The state of an open file.

    Raises:
        DataError: if it is not the known one.
    """
    state = State.of(os.fstat(file.fileno()))
    if known not in {None, state}:
        raise DataError(f"{path}: the file changed since it was opened; open it again")
    return state
