"""Hugging Face: a ``Trainer`` whose loss has the alignment term."""

from dralign.tiers import require

require("dralign.integrations.transformers", "transformers", "accelerate", extra="transformers")

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from dralign.errors import DataError, ModelError, OptionError
from dralign.integrations.term import AlignmentTerm, RowLosses
from dralign.rationale import per_sample_loss
from dralign.rationale.losses import RowLoss, row_loss

__all__ = ["AlignmentTerm", "AlignmentTrainerMixin"]

GROUP = "group"


class AlignmentTrainerMixin:
    """Stands before ``Trainer``, and adds the alignment term to the loss of its training steps.

    ``class AlignedTrainer(AlignmentTrainerMixin, Trainer): pass`` is all of it. Rows have a column
    of group codes; the network never sees it, and evaluation and prediction do without. The loss of
    the task stays what Trainer makes of it, label smoothing and ``compute_loss_func`` included, and
    the term is that of the cross-entropy of the rows unless ``row_losses`` says otherwise. Under
    gradient accumulation both are means over the parts of a step, in several processes over the
    processes.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - those of Trainer
        alignment: AlignmentTerm,
        group_column: str = GROUP,
        row_losses: RowLoss | None = None,
        **options: Any,  # noqa: ANN401 - those of Trainer
    ) -> None:
        """Takes what ``Trainer`` takes, and the term.

        Args:
            *args: of Trainer.
            alignment: the term.
            group_column: of the rows, with int64 codes.
            row_losses: from logits and labels to (n,) losses; None is cross-entropy.
            **options: of Trainer.

        Raises:
            OptionError: if Trainer would drop the column, or share a batch among the GPUs of one
                process.
        """
        super().__init__(*args, **options)
        self.alignment = alignment
        self.group_column = group_column
        self._row_losses = None if row_losses is None else row_loss(row_losses)
        itself: Any = self
        # Trainer leaves the division by the parts of a step to networks that take any keyword, and
        # those of BERT's kind don't do it: their task loss would be added up, against the term.
        itself.model_accepts_loss_kwargs = False
        taken = inspect.signature(itself.model.forward).parameters
        if itself.args.remove_unused_columns and group_column not in taken:
            raise OptionError(
                f"remove_unused_columns=True drops the column {group_column!r}, which the network "
                "does not take; pass TrainingArguments(remove_unused_columns=False)"
            )
        if itself.args.n_gpu > 1:
            raise OptionError(
                f"the batch would be shared by {itself.args.n_gpu} GPUs of one process; start a "
                "process for each with torchrun"
            )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401 - as Trainer has it
        """The loss of Trainer, in training with the term; arguments and result are Trainer's.

        Raises:
            DataError: if a batch has no column of group codes or no labels.
            ModelError: if the network has one output, which transformers takes for a regression.
        """
        rest = {name: value for name, value in inputs.items() if name != self.group_column}
        labels = rest.get("labels")
        above: Any = super()
        loss, outputs = above.compute_loss(
            model, rest, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        if model.training:
            if self.group_column not in inputs:
                raise DataError(f"the batch has no column {self.group_column!r} of group codes")
            if labels is None:
                raise DataError("the batch has no column 'labels', which group losses need")
            losses = self._losses(_logits(outputs), labels)
            rows = RowLosses(losses, inputs[self.group_column], labels)
            itself: Any = self
            term = self.alignment(itself.accelerator.unwrap_model(model), rows)
            loss = loss + term / self._parts()
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        *args: Any,  # noqa: ANN401 - those of Trainer
        **options: Any,  # noqa: ANN401 - those of Trainer
    ) -> Any:  # noqa: ANN401 - as Trainer has it
        """That of Trainer, on rows without their group."""
        rest = {name: value for name, value in inputs.items() if name != self.group_column}
        above: Any = super()
        return above.prediction_step(model, rest, *args, **options)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(n,) losses.

        Raises:
            ModelError: if the network has one output, which transformers takes for a regression.
        """
        if self._row_losses is not None:
            return self._row_losses(logits, labels)
        if logits.ndim == 2 and logits.shape[1] == 1:
            raise ModelError(
                "the network has one output, a regression for transformers; set num_labels=2, or "
                "pass row_losses="
            )
        return per_sample_loss(logits, labels)

    def _parts(self) -> int:
        """What the term is to be divided by so that it is a mean over the parts of a step.

        Trainer does so itself, unless a loss of one's own has done it.
        """
        itself: Any = self
        scaled = getattr(self, "loss_is_scaled_for_ga", None)
        if scaled is None:
            scaled = itself.compute_loss_func is not None
        return int(itself.current_gradient_accumulation_steps) if scaled else 1


def _logits(outputs: Any) -> Tensor:  # noqa: ANN401 - what networks of transformers return
    """The logits among the outputs of a network that was given labels."""
    logits: Tensor = outputs["logits"] if isinstance(outputs, Mapping) else outputs[1]
    return logits
