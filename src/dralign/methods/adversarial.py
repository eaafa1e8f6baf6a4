"""Adversarial training (Zhang et al., 2018): the output is made useless for telling the group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from dralign.gaps import Gap
from dralign.methods.base import Step, StepResult
from dralign.methods.registry import MethodType
from dralign.methods.shared import FAIRNESS_WEIGHT
from dralign.methods.state import State, only, optimiser_state, set_optimiser_state, under
from dralign.networks import probability
from dralign.step import (
    WHOLE,
    Balance,
    Batch,
    LossConvention,
    Passes,
    add_up,
    add_up_where_there,
    count_rows,
    split,
    task_loss,
)

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


class AdversarialStep:
    """The step of one run, with the adversary and its optimiser.

    Attributes:
        adversary: what guesses the group.
        optimiser: of the adversary.
    """

    def __init__(self, method: "Adversarial", model: nn.Module, adversary: Adversary) -> None:
        self.adversary = adversary
        self.optimiser = torch.optim.Adam(adversary.parameters(), lr=ADVERSARY_RATE)
        self._method, self._model = method, model
        self._parameters = [p for p in model.parameters() if p.requires_grad]

    def __call__(self, batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
        """Adds the direction of Eq. 18 to ``.grad``; the adversary learns."""
        alpha = multiplier * self._method.fairness_weight
        value, gradients = self._gradients(batch, alpha, passes)
        add_up([value])
        own = list(self.adversary.parameters())
        gradients = add_up_where_there(gradients, [*self._parameters * 2, *own])
        k = len(self._parameters)
        directions = project_away(gradients[:k], gradients[k : 2 * k], alpha)
        for parameter, direction in zip(self._parameters, directions, strict=True):
            if direction is not None:
                grad = parameter.grad
                parameter.grad = direction if grad is None else grad + direction
        for weight, gradient in zip(own, gradients[2 * k :], strict=True):
            weight.grad = None if gradient is None else gradient / passes.loss_scale
        # Where scaled gradients overflow, the trainer leaves the step out, and so does this.
        taken = [g for g in (*directions, *gradients[2 * k :]) if g is not None]
        if passes.loss_scale == 1 or all(bool(g.isfinite().all()) for g in taken):
            self.optimiser.step()
        return StepResult(value)

    def state_dict(self) -> State:
        """The adversary and its optimiser."""
        learnt = under("adversary", self.adversary.state_dict())
        return learnt | under("optimiser", optimiser_state(self.optimiser))

    def load_state_dict(self, state: State) -> None:
        """Goes on from what ``state_dict`` gave."""
        self.adversary.load_state_dict(only("adversary", state))
        set_optimiser_state(self.optimiser, only("optimiser", state))

    def _gradients(
        self, batch: Batch, alpha: float, passes: Passes
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The value of the loss and the scaled gradients, added up over the parts of the batch.

        First those of the task loss, then those of the adversary's error, by the network's
        parameters, then those of the error by the adversary's own.
        """
        rows, n_seen = count_rows(batch), batch.weighted(self._seen(batch).float()).sum()
        add_up([n_seen])
        value = torch.zeros((), device=batch.y.device)
        totals: list[Tensor | None] = []
        for part in split(batch, passes.micro_batch):
            logits, at = passes.forward(self._model, part.x), self._seen(part)
            task = task_loss(logits, part, self._method.loss, rows, passes.row_loss)
            guess = self.adversary(probability(logits)[at], part.y[at])
            # A mean would be NaN where no row has a group.
            if part.weight is None:
                error = F.cross_entropy(guess, part.group[at], reduction="sum")
            else:
                errors = F.cross_entropy(guess, part.group[at], reduction="none")
                error = part.weighted(errors, at).sum()
            error = error / torch.where(n_seen > 0, n_seen, torch.ones_like(n_seen))
            value = value + (task - alpha * error).detach()
            result = [
                *torch.autograd.grad(
                    passes.loss_scale * task,
                    self._parameters,
                    retain_graph=True,
                    allow_unused=True,
                ),
                *torch.autograd.grad(
                    passes.loss_scale * error,
                    [*self._parameters, *self.adversary.parameters()],
                    allow_unused=True,
                ),
            ]
            totals = [
                g if so_far is None else so_far if g is None else so_far + g
                for so_far, g in zip(totals or [None] * len(result), result, strict=True)
            ]
        return value, totals

    def _seen(self, rows: Batch) -> Tensor:
        """Which rows the adversary sees, (n,) of bool."""
        known = rows.group >= 0
        if not self._method.gap.conditions_on_label:
            return known
        strata = torch.tensor(self._method.gap.strata, device=rows.y.device)
        return known & torch.isin(rows.y, strata)


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
    takes_weights: ClassVar[bool] = True
    gap: Gap
    fairness_weight: float
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``; the adversary is drawn from ``generator``."""
        like = next(model.parameters())
        sees_label = len(self.gap.strata) > 1
        adversary = Adversary(n_groups, sees_label=sees_label, generator=generator).to(like)
        return AdversarialStep(self, model, adversary)


ADVERSARIAL: Final = MethodType(
    "adversarial",
    "the task loss against an adversary that guesses the group; λ is its alpha",
    lambda gap, loss, settings: Adversarial(gap, settings["fairness_weight"], loss),
    settings=(FAIRNESS_WEIGHT,),
    gaps=("demographic_parity", "equalized_odds", "equal_opportunity"),
    two_classes=True,
    scaled=((FAIRNESS_WEIGHT.name, 1.0),),
)
