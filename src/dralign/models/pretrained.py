"""Pretrained weights of a network, from a file of one's own."""

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from dralign.errors import ModelError
from dralign.files import open_regular
from dralign.models.weights import as_type_of
from dralign.tiers import require

HEADS = ("classifier.", "fc.")  # of AlexNet and ResNet-18 in torchvision


def load_weights(network: nn.Module, path: str | Path) -> tuple[str, ...]:
    """Puts the weights of a file into ``network``, in place.

    The file is a safetensors file, or a state_dict that torch saved (read with
    ``weights_only=True``: tensors only, no code is run). Layers of the head whose shape differs,
    such as the 1,000 outputs of an ImageNet network, keep the weights they have.

    Args:
        network: AlexNet, ResNet-18, or a network whose head is called ``classifier`` or ``fc``.
        path: the file.

    Returns:
        The names of the weights that were not taken.

    Raises:
        ModelError: if the file can't be read, or its weights are those of another network, whole
            or complex numbers in the place of real ones, or not finite.
    """
    index = Path(path)
    state, own = _state(index), network.state_dict()
    strange = [name for name in state if name not in own]
    if strange:
        raise ModelError(f"{index}: not weights of this network (it has no {strange[0]!r})")
    kept = [name for name, x in own.items() if name not in state or state[name].shape != x.shape]
    for name in kept:
        if not name.startswith(HEADS):
            result = f"shape {tuple(state[name].shape)}" if name in state else "nothing"
            raise ModelError(
                f"{index}: {result} for {name!r}, expected shape {tuple(own[name].shape)}; only "
                "layers of the head may differ"
            )
    taken = {
        name: as_type_of(own[name], x, f"{index}: {name!r}")
        for name, x in state.items()
        if name not in kept
    }
    network.load_state_dict(taken, strict=False)
    return tuple(kept)


def _state(index: Path) -> dict[str, Tensor]:
    """The tensors of the file by name.

    Raises:
        ModelError: if it is not a file of tensors.
        MemoryError: if there is no room for them.
    """
    require("dralign.models.load_weights", "safetensors")
    from safetensors.torch import load

    try:
        with open_regular(index) as file:
            content = file.read()
    except OSError as error:
        raise ModelError(f"{index}: {error.strerror or error}") from error
    except ValueError as error:  # not a regular file
        raise ModelError(str(error)) from error
    try:
        if index.suffix == ".safetensors":
            return dict(load(content))
        held = io.BytesIO(content)
        state = torch.load(held, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes the readers raise many kinds
        # Their texts go on for pages, and torch's advises to run the code in the file.
        raise ModelError(f"{index}: truncated, or not a file of weights alone") from error
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise ModelError(f"{index}: expected a state_dict, names with tensors")
    return state
