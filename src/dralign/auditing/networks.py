"""Networks of a user's own, by the function that makes them and a file of weights."""

import importlib
import sys
from pathlib import Path

from torch import nn

from dralign.errors import ArtifactError, ModelError
from dralign.files import open_regular
from dralign.models import as_type_of


def make_network(factory: str) -> nn.Module:
    """The network that ``module:function`` makes; the code of the module is run.

    It is looked for in the current folder too.

    Raises:
        ModelError: if there is no such module or function, it fails, or makes something else.
    """
    module_name, colon, name = factory.partition(":")
    if not (module_name and colon and name):
        raise ModelError(f"model {factory!r}: expected module:factory")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        network = getattr(importlib.import_module(module_name), name)()
    except Exception as error:  # it is the user's code: anything can happen
        reason = " ".join(str(error).split())
        raise ModelError(f"model {factory!r}: {type(error).__name__}: {reason}") from error
    finally:
        sys.path.remove(here)
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"model {factory!r}: expected a torch.nn.Module, got {type(network).__name__}"
        )
    return network


def put_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """The network, with all its weights from a safetensors file.

    Raises:
        ArtifactError: if the file can't be read or its weights do not fit.
        ModelError: if they are numbers of another kind, or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(Path(path)) as file:
            state = load(file.read())
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: no type of torch
        raise ArtifactError(
            f"{path}: truncated or not a safetensors file ({error}); nothing is unpickled: write "
            "it with safetensors.torch.save_file(network.state_dict(), path)"
        ) from error
    own = network.state_dict()
    fitting = {name for name, x in state.items() if name in own and x.shape == own[name].shape}
    state |= {name: as_type_of(own[name], state[name], f"{path}: {name!r}") for name in fitting}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: does not fit the network ({reason[:300]})") from error
    return network
