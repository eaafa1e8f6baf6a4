"""Several processes that train one network: how they are joined and kept alike.

Every process draws the rows of the whole batch and takes its part of them. What is not a sum over
rows is a function of sums over all processes (``dralign.step``), so every process ends each
step with the gradients of the whole batch, and moves its own copy of the weights alike.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dralign.errors import DralignError, OptionError
from dralign.step import add_up, n_processes, rank
from dralign.training.launcher import PEER_LOST, launched, run_folder, told

TIMEOUT = timedelta(minutes=30)  # for another process to answer; the first decodes and evaluates


def find_device(name: str) -> torch.device:
    """The device that a user named: ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        OptionError: if there is no such device on this machine.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"device: expected cpu, cuda or cuda:1, got {name!r}") from None
    if device.type not in {"cpu", "cuda"}:
        raise OptionError(f"device: expected cpu, cuda or cuda:1, got {name!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise OptionError(f"device: {name!r} is not available; torch finds {count} CUDA device(s)")
    return device


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """The block trains together with the other processes that were launched, if any.

    Yields the device of this process: on CUDA each has one GPU of its own. They talk through gloo
    on the CPU, through nccl on CUDA.

    Raises:
        OptionError: if several processes would have to share a GPU, or can't meet.
        DralignError: if another process stops in the middle.
        RuntimeError: whatever else torch reports.
    """
    if not launched():
        yield device
        return
    folder = run_folder()
    backend = "gloo"
    if device.type == "cuda":
        local = told("LOCAL_RANK")
        if device != torch.device("cuda") or local >= torch.cuda.device_count():
            raise OptionError(
                f"device: {device} for several processes; give cuda, and have a GPU for each of "
                f"them (torch finds {torch.cuda.device_count()})"
            )
        backend, device = "nccl", torch.device("cuda", local)
        torch.cuda.set_device(device)
    _meet(backend, folder)
    try:
        yield device
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            if backend == "gloo":  # its threads hold tensors of the step, and would outlive Python
                dist.destroy_process_group()
            raise DralignError(PEER_LOST) from error
        raise
    dist.destroy_process_group()


def _meet(backend: str, folder: Path | None) -> None:
    """Joins the other processes, which wait for this one.

    Args:
        backend: of torch, through which they talk.
        folder: where they meet; None if torchrun has its own way to tell.

    Raises:
        OptionError: if that fails.
    """
    # Its functions have the group of the moment of their import as a default. torch would import it
    # in the first step, and they would keep our group, and its threads, until Python ends: a thread
    # that then lets go of a tensor aborts the process.
    import_module("torch.distributed.nn.functional")
    own, count = told("RANK"), told("WORLD_SIZE")
    more: dict[str, Any] = {}
    if folder is not None:
        store = dist.FileStore(str(folder / "store"), count)  # type: ignore[attr-defined]
        more = {"store": store, "rank": own, "world_size": count}
    try:
        dist.init_process_group(backend, timeout=TIMEOUT, **more)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(
            f"the {count} processes of WORLD_SIZE can't meet: {reason}; start them with torchrun, "
            "or unset it to train in one process"
        ) from error


@contextmanager
def first_before_others() -> Iterator[None]:
    """The first process runs the block before the others do, as it may leave a file for them."""
    if rank():
        dist.barrier()
    yield
    if n_processes() > 1 and not rank():
        dist.barrier()


def from_first(figures: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """What ``figures`` returns in the first process, in every process; only there it is called.

    It travels as JSON, which keeps every digit of a float. One process alone calls it and no more.
    """
    if n_processes() == 1:
        return figures()
    text = json.dumps(figures()).encode() if not rank() else b""
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    size = torch.tensor([len(text)], device=device)
    dist.broadcast(size, 0)
    letters = torch.zeros(int(size), dtype=torch.uint8, device=device)
    if not rank():
        letters.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
    dist.broadcast(letters, 0)
    return json.loads(letters.cpu().numpy().tobytes())


def share_weights(model: nn.Module) -> None:
    """Every process starts from the weights and buffers of the first."""
    if n_processes() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)


def average_buffers(model: nn.Module) -> None:
    """Running statistics become their mean over the processes, each of which saw its own rows."""
    buffers: list[Tensor] = [b for b in model.buffers() if b.is_floating_point()]
    add_up(buffers)
    for buffer in buffers:
        buffer.div_(n_processes())
