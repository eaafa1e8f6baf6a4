"""The rows that influences are measured on, checked once at the edge."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dralign.errors import DataError, GroupError
from dralign.groups import check_group
from dralign.rationale.inputs import Bundle, Inputs, bundled, fitted, run, shapes_of_rows, tensor_of
from dralign.rationale.losses import RowLoss, per_sample_loss
from dralign.rationale.outputs import logits_in


@dataclass(frozen=True)
class Rows:
    """The rows a loss is taken over.

    Attributes:
        x: (n, ...) inputs on the network's device, floating ones in its dtype.
        label: (n,) int64 labels; with a loss of one's own whatever that takes.
        group: (n,) int64 codes 0..G-1.
        n_groups: the number of groups G, each with at least 2 rows.
        loss: of rows, from the network's outputs and labels.
        weight: (n,) float64 positive numbers, what each row counts; None where rows are not
            weighted.
    """

    x: Inputs
    label: Tensor
    group: Tensor
    n_groups: int
    loss: RowLoss = per_sample_loss
    weight: Tensor | None = None

    @property
    def counts(self) -> Tensor:
        """The rows of each group, (G,) float64 on the CPU."""
        return torch.bincount(self.group, minlength=self.n_groups).double().cpu()

    @property
    def totals(self) -> Tensor:
        """What the rows of each group count together, (G,) float64 on the CPU."""
        if self.weight is None:
            return self.counts
        return torch.bincount(self.group, self.weight, minlength=self.n_groups).double().cpu()

    @property
    def weights(self) -> np.ndarray | None:
        """(n,) the weights as an array; None where rows are not weighted."""
        return None if self.weight is None else self.weight.cpu().numpy()

    def weighted(self, of_rows: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """What is known of some rows, (m,), times what they count."""
        return of_rows if self.weight is None else of_rows * self.weight[rows].to(of_rows)


def check_rows(
    model: nn.Module,
    x: object,
    label: object,
    group: Tensor | ArrayLike,
    *,
    loss: RowLoss = per_sample_loss,
    weight: np.ndarray | None = None,
) -> Rows:
    """The rows of known group that weigh something, as tensors that fit the model.

    Raises:
        DataError: if lengths differ, or a label that is a class is not a whole number from 0.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if there are not two groups, or one has fewer than 2 rows.
    """
    several = bundled(x)
    inputs: Inputs = (several if isinstance(several, Bundle) else tensor_of(several, "x")).detach()
    codes = tensor_of(group, "group").detach()
    n = len(inputs) if isinstance(inputs, Bundle) or inputs.ndim else 0
    classes = loss is per_sample_loss
    labels = _labels(label, n, classes=classes)
    n_groups = int(codes.max()) + 1 if codes.numel() else 0
    counted = None if weight is None else torch.from_numpy(weight).to(codes.device)
    if counted is not None and codes.shape == counted.shape:
        codes = torch.where(counted > 0, codes, -1)
    check_group(codes, n_rows=n, n_groups=n_groups)
    if n_groups < 2:
        raise GroupError("group: every row of known group has code 0; at least two are needed")
    for code, count in enumerate(torch.bincount(codes[codes >= 0], minlength=n_groups).tolist()):
        if count < 2:
            raise GroupError(f"group {code}: expected at least 2 rows, got {count}")
    known = codes >= 0
    inputs = fitted(model, inputs[known.to(inputs.device)])
    labels, codes = (
        values[known.to(values.device)].to(inputs.device) for values in (labels, codes)
    )
    if counted is not None:
        counted = counted[known.to(counted.device)].to(inputs.device)
    labels = labels.to(torch.int64) if classes else labels
    return Rows(inputs, labels, codes, n_groups, loss, counted)


def require_finite_loss(model: nn.Module, rows: Rows, batch_rows: int) -> Tensor:
    """Runs the network once over all rows, so that what is wrong is said before the long work.

    Returns:
        The outputs of all rows.

    Raises:
        DataError: if the network can't run on these rows, a label is out of range, or the mean
            loss of a group is not finite.
        ModelError: if the output is not one of logits.
    """
    total = torch.zeros(rows.n_groups, dtype=torch.float64, device=rows.x.device)
    outputs = []
    top = int(rows.label.max()) if rows.loss is per_sample_loss else 0
    with torch.no_grad():
        for block in torch.arange(len(rows.x), device=rows.x.device).split(batch_rows):
            x, label = rows.x[block], rows.label[block]
            try:
                returned = run(model, x)
            except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
                raise DataError(_misfit(model, x, error)) from error
            output = logits_in(returned)
            outputs.append(output)
            n_labels = 2 if output.numel() == len(x) else int(output.shape[-1])
            if top >= n_labels:
                raise DataError(f"label: expected 0 to {n_labels - 1} for this output, got {top}")
            loss = rows.loss(output, label).double()
            total.index_add_(0, rows.group[block], loss)
    for code, loss in enumerate(total.tolist()):
        if not np.isfinite(loss):
            raise DataError(
                f"the mean loss of group {code} is {loss}: look for NaN or infinite values in x "
                "or in the network's weights"
            )
    return torch.cat(outputs)


def _labels(label: object, n: int, *, classes: bool) -> Tensor:
    """The labels of n rows as a tensor that needs no gradient.

    Raises:
        DataError: if there is not one a row, or a class is not a whole number from 0.
    """
    labels = tensor_of(label, "label").detach()
    if (labels.shape if classes else labels.shape[:1]) != (n,):
        raise DataError(f"label: expected shape ({n},), one per row of x, got {(*labels.shape,)}")
    whole = not labels.is_floating_point() or bool((labels == labels.round()).all())
    if classes and (not whole or bool((labels < 0).any())):
        raise DataError("label: expected whole numbers 0/1 or 0..C-1")
    return labels


def _misfit(model: nn.Module, x: Inputs, error: Exception) -> str:
    """What a person needs to know when the network can't run on x."""
    first = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
    leads = first is not None and first is next(_leaves(model), None)
    columns = x.shape[1] if isinstance(x, Tensor) and x.ndim == 2 else None
    if leads and first is not None and columns not in {None, first.in_features}:
        return f"x has {columns} columns; the network's first layer takes {first.in_features}"
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"the network can't run on rows of {shapes_of_rows(x)}: {reason}"


def _leaves(model: nn.Module) -> Iterator[nn.Module]:
    """The modules without children that hold parameters, in order of registration."""
    for module in model.modules():
        if not list(module.children()) and list(module.parameters(recurse=False)):
            yield module
