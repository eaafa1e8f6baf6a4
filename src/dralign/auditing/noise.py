"""How far the groups' rationales differ, and how far chance alone would make them differ."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dralign.auditing.factors import Gradients
from dralign.auditing.outcomes import estimate
from dralign.auditing.records import ParityTest, Similarity, SimilarityTest
from dralign.rationale import Granularity, Layer
from dralign.rationale.rows import Rows

Floats = NDArray[np.float64]
GRANULARITIES: Final[tuple[Granularity, ...]] = ("unit", "parameter")
LEVEL = 0.05
# A layer with one unit has similarity 1 for any split; rounding must not break that tie.
DIGITS = 11


def similarity_tests(
    model: nn.Module,
    rows: Rows,
    layers: Sequence[Layer],
    gradients: Gradients,
    *,
    n_splits: int,
    n_bootstrap: int,
    rng: np.random.Generator,
    report: Callable[[float], None],
) -> dict[str, Similarity]:
    """Similarity and parity score of Taylor rationales (Eq. 8) against random splits.

    The noise floor comes from random splits of the pooled rows into parts of the groups' sizes: if
    the group means nothing for the network, the true split is one of them, and falls below the
    floor in at most 5 % of audits, exactly where its p-value is .05 or less. Each layer has its own
    test, and the parity score has another; nothing is corrected for their number, so the total is
    the one to look at first. The interval comes from rows drawn with replacement within each group;
    drawing adds noise, so it lies low for small groups.

    Args:
        model: the network, in evaluation mode.
        rows: the rows.
        layers: the layers.
        gradients: the source of mean gradients.
        n_splits: random splits.
        n_bootstrap: draws for the intervals.
        rng: what draws.
        report: called with the part done.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    weights = [layer.by_unit(layer.part(layer.weight(named).detach())).double() for layer in layers]
    group = rows.group.cpu().numpy()
    members = [np.flatnonzero(group == code) for code in range(rows.n_groups)]
    sizes = [len(own) for own in members]
    work = 1 + n_splits + n_bootstrap
    done = 0

    def measure(parts: Sequence[NDArray[np.int64]], rest: int | None = None) -> Floats:
        """(s, figure, granularity, layer) of the groups, given as (s, r) rows each.

        Group ``rest`` holds what the others leave of all rows: its mean follows from theirs.
        """
        nonlocal done
        sets = [torch.from_numpy(part).to(rows.x.device) for part in parts]
        step = gradients.chunk(max(sizes))
        result = []
        for start in range(0, len(sets[0]), step):
            means = [
                [] if code == rest else gradients.mean(part[start : start + step])
                for code, part in enumerate(sets)
            ]
            if rest is not None:
                means[rest] = _rest_of(pooled, means, sizes, rest)
            result.append(_compare(means, weights))
            done += len(result[-1])
            report(done / work)
        return np.concatenate(result)

    everyone = torch.arange(len(group), device=rows.x.device)[None]
    pooled = gradients.mean(everyone)
    observed = measure([own[None] for own in members])[0]
    order = rng.permuted(np.tile(np.arange(len(group)), (n_splits, 1)), axis=1)
    splits = np.split(order, np.cumsum(sizes)[:-1], axis=1)
    # With weights the means of a split do not follow from their sizes: all groups are gathered.
    null = measure(splits, rest=int(np.argmax(sizes)) if rows.weight is None else None)
    drawn = measure([own[rng.integers(len(own), size=(n_bootstrap, len(own)))] for own in members])
    names = [layer.name for layer in layers]
    return {
        granularity: _tested(granularity, names, observed[:, g], null[:, :, g], drawn[:, :, g])
        for g, granularity in enumerate(GRANULARITIES)
    }


def _rest_of(
    pooled: Sequence[Tensor], means: Sequence[Sequence[Tensor]], sizes: Sequence[int], rest: int
) -> list[Tensor]:
    """For each layer the mean gradients of the rows that the other groups leave.

    The rows of a split add up to all rows, whose mean is known: one group less to gather.
    """
    others = [code for code in range(len(sizes)) if code != rest]
    return [
        (sum(sizes) * whole - sum(sizes[code] * means[code][index] for code in others))
        / sizes[rest]
        for index, whole in enumerate(pooled)
    ]


def _compare(means: Sequence[Sequence[Tensor]], weights: Sequence[Tensor]) -> Floats:
    """(s, figure, granularity, layer): similarity, parity score and direction.

    Args:
        means: for each group and layer (s, units, fan-in) mean gradients.
        weights: for each layer (units, fan-in).
    """
    per_layer = []
    for index, weight in enumerate(weights):
        product = torch.stack([own[index] for own in means]).double() * weight  # (G, s, u, f)
        largest = product.abs().amax(dim=(2, 3), keepdim=True)
        # Divided by the largest first, so that the squares of small gradients keep their digits.
        scaled = (product / torch.where(largest > 0, largest, torch.ones_like(largest))).square()
        influence = product.square()
        figures = [
            [_mean_cosine(scaled.sum(3)), _mean_cosine(scaled.flatten(2))],
            [_score(influence.sum(3)), _score(influence.flatten(2))],
            [_mean_cosine(product.sum(3)), _mean_cosine(product.flatten(2))],
        ]
        per_layer.append(torch.stack([torch.stack(own, dim=1) for own in figures], dim=1))
    return torch.stack(per_layer, dim=3).cpu().numpy()


def _score(influence: Tensor) -> Tensor:
    """(s,) sums of d_k (Eq. 5) of G influences (G, s, k): the largest over the pairs of groups."""
    return (influence.amax(dim=0) - influence.amin(dim=0)).square().sum(dim=1)


def _mean_cosine(vectors: Tensor) -> Tensor:
    """(s,) mean cosines over the pairs of G vectors (G, s, k); 0 with a zero vector."""
    norm = vectors.norm(dim=2, keepdim=True)
    vectors = vectors / torch.where(norm > 0, norm, torch.ones_like(norm))
    gram = torch.einsum("gsk,hsk->sgh", vectors, vectors)
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1, device=gram.device)
    return gram[:, first, second].mean(dim=1)


def _tested(
    granularity: Granularity, names: Sequence[str], observed: Floats, null: Floats, drawn: Floats
) -> Similarity:
    """The tests of every layer and of the sums.

    Args:
        granularity: what is compared.
        names: of the layers.
        observed: (figure, layers), the figures as in ``_compare``.
        null: (splits, figure, layers).
        drawn: (draws, figure, layers).
    """
    names = [*names, "total"]
    value, chance, spread = (_with_total(one[..., 0, :]) for one in (observed, null, drawn))
    *layers, total = [
        _similarity_test(name, float(value[index]), chance[:, index], spread[:, index])
        for index, name in enumerate(names)
    ]
    score, chance = (_with_total(one[..., 1, :]) for one in (observed, null))
    directions = [*observed[2].tolist(), float("nan")]
    *parity, parity_total = [
        _parity_test(name, float(score[index]), chance[:, index], direction)
        for index, (name, direction) in enumerate(zip(names, directions, strict=True))
    ]
    return Similarity(granularity, layers, total, parity, parity_total)


def _with_total(figures: Floats) -> Floats:
    """(..., layers + 1): the figures of the layers and their sum."""
    return np.concatenate([figures, figures.sum(axis=-1, keepdims=True)], axis=-1)


def _similarity_test(name: str, observed: float, null: Floats, drawn: Floats) -> SimilarityTest:
    """One similarity against its noise floor."""
    observed, null = round(observed, DIGITS), np.round(null, DIGITS)
    null = np.sort(null)
    # The observed split counts among the random ones, so that no p-value is 0.
    p_value = float((1 + np.sum(null <= observed)) / (1 + len(null)))
    return SimilarityTest(
        layer=name,
        similarity=estimate(observed, np.round(drawn, DIGITS)),
        null=null.tolist(),
        noise_floor=float(null[_limit(len(null))]),
        p_value=p_value,
        within_noise=p_value > LEVEL,
    )


def _parity_test(name: str, observed: float, null: Floats, direction: float) -> ParityTest:
    """One parity score against its noise ceiling."""
    p_value = float((1 + np.sum(null >= observed)) / (1 + len(null)))
    return ParityTest(
        layer=name,
        score=observed,
        noise_ceiling=float(np.sort(null)[::-1][_limit(len(null))]),
        p_value=p_value,
        within_noise=p_value > LEVEL,
        direction=direction,
    )


def _limit(n_splits: int) -> int:
    """Which split is the limit, counted from 0 for the most extreme one.

    Figures beyond it, and no others, have a p-value of at most ``LEVEL``.
    """
    return int(LEVEL * (1 + n_splits)) - 1
