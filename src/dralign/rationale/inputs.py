"""What a network is given: a tensor, or several that it takes together, row by row."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dralign.errors import DataError, ModelError

Given = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]  # as users write inputs


@dataclass(frozen=True)
class Bundle:
    """Several tensors with the same rows, which a network takes by position or by keyword.

    It answers what is asked of a tensor of inputs: how many rows there are, some of them, where
    they lie. So rows go through the package in one way, whatever the network takes.

    Attributes:
        tensors: (n, ...) each; the key is a keyword, or the position among the arguments.
    """

    tensors: Mapping[str | int, Tensor]

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, rows: Tensor | slice) -> "Bundle":
        """These rows of each tensor."""
        return self._each(lambda tensor: tensor[rows])

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return self._first.device

    def to(self, device: torch.device) -> "Bundle":
        """Each tensor on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def detach(self) -> "Bundle":
        """Each tensor without its graph."""
        return self._each(Tensor.detach)

    def split(self, rows: int) -> Iterator["Bundle"]:
        """The rows in order, in blocks of at most ``rows``."""
        for start in range(0, len(self), rows):
            yield self[start : start + rows]

    @property
    def _first(self) -> Tensor:
        return next(iter(self.tensors.values()))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Bundle":
        return Bundle({key: change(tensor) for key, tensor in self.tensors.items()})


Inputs = Tensor | Bundle


def bundled(x: object) -> Any:  # noqa: ANN401 - anything else stays what it is
    """A tuple or a dict of tensors or arrays as a ``Bundle``; anything else as it is.

    A tuple of numbers is an array like a list of them, and a tuple of one tensor is that tensor.

    Raises:
        DataError: if there is no tensor, one has no rows, or their numbers differ.
    """
    if isinstance(x, Mapping):
        named = dict(x)
    elif isinstance(x, tuple) and any(isinstance(entry, Tensor | np.ndarray) for entry in x):
        named = dict(enumerate(x))
    else:
        return x
    if not named:
        raise DataError("x: expected at least one tensor, got an empty dict")
    tensors = {key: tensor_of(values, f"x[{key!r}]") for key, values in named.items()}
    sizes = {key: len(tensor) if tensor.ndim else 0 for key, tensor in tensors.items()}
    (first, n), *others = sizes.items()
    for key, size in others:
        if size != n:
            raise DataError(f"x[{key!r}]: expected {n} rows as in x[{first!r}], got {size}")
    return tensors[0] if [*tensors] == [0] else Bundle(tensors)


def tensor_of(values: object, name: str) -> Tensor:
    """Any array as a tensor; a tensor as it is.

    Args:
        values: the array.
        name: what it is called in messages.

    Raises:
        DataError: if it does not hold numbers.
    """
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name}: expected an array of numbers, got {array.dtype}")
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def arguments(x: Inputs) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """With which positional and which keyword arguments a network takes these inputs."""
    if not isinstance(x, Bundle):
        return (x,), {}
    by_position = tuple(tensor for key, tensor in x.tensors.items() if isinstance(key, int))
    return by_position, {key: t for key, t in x.tensors.items() if isinstance(key, str)}


def run(model: nn.Module, x: Inputs) -> object:
    """Whatever the network returns for these inputs."""
    by_position, by_keyword = arguments(x)
    return model(*by_position, **by_keyword)


def one_tensor(x: Inputs, what: str) -> Tensor:
    """The inputs, for what computes with them.

    Raises:
        ModelError: if there are several.
    """
    if isinstance(x, Bundle):
        raise ModelError(f"{what}: needs inputs of one tensor, got {len(x.tensors)}")
    return x


def fitted(model: nn.Module, x: Inputs) -> Inputs:
    """The inputs on the network's device, floating ones in its dtype.

    Whole numbers in the only tensor become floating as well unless an embedding may want them; of
    several they stay, because a network that takes several says what each is.
    """
    like = next(p for p in model.parameters() if p.is_floating_point())

    def fit(tensor: Tensor, *, whole: bool) -> Tensor:
        keep = whole and not tensor.is_floating_point()
        return tensor.to(device=like.device, dtype=None if keep else like.dtype)

    if isinstance(x, Bundle):
        return Bundle({key: fit(tensor, whole=True) for key, tensor in x.tensors.items()})
    tables = (nn.Embedding, nn.EmbeddingBag)
    return fit(x, whole=any(isinstance(module, tables) for module in model.modules()))


def shapes_of_rows(x: Inputs) -> str:
    """The shape of one row, in words; of several tensors each."""
    if not isinstance(x, Bundle):
        return f"shape {(*x.shape[1:],)}"
    shown = ", ".join(f"{key!r} {(*tensor.shape[1:],)}" for key, tensor in x.tensors.items())
    return f"shapes {shown}"


def numbers_of_a_row(x: Any) -> int:  # noqa: ANN401 - whatever an estimator takes
    """How many numbers one row of inputs has, at least 1."""
    arrays = x.tensors.values() if isinstance(x, Bundle) else (x,)
    return max(1, sum(int(math.prod(np.shape(array)[1:])) for array in arrays))
