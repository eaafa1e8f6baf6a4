"""The alignment term of Eq. 9, to be added to any loss in any training loop."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from dralign.errors import DataError, DralignWarning, ModelError, OptionError, unknown
from dralign.rationale import (
    Granularity,
    Layer,
    LayerChoice,
    coverage_of,
    mean_pairwise_similarity,
    normalised_rationale,
    original,
    select_layers,
)
from dralign.rationale.coverage import warn_of_low_coverage
from dralign.rationale.derivatives import (
    graph_of,
    limits_explained,
    only_once,
    require_exchange,
    require_visible,
)
from dralign.rationale.outputs import kind, warn_of_probabilities
from dralign.rationale.usage import require_unused

Strata = Sequence[Sequence[Tensor | None]]


class RationaleAlignment:
    """How well the rationales of the groups agree, as a differentiable loss term.

    The rationale of a layer for a group is the vector of (g_k w_k)^2 over the layer's weights
    (Eq. 8), g being the gradient of the group's mean loss; at ``granularity="unit"`` it is summed
    over the fan-in of each unit, as in the published code. The term is minus the sum over layers
    of the cosine similarity between groups (last term of Eq. 9).

    The term is differentiated twice, so attention must be computed without its fused kernels: put
    ``torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`` around the forward pass. Recurrent layers on
    a GPU need ``torch.backends.cudnn.flags(enabled=False)`` there.

    Biases, normalisation layers and embeddings take no part, nor do weights that a module of your
    own holds (``coverage``). Frozen weights are skipped, as are weights that no loss reaches.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layers: LayerChoice = "all",
        granularity: Granularity = "unit",
    ) -> None:
        """Finds the layers; costs nothing else. Warns if they hold less than half of the weights.

        Args:
            model: the network; it is not changed. Of a compiled one the module it was made from is
                taken, and losses must come from that: a compiled pass has no second derivative.
            layers: ``"all"``, the last ``k`` in order of registration, or names of layers.
            granularity: ``"unit"`` (an entry per neuron or filter) or ``"parameter"`` (per weight).

        Raises:
            ModelError: if no weight takes part, or a name is unknown.
            OptionError: if ``granularity`` or ``layers`` is unknown.
        """
        if granularity not in {"unit", "parameter"}:
            raise OptionError(unknown("granularity", granularity, ("unit", "parameter")))
        self._model = original(model)
        self._chosen = select_layers(model, layers)
        self.granularity = granularity
        self._looked_at = False
        self._unsure = True  # whether there is a second derivative
        self._unused: set[str] = set()
        self._joint: bool | None = None  # whether rows have to be forwarded together
        if not self.layers:
            raise ModelError("every chosen layer is frozen (requires_grad=False)")
        warn_of_low_coverage(coverage_of(self._model, self.active_layers), layers, stacklevel=2)

    @property
    def active_layers(self) -> tuple[Layer, ...]:
        """The layers that take part now: the chosen ones that are not frozen."""
        parameters = _parameters(self._model)
        return tuple(x for x in self._chosen if x.weight(parameters).requires_grad)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that take part now."""
        return tuple(layer.name for layer in self.active_layers)

    @property
    def coverage(self) -> float:
        """The share of the network's weights that take part now, in [0, 1].

        The weights are the entries of all parameters of two or more dimensions, but for those of
        normalisation layers (``dralign.rationale.Coverage``).
        """
        return coverage_of(self._model, self.active_layers).share

    def align(self, strata: Strata, *, params: Mapping[str, Tensor] | None = None) -> Tensor:
        """The alignment term, a scalar from -S * L (S strata, L layers) to 0; lower is better.

        Adding ``beta * align(...)`` to a loss gives Eq. 9: -3.0 at best for three layers under DP,
        -6.0 under EO, for any number of groups. The result has a graph to the parameters through
        the group gradients: its backward pass is a double backward. Cost: one backward pass per
        group loss here, and about three more in the backward pass of the result.

        A stratum with fewer than two groups present adds nothing; where none adds anything the
        result is 0 with a zero gradient. A rationale that is zero (dead layer, zero gradient) has
        similarity 0 and no gradient. NaN or infinite losses give NaN, so that a gradient scaler or
        a check of the loss sees them.

        At the first call a warning names the layers without a gradient, and tells if the network
        ends in a sigmoid whose output is taken for logits.

        Args:
            strata: lists of the mean losses of the groups to be aligned with each other, None where
                a group is absent: ``[[L_0, L_1]]`` for DP, ``[[L_00, L_10], [L_01, L_11]]`` for EO.
                Each loss needs its graph to the weights. ``group_losses`` makes them.
            params: the tensors the losses were computed with, by name, where the model was called
                through ``torch.func.functional_call``.

        Raises:
            DataError: if ``strata`` are no lists of losses.
            ModelError: if no layer takes part, a loss has no graph to the weights, a gradient is
                hidden by checkpointing with ``use_reentrant=True``, or the model is wrapped in
                DistributedDataParallel with ``static_graph=True``; in the backward pass of the
                result, if there is no second derivative.
        """
        parameters = _parameters(self._model) if params is None else params
        layers = [x for x in self._chosen if x.weight(parameters).requires_grad]
        weights = [layer.weight(parameters) for layer in layers]
        if not weights:
            raise ModelError("every chosen layer is frozen (requires_grad=False)")
        total = weights[0].new_zeros((), dtype=at_least_float32(weights[0].dtype))
        compared = [
            losses
            for stratum in _of_losses(strata)
            if len(losses := [loss for loss in stratum if loss is not None]) > 1
        ]
        if not compared:
            return total + weights[0].flatten()[:0].sum()  # 0, with a graph
        reached: set[Layer] = set()
        with torch.autocast(weights[0].device.type, enabled=False), limits_explained():
            for losses in compared:
                gradients = [_gradients(loss, weights) for loss in losses]
                for layer, weight, *per_group in zip(layers, weights, *gradients, strict=True):
                    if all(grad is None for grad in per_group):
                        continue
                    total = total + self._similarity(layer, weight, per_group)
                    reached.add(layer)
        if not (self._looked_at and reached):
            self._look_at(compared, [layer for layer in layers if layer not in reached])
        line = self.limit([total])
        if line and total.requires_grad:
            # Not here: who only looks at the value needs no backward pass.
            total.register_hook(partial(_refuse, line))
        return -total

    def limit(self, values: Sequence[Tensor]) -> str:
        """Why these functions of gradients can't be differentiated; empty where they can.

        Torch itself would raise its own error for that, or in a backward pass for chosen inputs
        leave out what it has no derivative of. The graph is looked through at the first step, and
        again only where that found something.
        """
        if not self._unsure:
            return ""
        line = only_once(graph_of(values))
        self._unsure = bool(line)
        return line

    def goes_jointly(self, look: Callable[[], bool]) -> bool:
        """Whether the network takes something from its other rows, which is looked at once."""
        if self._joint is None:
            self._joint = look()
        return self._joint

    def refuse_hidden(self, run: Callable[[], Tensor], missing: Sequence[Layer]) -> None:
        """Checks, once for a layer, that one without a gradient is not used.

        Args:
            run: what the network returns, with the same random draws every time.
            missing: the layers without a gradient.

        Raises:
            ModelError: if it is.
        """
        new = [layer for layer in missing if layer.name not in self._unused]
        require_unused(self._model, new, run)
        self._unused.update(layer.name for layer in new)

    def _look_at(self, compared: Sequence[Sequence[Tensor]], missing: Sequence[Layer]) -> None:
        """Says, at the first step, what is likely to be meant otherwise.

        Raises:
            ModelError: if gradients are hidden or won't be exchanged, or no layer has one.
        """
        nodes = graph_of(loss for losses in compared for loss in losses)
        require_exchange(nodes)
        if missing:
            require_visible(nodes)
        if len(missing) == len(self.active_layers):
            raise ModelError("no chosen layer is reached by the losses")
        if missing:
            names = ", ".join(layer.name for layer in missing)
            warnings.warn(
                f"layers without a gradient take no part: {names}; either they are never used, or "
                "used under torch.no_grad()",
                DralignWarning,
                stacklevel=3,
            )
        of_logits = ("BinaryCrossEntropyWithLogits", "LogSoftmax")
        outputs = [node.next_functions[0][0] for node in nodes if kind(node) in of_logits]
        warn_of_probabilities(self._model, outputs, stacklevel=3)
        self._looked_at = True

    def _similarity(self, layer: Layer, weight: Tensor, grads: Sequence[Tensor | None]) -> Tensor:
        """The mean pairwise similarity of the groups in one layer."""
        dtype = at_least_float32(weight.dtype)
        part = layer.part(weight).to(dtype)
        return mean_pairwise_similarity(
            [
                normalised_rationale(
                    layer,
                    torch.zeros_like(part) if grad is None else layer.part(grad).to(dtype),
                    part,
                    self.granularity,
                )
                for grad in grads
            ]
        )


def _of_losses(strata: object) -> list[list[Tensor | None]]:
    """The strata as lists of losses.

    Raises:
        DataError: if they are something else, for example a list of losses.
    """
    if _has_items(strata) and all(map(_has_items, strata)):
        lists = [list(stratum) for stratum in strata]
        losses = [loss for stratum in lists for loss in stratum if loss is not None]
        if all(isinstance(loss, Tensor) and loss.numel() == 1 for loss in losses):
            return lists
    raise DataError(
        "strata: expected a list of lists of mean losses, [[L_0, L_1]] for demographic parity, "
        "each a tensor of one number or None; group_losses makes them"
    )


def _has_items(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether it is a list or the like; torch calls a single number iterable too."""
    return isinstance(value, Iterable) and not (isinstance(value, Tensor) and not value.ndim)


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    """The parameters by name, tied ones under each of their names."""
    return dict(model.named_parameters(remove_duplicate=False))


def _gradients(loss: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """The gradient of a group's loss, with the graph that the double backward needs.

    Raises:
        ModelError: if the loss has no graph.
    """
    if not loss.requires_grad:
        raise ModelError(
            "a group loss has no graph to the weights; was it computed under torch.no_grad()?"
        )
    return torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)


def _refuse(line: str, gradient: Tensor) -> Tensor:  # noqa: ARG001 - the form of a tensor's hook
    """Ends a backward pass.

    Raises:
        ModelError: always.
    """
    raise ModelError(line)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """The dtype the term is computed in: half precision is widened."""
    return torch.promote_types(dtype, torch.float32)
