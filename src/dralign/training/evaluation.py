"""The figures of one epoch: group metrics on a split, and similarity of the rationales."""

import math
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from dralign.data import Dataset, Split
from dralign.errors import ModelError
from dralign.gaps import Gap
from dralign.methods import Adjustment, Method
from dralign.metrics import Cells, scored
from dralign.metrics.arrays import THRESHOLD
from dralign.metrics.measures import figures_of
from dralign.metrics.scored_rows import Scored
from dralign.networks import evaluation_mode, probability
from dralign.rationale import (
    Granularity,
    Layer,
    group_gradients,
    logits,
    mean_pairwise_similarity,
    normalised_rationale,
)
from dralign.rationale.inputs import Given, bundled
from dralign.training.history import Scores

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
BLOCK = 2048  # rows at a time: what a layer makes of them stays in the processor's cache
MOST_ROWS, MOST_BYTES = 4096, 2**26


def predict_probability(
    model: nn.Module, x: Given, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The probability of label 1, or of each class, for every row, in evaluation mode.

    Args:
        model: the network; it returns logits, or an object with them as ``.logits``.
        x: (n, ...) inputs; a tuple of them by position, a dict by keyword.
        dtype: of the result; the network runs in its own.

    Returns:
        (n,), or (n, C) with more than two classes; on the CPU.

    Raises:
        ModelError: if the network has none for a row, because a number grew beyond all bounds.
    """
    device, inputs = next(model.parameters()).device, bundled(x)
    with evaluation_mode(model), torch.inference_mode():
        parts = [
            probability(logits(model, block.to(device))).to(dtype).cpu()
            for block in inputs.split(BLOCK)
        ]
    prob = torch.cat(parts)
    known = torch.isfinite(prob if prob.ndim == 1 else prob.sum(1))
    if lacking := int((~known).sum()):
        raise ModelError(
            f"the network has no probability (NaN) for {lacking} of {len(prob)} rows: its weights "
            "are not finite, or the inputs are too large for it"
        )
    return prob


def judged(model: nn.Module, dataset: Dataset, adjust: Adjustment | None) -> nn.Module:
    """The network whose figures are taken: itself, or what an adjusting method makes of it."""
    return (
        model if adjust is None else adjust(model, predict_probability(model, dataset.validation.x))
    )


@dataclass(frozen=True)
class SplitFigures:
    """What a record keeps of the predictions for one split.

    Attributes:
        figures: every measure, by the names of ``dralign.metrics.evaluate``.
        cells: of groups and labels; None where there are none.
    """

    figures: Scores
    cells: Cells | None


def score_splits(
    model: nn.Module, dataset: Dataset, method: Method, *, threshold: float = THRESHOLD
) -> tuple[SplitFigures, SplitFigures]:
    """Every figure of the validation and the test rows.

    Where the method sets a threshold per group, it is fitted on the validation rows and decides the
    hard figures of both; else they are decided by ``threshold``. Without groups the gaps are NaN.
    """
    prob = predict_probability(model, dataset.validation.x)
    thresholds = group_thresholds(prob, dataset, method)
    splits = (
        (dataset.validation, prob),
        (dataset.test, predict_probability(model, dataset.test.x)),
    )
    first, second = (
        scored(
            split.y.numpy(),
            scores.numpy(),
            split.group.numpy(),
            n_groups=dataset.n_groups,
            thresholds=thresholds,
            threshold=threshold,
            sample_weight=split.weights,
        )
        for split, scores in splits
    )
    return _kept(first), _kept(second)


def _kept(rows: Scored) -> SplitFigures:
    """What is kept of the rows of a split."""
    return SplitFigures(figures_of(rows), Cells.of(rows))


def group_thresholds(prob: Tensor, dataset: Dataset, method: Method) -> tuple[float, ...] | None:
    """The threshold of each group, where the method sets them; from the validation rows' (n,)."""
    if method.post_process is None:
        return None
    rows = dataset.validation
    given = {} if rows.weight is None else {"weight": rows.weight}
    fitted = method.post_process(
        prob, label=rows.y, group=rows.group, n_groups=dataset.n_groups, **given
    )
    return tuple(fitted.tolist())


def rationale_similarity(
    model: nn.Module, split: Split, *, layers: tuple[Layer, ...], gap: Gap, n_groups: int
) -> dict[str, Scores]:
    """Per granularity and layer the similarity of the groups' Taylor rationales on a split.

    The mean cosine over the pairs of groups, added up over the gap's strata: at most 1 under DP
    and 2 under EO for a layer. NaN where fewer than two groups have rows in a stratum; empty
    without groups.
    """
    if not n_groups:
        return {}
    cells = group_gradients(
        model,
        split.x,
        label=split.y,
        group=split.group,
        n_groups=n_groups,
        layers=layers,
        strata=gap.strata,
        batch_rows=_rows_at_once(split.x),
        weight=split.weight,
    )
    named = dict(model.named_parameters(remove_duplicate=False))
    figures: dict[str, Scores] = {}
    with torch.no_grad():
        for granularity in GRANULARITIES:
            scores = figures.setdefault(granularity, {})
            for index, layer in enumerate(layers):
                weight = layer.part(layer.weight(named))
                scores[layer.name] = 0.0
                for stratum in cells:
                    if sum(cell is not None for cell in stratum) < 2:
                        scores[layer.name] = math.nan
                    grads = [
                        g for cell in stratum if cell is not None and (g := cell[index]) is not None
                    ]
                    if len(grads) > 1:
                        rationales = [
                            normalised_rationale(layer, layer.part(grad), weight, granularity)
                            for grad in grads
                        ]
                        scores[layer.name] += float(mean_pairwise_similarity(rationales))
    return figures


def _rows_at_once(x: Tensor) -> int:
    """Rows of a block with a backward pass; fewer of images than of a table's rows."""
    return max(1, min(MOST_ROWS, MOST_BYTES // (4 * math.prod(x.shape[1:]))))
