"""The adversary's push is Zhang's formula, its seed acts, and it takes the group out of a score."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from dralign.data.dataset import Dataset, Split
from dralign.methods.adversarial import Adversary, project_away
from dralign.models import mlp
from dralign.step import Batch, Block, Passes
from dralign.training import TrainingSettings, predict_probability, train
from switched_off import method_of
from synthetic import dataset, perceptron, split

DP, EO, EOP = "demographic_parity", "equalized_odds", "equal_opportunity"


def one_batch(*, n_groups: int = 2, missing: bool = False) -> Batch:
    rows = split(80, n_groups=n_groups)
    group = rows.group.clone()
    if missing:
        group[::5] = -1
    return Batch(rows.x, rows.y, group, (Block(0, 80),))


def formula(batch: Batch, gap: str, n_groups: int, alpha: float) -> list[torch.Tensor]:
    """Eq. 18 written out with numpy's Frobenius product, for a fresh network and adversary."""
    model = perceptron()
    generator = torch.Generator().manual_seed(1)
    adversary = Adversary(n_groups, sees_label=gap == EO, generator=generator)
    logits = model(batch.x)[:, 0]
    task = nn.functional.binary_cross_entropy_with_logits(logits, batch.y.float())
    rows = (batch.group >= 0) & ((batch.y == 1) | (gap != EOP))
    prob = torch.sigmoid(logits[rows])
    columns = [torch.log(prob / (1 - prob)), prob]
    if gap == EO:
        columns.append(batch.y[rows].float())
    hidden = torch.relu(adversary.hidden(torch.stack(columns, 1)))
    scores = adversary.out(hidden).log_softmax(1)
    error = -scores[torch.arange(len(scores)), batch.group[rows]].mean()
    weights = list(model.parameters())
    g_task = torch.autograd.grad(task, weights, retain_graph=True)
    g_adversary = torch.autograd.grad(error, weights)
    directions = []
    for g_p, g_a in zip(g_task, g_adversary, strict=True):
        p, a = g_p.double().numpy(), g_a.double().numpy()
        projection = np.sum(p * a) / np.linalg.norm(a) ** 2 * a
        directions.append(torch.from_numpy(p - projection - alpha * a).float())
    return directions


@pytest.mark.parametrize("missing", [False, True], ids=["all groups known", "some missing"])
@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("gap", [DP, EO, EOP])
def test_the_gradient_is_that_of_the_formula(gap, n_groups, missing):
    batch = one_batch(n_groups=n_groups, missing=missing)
    model, alpha = perceptron(), 0.7
    method = method_of("adversarial", gap=gap, fairness_weight=alpha)
    step = method.begin(model, n_groups=n_groups, generator=torch.Generator().manual_seed(1))
    step(batch)
    for parameter, wanted in zip(
        model.parameters(), formula(batch, gap, n_groups, alpha), strict=True
    ):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


class Sometimes(nn.Module):
    """A layer takes part where the first input of a row is above 10."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.rare = perceptron(), nn.Linear(6, 1)

    def forward(self, x):
        rows, result = (x[:, 0] > 10).nonzero()[:, 0], self.always(x)
        return result.index_add(0, rows, self.rare(x[rows])) if len(rows) else result


def test_a_layer_that_the_first_part_of_a_batch_alone_reaches_keeps_its_gradient():
    batch, found = one_batch(), []
    batch.x[:3, 0] = 11.0
    for passes in (Passes(), Passes(micro_batch=20)):
        torch.manual_seed(0)
        model = Sometimes()
        method = method_of("adversarial", fairness_weight=0.7)
        method.begin(model, n_groups=2, generator=torch.Generator().manual_seed(1))(
            batch, passes=passes
        )
        found.append([parameter.grad for parameter in model.parameters()])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_the_projection_leaves_nothing_along_the_adversary_gradient():
    torch.manual_seed(0)
    g_p, g_a = torch.randn(3, 4), torch.randn(3, 4)
    (direction,) = project_away([g_p], [g_a], 0.0)
    assert abs(float((direction * g_a).sum())) < 1e-5
    (pushed,) = project_away([g_p], [g_a], 2.0)
    torch.testing.assert_close(pushed, direction - 2 * g_a)


def test_without_an_adversary_gradient_the_task_gradient_stays():
    g = torch.ones(2, 2)
    zero, unused, only_adversary, neither = project_away(
        [g, g, None, None], [torch.zeros(2, 2), None, g, None], 0.5
    )
    assert torch.equal(zero, g)
    assert torch.equal(unused, g)
    assert torch.equal(only_adversary, -0.5 * g)
    assert neither is None


@pytest.mark.parametrize("gap", [DP, EOP])
def test_a_batch_without_rows_for_the_adversary_trains_the_task_loss(gap):
    batch = one_batch()
    nobody = Batch(batch.x, batch.y, torch.full_like(batch.group, -1), batch.blocks)
    model, plain = perceptron(), perceptron()
    method = method_of("adversarial", gap=gap, fairness_weight=1.0)
    found = method.begin(model, n_groups=2, generator=torch.Generator())(nobody)
    wanted = method_of("erm").begin(plain, n_groups=2, generator=torch.Generator())(nobody)
    assert float(found.loss) == float(wanted.loss)
    for parameter, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad)


def test_the_seed_draws_the_adversary_and_gives_another_network():
    batch, weights = one_batch(), []
    for seed in (0, 0, 1):
        model = perceptron()
        optimiser = torch.optim.Adam(model.parameters())
        step = method_of("adversarial", fairness_weight=1.0).begin(
            model, n_groups=2, generator=torch.Generator().manual_seed(seed)
        )
        for _ in range(5):
            optimiser.zero_grad()
            step(batch)
            optimiser.step()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2], atol=1e-4)


def test_begin_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    method = method_of("adversarial", fairness_weight=1.0)
    method.begin(mlp(6, hidden=8).to("meta"), n_groups=2, generator=torch.Generator())
    model = perceptron()
    state = torch.random.get_rng_state()
    method.begin(model, n_groups=2, generator=torch.Generator())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_adversary_learns_from_step_to_step():
    """With the network held still the adversary's loss falls, and with it the total's penalty."""
    batch, model = one_batch(), perceptron()
    method = method_of("adversarial", fairness_weight=1.0)
    step = method.begin(model, n_groups=2, generator=torch.Generator().manual_seed(0))
    values = [float(step(batch).loss) for _ in range(60)]
    assert values[-1] > values[0]  # task loss minus alpha times the adversary's loss


def test_different_training_seeds_give_different_networks():
    weights = []
    for seed in (0, 1):
        model = perceptron()
        settings = TrainingSettings(1, 5, 20, seed=seed)
        train(model, dataset(), method_of("adversarial", fairness_weight=1.0), settings)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert not torch.allclose(*weights)


def leaning(n: int, seed: int) -> Split:
    """Label 1 where x_2 + 0.7 a + noise > 0.35; x_1 tells the group a, x_2 does not."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(2, (n,), generator=generator)
    x2 = 0.8 * torch.randn(n, generator=generator)
    x1 = group + 0.1 * torch.randn(n, generator=generator)
    noise = 0.5 * torch.randn(n, generator=generator)
    y = (x2 + 0.7 * group + noise > 0.35).long()
    return Split(torch.stack([x1, x2], 1), y, group)


def without_proxy(rows: Split) -> Split:
    return Split(rows.x[:, 1:], rows.y, rows.group)


def fresh_adversary_auc(model: nn.Module, data: Dataset) -> float:
    """AUC on test rows of a network trained from nothing to tell the group from the logit."""
    seen = [torch.logit(predict_probability(model, s.x), eps=1e-6) for s in (data.train, data.test)]
    known, new = ((score - seen[0].mean()) / seen[0].std() for score in seen)
    torch.manual_seed(7)
    judge = mlp(1, hidden=32)
    optimiser = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(200):
        optimiser.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(
            judge(known[:, None])[:, 0], data.train.group.float()
        )
        loss.backward()
        optimiser.step()
    guess = judge(new[:, None])[:, 0].detach()
    return float(roc_auc_score(data.test.group, guess))


def test_a_fresh_adversary_can_not_tell_the_group_any_more():
    """ERM's scores tell it; the AP stays near that of ERM which never saw the proxy."""
    parts = [leaning(n, seed) for seed, n in enumerate((20_000, 500, 10_000))]
    names = (("0", "1"), ("a",), "y", "1")
    data = Dataset("planted", "standard", *parts, *names)
    blind = Dataset("planted", "standard", *map(without_proxy, parts), *names)
    settings = TrainingSettings(epochs=1, iterations=1200, batch_size=500)
    figures = {}
    for key, rows, method in (
        ("erm", data, method_of("erm")),
        ("blind", blind, method_of("erm")),
        ("adversarial", data, method_of("adversarial", fairness_weight=2.0)),
    ):
        torch.manual_seed(0)
        model = mlp(rows.n_inputs, hidden=16, depth=1)
        train(model, rows, method, settings)
        precision = average_precision_score(rows.test.y, predict_probability(model, rows.test.x))
        figures[key] = precision, fresh_adversary_auc(model, rows)
    assert figures["erm"][1] >= 0.70
    assert figures["adversarial"][1] <= 0.55
    assert abs(figures["adversarial"][0] - figures["blind"][0]) <= 0.02
