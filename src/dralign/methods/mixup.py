"""Fair Mixup (Chuang & Mroueh, 2021): the gap as a slope along paths between groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from dralign.alignment import at_least_float32
from dralign.errors import DataError, ModelError
from dralign.gaps import Gap
from dralign.methods.base import Step, TermStep, balance_for
from dralign.methods.registry import MethodType
from dralign.methods.shared import AGGREGATE, FAIRNESS_WEIGHT, MIXUP_LAYER
from dralign.networks import probability
from dralign.rationale.inputs import one_tensor
from dralign.step import (
    Balance,
    Batch,
    LossConvention,
    Passes,
    add_up,
    count_rows,
    double_backward_kernels,
    running_statistics_kept,
)


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

    It has a graph through the slope: its backward pass is a double backward. Cost: a forward and a
    backward pass of the mixed rows per pair and stratum, and about four more in the backward pass
    of the result. Rows are paired in their order; a longer block is cut. Without a pair the penalty
    is a constant 0.
    """

    gap: Gap
    layer: str | None = None

    def mixed(
        self, model: nn.Module, first: Tensor, second: Tensor, gamma: Tensor, passes: Passes
    ) -> Tensor:
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
            return passes.forward(model, gamma * first + (1 - gamma) * second)

        def mix(_module: nn.Module, _inputs: object, output: object) -> Tensor:
            if not isinstance(output, Tensor):
                raise ModelError(f"mixup: the output of {self.layer!r} is not a tensor")
            # Where autocast computed it, what gamma multiplies is not to be rounded again.
            ahead, behind = output.to(at_least_float32(output.dtype)).chunk(2)
            return gamma * ahead + (1 - gamma) * behind

        with model.get_submodule(self.layer).register_forward_hook(mix):
            return passes.forward(model, torch.cat([first, second]))

    def check(self, model: nn.Module) -> None:
        """Checks that the model has the layer.

        Raises:
            ModelError: if it does not.
        """
        known = [name for name, _ in model.named_modules() if name]
        if self.layer is not None and self.layer not in known:
            raise ModelError(f"mixup: no layer {self.layer!r}; known: {', '.join(known)}")


class Paths:
    """The path penalty of one step, a function of the slopes along its paths.

    Attributes:
        skipped: how many groups or cells no pair was made of.
    """

    of_logits: ClassVar[bool] = False

    def __init__(
        self,
        penalty: PathPenalty,
        model: nn.Module,
        batch: Batch,
        *,
        n_groups: int,
        generator: torch.Generator,
    ) -> None:
        """Draws a point on the paths of each stratum; nothing goes through the network yet.

        The generators of all processes must be in the same state.
        """
        self._penalty, self._model = penalty, model
        self.skipped = n_groups * len(penalty.gap.strata)
        self._like = next(model.parameters())
        # By stratum the point on the paths, and the pairs of blocks with their number of rows.
        self._strata: list[tuple[Tensor, list[tuple[int, int, int]]]] = []
        rows = count_rows(batch)
        for label in penalty.gap.strata:
            inside = [
                i for i, b in enumerate(batch.blocks) if b.group is not None and b.label == label
            ]
            gamma = torch.rand((), generator=generator).to(self._like.detach())
            if len(inside) > 1:
                pairs = [(i, j, min(rows[i], rows[j])) for i, j in combinations(inside, 2)]
                self._strata.append((gamma.requires_grad_(), pairs))
                self.skipped -= len(inside)

    def measure(self, part: Batch, logits: Tensor | None, passes: Passes) -> Tensor:  # noqa: ARG002
        """What a part adds to each slope, with a graph: (pairs,), or (pairs, C) of C classes."""
        slopes = [
            self._slope(part, pair, gamma, passes)
            for gamma, pairs in self._strata
            for pair in pairs
        ]
        return torch.stack(slopes) if slopes else self._like.new_zeros(0)

    def exchange(
        self,
        measured: Sequence[Tensor],
        parts: Sequence[Batch],  # noqa: ARG002
    ) -> Callable[[int, Tensor], Tensor]:
        """The penalty of all rows; see ``Regulariser``."""
        whole = torch.stack([slopes.detach() for slopes in measured]).sum(0)
        add_up([whole])
        return lambda _index, slopes: self.combine(slopes + (whole - slopes).detach())

    def combine(self, slopes: Tensor) -> Tensor:
        """The penalty, from the slopes of all rows."""
        total = torch.zeros((), dtype=self._like.dtype, device=self._like.device)
        for inside in slopes.abs().split([len(pairs) for _, pairs in self._strata]):
            largest = self._penalty.gap.aggregate == "max"
            total = total + (inside.amax() if largest else inside.mean())
        return total

    def _slope(
        self, part: Batch, pair: tuple[int, int, int], gamma: Tensor, passes: Passes
    ) -> Tensor:
        """What a part adds to d/dgamma of the mean probability of the mixed rows of two blocks.

        A scalar; of more than two classes (C,).
        """
        *blocks, n_pairs = part.blocks[pair[0]], part.blocks[pair[1]], pair[2]
        rows = min(block.stop - block.start for block in blocks)
        x = one_tensor(part.x, "mixup")
        first, second = (x[block.start : block.start + rows] for block in blocks)
        with running_statistics_kept(self._model), double_backward_kernels(self._model):
            logits = self._penalty.mixed(self._model, first, second, gamma, passes)
        mean = probability(logits).sum(0) / n_pairs
        slopes = [
            torch.autograd.grad(passes.loss_scale * each, gamma, create_graph=True)[0]
            for each in mean.reshape(-1)
        ]
        return torch.stack(slopes).reshape(mean.shape) / passes.loss_scale


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

        def term(batch: Batch) -> Paths:
            return Paths(self.penalty, model, batch, n_groups=n_groups, generator=generator)

        return TermStep(model, self.loss, term, self.fairness_weight)


GAPS: Final[tuple[str, ...]] = ("demographic_parity", "equalized_odds")
MIXUP: Final = MethodType(
    "mixup",
    "the task loss plus λ times Fair Mixup's penalty (FairReg(Aug))",
    lambda gap, loss, settings: FairMixup(
        PathPenalty(gap, settings["mixup_layer"]), settings["fairness_weight"], loss
    ),
    settings=(FAIRNESS_WEIGHT, AGGREGATE, MIXUP_LAYER),
    gaps=GAPS,
    scaled=((FAIRNESS_WEIGHT.name, 1.0),),
)
