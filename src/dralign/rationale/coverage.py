"""Which share of a network's weights has a rationale, and what is left out."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from dralign.errors import DralignWarning
from dralign.rationale.layers import Layer, LayerChoice, original

ENOUGH = 0.5
MOST_NAMED = 3
_NORMALISATION = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Coverage:
    """How much of a network is spoken of when its rationales are.

    The weights of a network are the entries of its parameters of two or more dimensions, those of
    normalisation layers aside: no biases, but embeddings and weights that a module of the user's
    own holds. A tied one counts once.

    Attributes:
        inside: how many of the weights lie in the layers that take part.
        total: how many there are.
        left_out: the modules that hold the others (or, in the network itself, the parameters), with
            their type and how many they hold, the largest first.
    """

    inside: int
    total: int
    left_out: tuple[tuple[str, str, int], ...]

    @property
    def share(self) -> float:
        """The share of the weights in the layers that take part, in [0, 1]; 0 of none."""
        return self.inside / self.total if self.total else 0.0

    def __str__(self) -> str:
        said = f"rationales cover {_percent(self.share)} of the weights"
        if not self.left_out:
            return said
        said = f"{said} ({self.inside:,} of {self.total:,})"
        shown = [
            f"{name} ({kind}, {_percent(n / self.total)})"
            for name, kind, n in self.left_out[:MOST_NAMED]
        ]
        more = len(self.left_out) - len(shown)
        if more:
            shown.append(f"{more} more")
        names = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
        return f"{said}: {names} {'is' if len(self.left_out) == 1 else 'are'} left out"


def coverage_of(model: nn.Module, layers: Sequence[Layer]) -> Coverage:
    """The share of the weights of ``model`` that lie in ``layers``."""
    model = original(model)
    named = dict(model.named_parameters(remove_duplicate=False))
    inside: Counter[int] = Counter()
    for layer in layers:
        weight = layer.weight(named)
        inside[id(weight)] += layer.part(weight).numel()
    total, missing, seen = 0, Counter[tuple[str, str]](), set[int]()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if (
                id(parameter) in seen
                or isinstance(module, _NORMALISATION)
                or type(module).__name__.endswith("Norm")  # RMSNorm, also of transformers
                or is_lazy(parameter)
                or parameter.ndim < 2
            ):
                continue
            seen.add(id(parameter))
            total += parameter.numel()
            holder = (path, type(module).__name__) if path else (name, "Parameter")
            missing[holder] += parameter.numel() - inside[id(parameter)]
    left_out = tuple((*holder, n) for holder, n in missing.most_common() if n)
    return Coverage(total - missing.total(), total, left_out)


def warn_of_low_coverage(found: Coverage, layers: LayerChoice, *, stacklevel: int) -> None:
    """Says what is left out where it is more than half of the weights and nobody asked for that."""
    if layers == "all" and found.share < ENOUGH:
        warnings.warn(
            f"{found}; name the layers to say that you mean it",
            DralignWarning,
            stacklevel=stacklevel + 1,
        )


def _percent(share: float) -> str:
    """A share in per cent; only the whole is written as 100."""
    percent = min(100 * share, 99) if share < 1 else 100
    return f"{percent:.0f} %" if percent >= 1 or not percent else f"{percent:.1g} %"
