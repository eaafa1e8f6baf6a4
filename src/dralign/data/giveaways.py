"""Columns that tell the label or the group by themselves, found on rows that were not fitted on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import distinct_texts, of_numbers
from dralign.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

ENOUGH: Final = 0.995  # accuracy or average precision on held-out rows
OF_CHANCE: Final = 0.1  # and so few of the errors that the commonest value alone would make
LEAST: Final = 20  # rows with another than the commonest value, or chance could do it
MOST_ROWS: Final = 20_000  # that are looked at
FEW_EACH: Final = 500  # rows of each value of the target, by which columns are left aside
LIKELY: Final = 0.85  # of these that are right, for a column to be looked at closely
LEAVES: Final = 64  # of the tree that cuts a column of numbers into pieces
LARGE: Final = 1e30  # as far as numbers reach for it: it squares none, and float32 ends at 3e38


@dataclass(frozen=True)
class Giveaway:
    """A column that tells a target by itself.

    Attributes:
        column: its name.
        value: which value of the target it tells from the others; empty where it tells them all.
        measure: ``"accuracy"`` or ``"average precision"``, of predictions for each half of the rows
            by a rule that was learned from the other half.
        figure: its value.
    """

    column: str
    value: str
    measure: str
    figure: float

    def __str__(self) -> str:
        of = f"{self.value!r}, " if self.value else ""
        return f"{self.column!r} ({of}{self.measure} {self.figure:.3f} on held-out rows)"


def giveaways(
    frame: "pd.DataFrame", columns: Sequence[str], codes: np.ndarray, names: Sequence[str]
) -> list[Giveaway]:
    """The columns that tell a target by themselves, in their order.

    A rule is learned from each half of the rows, and judged on the other half: the most frequent
    value for each category, or for each piece that a small tree cuts numbers into; a missing value
    is one more. Of two target values the average precision counts too, for the rarer one, of these
    predictions and of numbers as they are.

    Args:
        frame: the rows.
        columns: which of its columns.
        codes: (n,) the target: 0..C-1, and -1 where it is missing.
        names: the C values of the target.
    """
    rows = np.random.RandomState(0).permutation(np.flatnonzero(codes >= 0))
    few = np.concatenate([rows[codes[rows] == code][:FEW_EACH] for code in range(len(names))])
    few = np.random.RandomState(0).permutation(few)
    rows, result = rows[:MOST_ROWS], []
    for name in columns:
        if not _worth_it(frame[name].iloc[few], codes[few], len(names)):
            continue
        inputs = _inputs(frame[name].iloc[rows])
        if inputs is None:
            continue
        prob = _out_of_half(inputs, codes[rows], len(names))
        scores = [] if inputs[1] else [inputs[0]]
        if best := _judged(prob, codes[rows], names, *scores):
            result.append(Giveaway(name, *best))
    return result


def _worth_it(values: "pd.Series[Any]", target: np.ndarray, n_values: int) -> bool:
    """Whether a column may tell a value of the target, by a few rows of each of its values."""
    inputs = _inputs(values)
    if inputs is None:
        return False
    predicted = _out_of_half(inputs, target, n_values).argmax(1)
    for code in range(n_values):
        own = target == code
        if not own.any() or own.all():
            continue
        right = ((predicted[own] == code).mean() + (predicted[~own] != code).mean()) / 2
        if right >= LIKELY:
            return True
    return False


def _out_of_half(inputs: tuple[np.ndarray, bool], target: np.ndarray, n_values: int) -> np.ndarray:
    """(n, C) shares of the target's values for each row, learned from the other half of them."""
    first = np.arange(len(target)) % 2 == 0
    prob = np.zeros((len(target), n_values))
    for half in (first, ~first):
        prob[~half] = _predicted(inputs, target, half, n_values)
    return prob


def _inputs(values: "pd.Series[Any]") -> tuple[np.ndarray, bool] | None:
    """A column as numbers, or as codes of categories (then True); None for lists and the like.

    Numbers are given from 0, and not too large: scikit-learn's trees cut those of float32.
    """
    if of_numbers(values):
        halves = values.to_numpy(dtype=np.float64, na_value=np.nan) / 2  # their span is finite
        known = halves[np.isfinite(halves)]
        least, most = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        above = (halves - least) / max((most - least) / LARGE, 1.0)
        return np.where(np.isfinite(halves), above, -min(most - least, LARGE) - 1.0), False
    try:
        index, texts = distinct_texts(values)
    except DataError:
        return None
    return np.where(index < 0, len(texts), index), True


def _predicted(
    inputs: tuple[np.ndarray, bool], target: np.ndarray, half: np.ndarray, n_values: int
) -> np.ndarray:
    """(m, C) shares of the target's values for the rows outside of ``half``, learned from it."""
    x, of_categories = inputs
    if of_categories:
        counts = np.zeros((int(x.max()) + 1, n_values))
        np.add.at(counts, (x[half], target[half]), 1.0)
        # A category of few rows leans to the overall shares, and one that is new has them.
        counts += np.bincount(target[half], minlength=n_values) / max(half.sum(), 1)
        shares: np.ndarray = (counts / counts.sum(1, keepdims=True))[x[~half]]
        return shares
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=5, random_state=0)
    tree.fit(x[half, None], target[half])
    prob = np.zeros((int((~half).sum()), n_values))
    prob[:, tree.classes_] = tree.predict_proba(x[~half, None])
    return prob


def _judged(
    prob: np.ndarray, target: np.ndarray, names: Sequence[str], *scores: np.ndarray
) -> tuple[str, str, float] | None:
    """What is told, by which measure, and its value; None if nothing is."""
    if best := _accurate(prob.argmax(1), target):
        return "", "accuracy", best
    if len(names) == 2:
        counts = np.bincount(target, minlength=2)
        rare = int(counts.argmin())
        ranked = (prob[:, rare], *(sign * score for score in scores for sign in (1, -1)))
        best = max(_precise(score, target == rare) for score in ranked)
        return ("", "average precision", best) if best and counts[rare] >= LEAST else None
    for code, name in enumerate(names):
        own = (target == code).astype(int)
        if best := _accurate((prob[:, code] >= 0.5).astype(int), own):
            return str(name), "accuracy", best
    return None


def _accurate(predicted: np.ndarray, target: np.ndarray) -> float:
    """The accuracy, if it is enough and not that of always saying the commonest value; else 0."""
    others = len(target) - int(np.bincount(target).max(initial=0))
    wrong = int((predicted != target).sum())
    if others < LEAST or wrong > OF_CHANCE * others or wrong > (1 - ENOUGH) * len(target):
        return 0.0
    return 1 - wrong / len(target)


def _precise(score: np.ndarray, target: np.ndarray) -> float:
    """The average precision, if it is enough; else 0."""
    from sklearn.metrics import average_precision_score

    figure = float(average_precision_score(target, score))
    return figure if figure >= ENOUGH else 0.0


def option(name: str, columns: Iterable[str]) -> str:
    """An option given once for each column, as it is typed in a shell."""
    from shlex import quote

    return " ".join(f"{name} {quote(column)}" for column in dict.fromkeys(columns))
