"""Running a network again from the layer that changed, its earlier part replayed from memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Forward = Callable[..., object]


@dataclass
class _Call:
    """A call of a module that is under way, with what its finished children returned."""

    module: nn.Module | None
    finished: list[tuple[nn.Module, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Prefix:
    """The outputs of the module calls that end before some weights are first used.

    Attributes:
        outputs: for each module the outputs of its first calls, in order; ``None`` stands for a
            call whose output nobody reads, because the next call's output is stored as well.
    """

    outputs: dict[nn.Module, list[object]]

    @contextmanager
    def replayed(self) -> Iterator[Callable[[], None]]:
        """Inside the block the stored calls return at once; call the value before each run.

        The modules' own hooks still run. On leaving, every ``forward`` is what it was.
        """
        counts: dict[nn.Module, int] = {}

        def replay(module: nn.Module, forward: Forward) -> Forward:
            stored = self.outputs[module]

            def call(*args: object, **options: object) -> object:
                done = counts.get(module, 0)
                if done >= len(stored):
                    return forward(*args, **options)
                counts[module] = done + 1
                return args[0] if stored[done] is None else _copy(stored[done])

            return call

        with _patched(list(self.outputs), replay):
            yield counts.clear


def record_prefix(model: nn.Module, x: Tensor, owners: Sequence[nn.Module]) -> Prefix:
    """Runs the model once and keeps what ended before any of ``owners`` was first called.

    Only the outermost of the finished calls are kept, and within an ``nn.Sequential`` only the
    last. Memory: one activation for a chain, one per finished child elsewhere. The prefix is empty
    when no owner is called as a module.
    """
    calls = [_Call(None)]
    outputs: dict[nn.Module, list[object]] = {}
    started = False

    def record(module: nn.Module, forward: Forward) -> Forward:
        def call(*args: object, **options: object) -> object:
            nonlocal started
            if started:
                return forward(*args, **options)
            if module in owners:
                started = True
                for active in calls:
                    for child, output in active.finished:
                        outputs.setdefault(child, []).append(output)
                return forward(*args, **options)
            calls.append(_Call(module))
            try:
                result = forward(*args, **options)
            finally:
                calls.pop()
            if not started:
                # The copy keeps the value safe from operations in place further on.
                _finish(calls[-1], module, _copy(result))
            return result

        return call

    with _patched(list(model.modules()), record):
        model(x)
    return Prefix(outputs)


def _finish(parent: _Call, child: nn.Module, output: object) -> None:
    """Notes a finished call; in a chain the output before it will not be read again."""
    chain = parent.module
    if chain is not None and type(chain).forward is nn.Sequential.forward and parent.finished:
        parent.finished[-1] = (parent.finished[-1][0], None)
    parent.finished.append((child, output))


@contextmanager
def _patched(
    modules: Sequence[nn.Module], wrap: Callable[[nn.Module, Forward], Forward]
) -> Iterator[None]:
    """Each module's ``forward`` replaced for the block; scripted modules stay as they are."""
    before: list[tuple[nn.Module, Forward | None]] = []
    try:
        for module in modules:
            if isinstance(module, torch.jit.ScriptModule):
                continue
            before.append((module, module.__dict__.get("forward")))
            module.__dict__["forward"] = wrap(module, module.forward)
        yield
    finally:
        for module, forward in before:
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.__dict__["forward"] = forward


def _copy(value: object) -> object:
    """A deep copy of the tensors in a module's output."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if type(value) is tuple:
        return tuple(_copy(item) for item in value)
    return value
