"""What the outputs of a network say about its rows, and the mode it runs in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dralign.errors import DataError


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block; every module's own mode comes back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def require_tensor(name: str, values: object) -> None:
    """Checks that values of rows come as a tensor, as a training loop has them.

    Raises:
        DataError: if they do not.
    """
    if not isinstance(values, Tensor):
        raise DataError(
            f"{name}: expected a tensor, got {type(values).__name__}; torch.as_tensor makes one "
            "(of arrays there are the measures in dralign.metrics)"
        )


def probability(logits: Tensor) -> Tensor:
    """Predicted probabilities in [0, 1].

    Returns:
        (n,) of label 1, from (n,), (n, 1) or (n, 2) logits; (n, C) of every class, from (n, C)
        logits of more than two.
    """
    if logits.ndim == 1 or logits.shape[1] == 1:
        return torch.sigmoid(logits.reshape(-1))
    each = torch.softmax(logits, dim=1)
    return each[:, 1] if logits.shape[1] == 2 else each


def log_odds(logits: Tensor) -> Tensor:
    """The logarithm of p / (1 - p), p being what ``probability`` returns, in the same shape."""
    if logits.ndim == 1 or logits.shape[1] == 1:
        return logits.reshape(-1)
    classes = range(logits.shape[1])
    each = [
        logits[:, own] - logits[:, [c for c in classes if c != own]].logsumexp(1)
        for own in (classes if len(classes) > 2 else (1,))
    ]
    return torch.stack(each, dim=1) if len(each) > 1 else each[0]
