"""Training with the all-cut-offs gap equalises the ranking, where the soft gap is shrunk away."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dralign import metrics
from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.data import DataSource, Split
from dralign.errors import OptionError
from dralign.estimator import DRAlignClassifier
from dralign.gaps import smooth_all_cutoffs_gap
from dralign.methods import build_method
from dralign.metrics import gap_measure
from dralign.models import mlp
from dralign.networks import log_odds, probability
from dralign.rationale import per_sample_loss
from dralign.step import Batch, Sampler, batch_in_blocks
from dralign.study import TrialSpec
from dralign.training import TrainingSettings, train
from switched_off import method_of
from synthetic import dataset

DP, EO = "demographic_parity", "equalized_odds"
N = 600


def people(n_groups: int, n_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, labels, groups. What a label leans on is seen twice: one input favours a group."""
    draw = torch.Generator().manual_seed(0)
    group = torch.arange(N) % n_groups
    noise = torch.randn(N, 4, generator=draw)
    merit = noise[:, 0] + 0.5 * group
    x = torch.stack([merit + group, merit + noise[:, 1], noise[:, 2]], dim=1)
    lean = merit + 0.5 * noise[:, 3]
    edges = lean.quantile(torch.arange(1, n_classes) / n_classes)
    return x, torch.bucketize(lean, edges), group


def trained(name: str, gap: str, *, n_groups=2, n_classes=2, **options) -> dict[str, float]:
    """The figures of a small network after 80 steps, on the rows it was trained on."""
    x, y, group = people(n_groups, n_classes)
    torch.manual_seed(0)
    outputs = 1 if n_classes == 2 else n_classes
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, outputs))
    method = method_of(name, gap=gap, n_classes=n_classes, **options)
    step = method.begin(model, n_groups=n_groups, generator=torch.Generator())
    draws = np.random.default_rng(0)
    size = 200 // (n_groups * (n_classes if method.balance == "cell" else 1))
    sampler = Sampler(
        y, group, balance=method.balance, rows_per_block=size, n_blocks=0, n_groups=n_groups,
        generator=draws,
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(80):
        rows = sampler.draw()
        optimiser.zero_grad()
        step(Batch(x[rows], y[rows], group[rows], sampler.blocks))
        optimiser.step()
    with torch.no_grad():
        prob = probability(model(x)).numpy()
    judged = method.gap.judged_by
    return {
        "ranking": metrics.all_cutoffs_gap(y.numpy(), prob, sensitive_features=group, gap=judged),
        "level": float(prob.mean() / y.float().mean()) if n_classes == 2 else 1.0,
    }


CASES = {
    "two groups": {},
    "three groups": {"n_groups": 3},
    "mean over pairs": {"n_groups": 3, "aggregate": "mean"},
    "odds": {"gap": EO},
    "three classes": {"n_classes": 3},
    "odds of three classes": {"gap": EO, "n_classes": 3},
    "dralign": {"name": "dralign", "alignment_weight": 0.01},
    "dralign, odds": {"name": "dralign", "gap": EO, "alignment_weight": 0.01},
    "placebo": {"name": "placebo", "alignment_weight": 0.01},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_training_with_it_lowers_the_gap_of_the_ranking_and_not_the_level(case):
    case = {"name": "gap", "gap": DP, **case}
    sizes = {k: v for k, v in case.items() if k in {"n_groups", "n_classes"}}
    plain = trained("oversample", case["gap"], **sizes)
    case["gap"] = f"all_cutoffs_{case['gap']}"
    found = trained(**case, fairness_weight=2.0)
    assert found["ranking"] < 0.5 * plain["ranking"]
    assert found["level"] == pytest.approx(plain["level"], abs=0.1)


def test_where_scores_are_free_the_soft_gap_shrinks_them_and_the_ranking_stays():
    """One weight for all, times a fixed score: nothing but the level can be learned."""
    x, y, group = people(2, 2)
    score = x[:, 0]

    def left(gap: str) -> float:
        scale = nn.Linear(1, 1)
        nn.init.ones_(scale.weight)
        method = method_of("gap", gap=gap, fairness_weight=1.0)
        step = method.begin(scale, n_groups=2, generator=torch.Generator())
        batch = batch_in_blocks(score[:, None], y, group, n_groups=2, by_label=False)
        step(batch)
        plain = nn.Linear(1, 1)
        plain.load_state_dict(scale.state_dict())
        method_of("oversample").begin(plain, n_groups=2, generator=torch.Generator())(batch)
        return float((scale.weight.grad - plain.weight.grad).abs())

    assert left(DP) > 0.1
    assert left("all_cutoffs_demographic_parity") < 1e-6


@pytest.mark.parametrize(("gap", "n_classes"), [(DP, 2), (EO, 2), (EO, 3)])
def test_a_step_and_aligned_backward_have_the_gradient_of_the_formula(gap, n_classes):
    x, y, group = people(2, n_classes)
    x, y, group = x[:120].double(), y[:120], group[:120]

    def network() -> nn.Module:
        torch.manual_seed(0)
        outputs = 1 if n_classes == 2 else n_classes
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, outputs)).double()

    plain = network()
    logits = plain(x)
    scores = logits[:, 0] if n_classes == 2 else logits
    smooth = smooth_all_cutoffs_gap(scores, group, n_groups=2, label=y, gap=gap)
    loss = per_sample_loss(logits, y).mean() + 0.4 * smooth
    loss.backward()
    stepped, aligned, name = network(), network(), f"all_cutoffs_{gap}"
    method = method_of("gap", gap=name, fairness_weight=0.4, n_classes=n_classes)
    batch = batch_in_blocks(x, y, group, n_groups=2, by_label=gap == EO)
    step = method.begin(stepped, n_groups=2, generator=torch.Generator())
    assert float(step(batch).loss) == pytest.approx(loss.item())
    value = aligned_backward(
        aligned, x, label=y, group=group, n_groups=2, n_classes=n_classes, gap=name,
        fairness_weight=0.4, alignment=RationaleAlignment(aligned), alignment_weight=0.0,
    )  # fmt: skip
    assert float(value) == pytest.approx(loss.item())
    for one, *others in zip(*(m.parameters() for m in (plain, stepped, aligned)), strict=True):
        for other in others:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-9, atol=1e-12)


def test_log_odds_are_those_of_the_probabilities():
    for columns in (1, 2, 3, 5):
        logits = torch.randn(7, columns, dtype=torch.float64)
        torch.testing.assert_close(log_odds(logits), torch.logit(probability(logits)))
    assert torch.equal(log_odds(logits[:, 0]), logits[:, 0])


# --- at the doors of the package


def test_a_bound_is_kept_with_it_in_the_measure_of_the_gap_it_is_judged_by():
    rows = Split(*people(2, 2))
    data = replace(dataset(), train=rows, validation=rows, test=rows)
    found = {}
    for bound in (0.1, 1.0):
        method = build_method("gap", gap="all_cutoffs_demographic_parity", gap_bound=bound)
        torch.manual_seed(0)
        settings = TrainingSettings(
            epochs=4, iterations=20, batch_size=60, learning_rate=0.02, gap_bound=bound
        )
        found[bound] = train(mlp(3, hidden=8), data, method, settings).history[-1]
    assert found[1.0].found_weight == 0
    assert found[0.1].found_weight > 0.2
    tight, loose = (
        gap_measure("base_rate").of(found[bound].validation, method.gap.name) for bound in found
    )
    assert tight < 0.5 * loose


def test_the_classifier_and_a_trial_take_it_by_name():
    x, y, group = (column.numpy() for column in people(3, 2))
    model = DRAlignClassifier(
        gap="all_cutoffs_equalized_odds", epochs=2, iterations=5, hidden=8, random_state=0
    )
    assert model.fit(x, y, sensitive_features=group).predict(x).shape == (N,)
    spec = TrialSpec(DataSource("german"), "gap", gap="all_cutoffs_equalized_odds")
    assert spec.build_method().gap.judged_by == EO
    for name in ("mixup", "adversarial", "thresholds"):
        with pytest.raises(OptionError, match=f"gap: the method '{name}' supports demographic"):
            TrialSpec(DataSource("german"), name, gap="all_cutoffs_equalized_odds")
    with pytest.raises(OptionError, match="'all_cutoffs_equal_opportunity' needs two classes"):
        build_method("gap", gap="all_cutoffs_equal_opportunity", n_classes=3)
