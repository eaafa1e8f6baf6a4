"""What a network returns: logits, which some networks wrap, and others have squashed already."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from dralign.errors import DralignWarning, ModelError
from dralign.rationale.inputs import Inputs, run

# The functions whose output is no logit, by the names of their nodes in autograd's graph. Log-
# softmax is not among them: its softmax is that of the logits, and so are loss and probabilities.
_SQUASHING = {"Sigmoid", "Softmax", "Hardsigmoid"}
_SHAPING = {
    "Alias", "Clone", "Expand", "Index", "Permute", "ReshapeAlias", "Select", "Slice", "Split",
    "Squeeze", "T", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze", "View",
}  # fmt: skip
ENOUGH, SPREAD = 100, 0.5  # of single outputs, before they look like probabilities
ONE = 1e-3  # how far from 1 the sum over classes may be, in half precision too
# What two ways to one output may differ by: so many of the last digit, and of the outputs' spread.
DIGITS, SHARE = 30, 0.01
_told: WeakSet[nn.Module] = WeakSet()  # one line per network, not one per step


def logits(model: nn.Module, x: Inputs) -> Tensor:
    """The network's output for the rows x; see ``logits_in``."""
    return logits_in(run(model, x))


def logits_in(output: object) -> Tensor:
    """The logits in what a network returned: the tensor itself, or what it keeps as ``logits``.

    So the outputs of transformers' classifiers are taken, objects and dicts alike.

    Raises:
        ModelError: if there are none.
    """
    result: Any = output
    if not isinstance(output, Tensor):
        named = output.get("logits") if isinstance(output, Mapping) else None
        result = getattr(output, "logits", named)
    if not isinstance(result, Tensor):
        raise ModelError(
            f"the network returns a {type(output).__name__}; expected a tensor of logits, or an "
            "object with one as .logits"
        )
    return result


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two runs gave the same outputs, but for the order in which sums were taken."""
    if not one.is_floating_point() or one.shape != other.shape:
        return torch.equal(one, other)
    size, spread = one.abs().max(), one.amax() - one.amin()
    limit = DIGITS * torch.finfo(one.dtype).eps * size + SHARE * spread
    return not bool(((one - other).abs() > limit).any())


def warn_of_probabilities(model: nn.Module, outputs: Iterable[Any], *, stacklevel: int) -> None:
    """Says, once for a network, that its output is squashed into [0, 1] before it is returned.

    Args:
        model: the network.
        outputs: the nodes of autograd's graph that made its output; without any nothing is seen.
        stacklevel: as of ``warnings.warn``; 1 is the caller.
    """
    if model in _told:
        return
    name = next((result for node in outputs if (result := _squashing(node))), None)
    if name is not None:
        _tell(model, f"the network ends in {name}", "leave it off", stacklevel=stacklevel + 1)


def warn_of_values(model: nn.Module, outputs: Tensor, *, stacklevel: int) -> None:
    """Says, once for a network, that what it returns looks like probabilities.

    So do outputs of several classes that add up to 1, and 100 or more single ones in [0, 1] that
    are spread over more than half of it.

    Args:
        model: the network.
        outputs: (n,) or (n, C) of all rows.
        stacklevel: as of ``warnings.warn``; 1 is the caller.
    """
    if model in _told or not outputs.numel():
        return
    low, high = (float(value) for value in outputs.aminmax())
    several = outputs.ndim > 1 and outputs.shape[1] > 1
    alike = (
        bool((outputs.sum(1) - 1).abs().max() < ONE)
        if several
        else len(outputs) >= ENOUGH and high - low > SPREAD
    )
    if alike and low >= 0 and high <= 1:
        what = "all outputs of the network lie in [0, 1], as probabilities do"
        _tell(model, what, "return these, if they are not", stacklevel=stacklevel + 1)


def _tell(model: nn.Module, what: str, cure: str, *, stacklevel: int) -> None:
    """The line, once for a network."""
    _told.add(model)
    warnings.warn(
        f"{what}; dralign expects logits, which loss and probability are taken of: {cure}",
        DralignWarning,
        stacklevel=stacklevel + 1,
    )


def _squashing(node: Any) -> str | None:  # noqa: ANN401 - torch has no type for a node
    """The squashing function that a tensor comes from, by the node that made it."""
    while node is not None:
        name = kind(node)
        if name in _SQUASHING:
            return name
        node = node.next_functions[0][0] if name in _SHAPING else None
    return None


def kind(node: Any) -> str:  # noqa: ANN401
    """The operation that a node of autograd's graph belongs to, such as ``"Sigmoid"``."""
    return str(node.name()).rstrip("0123456789").removesuffix("Backward")
