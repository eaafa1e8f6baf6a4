"""Compiled loops of the fast ablation engine, for activations with one kink at zero.

An activation is a(z) = z for z > 0 and slope * z otherwise: ReLU (0), LeakyReLU, Identity (1).
All rows of a call have the same label y, so the loss is log(1 + sum_c exp(m_c)) with margins
m_c = logit_c - logit_y over the other classes c, and when the margins change by delta_c

    loss change = log(right + sum_c wrong_c exp(delta_c)),

right and wrong_c being the predicted probabilities. Over rows it is the log of a product, so the
logarithm is taken once for many rows. Index letters: r row, c other class, i unit, j input.

Nothing is cached on disk: numba's cache is read through pickle.
"""

import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.uint64]  # unsigned: nothing is counted from the end
P = ParamSpec("P")
R = TypeVar("R")

# Rows handled together: 256 rows of 200 float64 activations stay in a core's second-level cache.
TILE = 256
# exp(600) and its inverse are far from overflow, also after one more factor.
LARGEST = 600.0
# Up to here exp is its power series; half of log 2 would be the limit.
SMALL = 0.34


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compiled at its first call. Sums may be reordered; there are no NaNs to keep."""
    flags = {"contract", "nsz", "reassoc", "nnan"}
    return cast("Callable[P, R]", njit(fastmath=flags, nogil=True)(function))


def compiled_in_order(function: Callable[P, R]) -> Callable[P, R]:
    """Compiled at its first call, the operations in the order they are written in."""
    return cast("Callable[P, R]", njit(fastmath={"contract"}, nogil=True)(function))


@compiled_in_order
def _series(x: float) -> float:
    """exp(x) for |x| <= log(2) / 2, relative error 1e-14, exactly 1 at 0."""
    x2 = x * x
    x4 = x2 * x2
    low = (1.0 + x) + x2 * (0.5 + x * (1 / 6))
    middle = (1 / 24 + x * (1 / 120)) + x2 * (1 / 720 + x * (1 / 5040))
    high = (1 / 40320 + x * (1 / 362880)) + x2 * (1 / 3628800 + x * (1 / 39916800))
    return low + x4 * (middle + x4 * high)


@compiled_in_order
def _exp(x: float) -> float:
    """exp(x) for |x| <= 700, relative error 1e-14, exactly 1 at 0; unlike libm's, vectorised."""
    shifted = x * 1.4426950408889634 + 6755399441055744.0  # rounds x / log 2 in the last bits
    k = shifted - 6755399441055744.0
    rest = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    power = (np.float64(shifted).view(np.int64) + 1023) << 52  # the bits of 2^k
    return float(_series(rest) * np.int64(power).view(np.float64))


@compiled_in_order
def _softplus(margins: Floats, delta: Floats) -> float:
    """log(1 + sum_c exp(m_c + delta_c)), for changes beyond the range of ``_exp``."""
    top = 0.0
    for c in range(len(margins)):
        top = max(top, margins[c] + delta[c])
    total = math.exp(-top)
    for c in range(len(margins)):
        total += math.exp(margins[c] + delta[c] - top)
    return top + math.log(total)


@compiled
def flush(product: Floats, total: Floats, i: int) -> None:
    """Adds the logs of the products to row i of the totals and starts new products."""
    for k in range(len(product)):
        if product[k] != 1:
            total[i, k] += math.log(product[k])
            product[k] = 1.0


@compiled
def with_room(product: Floats, total: Floats, i: int, used: float, bound: float) -> float:
    """Makes room for factors within exp(-bound) and exp(bound); the new bound of the products."""
    if used + bound <= LARGEST:
        return used + bound
    flush(product, total, i)
    return bound


@compiled
def last_but_one(
    h: Floats,
    z: Floats,
    weight: Floats,
    slope: float,
    scale: Floats,
    margins: Floats,
    probability: Floats,
    total: Floats,
) -> None:
    """Adds the loss changes of every weight of the layer before the last.

    Args:
        h: (n, J) inputs of the layer.
        z: (n, I) its pre-activations.
        weight: (I, J).
        slope: of its activation below zero.
        scale: (I, C') how the margins move with the layer's outputs.
        margins: (n, C').
        probability: (n, 1 + C') of the label, then of the other classes.
        total: (I, J) sums over rows, added to.
    """
    n_units, n_inputs = weight.shape
    product, change, factor = np.ones(n_inputs), np.empty(n_inputs), np.empty(n_inputs)
    largest_input, largest_weight = _largest_by_row(h), _largest_by_row(weight)
    largest_scale = _largest_by_row(scale)
    for start in range(0, len(z), TILE):
        for i in range(n_units):
            used = 0.0  # the product lies within exp(-used) and exp(used)
            for r in range(start, min(start + TILE, len(z))):
                reach = largest_weight[i] * largest_input[r]
                if slope == 0 and z[r, i] + reach <= 0:
                    continue  # the unit stays dead
                if not _changes(weight, i, h, r, z[r, i], slope, change):
                    continue
                bound = largest_scale[i] * reach
                if bound > LARGEST:
                    _add_extreme(change, scale[i], margins[r], total[i])
                    continue
                used = with_room(product, total, i, used, bound)
                _multiply(product, change, scale, i, probability, r, bound <= SMALL, factor)
            flush(product, total, i)


# The helpers below take whole arrays and places in them: a slice of an array costs as much as the
# arithmetic on a row of 40 entries.


@compiled
def _changes(
    weight: Floats, i: int, h: Floats, r: int, old: float, slope: float, change: Floats
) -> bool:
    """Fills in how the unit's output changes without each input; whether it may change at all."""
    before = max(old, slope * old)
    for j in range(len(change)):
        new = old - weight[i, j] * h[r, j]
        change[j] = max(new, slope * new) - before
    if old > 0 or slope != 0:
        return True
    revived = 0  # counting is vectorised, stopping at the first is not
    for j in range(len(change)):
        revived += change[j] > 0
    return revived > 0


@compiled
def _multiply(
    product: Floats,
    change: Floats,
    scale: Floats,
    i: int,
    probability: Floats,
    r: int,
    small: bool,
    factor: Floats,
) -> None:
    """Multiplies each product by right + sum_c wrong_c exp(scale_c * change)."""
    start = probability[r, 0]
    for j in range(len(product)):
        factor[j] = start
    for c in range(scale.shape[1]):
        by, wrong = scale[i, c], probability[r, 1 + c]
        if small:
            for j in range(len(product)):
                factor[j] += wrong * _series(by * change[j])
        else:
            for j in range(len(product)):
                factor[j] += wrong * _exp(by * change[j])
    for j in range(len(product)):
        product[j] *= factor[j]


@compiled_in_order
def _add_extreme(change: Floats, scale: Floats, margins: Floats, total: Floats) -> None:
    """Adds loss changes one by one, for margins that may move beyond the range of ``_exp``."""
    base = _softplus(margins, scale * 0.0)
    for j in range(len(change)):
        total[j] += _softplus(margins, scale * change[j]) - base


@compiled_in_order
def _largest_by_row(values: Floats) -> Floats:
    """The largest absolute value of each row."""
    largest = np.zeros(len(values))
    for r in range(len(values)):
        for k in range(values.shape[1]):
            largest[r] = max(largest[r], abs(values[r, k]))
    return largest


@compiled
def two_before_last(
    x: Floats,
    z: Floats,
    weight: Floats,
    slope: float,
    next_z: Floats,
    next_weight: Floats,
    gradient: Floats,
    next_slope: float,
    scale: Floats,
    margins: Floats,
    probability: Floats,
    total: Floats,
) -> None:
    """Adds the loss changes of every weight of the layer two before the last.

    For one row and unit the margins are piecewise linear in the change of the unit's output:
    linear with ``gradient``, plus a term for each unit of the next layer that crosses zero.

    Args:
        x: (n, K) inputs of the layer.
        z: (n, J) its pre-activations.
        weight: (J, K).
        slope: of its activation below zero.
        next_z: (n, I) pre-activations of the next layer.
        next_weight: (J, I), one row for each input of the next layer.
        gradient: (n, J, C') derivative of the margins by this layer's outputs.
        next_slope: of the next activation below zero.
        scale: (I, C') how the margins move with the next layer's outputs.
        margins: (n, C').
        probability: (n, 1 + C') of the label, then of the other classes.
        total: (J, K) sums over rows, added to.
    """
    n_units, n_inputs = weight.shape
    product, change, factor = np.ones(n_inputs), np.empty(n_inputs), np.empty(n_inputs)
    delta = np.empty((scale.shape[1], n_inputs))
    columns, values, lengths = nonzero(x)
    largest_input, largest_weight = _largest_by_row(x), _largest_by_row(weight)
    steepest = _steepest(next_weight, scale)
    farthest = (largest_weight * _largest_by_row(next_weight)).max()
    near, n_near = _near_zero(next_z, largest_input * farthest)
    kink = (1 - next_slope) * scale
    for start in range(0, len(z), TILE):
        for j in range(n_units):
            used = 0.0
            for r in range(start, min(start + TILE, len(z))):
                reach = largest_weight[j] * largest_input[r]
                if slope == 0 and z[r, j] <= 0:
                    reach += z[r, j]
                    if reach <= 0:
                        continue  # the unit stays dead
                m = lengths[r]
                if not _moves(weight, j, columns, values, r, m, z[r, j], slope, change):
                    continue
                _margins(gradient, r, j, change, m, delta)
                for index in range(n_near[r]):
                    i = near[r, index]
                    if abs(next_z[r, i]) <= abs(next_weight[j, i]) * reach:
                        _cross(next_z[r, i], next_weight[j, i], kink, i, change, m, delta)
                bound = bound_of(steepest[j] * reach, delta, m)
                if bound > LARGEST:
                    add_extreme_at(total[j], columns[r, :m], delta, margins[r])
                    continue
                used = with_room(product, total, j, used, bound)
                multiply_at(product, columns, r, m, delta, probability, factor)
            flush(product, total, j)


@compiled_in_order
def _steepest(next_weight: Floats, scale: Floats) -> Floats:
    """A bound, for each unit, of how fast any margin moves with its output, (J,)."""
    steepest = np.zeros(len(next_weight))
    for j in range(len(next_weight)):
        for c in range(scale.shape[1]):
            speed = 0.0
            for i in range(len(scale)):
                speed += abs(next_weight[j, i] * scale[i, c])
            steepest[j] = max(steepest[j], speed)
    return steepest


@compiled
def _moves(
    weight: Floats,
    j: int,
    columns: Indices,
    values: Floats,
    r: int,
    m: int,
    old: float,
    slope: float,
    change: Floats,
) -> bool:
    """As ``_changes``, for the m inputs of the row that are not zero."""
    before = max(old, slope * old)
    for k in range(m):
        new = old - weight[j, columns[r, k]] * values[r, k]
        change[k] = max(new, slope * new) - before
    if old > 0 or slope != 0:
        return m > 0
    revived = 0
    for k in range(m):
        revived += change[k] > 0
    return revived > 0


@compiled
def _margins(gradient: Floats, r: int, j: int, change: Floats, m: int, delta: Floats) -> None:
    """Fills in how the margins would move, (C', m), if no unit of the next layer crossed zero."""
    for c in range(len(delta)):
        slant = gradient[r, j, c]
        for k in range(m):
            delta[c, k] = slant * change[k]


@compiled
def _cross(z: float, w: float, kink: Floats, i: int, change: Floats, m: int, delta: Floats) -> None:
    """Adds what unit i of the next layer does beyond zero, from whichever side it comes."""
    distance, speed = (-z, -w) if z > 0 else (z, w)
    for c in range(len(delta)):
        bend = kink[i, c]
        for k in range(m):
            delta[c, k] += bend * max(0.0, distance + speed * change[k])


@compiled
def multiply_at(
    product: Floats,
    columns: Indices,
    r: int,
    m: int,
    delta: Floats,
    probability: Floats,
    factor: Floats,
) -> None:
    """Multiplies the products of the row's inputs by right + sum_c wrong_c exp(delta_c)."""
    start = probability[r, 0]
    for k in range(m):
        factor[k] = start
    for c in range(len(delta)):
        wrong = probability[r, 1 + c]
        for k in range(m):
            factor[k] += wrong * _exp(delta[c, k])
    for k in range(m):
        product[columns[r, k]] *= factor[k]


@compiled_in_order
def add_extreme_at(total: Floats, columns: Indices, delta: Floats, margins: Floats) -> None:
    """As ``_add_extreme``, for the inputs of a row that are not zero."""
    base = _softplus(margins, 0.0 * margins)
    for k in range(len(columns)):
        total[columns[k]] += _softplus(margins, delta[:, k]) - base


@compiled_in_order
def nonzero(x: Floats) -> tuple[Indices, Floats, NDArray[np.int64]]:
    """For each row the columns that are not zero and their values, (n, K), and their number."""
    columns, values = np.empty(x.shape, np.uint64), np.empty(x.shape)
    lengths = np.zeros(len(x), np.int64)
    for r in range(len(x)):
        for k in range(x.shape[1]):
            if x[r, k] != 0:
                columns[r, lengths[r]] = k
                values[r, lengths[r]] = x[r, k]
                lengths[r] += 1
    return columns, values, lengths


@compiled_in_order
def _near_zero(z: Floats, limit: Floats) -> tuple[Indices, NDArray[np.int64]]:
    """For each row the units within ``limit`` of zero, (n, I), and their number."""
    units, lengths = np.empty(z.shape, np.uint64), np.zeros(len(z), np.int64)
    for r in range(len(z)):
        for i in range(z.shape[1]):
            if abs(z[r, i]) <= limit[r]:
                units[r, lengths[r]] = i
                lengths[r] += 1
    return units, lengths


@compiled
def bound_of(rough: float, values: Floats, m: int) -> float:
    """A bound of the first m columns: the rough one if it is good enough, else the exact one."""
    if rough <= LARGEST / TILE:
        return rough
    largest = 0.0
    for c in range(len(values)):
        for k in range(m):
            largest = max(largest, abs(values[c, k]))
    return largest
