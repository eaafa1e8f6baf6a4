"""What a step keeps between batches, as flat tensors that can be written to a file."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

State = dict[str, Tensor]


@runtime_checkable
class Stateful(Protocol):
    """A step whose next result depends on the batches before, beyond the model's own state.

    The trainer saves such a step's state in every checkpoint. A step that draws from the generator
    of ``Method.begin`` and keeps nothing else has no need of this: the generator is saved anyway.
    """

    def state_dict(self) -> State:
        """The state as tensors by name."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Goes on from what ``state_dict`` gave to a step begun in the same way."""
        ...


def under(prefix: str, tensors: Mapping[str, Tensor]) -> State:
    """The tensors with ``prefix`` and a slash before their names."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def only(prefix: str, tensors: Mapping[str, Tensor]) -> State:
    """The tensors that ``under`` gave this prefix, under their own names."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def optimiser_state(optimiser: torch.optim.Optimizer) -> State:
    """What an optimiser has gathered: by the number of a parameter, and what it is."""
    gathered = optimiser.state_dict()["state"]
    return {f"{index}/{key}": x for index, result in gathered.items() for key, x in result.items()}


def check_optimiser_state(optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Checks that an optimiser can be given a state; it is left as it is.

    Raises:
        ValueError: if a name, a type or a shape is not one that ``optimiser_state`` gives after a
            step.
    """
    wanted = {name: (x.shape, x.dtype) for name, x in _after_a_step(optimiser).items()}
    keys: dict[str, set[str]] = {}
    for name in wanted:
        index, _, key = name.partition("/")
        keys.setdefault(index, set()).add(key)
    for name, x in state.items():
        if wanted.get(name) != (x.shape, x.dtype):
            raise ValueError(f"optimiser: {name[:50]!r}, {x.dtype} of shape {tuple(x.shape)}")
        index, _, key = name.partition("/")
        if any(f"{index}/{other}" not in state for other in keys[index]):
            raise ValueError(f"optimiser: parameter {index} has an incomplete state")
        if key == "step" and not 0 <= float(x) < torch.inf:
            raise ValueError(f"optimiser: {name!r} is {float(x):g}")


def _after_a_step(optimiser: torch.optim.Optimizer) -> State:
    """The state that a copy of an optimiser has after a step along no gradient."""
    trial = deepcopy(optimiser)
    for group in trial.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    trial.step()
    return optimiser_state(trial)


def set_optimiser_state(optimiser: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Gives an optimiser of the same parameters and options what ``optimiser_state`` returned.

    Raises:
        ValueError: if it is something else; the optimiser is then left as it is.
    """
    check_optimiser_state(optimiser, state)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    gathered: dict[int, State] = {}
    for name, tensor in state.items():
        index, key = name.split("/")
        like = parameters[int(index)]
        # Fused optimisers walk over memory, so this must lie in the order of the parameter.
        own = torch.empty_like(
            like.detach() if tensor.shape == like.shape else tensor, dtype=tensor.dtype
        )
        gathered.setdefault(int(index), {})[key] = own.copy_(tensor)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": gathered, "param_groups": groups})
