"""Which parts of an audit are computed, and how much of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from dralign.auditing.removal import Network
from dralign.errors import OptionError, unknown

AuditPart = Literal["outcomes", "similarity", "influence", "independence", "what_if"]
PARTS: Final[tuple[AuditPart, ...]] = get_args(AuditPart)

SET_SIZES, N_SETS = (1, 4, 16, 64, 256), 20
# Where every removal is a run of the network: 120 runs, and not nearly 7,000.
FEW_SET_SIZES, FEW_SETS = (1, 4, 16), 5
# So are exact influences: all of them, or a sample of about as many removals over all layers.
MOST_PLAIN_RUNS = 1_000
LEAST_SAMPLE, MOST_SAMPLE = 20, 100
WEIGHTED: Final = (
    "rows are weighted: rates, shares, gaps and mean losses are those of the weights, rows are "
    "counted, and draws for intervals take rows with their weights"
)


@dataclass(frozen=True)
class Plan:
    """What is done, and why not more.

    Attributes:
        parts: what is computed.
        sample: weights, and units, a layer whose exact influence is measured; None for all.
        set_sizes: of sets of weights that are removed together.
        n_sets: of each size.
        notes: what is left out or approximated.
    """

    parts: frozenset[AuditPart]
    sample: int | None
    set_sizes: Sequence[int]
    n_sets: int
    notes: Sequence[str]


def chosen_parts(parts: Iterable[str] | None) -> frozenset[AuditPart]:
    """The parts that are asked for; None stands for all.

    Raises:
        OptionError: if there is none, one is unknown, or one needs another.
    """
    if parts is None:
        return frozenset(PARTS)
    if isinstance(parts, str):
        raise OptionError(f"parts: expected a list of names, got {parts!r}")
    asked = list(parts)
    for part in asked:
        if part not in PARTS:
            raise OptionError(unknown("part of an audit", part, PARTS))
    if not asked:
        raise OptionError(f"parts: name one at least of {', '.join(PARTS)}")
    if "what_if" in asked and "influence" not in asked:
        raise OptionError("parts: 'what_if' removes the units that 'influence' finds; name both")
    return frozenset(cast("list[AuditPart]", asked))


def plan_for(network: Network, parts: frozenset[AuditPart], sample: int | None) -> Plan:
    """Everything where that is cheap, less where every removal is a run of the network."""
    named = dict(network.model.named_parameters(remove_duplicate=False))
    n_weights = sum(layer.part(layer.weight(named)).numel() for layer in network.layers)
    notes = []
    if sample is None and not network.stack and n_weights > MOST_PLAIN_RUNS:
        each = MOST_PLAIN_RUNS // (2 * len(network.layers))  # as many weights as units
        sample = min(max(each, LEAST_SAMPLE), MOST_SAMPLE)
        why = f"{n_weights} weights, each a run of this network: exact influences are those of "
        line = f"{why}{sample} weights and {sample} units a layer, drawn at random"
    else:
        line = f"exact influences are those of {sample} weights and units a layer, at random"
    if sample is not None and "influence" in parts:
        notes.append(line)
    if left_out := [part for part in PARTS if part not in parts]:
        notes.append(f"not asked for, and left out: {', '.join(left_out)}")
    sizes, n_sets = (SET_SIZES, N_SETS) if network.stack else (FEW_SET_SIZES, FEW_SETS)
    return Plan(parts, sample, sizes, n_sets, notes)
