"""Fair Mixup (Chuang & Mroueh, 2021): the gap as a slope along paths between groups."""

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from dralign.alignment import running_statistics_kept
from dralign.errors import DataError, ModelError
from dralign.gaps import Gap
from dralign.methods.base import LossConvention, Step, StepResult, balance_for, task_loss
from dralign.rationale import probability
from dralign.sampling import Balance, Batch, Block


@dataclass(frozen=True)
class PathPenalty:
    """How fast the expected output changes along a path from one group to another (Eq. 17).

    At a point gamma of the path the rows of two groups are mixed pairwise, and the penalty is
    |d/dgamma E[f(gamma x_0 + (1 - gamma) x_1)]|, which is |mean_i <grad f(x~_i), x_1i - x_0i>|. Its
    integral over the path bounds the gap from above. One gamma ~ Beta(1, 1), which is uniform,
    serves all pairs of a stratum; under equalized odds each label has its own.

    Attributes:
        gap: demographic parity, or equalized odds (a path within each label, added up).
        layer: the module whose output is mixed (manifold mixing); None mixes the inputs.
    """

    gap: Gap
    layer: str | None = None

    def __call__(
        self, model: nn.Module, batch: Batch, *, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        """The penalty, a scalar from 0 up, and how many groups or cells a pair was made of.

        It has a graph through the slope: its backward pass is a double backward. Cost: a forward
        and a backward pass of the mixed rows per pair and stratum here, and about four more in the
        backward pass of the result. Rows are paired in their order; a longer block is cut. Without
        a pair the penalty is a constant 0.
        """
        like = next(model.parameters())
        total, used = torch.zeros((), dtype=like.dtype, device=like.device), 0
        for label in self.gap.strata:
            inside = [b for b in batch.blocks if b.group is not None and b.label == label]
            gamma = torch.rand((), generator=generator).to(total)
            if len(inside) < 2:
                continue
            slopes = torch.stack(
                [
                    self._slopes(model, batch, pair, gamma.requires_grad_()).abs()
                    for pair in combinations(inside, 2)
                ]
            )
            total = total + (slopes.amax() if self.gap.aggregate == "max" else slopes.mean())
            used += len(inside)
        return total, used

    def _slopes(
        self, model: nn.Module, batch: Batch, pair: tuple[Block, Block], gamma: Tensor
    ) -> Tensor:
        """d/dgamma of the mean probability of the mixed rows of two blocks, with a graph.

        A scalar; of more than two classes (C,).
        """
        rows = min(block.stop - block.start for block in pair)
        first, second = (batch.x[block.start : block.start + rows] for block in pair)
        with running_statistics_kept(model):
            logits = self._mixed(model, first, second, gamma)
        mean = probability(logits).mean(0)
        slopes = [
            torch.autograd.grad(each, gamma, create_graph=True)[0] for each in mean.reshape(-1)
        ]
        return torch.stack(slopes).reshape(mean.shape)

    def _mixed(self, model: nn.Module, first: Tensor, second: Tensor, gamma: Tensor) -> Tensor:
        """The logits of the mixed rows.

        Raises:
            DataError: if inputs that are codes were to be mixed.
            ModelError: if the layer's output is not a tensor.
        """
        if self.layer is None:
            if not first.is_floating_point():
                raise DataError(
                    f"mixup: inputs of type {first.dtype} can't be mixed; name a layer to mix after"
                )
            return cast("Tensor", model(gamma * first + (1 - gamma) * second))

        def mix(_module: nn.Module, _inputs: object, output: object) -> Tensor:
            if not isinstance(output, Tensor):
                raise ModelError(f"mixup: the output of {self.layer!r} is not a tensor")
            ahead, behind = output.chunk(2)
            return gamma * ahead + (1 - gamma) * behind

        with model.get_submodule(self.layer).register_forward_hook(mix):
            return cast("Tensor", model(torch.cat([first, second])))

    def check(self, model: nn.Module) -> None:
        """Checks that the model has the layer.

        Raises:
            ModelError: if it does not.
        """
        known = [name for name, _ in model.named_modules() if name]
        if self.layer is not None and self.layer not in known:
            raise ModelError(f"mixup: no layer {self.layer!r}; known: {', '.join(known)}")


@dataclass(frozen=True)
class FairMixup:
    """The paper's FairReg(Aug): minimises L_cls + lambda * the path penalty (Eq. 17).

    With ``fairness_weight`` 0 the penalty is not computed, and the method is oversampling.

    Attributes:
        penalty: the path penalty.
        fairness_weight: lambda, 0 or more.
        loss: the loss convention.
    """

    name: ClassVar[str] = "mixup"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    penalty: PathPenalty
    fairness_weight: float
    loss: LossConvention = "batch_mean"

    @property
    def gap(self) -> Gap:
        """The gap that the penalty bounds."""
        return self.penalty.gap

    @property
    def balance(self) -> Balance:
        """By group, or by cell if the gap conditions on the label."""
        return balance_for(self.gap)

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``."""
        self.penalty.check(model)
        cells = n_groups * len(self.gap.strata)

        def step(batch: Batch, multiplier: float = 1.0) -> StepResult:
            loss, skipped = task_loss(model(batch.x), batch, self.loss), 0
            if weight := multiplier * self.fairness_weight:
                penalty, used = self.penalty(model, batch, generator=generator)
                loss, skipped = loss + weight * penalty, cells - used
            loss.backward()
            return StepResult(loss.detach(), skipped)

        return step
