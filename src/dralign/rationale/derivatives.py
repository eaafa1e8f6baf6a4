"""Where torch has no derivative that a rationale needs, said in one line."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dralign.errors import ModelError


class _Limit(NamedTuple):
    """A limit of torch: what its error says, the nodes of the graph that lead to it, our line."""

    sign: str
    nodes: tuple[str, ...]
    line: str


_CHECKPOINT = _Limit(
    "use_reentrant=True",
    ("CheckpointFunctionBackward",),
    "a part of the network is checkpointed with use_reentrant=True, which hides the gradients of "
    "its weights; pass use_reentrant=False to torch.utils.checkpoint",
)
_ONCE = (
    _Limit(
        "is not implemented",
        ("torch::autograd::NotImplemented",),
        "an operation of the network has no second derivative, as fused attention has none; put "
        "torch.nn.attention.sdpa_kernel(SDPBackend.MATH) around the forward pass, give "
        "transformers attn_implementation='eager', or take the step with aligned_backward, which "
        "chooses kernels by itself",
    ),
    _Limit(
        "once_differentiable",
        ("torch::autograd::Error",),
        "an autograd function of the network can be differentiated once only "
        "(once_differentiable); leave out the layers before it through layers=[...]",
    ),
    _Limit(
        "supported for CuDNN RNN",
        ("CudnnRnnBackwardBackward0",),
        "cuDNN's recurrent layers have no second derivative; put "
        "torch.backends.cudnn.flags(enabled=False) around the forward pass",
    ),
    _Limit(
        "support double backward",
        ("CompiledFunctionBackward", "CompiledFunctionBackwardBackward"),
        "a part of the network is compiled: its double backward is not supported; pass the module "
        "itself and compile around the term instead",
    ),
)


@contextmanager
def limits_explained() -> Iterator[None]:
    """What torch raises in the block where a derivative is missing becomes one line.

    Raises:
        ModelError: in the place of it.
        RuntimeError: any other, as it was.
    """
    try:
        yield
    except RuntimeError as error:
        for limit in (_CHECKPOINT, *_ONCE):
            if limit.sign in str(error):
                raise ModelError(limit.line) from error
        raise


def graph_of(tensors: Iterable[Tensor]) -> list[Any]:
    """The nodes of autograd's graph behind some tensors, each once."""
    todo = [tensor.grad_fn for tensor in tensors]
    seen: dict[Any, None] = {}
    while todo:
        node: Any = todo.pop()
        if node is not None and node not in seen:
            seen[node] = None
            todo += [following for following, _ in node.next_functions]
    return list(seen)


def require_visible(nodes: Iterable[Any]) -> None:
    """Checks that no part of a graph hides the gradients of its weights.

    Raises:
        ModelError: if one does.
    """
    if any(node.name() in _CHECKPOINT.nodes for node in nodes):
        raise ModelError(_CHECKPOINT.line)


def require_exchange(nodes: Iterable[Any]) -> None:
    """Checks that gradients behind a graph will be exchanged between processes, if any are to be.

    DistributedDataParallel with ``static_graph=True`` waits at the first step for one backward pass
    alone, takes the first group's for it, and exchanges nothing from then on.

    Raises:
        ModelError: if they will not.
    """
    for node in nodes:
        wrapped = getattr(node, "ddp_weakref", None)  # of what such a model's outputs pass through
        if wrapped is not None and getattr(wrapped(), "static_graph", False):
            raise ModelError(
                "DistributedDataParallel(static_graph=True) would exchange no gradients beside the "
                "alignment term; leave static_graph out"
            )


def only_once(nodes: Iterable[Any]) -> str:
    """Why no derivative of what has this graph can be taken; empty where it can."""
    names = {node.name() for node in nodes}
    return next((limit.line for limit in _ONCE if names & {*limit.nodes}), "")


@contextmanager
def recurrence_without_cudnn(model: nn.Module) -> Iterator[None]:
    """The block runs recurrent layers in kernels that can be differentiated in any mode, twice.

    cuDNN's have no second derivative, and in evaluation mode not even a first one.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    with torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext():
        yield
