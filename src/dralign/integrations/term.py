"""The alignment term as a loop of another package takes it: from the losses of a batch's rows."""

from dataclasses import dataclass

from torch import Tensor, nn

from dralign.alignment import RationaleAlignment
from dralign.errors import DataError
from dralign.rationale import Granularity, LayerChoice, group_losses


@dataclass(frozen=True)
class RowLosses:
    """What the term is made of.

    Attributes:
        losses: (n,) the loss of each row, with its graph.
        group: (n,) int64 group codes; rows coded -1 take no part.
        label: (n,) labels 0..C-1; needed where groups are aligned within each label.
    """

    losses: Tensor
    group: Tensor
    label: Tensor | None = None


class AlignmentTerm:
    """``weight`` times the alignment of a network's group rationales (Eq. 9), batch by batch.

    Args:
        n_groups: the number of groups.
        weight: beta, what the term is multiplied by.
        by_label: whether groups are aligned within each label (equalized odds) or altogether.
        layers: as in ``RationaleAlignment``, like the next.
        granularity: ``"unit"`` or ``"parameter"``.
    """

    def __init__(
        self,
        *,
        n_groups: int,
        weight: float = 0.05,
        by_label: bool = False,
        layers: LayerChoice = "all",
        granularity: Granularity = "unit",
    ) -> None:
        self.n_groups = n_groups
        self.weight = weight
        self.by_label = by_label
        self.layers = layers
        self.granularity = granularity
        self._last: tuple[nn.Module, RationaleAlignment] | None = None

    def __call__(self, model: nn.Module, rows: RowLosses) -> Tensor:
        """A scalar with a graph to the weights, to be added to the loss of the step.

        Args:
            model: the network that the losses come from; not one wrapped for several processes.
            rows: of the batch.

        Raises:
            DataError: if labels are needed and not there.
            GroupError: if a code is out of range.
            GroupTypeError: if codes are not int64.
            ModelError: as ``RationaleAlignment``.
        """
        if self.by_label and rows.label is None:
            raise DataError("by_label: the labels of the rows are needed, and were not given")
        strata = group_losses(
            rows.losses,
            rows.group,
            n_groups=self.n_groups,
            label=rows.label if self.by_label else None,
        )
        return self.weight * self._of(model).align(strata)

    def _of(self, model: nn.Module) -> RationaleAlignment:
        """The term of a network, made once: its checks and warnings are for the first step."""
        if self._last is None or self._last[0] is not model:
            own = RationaleAlignment(model, layers=self.layers, granularity=self.granularity)
            self._last = (model, own)
        return self._last[1]
