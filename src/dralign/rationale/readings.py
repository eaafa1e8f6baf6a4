"""Every way to read what the paper prints for d_F (Table 1) and for similarity (Fig. 4, Table 1).

The core has one definition of each: d_F is the sum of the squares of Eq. 5, and the cosine has no
epsilon. The paper gives d_F a second time as |c_0 - c_1|_1, does not say whether a "neuron" is a
weight or a unit nor whether the loss is a mean or a sum, and the framework version of the published
code clamped the cosine. These readings are for studying its numbers.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dralign.errors import GroupError
from dralign.rationale.layers import Granularity, LayerChoice, select_layers
from dralign.rationale.parity import ParityScores, parity_scores

CLAMP = 1e-8  # the smallest product of two norms in the framework's old cosine similarity
Influences = Mapping[str, Mapping[int, np.ndarray]]


def rationale_readings(
    model: nn.Module,
    x: Tensor,
    *,
    label: Tensor,
    group: Tensor,
    strata: Sequence[int | None] = (None,),
) -> dict[str, float]:
    """Everything that Table 1, Table 7 and Fig. 4 may show of one network, by name.

    - ``"similarity, <granularity>, <exact or clamped>, <layer or total>"``: the cosine of the two
      groups' Taylor rationales (Eq. 8), added up over the strata; the total over layers too. At
      most 1 per layer and stratum.
    - the twelve readings of ``parity_score_readings``, each after ``"d_F, "``, where there is one
      stratum of all rows (DP), which is what Table 1 has.

    Args:
        model: the network; it returns logits.
        x: (n, ...) inputs.
        label: (n,) labels.
        group: (n,) int64 codes 0 or 1; rows coded -1 take no part.
        strata: for each stratum the label its rows have; None for all rows.

    Raises:
        GroupError: if there are more than two groups, or one has fewer than 2 rows in a stratum.
    """
    readings: dict[str, float] = {}
    for granularity in get_args(Granularity):
        for stratum in strata:
            rows = slice(None) if stratum is None else label == stratum
            scores = parity_scores(
                model,
                x[rows],
                label=label[rows],
                group=group[rows],
                method="taylor",
                granularity=granularity,
            )
            forms = {"exact": scores.similarity, "clamped": clamped_similarity(scores)}
            for form, similarity in forms.items():
                for layer, value in {**similarity, "total": sum(similarity.values())}.items():
                    key = f"similarity, {granularity}, {form}, {layer}"
                    readings[key] = readings.get(key, 0.0) + value
    if tuple(strata) == (None,):
        result = parity_score_readings(model, x, label=label, group=group)
        readings |= {f"d_F, {name}": value for name, value in result.items()}
    return readings


def parity_score_readings(
    model: nn.Module,
    x: Tensor | ArrayLike,
    *,
    label: Tensor | ArrayLike,
    group: Tensor,
    layers: LayerChoice = "all",
) -> dict[str, float]:
    """d_F of a network for two groups in twelve readings; all from exact removals (Eq. 4).

    The keys are ``"<entry>, <loss>, <difference>"``:

    - entry: ``parameter``; ``unit``, the influences of its weights added up; ``unit removed``, the
      whole row set to zero at once.
    - loss: ``mean`` over the group's rows, or their ``sum``, which makes an influence n^2 times as
      large for a group of n rows.
    - difference: ``absolute``, the sum of |c_0 - c_1|; ``squared``, the sum of |c_0 - c_1|^2
      (Eq. 5).

    Args:
        model: the network; it returns logits.
        x: (n, ...) inputs.
        label: (n,) labels.
        group: (n,) int64 codes 0 or 1; rows coded -1 take no part.
        layers: ``"all"``, the last ``k``, or names.

    Raises:
        GroupError: if there are more than two groups.
    """
    count = torch.bincount(group[group >= 0]).tolist()
    if len(count) != 2:
        raise GroupError(f"the paper's d_F compares two groups, got {len(count)}")
    single = parity_scores(model, x, label=label, group=group, layers=layers)
    joint = parity_scores(
        model, x, label=label, group=group, layers=layers, granularity="unit", unit_form="joint"
    )
    by_unit = {
        layer.name: {
            code: layer.by_unit(torch.from_numpy(influence)).sum(1).numpy()
            for code, influence in single.influences[layer.name].items()
        }
        for layer in select_layers(model, layers)
    }
    entries = {"parameter": single.influences, "unit": by_unit, "unit removed": joint.influences}
    readings = {}
    for entry, influences in entries.items():
        for loss, factor in (("mean", (1, 1)), ("sum", (count[0] ** 2, count[1] ** 2))):
            apart = _apart(influences, factor)
            readings[f"{entry}, {loss}, absolute"] = float(np.abs(apart).sum())
            readings[f"{entry}, {loss}, squared"] = float(np.square(apart).sum())
    return readings


def clamped_similarity(scores: ParityScores, *, clamp: float = CLAMP) -> dict[str, float]:
    """The cosine of each layer as the published code's framework computed it.

    <c_0, c_1> / max(|c_0| |c_1|, clamp): where influences are small (norms of 1e-7 to 1e-3 are
    usual) the similarity of even equal rationales falls below 1. Their sum over layers is what
    Table 1 and Fig. 4 may show.

    Args:
        scores: of ``parity_scores(..., method="taylor")``, at either granularity; two groups.
        clamp: the smallest product of the norms.

    Returns:
        One value per layer, in [0, 1].

    Raises:
        GroupError: if there are more than two groups.
    """
    similarity = {}
    for layer, by_group in scores.influences.items():
        if len(by_group) != 2:
            raise GroupError(f"the paper's similarity compares two groups, got {len(by_group)}")
        ((first, second),) = pairwise(influence.ravel() for influence in by_group.values())
        norms = float(np.linalg.norm(first) * np.linalg.norm(second))
        similarity[layer] = float(first @ second) / max(norms, clamp)
    return similarity


def _apart(influences: Influences, factor: tuple[int, int]) -> np.ndarray:
    """c_0 - c_1 over all layers, each group's influences times its factor."""
    return np.concatenate(
        [
            (factor[0] * by_group[0] - factor[1] * by_group[1]).ravel()
            for by_group in influences.values()
        ]
    )
