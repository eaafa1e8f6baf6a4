"""Several processes that train one network: how they are started, joined and kept alike.

Every process draws the rows of the whole batch and takes its part of them. What is not a sum over
rows is a function of sums over all processes (``dralign.alignment``), so every process ends each
step with the gradients of the whole batch, and moves its own copy of the weights alike.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dralign.alignment import add_up, n_processes, rank
from dralign.errors import DralignError, OptionError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

TIMEOUT = timedelta(minutes=30)  # for another process to answer; the first decodes and evaluates
PEER_LOST = "another process of the run stopped"
_RUN = "dralign"  # the name of a run that ``launch`` started


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


def launched() -> bool:
    """Whether this process is one of several, started by ``launch`` or by torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """The block trains together with the other processes that were launched, if any.

    Yields the device of this process: on CUDA each has one GPU of its own. They talk through gloo
    on the CPU, through nccl on CUDA.

    Raises:
        OptionError: if several processes would have to share a GPU.
        DralignError: if another process stops in the middle.
        RuntimeError: whatever else torch reports.
    """
    if not launched():
        yield device
        return
    backend = "gloo"
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if device != torch.device("cuda") or local >= torch.cuda.device_count():
            raise OptionError(
                f"device: {device} for several processes; give cuda, and have a GPU for each of "
                f"them (torch finds {torch.cuda.device_count()})"
            )
        backend, device = "nccl", torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield device
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise DralignError(PEER_LOST) from error
        raise
    dist.destroy_process_group()


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


def launch(arguments: Sequence[str], n: int) -> tuple[int, str]:
    """Runs ``python -m dralign`` with the arguments in ``n`` processes of this machine.

    It is what ``torchrun --standalone --nproc-per-node n`` does. Where one process fails the others
    are ended.

    Args:
        arguments: of the command line.
        n: how many processes.

    Returns:
        The exit code, 0 if all went well, and else one line that says what happened.

    Raises:
        OptionError: if ``n`` is below 1.
        KeyboardInterrupt: if the run is interrupted.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if n < 1:
        raise OptionError(f"nproc: expected at least 1, got {n}")
    # As torchrun does; a process with a thread for every core would wait for the others' threads.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // n, 1)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n,
        run_id=_RUN,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    logging.disable(logging.CRITICAL)  # the launcher's own account of a failure is a page long
    try:
        elastic_launch(config, sys.executable)("-m", "dralign", *arguments)
    except ChildFailedError as error:
        return _why(error.failures)
    except SignalException:
        raise KeyboardInterrupt from None
    finally:
        logging.disable(logging.NOTSET)
    return 0, ""


def left_to_launcher(error: BaseException) -> bool:
    """Whether ``launch`` started this process; it is then told of the error, and will print it."""
    if os.environ.get("TORCHELASTIC_RUN_ID") != _RUN:
        return False
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(error)
    return True


def _why(failures: "dict[int, ProcessFailure]") -> tuple[int, str]:
    """The exit code and the line of the failure that brought about the others."""
    told: list[tuple[bool, int, int, str]] = []
    for place, failure in sorted(failures.items()):
        said: Any = failure.message
        line = said["message"].partition(": ")[2] if isinstance(said, dict) else ""
        if not line:
            how = f"exit code {failure.exitcode}"
            how = failure.signal_name() if failure.exitcode < 0 else how
            line = f"process {place} stopped ({how}); the others were ended"
        follows = PEER_LOST in line or failure.exitcode == -signal.SIGTERM  # the launcher's, mostly
        told.append((follows, place, max(failure.exitcode, 1), line))
    _, _, code, line = min(told)
    return code, line
