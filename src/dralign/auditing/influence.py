"""The exact parity scores of an audit, and how well Taylor rationales rank the same entries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dralign.auditing.records import Agreement, Influence, LayerInfluence, Part, UnitForm
from dralign.rationale import Granularity, Layer
from dralign.rationale.ablation import Report
from dralign.rationale.parity import ParityScores, parity_scores
from dralign.rationale.rows import Rows

Floats = NDArray[np.float64]
FEWEST_RANKED = 3


@dataclass(frozen=True)
class Exact:
    """Exact and first-order influences of the same removals.

    Attributes:
        ablation: of single weights.
        taylor: of single weights.
        unit_form: what a unit's influence is.
        units: for each layer the exact influences (G, units).
        taylor_units: for each layer the first-order ones of the same form.
    """

    ablation: ParityScores
    taylor: ParityScores
    unit_form: UnitForm
    units: Mapping[str, Floats]
    taylor_units: Mapping[str, Floats]


def exact_influences(
    model: nn.Module,
    rows: Rows,
    layers: Sequence[Layer],
    *,
    sample: int | None,
    seed: int,
    batch_rows: int,
    report: Report,
) -> Exact:
    """Ablation and Taylor for the weights and the units of the layers.

    A unit's influence is the sum over its weights. With a sample of weights there is no such sum;
    a sample of units is then removed whole (``unit_form="joint"``).

    Args:
        model: the network.
        rows: the rows.
        layers: the layers.
        sample: weights, and units, to measure in each layer; None for all.
        seed: of the sample.
        batch_rows: rows in a block.
        report: called with the part done.
    """
    common: dict[str, Any] = {
        "label": rows.label,
        "group": rows.group,
        "sample_weight": rows.weight,
        "layers": [layer.name for layer in layers],
        "batch_rows": batch_rows,
    }
    measured: dict[str, Any] = {**common, "sample": sample, "seed": seed, "progress": report}
    ablation = parity_scores(model, rows.x, **measured)
    taylor = parity_scores(model, rows.x, method="taylor", **common)
    if sample is None:
        units = _summed(layers, ablation), _summed(layers, taylor)
        return Exact(ablation, taylor, "sum", *units)
    joint: dict[str, Any] = {"granularity": "unit", "unit_form": "joint"}
    whole = parity_scores(model, rows.x, **joint, **measured)
    first_order = parity_scores(model, rows.x, method="taylor", **joint, **common)
    return Exact(ablation, taylor, "joint", _stacked(whole), _stacked(first_order))


def ranked(exact: Exact, layers: Sequence[Layer], *, top: int) -> Influence:
    """The units and weights with the highest parity scores, and every unit's influence."""
    scores = {name: _score(units) for name, units in exact.units.items()}
    return Influence(
        engine=exact.ablation.engine,
        unit_form=exact.unit_form,
        total=exact.ablation.total,
        standard_error=exact.ablation.standard_error,
        units=top_units(exact, top),
        parameters=_top_parameters(exact.ablation, layers, top),
        layers=[
            LayerInfluence(
                layer=layer.name,
                fan_in=_fan_in(exact.ablation, layer),
                influences=exact.units[layer.name].tolist(),
                scores=scores[layer.name].tolist(),
            )
            for layer in layers
        ],
    )


def top_units(exact: Exact, top: int | None = None) -> list[Part]:
    """The units with the highest scores; a layer's only unit has no peer and is left out."""
    result = [
        Part(name, unit, (), float(score), units[:, unit].tolist())
        for name, units in exact.units.items()
        if units.shape[1] > 1
        for unit, score in enumerate(_score(units).tolist())
        if np.isfinite(score)
    ]
    return sorted(result, key=lambda part: -part.score)[:top]


def agreements(exact: Exact, layers: Sequence[Layer], names: Sequence[str]) -> list[Agreement]:
    """Spearman's correlation of ablation and Taylor, for each layer, granularity and group."""
    result = []
    for layer in layers:
        for granularity, ours, theirs in _pairs(exact, layer):
            compared = [("", _score(ours), _score(theirs))]
            compared += [(name, ours[code], theirs[code]) for code, name in enumerate(names)]
            for group, exactly, first_order in compared:
                n, correlation = _spearman(exactly, first_order)
                result.append(Agreement(layer.name, granularity, group, n, correlation))
    return result


def _pairs(exact: Exact, layer: Layer) -> Iterator[tuple[Granularity, Floats, Floats]]:
    """(G, entries) influences by ablation and by Taylor, for weights and for units."""
    name = layer.name
    ours, theirs = (
        np.stack([values.reshape(-1) for values in scores.influences[name].values()])
        for scores in (exact.ablation, exact.taylor)
    )
    yield "parameter", ours, theirs
    yield "unit", exact.units[name], exact.taylor_units[name]


def _spearman(first: Floats, second: Floats) -> tuple[int, float]:
    """How many entries were measured and matter in either, and their rank correlation."""
    from scipy.stats import rankdata

    kept = np.isfinite(first) & np.isfinite(second) & ((first != 0) | (second != 0))
    n = int(kept.sum())
    if n < FEWEST_RANKED:
        return n, float("nan")
    ranks = [rankdata(values[kept]) for values in (first, second)]
    spreads = [values.std() for values in ranks]
    if min(spreads) == 0:
        return n, float("nan")
    return n, float(np.corrcoef(*ranks)[0, 1])


def _score(influences: Floats) -> Floats:
    """d_k (Eq. 5) of (G, entries) influences: the largest over the pairs of groups."""
    spread: Floats = np.square(influences.max(axis=0) - influences.min(axis=0))
    return spread


def _summed(layers: Sequence[Layer], scores: ParityScores) -> dict[str, Floats]:
    """For each layer (G, units) sums over the fan-in of single influences."""
    return {
        layer.name: np.stack(
            [
                layer.by_unit(torch.from_numpy(values)).sum(dim=1).numpy()
                for values in scores.influences[layer.name].values()
            ]
        )
        for layer in layers
    }


def _stacked(scores: ParityScores) -> dict[str, Floats]:
    """For each layer (G, units) influences."""
    return {name: np.stack(list(own.values())) for name, own in scores.influences.items()}


def _top_parameters(scores: ParityScores, layers: Sequence[Layer], top: int) -> list[Part]:
    """The weights with the highest scores in all layers."""
    result = []
    for layer in layers:
        values = scores.scores[layer.name]
        flat = np.where(np.isfinite(values), values, -1.0).reshape(-1)
        n_best = min(top, int(np.isfinite(values).sum()))
        units = _units(layer, values.shape)
        for entry in np.argsort(-flat, kind="stable")[:n_best].tolist():
            index = tuple(int(i) for i in np.unravel_index(entry, values.shape))
            influences = [float(own[index]) for own in scores.influences[layer.name].values()]
            result.append(
                Part(layer.name, int(units[index]), index, float(values[index]), influences)
            )
    return sorted(result, key=lambda part: -part.score)[:top]


def _units(layer: Layer, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """For each entry of the weight the unit it belongs to."""
    like = torch.empty(shape)
    rows = layer.by_unit(like)
    numbers = torch.arange(len(rows))[:, None].expand(rows.shape)
    result: NDArray[np.int64] = layer.from_units(numbers, like).contiguous().numpy()
    return result


def _fan_in(scores: ParityScores, layer: Layer) -> int:
    """The weights of a unit."""
    return int(layer.by_unit(torch.from_numpy(scores.scores[layer.name])).shape[1])
