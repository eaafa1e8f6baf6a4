"""Lightning: the training step with the alignment term, under automatic optimisation."""

from dralign.tiers import require

require("dralign.integrations.lightning", "pytorch-lightning", extra="lightning")

from typing import Any

from torch import Tensor

from dralign.integrations.term import AlignmentTerm, RowLosses

__all__ = ["AlignmentMixin", "AlignmentTerm", "RowLosses"]


class AlignmentMixin:
    """Stands before ``LightningModule``: the task's loss and the term make the training step.

    The module says what it has of a batch in ``row_losses``, and has the term as ``alignment``, an
    attribute of the class or the object. Precision, clipping, accumulation and strategies stay
    Lightning's. In several processes the term is the mean of those of the processes.
    """

    alignment: AlignmentTerm

    def row_losses(self, batch: Any) -> RowLosses:  # noqa: ANN401 - whatever the loader gives
        """The losses of the rows of a batch, and their groups; to be written by the module."""
        raise NotImplementedError(f"{type(self).__name__} has no row_losses(batch)")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401, ARG002
        """The mean loss plus the term; logs both as they are added: the term times its weight."""
        itself: Any = self
        rows = self.row_losses(batch)
        task = rows.losses.mean()
        term = self.alignment(itself, rows)
        itself.log_dict({"task_loss": task.detach(), "alignment": term.detach()})
        return task + term
