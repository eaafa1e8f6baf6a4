"""Running a network again from the layer that changed, its earlier part replayed from memory."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dralign.errors import DralignWarning
from dralign.rationale.inputs import Inputs, run
from dralign.rationale.outputs import logits

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
            def call(*args: object, **options: object) -> object:
                done, stored = counts.get(module, 0), self.outputs.get(module, [])
                if done >= len(stored):
                    return forward(*args, **options)
                counts[module] = done + 1
                return args[0] if stored[done] is None else _copy(stored[done])

            return call

        with _patched(list(self.outputs), replay):
            yield counts.clear


class Replays:
    """Runs of a network in which one layer changes: as fast as is safe, and right in any case.

    What ends before the layer is replayed where a replayed run was seen to equal a whole one.
    Where anything is raised in a replayed run, whole runs take its place from then on, and a
    warning says so once.
    """

    def __init__(self, model: nn.Module) -> None:
        """Runs nothing yet."""
        self._model = model
        self._safe: dict[int, bool] = {}
        self._failed = False

    @contextmanager
    def of(self, x: Inputs, part: Tensor, owners: Sequence[nn.Module]) -> Iterator["Run"]:
        """Inside the block the value runs the network on x, whose part before is remembered.

        Args:
            x: the rows.
            part: the part of a weight that changes between the runs, a view of its data.
            owners: the modules that hold the weight.
        """
        prefix = self._prefix(x, part, owners)
        with ExitStack() as replaying:
            rewind = replaying.enter_context(prefix.replayed())

            def run() -> Tensor:
                rewind()
                try:
                    return logits(self._model, x)
                except Exception as error:
                    if not prefix.outputs:
                        raise
                    self._give_up(error)
                    prefix.outputs.clear()
                    replaying.close()  # what follows are runs of the network as it is
                return logits(self._model, x)

            yield run

    def _prefix(self, x: Inputs, part: Tensor, owners: Sequence[nn.Module]) -> Prefix:
        """What can be replayed; nothing where that is not safe."""
        index = part.data_ptr()
        if self._failed or not self._safe.get(index, True):
            return Prefix({})
        try:
            prefix = record_prefix(self._model, x, owners)
            if index not in self._safe:
                self._safe[index] = _replays_truly(self._model, x, prefix, part)
        except Exception as error:  # noqa: BLE001 - a network may raise anything
            self._give_up(error)
            return Prefix({})
        return prefix if self._safe[index] else Prefix({})

    def _give_up(self, error: Exception) -> None:
        """From now on whole runs are made; an error of the network itself comes up in them."""
        self._failed = True
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(
            "the part of the network before a layer can't be replayed, every removal runs the "
            f"whole network, which takes longer ({reason})",
            DralignWarning,
            stacklevel=2,
        )


Run = Callable[[], Tensor]


def record_prefix(model: nn.Module, x: Inputs, owners: Sequence[nn.Module]) -> Prefix:
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
        run(model, x)
    return Prefix(outputs)


def _replays_truly(model: nn.Module, x: Inputs, prefix: Prefix, part: Tensor) -> bool:
    """Whether a replayed run equals a whole one, with the layer as it is and with half of it.

    It does not where a module works in place on an input that is read again, or where a weight is
    used before its module is called.
    """
    if not prefix.outputs:
        return True
    saved = part.clone()
    same = True
    try:
        for factor in (1.0, 0.5):
            part.mul_(factor)
            whole = logits(model, x)
            with prefix.replayed():
                replayed = logits(model, x)
            same = same and torch.allclose(whole, replayed, rtol=1e-5, atol=1e-6, equal_nan=True)
    finally:
        part.copy_(saved)
    return same


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
    """A deep copy of the tensors in a module's output; containers keep their type."""
    if isinstance(value, Tensor):
        return value.clone()
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, dict):  # as transformers' outputs, whose entries are attributes too
        copied = copy.copy(value)
        for key, item in value.items():
            copied[key] = _copy(item)
        return copied
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, tuple):
        make: Callable[..., object] = type(value)
        items = [_copy(item) for item in value]
        return make(*items) if hasattr(value, "_fields") else make(items)
    return value
