"""skorch: a ``NeuralNetClassifier`` whose loss has the alignment term."""

from dralign.tiers import require

require("dralign.integrations.skorch", "skorch", extra="skorch")

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from skorch import NeuralNetClassifier
from torch import Tensor, nn

from dralign.errors import DataError, OptionError
from dralign.integrations.term import AlignmentTerm, RowLosses

__all__ = ["AlignedNet"]


class AlignedNet(NeuralNetClassifier):  # type: ignore[misc] # skorch has no types
    """A ``NeuralNetClassifier`` that adds the alignment term to the loss of its training steps.

    ``X`` is a dict of the network's inputs by keyword and an entry of group codes, which the
    network is not given; prediction does without it. All else is skorch's: parameters, callbacks,
    grid search, pipelines.

    Args:
        module: as in skorch.
        n_groups: the number of groups.
        alignment_weight: beta, what the term is multiplied by.
        by_label: whether groups are aligned within each label (equalized odds) or altogether.
        align_layers: as ``layers`` of ``RationaleAlignment``.
        group_entry: of ``X``, with int64 codes.
        criterion: as in skorch, but for cross-entropy of logits if not given. What is aligned are
            rationales of its value for each row: it has a ``reduction``, or gives one for each,
            whose mean is then the loss.
        **options: those of skorch.
    """

    criterion_: Any

    def __init__(
        self,
        module: type[nn.Module] | nn.Module,
        *,
        n_groups: int = 2,
        alignment_weight: float = 0.05,
        by_label: bool = False,
        align_layers: Any = "all",  # noqa: ANN401 - as in RationaleAlignment
        group_entry: str = "group",
        criterion: Any = nn.CrossEntropyLoss,  # noqa: ANN401 - as in skorch
        **options: Any,  # noqa: ANN401 - those of skorch
    ) -> None:
        super().__init__(module, criterion=criterion, **options)
        self.n_groups = n_groups
        self.alignment_weight = alignment_weight
        self.by_label = by_label
        self.align_layers = align_layers
        self.group_entry = group_entry

    def infer(self, x: Any, **fit_params: Any) -> Any:  # noqa: ANN401 - as in skorch
        """What the network says of rows, which it gets without their group."""
        if isinstance(x, Mapping):
            x = {name: value for name, value in x.items() if name != self.group_entry}
        return super().infer(x, **fit_params)

    def get_loss(
        self,
        y_pred: Any,  # noqa: ANN401 - as in skorch
        y_true: Tensor,
        X: Any = None,  # noqa: ANN401, N803 - as in skorch
        training: bool = False,
    ) -> Tensor:
        """The criterion's loss, in training with the term.

        Raises:
            OptionError: if the criterion does not give a value for each row.
            DataError: if ``X`` has no entry of group codes.
        """
        loss: Tensor = super().get_loss(y_pred, y_true, X=X, training=training).mean()
        if not training:
            return loss
        if not isinstance(X, Mapping) or self.group_entry not in X:
            raise DataError(
                f"X: expected a dict of inputs with the entry {self.group_entry!r} of group codes"
            )
        with _each_row(self.criterion_):
            losses: Tensor = super().get_loss(y_pred, y_true, X=X, training=training)
        if losses.shape != (len(y_true),):
            raise OptionError(
                f"criterion: expected a value for each of {len(y_true)} rows, got shape "
                f"{tuple(losses.shape)}; it needs a reduction that can be 'none'"
            )
        group = torch.as_tensor(X[self.group_entry]).to(losses.device)
        return loss + self._term()(self.module_, RowLosses(losses, group, y_true))

    def _term(self) -> AlignmentTerm:
        """The term by the parameters as they are now."""
        now = {
            "n_groups": self.n_groups,
            "weight": self.alignment_weight,
            "by_label": self.by_label,
            "layers": self.align_layers,
        }
        known = getattr(self, "_alignment", None)
        if known is None or known[0] != now:
            known = self._alignment = (now, AlignmentTerm(**now))
        term: AlignmentTerm = known[1]
        return term


@contextmanager
def _each_row(criterion: Any) -> Iterator[None]:  # noqa: ANN401 - a module, or any function
    """The criterion gives a value for each row, if it has a reduction."""
    kept = getattr(criterion, "reduction", None)
    if kept is None:
        yield
        return
    criterion.reduction = "none"
    try:
        yield
    finally:
        criterion.reduction = kept
