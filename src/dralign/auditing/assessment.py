"""The audit of a trained network: group figures, rationales, and what single parts do."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from dralign.auditing.factors import gradient_source
from dralign.auditing.influence import Exact, agreements, exact_influences, ranked, top_units
from dralign.auditing.noise import similarity_tests
from dralign.auditing.notes import notes_on_plan, notes_on_rows
from dralign.auditing.outcomes import Threshold, outcomes, thresholds_of, told_threshold
from dralign.auditing.parts import PARTS, WEIGHTED, AuditPart, Plan, chosen_parts, plan_for
from dralign.auditing.records import Audit, JointRemoval, Meaning, Outcomes, Similarity, WhatIf
from dralign.auditing.removal import Network, independence, what_if
from dralign.auditing.small import large_enough
from dralign.auditing.summary import details, findings
from dralign.errors import OptionError
from dralign.metrics.arrays import THRESHOLD, weights_of
from dralign.networks import evaluation_mode
from dralign.rationale import LayerChoice, coverage_of, original, select_layers
from dralign.rationale.coverage import warn_of_low_coverage
from dralign.rationale.fitted import given_groups, opened
from dralign.rationale.inputs import bundled, numbers_of_a_row
from dralign.rationale.rows import check_rows, require_finite_loss
from dralign.rationale.stack import linear_stack
from dralign.rationale.usage import notice_dependence, notice_probabilities, require_gradients
from dralign.study import environment
from dralign.turns import random_state_kept

Progress = Callable[[str, float], None]
MOST_ROWS, MOST_BYTES = 4096, 2**26  # of a block
LEAST = {
    "n_splits": 20,
    "n_bootstrap": 20,
    "top": 1,
    "batch_rows": 1,
    "seed": 0,
    "min_group_size": 0,
}


def audit(
    model: object,
    x: object,
    label: object,
    *,
    group: object = None,
    sensitive_features: object = None,
    group_names: Sequence[str] | None = None,
    sample_weight: object = None,
    layers: LayerChoice = "all",
    parts: Iterable[AuditPart] | None = None,
    n_splits: int = 200,
    n_bootstrap: int = 300,
    sample: int | None = None,
    top: int = 10,
    seed: int = 0,
    batch_rows: int | None = None,
    min_group_size: int = 10,
    threshold: Threshold | None = None,
    meaning: Meaning | None = None,
    progress: Progress | None = None,
) -> Audit:
    """What a trained network does to each group, which parts do it, and how sure that is.

    Group figures and gaps with bootstrap intervals; the similarity of the groups' rationales per
    layer and in total against its noise floor; the units and weights with the highest exact parity
    scores; the rank agreement of Taylor and ablation; a test of the independence assumption of
    A.13; and the figures without the top units. It assesses; it does not certify anything.

    The network runs in evaluation mode; its weights, gradients, hooks and modes and the random
    state are left as they were, also after an interrupt. A stack of Linear layers costs about one
    pass over the rows and one matrix product per layer for each split and draw, and seconds for the
    exact scores; any other network costs a forward and a backward pass for each split and draw, and
    a forward pass for each removal.

    Args:
        model: the network; it returns logits, (n,) or (n, 1) for two classes, (n, C) for C, or an
            object with them as ``.logits``. Of a compiled one the module it was made from is taken.
            Or a fitted estimator that holds one as ``module_``, as ``DRAlignClassifier`` does, also
            as the last step of a pipeline, or found by a search.
        x: (n, ...) inputs. A tuple of tensors is given to the network by position, a dict by
            keyword. X of an estimator.
        label: (n,) labels 0/1, or 0..C-1; y of an estimator. With more than two classes the group
            figures and the network without its top units are left out.
        group: (n,) codes 0..G-1, an int64 tensor or an array of integers; rows coded -1 take no
            part. At least 2 rows a group.
        sensitive_features: in its place (n,) or (n, c) values of any type, as ``encode_groups``
            takes them (text, numbers, Series, DataFrame, dict, list): numbers are values too, not
            codes. Rows with a missing value take no part.
        group_names: the name of code 0, 1, ...; None takes the codes. For ``group`` alone.
        sample_weight: (n,) what each row counts in figures and mean losses, from 0 up; None weighs
            none. Exact influences are then those of the plain engine.
        layers: ``"all"``, the last ``k``, or names of layers.
        parts: what is computed, of ``"outcomes"`` (group figures and gaps), ``"similarity"``,
            ``"influence"`` (exact scores, and how Taylor agrees with them), ``"independence"``
            (A.13) and ``"what_if"``, which needs ``"influence"``; None for all.
        n_splits: random splits for the noise floor, at least 20; 200 and more are reliable.
        n_bootstrap: draws for the intervals.
        sample: weights, and units, a layer whose exact influence is measured; None measures all,
            but about 1,000 removals, of 20 to 100 weights and units a layer, where the fast engine
            can't take the network and it has more than 1,000 weights.
        top: units and weights to list.
        seed: of splits, draws and samples.
        batch_rows: rows in a block; memory grows with it. None takes 4,096, or fewer of images: as
            many as are 64 MiB.
        min_group_size: rows that a group must have: figures of a few people would tell their
            labels. A smaller group is named, and its rows take no part; where only one of its
            labels has fewer rows, its rates at that label are withheld. 0 withholds nothing.
        threshold: the probability from which on a row is decided positive, for all, or by the name
            of the group; None for that of an estimator, else 0.5.
        meaning: what labels, inputs and rows are, which sentences and pages then tell; of an
            estimator its labels and inputs are known.
        progress: called with the stage and the part of it that is done.

    Raises:
        OptionError: if an option is out of range.
        GroupTypeError: if ``group`` is neither an int64 tensor nor an array of integers.
        GroupError: if a code is below -1, a group that is shown has fewer than 2 rows, there is
            only one, both codes and values are given, or none, or names beside values.
        DataError: if labels or lengths are wrong, the network can't run on ``x``, or a loss is not
            finite.
        ModelError: if an estimator holds no network, no weight takes part, a layer is unknown, the
            output has another shape, or a layer that is used gets no gradient.
    """
    asked = chosen_parts(parts)
    given = opened(model, x, label)
    meaning = meaning or Meaning(positive=given.positive, inputs=given.inputs)
    if batch_rows is None:
        size = numbers_of_a_row(bundled(given.x))
        batch_rows = max(1, min(MOST_ROWS, MOST_BYTES // (4 * size)))
    options = {"n_splits": n_splits, "n_bootstrap": n_bootstrap, "top": top}
    options |= {"seed": seed, "min_group_size": min_group_size}
    check_options(**options, batch_rows=batch_rows)
    inner = original(given.model)
    chosen = select_layers(inner, layers)
    covered = coverage_of(inner, chosen)
    warn_of_low_coverage(covered, layers, stacklevel=2)
    codes, names = given_groups(group, sensitive_features, group_names)
    weight = weights_of(sample_weight, len(codes))
    if weight is not None:
        codes = torch.where(torch.from_numpy(weight).to(codes.device) > 0, codes, -1)
    left_out = int((codes < 0).sum())
    codes, names, withheld = large_enough(codes, names, min_group_size)
    parameters = dict(inner.named_parameters(remove_duplicate=False))
    device = chosen[0].weight(parameters).device
    with evaluation_mode(inner), random_state_kept(device):
        rows = check_rows(inner, given.x, given.label, codes, weight=weight)
        outputs = require_finite_loss(inner, rows, batch_rows)
        notice_dependence(inner, rows.x, stacklevel=2)
        notice_probabilities(inner, rows.x, chosen, outputs=outputs, stacklevel=2)
        require_gradients(inner, rows, chosen)
        stack = weight is None and linear_stack(inner, rows.x) is not None
        threshold = threshold if threshold is not None else given.threshold
        limits = thresholds_of(threshold if threshold is not None else THRESHOLD, names)
        network = Network(inner, rows, chosen, stack, batch_rows, min_group_size, limits)
        clock = _Clock(progress)
        plan = plan_for(network, asked, sample)
        result = _assess(
            network,
            names,
            plan,
            clock,
            _named_inputs(meaning, network),
            options,
        )
        notes = notes_on_rows(network, names, withheld, left_out, positive=meaning.positive)
    notes += [str(covered)] if covered.left_out else []
    notes += [WEIGHTED] if rows.weight is not None else []
    provenance = {**result.provenance, "coverage": covered.share}
    provenance |= {"weighted": True} if rows.weight is not None else {}
    complete = replace(
        result, notes=[*notes, *result.notes], withheld=withheld, provenance=provenance
    )
    return replace(complete, findings=findings(complete), details=details(complete))


@dataclass(frozen=True)
class _Clock:
    """Tells how far a stage is, and keeps the seconds of each."""

    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """The function that takes the part of this stage that is done."""
        started = time.perf_counter()

        def report(part: float) -> None:
            if self.progress is not None:
                self.progress(name, part)

        report(0.0)
        yield report
        self.seconds[name] = round(time.perf_counter() - started, 3)


def _assess(
    network: Network,
    names: Sequence[str],
    plan: Plan,
    clock: _Clock,
    meaning: Meaning,
    options: Mapping[str, int],
) -> Audit:
    """All parts of the audit; each draws from a stream of its own, so none changes another."""
    streams = np.random.SeedSequence(options["seed"]).spawn(4)
    rngs = [np.random.default_rng(stream) for stream in streams]
    binary, parts = network.n_classes == 2, plan.parts
    n_bootstrap = options["n_bootstrap"]
    decided = (
        _decided(network, names, n_bootstrap, rngs[0], clock, meaning.favourable)
        if binary and "outcomes" in parts
        else None
    )
    similarity, cost = (
        _similarity(network, options["n_splits"], n_bootstrap, rngs[1], clock)
        if "similarity" in parts
        else ({}, "")
    )
    exact = _exact(network, plan, options["seed"], clock) if "influence" in parts else None
    together = _together(network, names, plan, rngs[2], clock) if "independence" in parts else []
    return Audit(
        groups=dict(zip(names, network.rows.counts.long().tolist(), strict=True)),
        outcomes=decided,
        similarity=similarity,
        influence=ranked(exact, network.layers, top=options["top"]) if exact else None,
        agreement=agreements(exact, network.layers, names) if exact else [],
        independence=together,
        what_if=(
            _without(network, exact, rngs[3], clock)
            if binary and exact and "what_if" in parts
            else []
        ),
        findings=(),
        meaning=meaning,
        notes=notes_on_plan(plan, binary=binary, n_splits=options["n_splits"]),
        provenance={
            **options,
            "threshold": told_threshold(network.thresholds, names),
            "parts": [part for part in PARTS if part in parts],
            "n_sets": plan.n_sets,
            "sample": plan.sample,
            "cost_of_a_split": cost,
            "layers": [layer.name for layer in network.layers],
            "seconds": clock.seconds,
            "environment": dict(environment()),
        },
    )


def _decided(
    network: Network,
    names: Sequence[str],
    n_bootstrap: int,
    rng: np.random.Generator,
    clock: _Clock,
    favourable: bool | None,
) -> Outcomes:
    """The group figures."""
    rows = network.rows
    with clock.stage("group figures"):
        return outcomes(
            rows.label.cpu().numpy(),
            network.probabilities(network.tensors),
            rows.group.cpu().numpy(),
            names,
            n_bootstrap=n_bootstrap,
            rng=rng,
            cells=network.cells,
            favourable=favourable,
            thresholds=network.thresholds,
            weight=rows.weights,
        )


def _similarity(
    network: Network, n_splits: int, n_bootstrap: int, rng: np.random.Generator, clock: _Clock
) -> tuple[Mapping[str, Similarity], str]:
    """The similarity against its noise floor, and what a split costs."""
    source = gradient_source(
        network.model, network.rows, network.layers, batch_rows=network.batch_rows
    )
    with clock.stage("similarity") as report:
        tests = similarity_tests(
            network.model,
            network.rows,
            network.layers,
            source,
            n_splits=n_splits,
            n_bootstrap=n_bootstrap,
            rng=rng,
            report=report,
        )
    return tests, source.cost


def _exact(network: Network, plan: Plan, seed: int, clock: _Clock) -> Exact:
    """Exact and first-order influences."""
    with clock.stage("exact influences") as report:
        return exact_influences(
            network.model,
            network.rows,
            network.layers,
            sample=plan.sample,
            seed=seed,
            batch_rows=network.batch_rows,
            report=report,
        )


def _named_inputs(meaning: Meaning, network: Network) -> Meaning:
    """The meaning, with inputs only if it is the first of the layers that takes them."""
    layer = network.layers[0]
    named = dict(network.model.named_parameters(remove_duplicate=False))
    width = layer.by_unit(layer.part(layer.weight(named))).shape[1]
    stack = linear_stack(network.model, network.rows.x) is not None
    first = stack and layer.name == select_layers(network.model, "all")[0].name
    return meaning if first and width == len(meaning.inputs) else replace(meaning, inputs=())


def _together(
    network: Network, names: Sequence[str], plan: Plan, rng: np.random.Generator, clock: _Clock
) -> list[JointRemoval]:
    """The test of A.13."""
    with clock.stage("independence") as report:
        return independence(
            network,
            names,
            sizes=plan.set_sizes,
            n_sets=plan.n_sets,
            whole=plan.sample is None,
            rng=rng,
            report=report,
        )


def _without(
    network: Network, exact: Exact, rng: np.random.Generator, clock: _Clock
) -> list[WhatIf]:
    """The network without its top units; the last layer, which makes the output, keeps all."""
    output = network.layers[-1].name
    with clock.stage("what-if") as report:
        removable = [unit for unit in top_units(exact) if unit.layer != output]
        return what_if(network, removable, rng=rng, report=report)


def check_options(**given: object) -> None:
    """Checks options that are whole numbers, by their names in ``LEAST``.

    Raises:
        OptionError: if one is none, or out of range.
    """
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise OptionError(f"{name}: expected a whole number, got {value!r}")
        if value < LEAST[name]:
            raise OptionError(f"{name}: expected at least {LEAST[name]}, got {value!r}")
