"""Compiled loops of the fast ablation engine for activations of any form, looked up in tables.

Arguments, loss and products over rows are those of ``kernels``. Nothing is linear here: a change of
a unit's output goes through every unit of the next layer. So a weight and a row cost one look-up in
the layer before the last, and one for each unit of the next in the one before. There, where a row
has many inputs, the margins as a function of that one change are a polynomial through 12 points, if
its last coefficients say that it is as good as the table.
"""

import numpy as np

from dralign.rationale.kernels import (
    LARGEST,
    TILE,
    Floats,
    Indices,
    add_extreme_at,
    bound_of,
    compiled,
    compiled_in_order,
    flush,
    multiply_at,
    nonzero,
    with_room,
)
from dralign.rationale.tabulated import CELLS, PER_UNIT, REACH

NODES = 12
WORTH_NODES = 20  # inputs of a row that are not zero
# Of the polynomial's last three coefficients: to the largest, and to the sum of the scales.
TAIL, NOISE = 1e-12, 1e-15

_POINTS = np.cos((np.arange(NODES) + 0.5) * np.pi / NODES)
_TO_COEFFICIENTS = np.cos(np.outer(np.arange(NODES), np.arccos(_POINTS))) * 2 / NODES
_TO_COEFFICIENTS[0] /= 2
_TO_COEFFICIENTS = np.ascontiguousarray(_TO_COEFFICIENTS.T)


@compiled_in_order
def _at(table: Floats, x: float) -> float:
    """The activation of x. Without branches, and with indices of 32 bits, it is vectorised."""
    position = (x + REACH) * PER_UNIT + 1
    inside = position if position > 0 else 0.0  # of NaN as well
    inside = inside if inside < CELLS + 1 else CELLS + 1.0
    cell = np.int32(inside)
    i = np.uint64(cell)
    u = position - cell - 0.5
    return float(table[i, 0] + u * (table[i, 1] + u * (table[i, 2] + u * table[i, 3])))


@compiled
def _changes(
    table: Floats,
    weight: Floats,
    j: int,
    columns: Indices,
    values: Floats,
    r: int,
    m: int,
    old: float,
    change: Floats,
) -> None:
    """Fills in how the unit's output changes without each of the m inputs that are not zero."""
    before = _at(table, old)
    for k in range(m):
        change[k] = _at(table, old - weight[j, columns[r, k]] * values[r, k]) - before


@compiled
def _through_next(
    table: Floats,
    j: int,
    r: int,
    next_z: Floats,
    next_h: Floats,
    next_weight: Floats,
    change: Floats,
    m: int,
    scale: Floats,
    delta: Floats,
) -> None:
    """Fills in what the margins move by, (C', m), for each of m changes of unit j's output."""
    moved = np.empty(m)
    delta[:, :m] = 0
    for i in range(next_z.shape[1]):
        old, before, by = next_z[r, i], next_h[r, i], next_weight[j, i]
        for k in range(m):
            moved[k] = _at(table, old + by * change[k]) - before
        for c in range(len(delta)):
            for k in range(m):
                delta[c, k] += scale[i, c] * moved[k]


@compiled
def _by_polynomial(
    table: Floats,
    j: int,
    r: int,
    next_z: Floats,
    next_h: Floats,
    next_weight: Floats,
    change: Floats,
    m: int,
    scale: Floats,
    delta: Floats,
) -> bool:
    """The same from a few points between the smallest and largest change; whether it will do."""
    low, high = change[:m].min(), change[:m].max()
    middle, half = (low + high) / 2, (high - low) / 2
    if half <= 0:
        return False
    at_points = np.empty((scale.shape[1], NODES))
    points = middle + half * _POINTS
    _through_next(table, j, r, next_z, next_h, next_weight, points, NODES, scale, at_points)
    coefficients = at_points @ _TO_COEFFICIENTS
    for c in range(len(delta)):
        noise = NOISE * np.abs(scale[:, c]).sum()
        if np.abs(coefficients[c, -3:]).sum() > max(TAIL * np.abs(coefficients[c]).max(), noise):
            return False
        for k in range(m):
            u = (change[k] - middle) / half
            before, now = 0.0, 0.0
            for n in range(NODES - 1, 0, -1):
                before, now = now, coefficients[c, n] + 2 * u * now - before
            delta[c, k] = coefficients[c, 0] + u * now - before
    return True


@compiled
def tabulated_last_but_one(
    x: Floats,
    z: Floats,
    weight: Floats,
    table: Floats,
    scale: Floats,
    margins: Floats,
    probability: Floats,
    total: Floats,
) -> None:
    """Adds the loss changes of every weight of the layer before the last; see ``kernels``."""
    n_units, n_inputs = weight.shape
    product, change, factor = np.ones(n_inputs), np.empty(n_inputs), np.empty(n_inputs)
    delta = np.empty((scale.shape[1], n_inputs))
    columns, values, lengths = nonzero(x)
    for start in range(0, len(z), TILE):
        for i in range(n_units):
            used = 0.0
            for r in range(start, min(start + TILE, len(z))):
                m = lengths[r]
                _changes(table, weight, i, columns, values, r, m, z[r, i], change)
                for c in range(len(delta)):
                    for k in range(m):
                        delta[c, k] = scale[i, c] * change[k]
                bound = bound_of(np.inf, delta, m)
                if bound > LARGEST:
                    add_extreme_at(total[i], columns[r, :m], delta, margins[r])
                    continue
                used = with_room(product, total, i, used, bound)
                multiply_at(product, columns, r, m, delta, probability, factor)
            flush(product, total, i)


@compiled
def tabulated_two_before_last(
    x: Floats,
    z: Floats,
    weight: Floats,
    table: Floats,
    next_z: Floats,
    next_weight: Floats,
    next_table: Floats,
    scale: Floats,
    margins: Floats,
    probability: Floats,
    total: Floats,
) -> None:
    """Adds the loss changes of every weight of the layer two before the last; see ``kernels``."""
    n_units, n_inputs = weight.shape
    product, change, factor = np.ones(n_inputs), np.empty(n_inputs), np.empty(n_inputs)
    delta = np.empty((scale.shape[1], n_inputs))
    columns, values, lengths = nonzero(x)
    next_h = np.empty(next_z.shape)
    for r in range(len(next_z)):
        for i in range(next_z.shape[1]):
            next_h[r, i] = _at(next_table, next_z[r, i])
    for start in range(0, len(z), TILE):
        for j in range(n_units):
            used = 0.0
            for r in range(start, min(start + TILE, len(z))):
                m = lengths[r]
                _changes(table, weight, j, columns, values, r, m, z[r, j], change)
                if m <= WORTH_NODES or not _by_polynomial(
                    next_table, j, r, next_z, next_h, next_weight, change, m, scale, delta
                ):
                    _through_next(
                        next_table, j, r, next_z, next_h, next_weight, change, m, scale, delta
                    )
                bound = bound_of(np.inf, delta, m)
                if bound > LARGEST:
                    add_extreme_at(total[j], columns[r, :m], delta, margins[r])
                    continue
                used = with_room(product, total, j, used, bound)
                multiply_at(product, columns, r, m, delta, probability, factor)
            flush(product, total, j)
