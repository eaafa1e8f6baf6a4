"""Parity scores (Eq. 4, 5 and 8): how differently each weight matters for each group."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from dralign.errors import ModelError, OptionError, unknown
from dralign.metrics.arrays import weights_of
from dralign.networks import evaluation_mode
from dralign.rationale.ablation import Report, plain_ablation
from dralign.rationale.coverage import coverage_of, warn_of_low_coverage
from dralign.rationale.entries import Floats, Measured, entries_measured
from dralign.rationale.fast_ablation import fast_ablation
from dralign.rationale.fitted import given_groups, opened
from dralign.rationale.gradients import group_gradients, requiring_grad
from dralign.rationale.layers import Granularity, LayerChoice, original, select_layers
from dralign.rationale.losses import RowLoss, per_sample_loss, row_loss
from dralign.rationale.progress import reporting
from dralign.rationale.rows import Rows, check_rows, require_finite_loss
from dralign.rationale.stack import linear_stack
from dralign.rationale.usage import notice_dependence, notice_probabilities, require_gradients
from dralign.turns import random_state_kept

Method = Literal["ablation", "taylor"]
UnitForm = Literal["sum", "joint"]
Engine = Literal["auto", "plain", "fast"]


@dataclass(frozen=True, repr=False)
class ParityScores:
    """How much each weight or unit matters for each group, and how far the groups are apart.

    Attributes:
        influences: for each layer and group code the influences c_k >= 0 in squared nats, shaped
            like the weight or (units,); NaN where a sample left them out.
        scores: for each layer d_k = |c_k^0 - c_k^1|^2 (Eq. 5), shaped likewise; with more than two
            groups the largest over the pairs. 0 is parity.
        total: d_F, the sum of d_k over all layers; an estimate of it from a sample.
        standard_error: of ``total``; 0 where every entry was measured.
        similarity: for each layer the cosine of two groups' influences, in [0, 1], the mean over
            the pairs; 1 is the same rationale. Over the measured entries. An influence that is
            zero everywhere has similarity 0 with every other.
        similarity_total: its sum over layers; the number of layers at best.
        similarity_matrix: for each layer the cosine of every pair, (G, G).
        method: ``"ablation"`` (Eq. 4) or ``"taylor"`` (Eq. 8).
        granularity: ``"parameter"`` or ``"unit"``.
        unit_form: what a unit's influence is: ``"sum"`` or ``"joint"`` (see ``parity_scores``).
        engine: what computed them: ``"plain"``, ``"fast"`` or ``"gradient"``.
        coverage: the share of the network's weights that lie in these layers, in [0, 1]; see
            ``dralign.rationale.Coverage``.
        group_names: what the group codes stand for.
    """

    influences: dict[str, dict[int, Floats]]
    scores: dict[str, Floats]
    total: float
    standard_error: float
    similarity: dict[str, float]
    similarity_total: float
    similarity_matrix: dict[str, Floats]
    method: Method
    granularity: Granularity
    unit_form: UnitForm
    engine: str
    coverage: float
    group_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        n_groups = len(next(iter(self.influences.values())))
        return (
            f"<ParityScores per {self.granularity}, {self.method}, of {n_groups} groups: "
            f"total {self.total:.3g}, "
            f"similarity {self.similarity_total:.3f} of at most {len(self.scores)}>"
        )


def parity_scores(
    model: object,
    x: object,
    label: object,
    *,
    group: object = None,
    sensitive_features: object = None,
    sample_weight: object = None,
    method: Method = "ablation",
    granularity: Granularity = "parameter",
    unit_form: UnitForm = "sum",
    layers: LayerChoice = "all",
    loss: RowLoss | None = None,
    engine: Engine = "auto",
    sample: int | None = None,
    seed: int = 0,
    batch_rows: int = 4096,
    progress: bool | Report = False,
) -> ParityScores:
    """Each group's influence of every weight or unit, and the parity scores between the groups.

    The influence of weight w_k for a group is c_k = (L(w) - L(w, w_k = 0))^2, L being the group's
    mean loss (Eq. 4); ``method="taylor"`` takes (g_k w_k)^2 with the group's mean gradient g
    (Eq. 8). A unit's influence has two forms, and ablation is compared with Taylor in the same:

    - ``unit_form="sum"``: single influences summed over the fan-in; Taylor sum of (g w)^2, as in
      the authors' code.
    - ``unit_form="joint"``: the whole row is set to zero at once; Taylor (sum of g w)^2.

    The network runs in evaluation mode. Its weights, gradients, hooks and modes and the random
    state are left as they were, also after an interrupt. A warning tells if half of its weights or
    more are in no layer, if it ends in a sigmoid or softmax, and if its output for a row depends on
    more than the row: on random numbers, or on the rows beside it.

    Args:
        model: the network; it returns logits, (n,) or (n, 1) for two classes, (n, C) for C, or an
            object with them as ``.logits``. Of a compiled one the module it was made from is taken.
            Or a fitted estimator that holds one as ``module_``, as ``DRAlignClassifier`` does, also
            as the last step of a pipeline, or found by a search.
        x: (n, ...) inputs; floating inputs are brought to the network's dtype and device. A tuple
            of tensors is given to the network by position, a dict by keyword. X of an estimator.
        label: (n,) labels 0/1, or 0..C-1; y of an estimator. Whatever ``loss`` takes, a row each.
        group: (n,) codes 0..G-1, an int64 tensor or an array of integers; rows coded -1 take no
            part. At least 2 rows a group.
        sensitive_features: in its place (n,) or (n, c) values of any type, as ``encode_groups``
            takes them: numbers are values too, not codes. Rows with a missing value take no part.
        sample_weight: (n,) what each row counts in its group's mean loss, from 0 up; a row of
            weight 0 is left out. None, or the same for all, weighs none. Ablation is then
            ``"plain"``.
        method: ``"ablation"`` is exact, ``"taylor"`` costs one gradient per group.
        granularity: an entry per weight or per unit (neuron, filter).
        unit_form: what a unit's influence is; used at ``granularity="unit"`` alone.
        layers: ``"all"``, the last ``k``, or names of layers.
        loss: from outputs and labels to a value per row (n,), in the place of cross-entropy;
            influences are in its units. Ablation then runs the network for each weight.
        engine: how ablation is computed: ``"fast"`` propagates only what changes, for stacks of
            Linear and elementwise activations, in float64; ``"plain"`` runs the network for each
            weight, in its own dtype; ``"auto"`` is fast where it can be.
        sample: entries a layer to measure, drawn without replacement, for networks too big to
            measure whole; None measures all. Not for Taylor, which is cheap.
        seed: of the sample.
        batch_rows: rows in a block; memory grows with it.
        progress: True writes a line on stderr; a function is called with the part done in [0, 1].

    Raises:
        OptionError: if an option is unknown or out of range, or ``loss`` gives no value per row.
        GroupTypeError: if ``group`` is neither an int64 tensor nor an array of integers.
        GroupError: if a code is below -1, a group has fewer than 2 rows, there is only one, or both
            codes and values are given, or none.
        DataError: if labels or lengths are wrong, the network can't run on ``x``, or a loss is not
            finite.
        ModelError: if an estimator holds no network, no weight takes part, a layer is unknown, the
            output has another shape, ``engine="fast"`` can't take the network, or (Taylor) a layer
            that is used gets no gradient.
    """
    _check_options(method, granularity, unit_form, engine)
    _check_counts(method, sample, batch_rows)
    given = opened(model, x, label)
    network = original(given.model)
    chosen = select_layers(network, layers)
    covered = coverage_of(network, chosen)
    codes, names = given_groups(group, sensitive_features)
    warn_of_low_coverage(covered, layers, stacklevel=2)
    joint = granularity == "unit" and unit_form == "joint"
    named = dict(network.named_parameters(remove_duplicate=False))
    weights = [layer.weight(named) for layer in chosen]
    with evaluation_mode(network), random_state_kept(weights[0].device):
        weight = weights_of(sample_weight, len(codes))
        rows = check_rows(network, given.x, given.label, codes, loss=row_loss(loss), weight=weight)
        used = _engine_for(network, rows, method, engine)
        outputs = require_finite_loss(network, rows, batch_rows)
        notice_dependence(network, rows.x, stacklevel=2)
        if loss is None:
            notice_probabilities(network, rows.x, chosen, outputs=outputs, stacklevel=2)
        measured = entries_measured(chosen, weights, granularity, sample, seed)
        if method == "taylor":
            require_gradients(network, rows, chosen)
            vectors = _taylor(network, rows, measured, weights, joint, batch_rows)
        else:
            run = fast_ablation if used == "fast" else plain_ablation
            targets = [one.target(joint) for one in measured]
            with reporting(progress) as report:
                changes = run(network, rows, targets, batch_rows=batch_rows, report=report)
            vectors = [np.square(change) for change in changes]
    vectors = [one.per_entry(vector) for one, vector in zip(measured, vectors, strict=True)]
    scores = _summary(measured, vectors, method, granularity, unit_form, used, covered.share)
    return replace(scores, group_names=names)


def _taylor(
    model: nn.Module,
    rows: Rows,
    measured: Sequence[Measured],
    weights: Sequence[Tensor],
    joint: bool,
    batch_rows: int,
) -> list[Floats]:
    """(G, m) first-order influences of the same removals that ablation would make (Eq. 8)."""
    with requiring_grad(weights):
        (groups,) = group_gradients(
            model,
            rows.x,
            label=rows.label,
            group=rows.group,
            n_groups=rows.n_groups,
            layers=[one.layer for one in measured],
            batch_rows=batch_rows,
            loss=rows.loss,
            weight=rows.weight,
        )
    vectors = []
    for index, (one, weight) in enumerate(zip(measured, weights, strict=True)):
        # Every group has rows; a layer that is never used has no gradient and no influence.
        grads = [grad[index] for grad in groups if grad is not None]
        result = [torch.zeros_like(weight) if grad is None else grad for grad in grads]
        product = torch.stack(
            [one.layer.by_unit(one.layer.part(g.double() * weight.data.double())) for g in result]
        )  # (G, units, fan-in)
        change = product.sum(2) if joint else product.flatten(1)
        removed = torch.from_numpy(one.target(joint).entries).to(change.device)
        vectors.append(change[:, removed].square().cpu().numpy())
    return vectors


def _summary(
    measured: Sequence[Measured],
    vectors: Sequence[Floats],
    method: Method,
    granularity: Granularity,
    unit_form: UnitForm,
    engine: str,
    covered: float,
) -> ParityScores:
    """Everything that follows from the (G, m) influences of each layer."""
    influences, scores, matrices, similarity = {}, {}, {}, {}
    total = variance = 0.0
    for one, vector in zip(measured, vectors, strict=True):
        name = one.layer.name
        influences[name] = {code: one.shaped(row) for code, row in enumerate(vector)}
        # The largest over the pairs: |max - min|^2, which is Eq. 5 for two groups.
        score = np.square(vector.max(axis=0) - vector.min(axis=0))
        scores[name] = one.shaped(score)
        matrices[name] = _cosines(vector)
        similarity[name] = float(matrices[name][np.triu_indices(len(vector), k=1)].mean())
        size, m = scores[name].size, len(score)
        total += size * float(score.mean())
        if m < size:
            # The variance of a total from draws without replacement.
            spread = float(score.var(ddof=1)) if m > 1 else float("nan")
            variance += size**2 * spread / m * (1 - m / size)
    return ParityScores(
        influences=influences,
        scores=scores,
        total=total,
        standard_error=float(np.sqrt(variance)),
        similarity=similarity,
        similarity_total=sum(similarity.values()),
        similarity_matrix=matrices,
        method=method,
        granularity=granularity,
        unit_form=unit_form,
        engine=engine,
        coverage=covered,
    )


def _cosines(vectors: Floats) -> Floats:
    """(G, G) cosines of the (G, m) rows; 0 where a row is zero.

    Each row is divided by its largest entry first: influences of 1e-200 have a direction too.
    """
    largest = vectors.max(axis=1, keepdims=True)
    scaled = vectors / np.where(largest > 0, largest, 1.0)
    norm = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit = scaled / np.where(norm > 0, norm, 1.0)
    cosines: Floats = np.clip(unit @ unit.T, 0.0, 1.0)
    return cosines


def _engine_for(model: nn.Module, rows: Rows, method: Method, engine: Engine) -> str:
    """The engine that is used.

    Raises:
        ModelError: if ``engine="fast"`` can't take the network, or rows are weighted.
    """
    if method == "taylor":
        return "gradient"
    if engine == "plain":
        return "plain"
    if rows.weight is not None:
        if engine == "fast":
            raise ModelError("engine='fast' takes no weights of rows; use 'plain' or 'auto'")
        return "plain"
    possible = rows.loss is per_sample_loss and linear_stack(model, rows.x) is not None
    if engine == "fast" and not possible:
        raise ModelError(
            "engine='fast' takes stacks of Linear and elementwise activations and cross-entropy, "
            f"not {type(model).__name__} as given; use engine='plain' or 'auto'"
        )
    return "fast" if possible else "plain"


def _check_options(
    method: Method, granularity: Granularity, unit_form: UnitForm, engine: Engine
) -> None:
    """Checks the named options.

    Raises:
        OptionError: if one is unknown.
    """
    for name, given, kind in (
        ("method", method, Method),
        ("granularity", granularity, Granularity),
        ("unit_form", unit_form, UnitForm),
        ("engine", engine, Engine),
    ):
        if given not in get_args(kind):
            raise OptionError(unknown(name, given, get_args(kind)))


def _check_counts(method: Method, sample: int | None, batch_rows: int) -> None:
    """Checks the numeric options.

    Raises:
        OptionError: if one is out of range, or a sample is asked of Taylor.
    """
    if batch_rows < 1:
        raise OptionError(f"batch_rows: expected at least 1, got {batch_rows}")
    if sample is not None and sample < 2:
        raise OptionError(f"sample: expected at least 2 entries a layer, got {sample}")
    if sample is not None and method == "taylor":
        raise OptionError("sample: Taylor measures every entry at once; leave sample out")
