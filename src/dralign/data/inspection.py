"""What a table holds, and what is doubtful about it, before anything is trained on it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import numpy as np

from dralign.data.codes import codes, row_weights
from dralign.data.columns import distinct_texts, noted, of_numbers, text_counts
from dralign.data.frame import candidates, check_columns, prepared, table_split
from dralign.data.giveaways import giveaways, option
from dralign.data.grouping import doubts, table_groups, warn_of_lacking
from dralign.data.inputs import not_scaled, why_not
from dralign.data.labels import DROP_MISSING, coded_label, label_value, mistaken
from dralign.data.raw import RawTable, read_raw
from dralign.data.splitting import check_seed
from dralign.data.summary import cut, groups_line, label_line, split_line
from dralign.data.weighting import weights_in, weights_line
from dralign.errors import DataError, DralignWarning
from dralign.groups import MISSING, GroupCodes, require_groups
from dralign.table_options import TableOptions
from dralign.turns import warnings_recorded

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["number", "category", "label", "sensitive", "split", "weight", "left out"]
T = TypeVar("T")
_PARTS: Final = ("training", "validation", "test")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as it stands there.
        role: what it is taken for.
        values: how many different values it has.
        missing: in how many rows it has none.
        note: why it is left out, or what its numbers are; mostly empty.
    """

    name: str
    role: Role
    values: int
    missing: int
    note: str = ""


@dataclass(frozen=True)
class Inspection:
    """What a table holds, and what is doubtful about it.

    Attributes:
        name: of the table.
        rows: how many it has.
        columns: all of them.
        label: the column to predict; empty if none was given, like all that is made of it.
        values: the positive value alone, or the classes.
        sensitive: the columns that make the groups.
        groups: their names.
        counts: for each group, and last for the rows in none, the rows of each label.
        split: rows for training, validation and test; none without label and groups.
        favourable: the label value that is good for a person.
        obstacles: a line for each reason why it can't be used as it is.
        findings: a line for each doubt.
        reading: what was recognised about the file, for example another mark between columns.
        weights: the weights of the rows of ``counts`` added up; none where rows are not weighted.
        weighting: a line about them.
        fingerprint: the SHA-256 of the files; empty for a DataFrame.
    """

    name: str
    rows: int
    columns: tuple[Column, ...]
    label: str
    values: tuple[str, ...]
    sensitive: tuple[str, ...]
    groups: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    split: tuple[int, ...]
    favourable: str
    obstacles: tuple[str, ...]
    findings: tuple[str, ...]
    reading: tuple[str, ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()
    weighting: str = ""
    fingerprint: str = ""

    def lines(self) -> tuple[str, ...]:
        """It in five lines: columns, missing values, label, groups, split; without findings.

        Weights of rows are told in a sixth.
        """
        counts = np.array(self.counts)
        weights = np.array(self.weights) if self.weights else counts
        missing = [f"{c.name} {c.missing:,}" for c in self.columns if c.missing]
        rows = f"{self.name}: {self.rows:,} rows, {len(self.columns)} columns"
        lines = [
            "; ".join((f"{rows}: {self._roles()}", *self.reading)),
            f"missing values: {cut(missing) or 'none'}",
        ]
        if self.values:
            weighted = bool(self.weights)
            lines.append(
                label_line(self.label, self.values, weights, self.favourable, weighted=weighted)
            )
        if self.groups:
            lines.append(groups_line(self.sensitive, self.groups, counts, weights))
        if self.split:
            lines.append(split_line(self.split))
        if self.weighting:
            lines.append(self.weighting)
        return tuple(lines)

    def _roles(self) -> str:
        """How many columns are what, in words."""
        times = Counter(column.role for column in self.columns)
        out = [column.name for column in self.columns if column.role == "left out"]
        return (
            f"{times['number']} of numbers, {times['category']} of categories"
            f"{f', {len(out)} left out' if out else ''}"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        named = zip(self.groups, self.counts, strict=False)  # the last count is of no group
        groups: list[dict[str, Any]] = [
            {"name": name, "rows": sum(row), "labels": list(row)} for name, row in named
        ]
        for group, weights in zip(groups, self.weights, strict=False):
            group["weights"] = list(weights)
        return {
            **({"weighting": self.weighting} if self.weighting else {}),
            "name": self.name,
            "rows": self.rows,
            "columns": [asdict(column) for column in self.columns],
            "label": self.label,
            "values": list(self.values),
            "favourable": self.favourable,
            "sensitive": list(self.sensitive),
            "groups": groups,
            "split": dict(zip(_PARTS, self.split, strict=False)),
            "obstacles": list(self.obstacles),
            "findings": list(self.findings),
            "reading": list(self.reading),
        }


def inspect_table(
    table: "str | Path | pd.DataFrame",
    *,
    label: str = "",
    positive: str = "",
    sensitive: Sequence[str] | str = (),
    include_sensitive: bool = False,
    seed: int = 0,
    name: str = "",
    **options: Any,  # noqa: ANN401 - what ``TableOptions`` declares
) -> Inspection:
    """What a table holds, and what is doubtful about it; nothing is trained and nothing written.

    Columns that give the label or the group away are looked for among the inputs alone.

    Args:
        table: a file, or a pandas DataFrame.
        label: the column to predict; what is about it is left out if not given.
        positive: the value that counts as 1.
        sensitive: the column(s) that make the groups; as the label.
        include_sensitive: whether they are inputs too.
        seed: of the split.
        name: what to call it; the name of the file if not given.
        **options: as in ``load_table``.

    Raises:
        OptionError: if an option or the seed is not in range.
        DataError: if the file can't be read, or a column that is named is not there.
    """
    check_seed(seed)
    how = TableOptions.of_keywords(options)
    columns = (sensitive,) if isinstance(sensitive, str) and sensitive else tuple(sensitive)
    raw = read_raw(table, how)
    check_columns(raw, how, label=label, sensitive=columns)
    obstacles: list[str] = []
    with _collected() as findings:
        frame, rules = prepared(raw, how, label=label, sensitive=columns)
        y, values = _label(frame, label, positive, obstacles, findings)
        favourable = how.favourable
        if favourable and values:
            favourable = _attempt(obstacles, label_value, frame[label], favourable) or ""
        groups = _groups(frame, columns, how, obstacles, findings)
        split = _split(frame, raw, how, y, len(values), groups, seed, obstacles)
        apart = [name for name in (label, *(() if include_sensitive else columns)) if name]
        chosen = candidates(frame, how, apart)
        training = split[0] if split else None
        reasons = why_not(frame[chosen], training)
        if left_out := [f"{name!r} ({reason})" for name, reason in reasons.items() if reason]:
            findings.append(f"columns left out of the inputs: {noted(left_out)}")
        inputs = [name for name in chosen if not reasons[name]]
        if groups:
            known = groups.codes if training is None else groups.codes[training]
            _attempt(obstacles, require_groups, known, groups.names, where="training")
        if not inputs:
            obstacles.append("no column is left to predict from")
        if refused := not_scaled(frame[inputs], training):
            obstacles.append(noted(refused, between="; "))
        _told(frame, inputs, y, values, columns if groups else (), findings)
    described = tuple(
        _column(str(name), frame[name], _role(str(name), label, columns, how, inputs), reasons)
        for name in frame.columns
    )
    weight = weights_in(frame, how.weight)
    return Inspection(
        name=name or raw.name,
        rows=len(frame),
        columns=described,
        label=label,
        values=values,
        sensitive=columns,
        groups=groups.names if groups else (),
        counts=_counts(np.ones(len(frame), dtype=np.int64), y, len(values), groups),
        split=tuple(map(len, split)),
        favourable=favourable,
        obstacles=tuple(obstacles),
        findings=tuple(dict.fromkeys(findings)),
        reading=_reading(raw, {} if how.decimal else rules.marks),
        weights=() if weight is None else _counts(weight, y, len(values), groups),
        weighting="" if weight is None else weights_line(how.weight, weight),
        fingerprint=raw.fingerprint,
    )


@contextmanager
def _collected() -> Iterator[list[str]]:
    """The list of findings, to which warnings inside the block are added."""
    findings: list[str] = []
    with warnings_recorded() as caught:
        yield findings
    findings[:0] = [str(one.message) for one in caught if issubclass(one.category, DralignWarning)]


def _reading(raw: RawTable, marks: Mapping[str, str]) -> tuple[str, ...]:
    """What was recognised about the file."""
    notes = []
    if raw.separator:
        notes.append(f"columns separated by {raw.separator!r}")
    if commas := [repr(name) for name, mark in marks.items() if mark == ","]:
        notes.append(f"numbers with a decimal comma: {noted(commas)}")
    return tuple(notes)


def _attempt(
    obstacles: list[str],
    make: Callable[..., T],
    *given: Any,  # noqa: ANN401 - what ``make`` takes
    **more: Any,  # noqa: ANN401
) -> T | None:
    """What is made of what is given; if the data do not allow it, None and an obstacle."""
    try:
        return make(*given, **more)
    except DataError as error:
        obstacles.append(str(error))
        return None


def _label(
    frame: "pd.DataFrame", label: str, positive: str, obstacles: list[str], findings: list[str]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The codes of the label, and its positive value or its classes; nothing if it can't be."""
    if not label:
        return None, ()
    coded = _attempt(obstacles, coded_label, frame[label], positive, remedy=DROP_MISSING)
    if coded is None:
        return None, ()
    y, shown, classes = coded
    if classes and (line := mistaken(frame[label])):
        findings.append(line)
    return y, classes or (shown,)


def _groups(
    frame: "pd.DataFrame",
    columns: Sequence[str],
    how: TableOptions,
    obstacles: list[str],
    findings: list[str],
) -> GroupCodes | None:
    """The groups; None if there can't be any."""
    if not columns:
        return None
    groups = _attempt(obstacles, table_groups, frame, columns, min_size=how.min_group_size)
    if groups is not None:
        warn_of_lacking(frame, columns)
        findings += doubts(frame, columns, groups)
    return groups


def _split(
    frame: "pd.DataFrame",
    raw: RawTable,
    how: TableOptions,
    y: np.ndarray | None,
    n_values: int,
    groups: GroupCodes | None,
    seed: int,
    obstacles: list[str],
) -> tuple[np.ndarray, ...]:
    """The row numbers of the three parts; nothing without label or groups."""
    if y is None or groups is None:
        return ()
    strata = groups.codes.numpy() * max(n_values, 2) + y
    return _attempt(obstacles, table_split, frame, raw, how, strata, seed) or ()


def _told(
    frame: "pd.DataFrame",
    inputs: Sequence[str],
    y: np.ndarray | None,
    values: Sequence[str],
    sensitive: Sequence[str],
    findings: list[str],
) -> None:
    """Adds findings about inputs that tell the label or the group, and about codes."""
    if y is not None:
        names = values if len(values) > 1 else ("", values[0])
        if result := giveaways(frame, inputs, y, names):
            dropped = option("--drop", (one.column for one in result))
            findings.append(
                f"gives the label away: {noted([*map(str, result)])}; to leave out: {dropped}"
            )
    proxies = []
    for name in sensitive:
        index, texts = distinct_texts(frame[name])
        others = [column for column in inputs if column != name and column not in sensitive]
        if len(texts) > 1:
            proxies += giveaways(frame, others, index, texts)
    if proxies:
        dropped = option("--drop", (one.column for one in proxies))
        findings.append(
            f"gives the group away: {noted([*map(str, proxies)])}; to leave out: {dropped}"
        )
    binary = y if len(values) == 1 else None
    numeric = [name for name in inputs if of_numbers(frame[name])]
    if weights := [name for name in numeric if row_weights(frame[name])]:
        findings.append(
            f"may be weights of rows: {noted([*map(repr, weights)])}; rows are not weighted, and "
            f"it is an input: {option('--drop', weights)}, or weigh rows by it: "
            f"{option('--weight', weights[:1])}"
        )
    looks = {name: codes(frame[name], binary) for name in numeric}
    if looks := {name: text for name, text in looks.items() if text}:
        findings.append(
            f"numbers that look like codes: {noted([*looks.values()])}; if they are: "
            f"{option('--categorical', looks)}"
        )


def _role(
    name: str, label: str, sensitive: Sequence[str], how: TableOptions, inputs: Sequence[str]
) -> Role | None:
    """What a column is; None for an input, whose type tells."""
    if name == label:
        return "label"
    if name == how.split_column:
        return "split"
    if name == how.weight:
        return "weight"
    if name in inputs:
        return None
    return "sensitive" if name in sensitive else "left out"


def _column(
    name: str, values: "pd.Series[Any]", role: Role | None, reasons: dict[str, str]
) -> Column:
    """The description of a column."""
    try:
        different = values.nunique() if of_numbers(values) else len(text_counts(values))
    except DataError:  # lists and the like
        different = 0
    note = reasons.get(name, "") or ("as asked for" if role == "left out" else "")
    role = role or ("number" if of_numbers(values) else "category")
    return Column(name, role, different, int(values.isna().sum()), note)


def _counts(
    each: np.ndarray, y: np.ndarray | None, n_values: int, groups: GroupCodes | None
) -> tuple[tuple[Any, ...], ...]:
    """What the rows of each group, and last of those in none, count by label: 1 each, or more."""
    codes = np.full(len(each), MISSING) if groups is None else groups.codes.numpy()
    n_groups = 0 if groups is None else len(groups.names)
    n_labels = 1 if y is None else max(n_values, 2)
    counts = np.zeros((n_groups + 1, n_labels), dtype=each.dtype)
    np.add.at(counts, (codes, np.zeros(len(each), dtype=np.int64) if y is None else y), each)
    return tuple(map(tuple, counts.tolist()))
