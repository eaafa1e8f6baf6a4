"""What an installed package may add: each is declared in one place, here."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from dralign.data import Dataset, DatasetType, Split, register_dataset
from dralign.gaps import Gap, GapType, at_all_cutoffs, register_gap
from dralign.methods import MethodType, TermStep, register, register_schedule
from dralign.metrics import Measure, register_measure
from dralign.rationale import LayerType, per_sample_loss, register_layer
from dralign.settings import Setting
from dralign.step import BatchTerm


@dataclass(frozen=True)
class Tilted:
    """The log of the mean of exp(tilt * loss), over tilt: rows with a large loss count more."""

    name: ClassVar[str] = "tilted"
    balance: ClassVar[str] = "uniform"
    needs_groups: ClassVar[bool] = False
    post_process: ClassVar[None] = None
    gap: Gap
    tilt: float

    def begin(self, model, *, n_groups, generator):
        term = BatchTerm(of_rows=per_sample_loss, value=self.mean)
        return TermStep(model, loss=None, term=lambda _batch: term, weight=1.0)

    def mean(self, losses, _group, _label):
        return (torch.logsumexp(self.tilt * losses, 0) - math.log(len(losses))) / self.tilt


TILT = Setting("tilt", "How much more rows with a large loss count.", "number", default=1.0)
register(
    MethodType(
        "tilted",
        "the task loss with more weight on rows of a large loss",
        lambda gap, _loss, settings: Tilted(gap, settings["tilt"]),
        settings=(TILT,),
        note=lambda settings: f"tilted by {settings['tilt']:g}.",
    )
)


@dataclass(frozen=True)
class From:
    """In every step from one on."""

    start: int

    def weight(self, step: int) -> float:
        return float(step >= self.start)

    def __str__(self) -> str:
        return f"from:{self.start}"


register_schedule("from", lambda text: From(int(text)))


def median_gap(rows, gap: str) -> float:
    """How far apart the groups' median scores are, whatever the gap."""
    medians = [np.median(rows.prob[rows.codes == code]) for code in range(rows.n_groups)]
    return float(max(medians) - min(medians))


register_measure(Measure("median", "median gap", "lower", median_gap, of_gap=True, column=True))


FALSE_ALARMS = GapType("false_alarms", "equal false alarms", strata=(0,))
MISSED = GapType(
    "missed", "equal shares of the missed", terms=lambda f, y, n_classes: (y, (1 - f,))
)
for kind in (FALSE_ALARMS, at_all_cutoffs(FALSE_ALARMS), MISSED):
    register_gap(kind)


class Pairs(torch.nn.Module):
    """Products of two inputs, weighed: y_u = sum over i and j of w_uij x_i x_j."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(units, inputs, inputs))

    def forward(self, x):
        return torch.einsum("uij,ni,nj->nu", self.weight, x, x)


register_layer(LayerType(Pairs))


def coins(*, preparation, seed, sensitive, include_sensitive):
    """Two coins thrown by people of two kinds; the label is the first, more or less."""
    draw = torch.Generator().manual_seed(seed)
    splits = []
    for rows in (200, 100, 100):
        group = torch.randint(2, (rows,), generator=draw)
        x = torch.randn(rows, 2, generator=draw) + 0.5 * group[:, None]
        y = (x[:, 0] + torch.randn(rows, generator=draw) > 0.3).long()
        splits.append(Split(x, y, group))
    return Dataset(
        "coins", preparation, *splits, ("left", "right"), ("hand",), label="side", positive="head"
    )


register_dataset(DatasetType("coins", coins, fingerprint=lambda: "coins, first edition"))
