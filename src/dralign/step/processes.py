"""What the processes of one step share, with torch.distributed; one process alone pays nothing."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from dralign.errors import DataError


def n_processes() -> int:
    """How many processes take a step together: 1 unless torch.distributed is initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if n_processes() > 1 else 0


def add_up(tensors: Sequence[Tensor]) -> None:
    """Each tensor becomes its sum over the processes, in one exchange."""
    if n_processes() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, summed in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(summed.view_as(tensor))


def add_up_where_there(
    tensors: Sequence[Tensor | None], shapes: Sequence[Tensor]
) -> list[Tensor | None]:
    """The sums over the processes of tensors that some of them, or all, may not have.

    A layer that only one process's rows reach (an expert, a layer that is left out at random) has
    a gradient there alone.

    Args:
        tensors: those of this process, in the same order everywhere; None for one it has not.
        shapes: for each a tensor of its shape, dtype and device.

    Returns:
        The sums; None for what no process has.
    """
    if n_processes() == 1 or not tensors:
        return list(tensors)
    there = torch.tensor([tensor is not None for tensor in tensors], device=shapes[0].device).int()
    add_up([there])
    result = [
        (torch.zeros_like(shape) if tensor is None else tensor) if known else None
        for tensor, shape, known in zip(tensors, shapes, there.tolist(), strict=True)
    ]
    add_up([tensor for tensor in result if tensor is not None])
    return result


def collect(rows: Tensor) -> list[Tensor]:
    """The rows of every process by rank, without a graph; (n_r, ...) each."""
    if n_processes() == 1:
        return [rows.detach()]
    sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(n_processes())]
    dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    longest = int(torch.cat(sizes).max())
    padded = rows.new_zeros((longest, *rows.shape[1:]))
    padded[: len(rows)] = rows.detach()
    result = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(result, padded)
    return [part[: int(size)] for part, size in zip(result, sizes, strict=True)]


def require_same(layout: Tensor) -> None:
    """Checks that a vector is the same in every process.

    Raises:
        DataError: if it is not.
    """
    if any(not torch.equal(other, layout) for other in collect(layout)):
        raise DataError(
            "the processes of a step hold rows of different groups (or labels); "
            "draw a balanced batch in each"
        )


@contextmanager
def gradients_added_up(parameters: Iterable[Tensor]) -> Iterator[None]:
    """What the block adds to ``.grad`` is added up over the processes; one alone lists nothing.

    Of a block that fails nothing is added.
    """
    if n_processes() == 1:
        yield
        return
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    before = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    except BaseException:
        for parameter, old in zip(parameters, before, strict=True):
            parameter.grad = old
        raise
    sums = add_up_where_there([parameter.grad for parameter in parameters], parameters)
    for parameter, old, new in zip(parameters, before, sums, strict=True):
        parameter.grad = new if old is None else old if new is None else old.add_(new)
