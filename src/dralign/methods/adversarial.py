"""Adversarial training (Zhang et al., 2018): the output is made useless for telling the group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from dralign.gaps import Gap
from dralign.methods.base import LossConvention, Step, StepResult, task_loss
from dralign.rationale import probability
from dralign.sampling import Balance, Batch

ADVERSARY_UNITS = 32
ADVERSARY_RATE = 3e-3


class Adversary(nn.Module):
    """Guesses the group from the output (DP), or from output and label (EO).

    A perceptron with one hidden layer and a logit per group, so that the output must be independent
    of the group and not merely have the same mean. It reads the logit and the probability.
    """

    def __init__(self, n_groups: int, *, sees_label: bool, generator: torch.Generator) -> None:
        """Draws the weights from ``generator``, uniformly within 1 / sqrt(fan-in)."""
        super().__init__()
        self.sees_label = sees_label
        # The usual constructor would draw from torch's global generator first.
        self.hidden = skip_init(nn.Linear, 2 + sees_label, ADVERSARY_UNITS)
        self.out = skip_init(nn.Linear, ADVERSARY_UNITS, n_groups)
        for layer in (self.hidden, self.out):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self, prob: Tensor, label: Tensor) -> Tensor:
        """(n, G) logits of the groups, from (n,) probabilities and (n,) labels."""
        seen = [torch.logit(prob, eps=1e-6), prob]
        if self.sees_label:
            seen.append(label.to(prob.dtype))
        scores: Tensor = self.out(torch.relu(self.hidden(torch.stack(seen, dim=1))))
        return scores


def project_away(
    task: Sequence[Tensor | None], adversary: Sequence[Tensor | None], alpha: float
) -> list[Tensor | None]:
    """The predictor's direction, g_P - proj_{g_A}(g_P) - alpha g_A for every parameter (Eq. 18).

    The projection uses the Frobenius inner product of the two gradients of one parameter tensor,
    <g_P, g_A> / <g_A, g_A> g_A; where g_A is 0 there is none.
    """
    directions: list[Tensor | None] = []
    for g_p, g_a in zip(task, adversary, strict=True):
        if g_p is None or g_a is None:
            directions.append(g_p if g_a is None else -alpha * g_a)
            continue
        length = (g_a * g_a).sum()
        share = torch.where(length > 0, (g_p * g_a).sum() / length, torch.zeros_like(length))
        directions.append(g_p - (share + alpha) * g_a)
    return directions


@dataclass(frozen=True)
class Adversarial:
    """Minimises L_cls against an adversary that guesses the group (Eq. 18), on uniform batches.

    The adversary learns beside the network, with an Adam of its own. Under demographic parity it
    sees the output, under equalized odds output and label, under equal opportunity the output of
    the rows with label 1. Rows without a group count in the task loss only.

    Attributes:
        gap: which of these the adversary sees; the gap it is judged by.
        fairness_weight: alpha, 0 or more; the projection stays in place at 0.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "adversarial"
    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    gap: Gap
    fairness_weight: float
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``; the adversary is drawn from ``generator``."""
        like = next(model.parameters())
        sees_label = self.gap.name == "equalized_odds"
        adversary = Adversary(n_groups, sees_label=sees_label, generator=generator).to(like)
        optimiser = torch.optim.Adam(adversary.parameters(), lr=ADVERSARY_RATE)
        parameters = [p for p in model.parameters() if p.requires_grad]

        def step(batch: Batch, multiplier: float = 1.0) -> StepResult:
            logits, alpha = model(batch.x), multiplier * self.fairness_weight
            task = task_loss(logits, batch, self.loss)
            rows = batch.group >= 0
            if self.gap.name == "equal_opportunity":
                rows = rows & (batch.y == 1)
            guess = adversary(probability(logits)[rows], batch.y[rows])
            # A mean would be NaN where no row has a group.
            error = F.cross_entropy(guess, batch.group[rows], reduction="sum") / max(len(guess), 1)
            g_p = torch.autograd.grad(task, parameters, retain_graph=True, allow_unused=True)
            learned = [*parameters, *adversary.parameters()]
            g_a = torch.autograd.grad(error, learned, allow_unused=True)
            directions = project_away(g_p, g_a[: len(parameters)], alpha)
            for parameter, direction in zip(parameters, directions, strict=True):
                if direction is not None:
                    grad = parameter.grad
                    parameter.grad = direction if grad is None else grad + direction
            for weight, gradient in zip(
                adversary.parameters(), g_a[len(parameters) :], strict=True
            ):
                weight.grad = gradient
            optimiser.step()
            return StepResult((task - alpha * error).detach())

        return step
