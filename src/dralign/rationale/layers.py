"""Which weights have a rationale: those of linear maps, convolutions, attention and recurrence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from dralign.errors import ModelError, OptionError
from dralign.extensions import Registry
from dralign.networks import evaluation_mode

Granularity = Literal["unit", "parameter"]
LayerChoice = Literal["all"] | int | Sequence[str]


@dataclass(frozen=True)
class Layer:
    """One weight, or one part of a weight, whose entries have influences.

    Attributes:
        name: the module's name in the model; the three parts of an attention input projection
            are called ``<module>.q``, ``.k`` and ``.v``, the weights of a recurrent module
            ``<module>.weight_ih_l0`` and so on.
        parameter: the name of the leaf parameter in ``model.named_parameters()``.
        rows: the first and last row (exclusive) of this part; None for the whole parameter.
        transposed_groups: the number of channel groups of a transposed convolution, whose filters
            lie on the second axis; 1 for the Conv1D of transformers, which keeps its units there
            too; 0 for every other module.
        aliases: other names of the same (tied) parameter.
        refusal: why the weight can't take part; empty where it can.
    """

    name: str
    parameter: str
    rows: tuple[int, int] | None = None
    transposed_groups: int = 0
    aliases: tuple[str, ...] = field(default=(), compare=False)
    refusal: str = ""

    def part(self, tensor: Tensor) -> Tensor:
        """The part of a tensor shaped like the parameter that belongs to this layer."""
        return tensor if self.rows is None else tensor[self.rows[0] : self.rows[1]]

    def by_unit(self, part: Tensor) -> Tensor:
        """A tensor shaped like the part, rearranged to (units, fan-in)."""
        if self.transposed_groups:
            groups = self.transposed_groups
            part = part.reshape(groups, -1, *part.shape[1:])  # (groups, in, out, *kernel)
            part = part.transpose(1, 2).flatten(0, 1)  # (units, in, *kernel)
        return part.flatten(1)  # (units, fan-in)

    def from_units(self, rows: Tensor, part: Tensor) -> Tensor:
        """The inverse of ``by_unit``: (units, fan-in) rows back in the shape of ``part``."""
        if self.transposed_groups:
            groups, (n_in, n_out) = self.transposed_groups, part.shape[:2]
            rows = rows.reshape(groups, n_out, n_in // groups, *part.shape[2:])
            rows = rows.transpose(1, 2)  # (groups, in, out, *kernel)
        return rows.reshape(part.shape)

    def weight(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The whole leaf tensor among ``parameters``, found by its name or a tied name.

        Raises:
            ModelError: if there is none.
        """
        for name in (self.parameter, *self.aliases):
            if name in parameters:
                return parameters[name]
        raise ModelError(f"params: no entry {self.parameter!r} for layer {self.name!r}")


@dataclass(frozen=True)
class LayerType:
    """A type of module of one's own, and which of its parameters have a rationale.

    Attributes:
        module: the type; modules of types made from it are taken too.
        weights: the names of the parameters in the module, each of two or more dimensions. A layer
            is called as the module, or ``<module>.<parameter>`` where there are several.
        units_last: whether the units lie on the second axis, as those of the Conv1D of
            transformers do, and not on the first.
    """

    module: type[nn.Module]
    weights: tuple[str, ...] = ("weight",)
    units_last: bool = False

    @property
    def name(self) -> str:
        """By which it is told from others: where the type comes from, and what it is called."""
        return f"{self.module.__module__}.{self.module.__qualname__}"


_TYPES: Final = Registry[LayerType]("layer")


def register_layer(kind: LayerType) -> None:
    """Makes weights of a type of module take part wherever layers are looked for.

    Installed packages do so in a module that they name in an entry point (docs/extending.md).

    Raises:
        OptionError: if the type is registered already, or no weight is named.
    """
    if not kind.weights:
        raise OptionError(f"layer: {kind.module.__name__}: name one weight at least")
    _TYPES.add(kind)


def unregister_layer(module: type[nn.Module]) -> None:
    """Forgets a type that ``register_layer`` made known; for tests."""
    _TYPES.remove(LayerType(module).name)


def select_layers(model: nn.Module, layers: LayerChoice = "all") -> tuple[Layer, ...]:
    """The layers of ``model`` that can have a rationale, in order of registration.

    Biases, normalisation layers and embeddings have none (paper, A.1), nor has a weight that a
    module of the user's own holds, unless its type was registered: ``coverage_of`` tells how much
    is left out. A row of a recurrent
    weight, one gate of one neuron, is a unit. A tied weight counts once, at its first place. A
    parametrised weight counts through its leaf when that has the weight's shape (spectral norm,
    orthogonal, pruning).

    Args:
        model: any module. Of a compiled one the module it was made from is taken.
        layers: ``"all"``, the last ``k``, or names of layers.

    Raises:
        ModelError: if it is no module, there is no such layer, a name is unknown, or a weight is
            not materialised, quantised, a product of several leaves (weight norm) or sharded over
            processes (FSDP).
        OptionError: if ``layers`` is none of the three forms.
    """
    model = original(model)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"model: expected a torch module, got {type(model).__name__}; a fitted "
            "DRAlignClassifier holds its network as module_"
        )
    result = _unique(model, _find(model))
    if not result:
        raise ModelError(
            f"{type(model).__name__} has no Linear or Conv layer to take part, nor attention or a "
            "recurrent one"
        )
    chosen = _choose(result, layers)
    for layer in chosen:
        if layer.refusal:
            raise ModelError(f"layer {layer.name!r}: {layer.refusal}")
    return chosen


def original(model: nn.Module) -> nn.Module:
    """The module that a compiled one was made from; any other itself."""
    made_from = getattr(model, "_orig_mod", None)
    return made_from if isinstance(made_from, nn.Module) else model


def _choose(result: tuple[Layer, ...], layers: LayerChoice) -> tuple[Layer, ...]:
    """The layers that are asked for, in their own order.

    Raises:
        ModelError: if a name is unknown.
        OptionError: if ``layers`` is none of the three forms.
    """
    if layers == "all":
        return result
    if isinstance(layers, int) and not isinstance(layers, bool):
        if not 1 <= layers <= len(result):
            raise OptionError(
                f"layers: the model has {len(result)} layers, got a count of {layers}"
            )
        return result[-layers:]
    if isinstance(layers, (str, bool)) or not isinstance(layers, Sequence) or not layers:
        raise OptionError(f"layers: expected 'all', a count or names, got {layers!r}")
    known = [layer.name for layer in result]
    for name in layers:
        if name not in known:
            raise ModelError(f"layers: no layer {name!r}; known: {', '.join(known)}")
    return tuple(layer for layer in result if layer.name in layers)


def _find(model: nn.Module) -> Iterator[Layer]:
    """Every layer in order of registration, tied weights repeated."""
    types = _TYPES.all()
    for name, module in model.named_modules():
        kinds = [kind for kind in types if isinstance(module, kind.module)]
        if kinds:
            yield from _registered(module, name, kinds[-1])
        elif isinstance(module, nn.Linear):
            yield _layer(module, name, "weight")
        elif "quantized" in type(module).__module__.split(".") and hasattr(module, "weight"):
            yield Layer(name or type(module).__name__.lower(), "", refusal=_quantised("its weight"))
        elif isinstance(module, _ConvNd):
            groups = module.groups if isinstance(module, _ConvTransposeNd) else 0
            yield replace(_layer(module, name, "weight"), transposed_groups=groups)
        elif isinstance(module, nn.MultiheadAttention):
            yield from _attention(module, name)
        elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            for weight in _recurrent(module):
                layer = _layer(module, name, weight)
                yield replace(layer, name=f"{layer.name}.{weight}")
        elif _is_linear_by_columns(module):
            yield replace(_layer(module, name, "weight"), transposed_groups=1)


def _registered(module: nn.Module, name: str, kind: LayerType) -> Iterator[Layer]:
    """The layers of a module of a type that was registered."""
    for weight in kind.weights:
        layer = replace(_layer(module, name, weight), transposed_groups=int(kind.units_last))
        if len(kind.weights) > 1:
            layer = replace(layer, name=f"{layer.name}.{weight}")
        with evaluation_mode(module):
            value = getattr(module, weight, None)
        if not isinstance(value, Tensor):
            layer = replace(layer, refusal=f"it has no parameter {weight!r}")
        elif not layer.refusal and value.ndim < 2:
            layer = replace(layer, refusal=f"{weight} has one dimension; expected a row per unit")
        yield layer


def _recurrent(module: nn.RNNBase | nn.RNNCellBase) -> Iterator[str]:
    """The names of a recurrent module's weights: of inputs, of states, and of projections."""
    if isinstance(module, nn.RNNCellBase):
        yield from ("weight_ih", "weight_hh")
        return
    kinds = ("ih", "hh", "hr") if module.proj_size else ("ih", "hh")
    directions = ("", "_reverse") if module.bidirectional else ("",)
    for depth in range(module.num_layers):
        for direction in directions:
            yield from (f"weight_{kind}_l{depth}{direction}" for kind in kinds)


def _is_linear_by_columns(module: nn.Module) -> bool:
    """Whether it is the Conv1D of transformers: x W + b with a weight (in, out)."""
    if type(module).__name__ != "Conv1D":
        return False
    weight = getattr(module, "weight", None)
    return (
        isinstance(weight, Tensor)
        and weight.ndim == 2
        and weight.shape[1] == getattr(module, "nf", None)
    )


def _attention(module: nn.MultiheadAttention, name: str) -> Iterator[Layer]:
    """The query, key and value projections; packed in one weight or kept in three."""
    packed = module.in_proj_weight is not None
    width = module.embed_dim
    for index, letter in enumerate("qkv"):
        layer = _layer(module, name, "in_proj_weight" if packed else f"{letter}_proj_weight")
        rows = (index * width, (index + 1) * width) if packed else None
        yield replace(layer, name=f"{layer.name}.{letter}", rows=rows)


def _layer(module: nn.Module, name: str, tensor: str) -> Layer:
    """The layer of one weight; with a refusal where its leaf can't stand for it."""
    shown = name or type(module).__name__.lower()
    try:
        leaf = _leaf(module, tensor)
    except ModelError as error:
        return Layer(shown, "", refusal=str(error))
    return Layer(shown, f"{name}.{leaf}" if name else leaf)


def _leaf(module: nn.Module, tensor: str) -> str:
    """The name in the module of the leaf parameter behind ``module.<tensor>``.

    Raises:
        ModelError: if the tensor has several leaves, a leaf of another shape, or no values yet.
    """
    if parametrize.is_parametrized(module, tensor):
        leaf = f"parametrizations.{tensor}.original"
    elif f"{tensor}_orig" in dict(module.named_parameters(recurse=False)):
        leaf = f"{tensor}_orig"  # pruning and the old spectral norm
    else:
        leaf = tensor
    try:
        parameter = module.get_parameter(leaf)
    except AttributeError:
        raise ModelError(
            f"{tensor} is computed from several parameters (weight norm, FSDP?), none of which "
            "stands for it; leave the layer out through layers=[...] or remove the parametrisation"
        ) from None
    if hasattr(parameter, "device_mesh"):
        raise ModelError(
            f"{tensor} is sharded over processes (a DTensor, as of FSDP); a rationale needs whole "
            "weights: keep a copy of the network in each process instead"
        )
    if not (parameter.is_floating_point() or parameter.is_complex()):
        raise ModelError(_quantised(tensor))
    if isinstance(parameter, UninitializedParameter):
        raise ModelError(f"{tensor} has no values yet (lazy module): run one batch first")
    if leaf != tensor:
        with evaluation_mode(module):  # a spectral norm in training mode changes as it is read
            computed = getattr(module, tensor)
        if parameter.shape != computed.shape:
            raise ModelError(f"{tensor} is computed from a parameter of another shape")
    return leaf


def _quantised(weight: str) -> str:
    """Why a weight that is kept as whole numbers can't take part."""
    return (
        f"{weight} is quantised, and has no gradient and no influence of its own; take the network "
        "as it was before, or leave the layer out through layers=[...]"
    )


def _unique(model: nn.Module, result: Iterable[Layer]) -> tuple[Layer, ...]:
    """The layers without repeated parameters, each knowing the other names of its parameter."""
    named = dict(model.named_parameters(remove_duplicate=False))
    kept: dict[object, Layer] = {}
    for layer in result:
        if layer.refusal:
            kept[layer.name] = layer
            continue
        parameter = named[layer.parameter]
        others = (name for name, other in named.items() if other is parameter)
        aliases = tuple(name for name in others if name != layer.parameter)
        kept.setdefault((id(parameter), layer.rows), replace(layer, aliases=aliases))
    return tuple(kept.values())
