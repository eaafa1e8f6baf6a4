"""The model that guesses the cell of a row from its inputs: multinomial logistic regression."""

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dralign.errors import GroupError
from dralign.models import mlp

MOST_ROWS: Final = 200_000  # more tell a linear model hardly more, and take longer
MOST_STEPS: Final = 200
PENALTY: Final = 0.5  # times |weights|^2 / n, as scikit-learn has it


def fit_cells(x: Tensor, codes: Tensor, n_classes: int) -> nn.Module:
    """A linear network with a logit for each cell, fitted to rows by L-BFGS; nothing is drawn.

    Args:
        x: (n, d) inputs.
        codes: (n,) int64 cells 0..K-1; rows coded -1 take no part. Of more than 200,000 rows every
            k-th is taken.
        n_classes: the number of cells K.

    Returns:
        ``mlp(d, depth=0, n_outputs=K)``, in evaluation mode, without gradients.

    Raises:
        GroupError: if no row has a group.
    """
    rows = (codes >= 0).nonzero()[:, 0]
    rows = rows[:: max(-(-len(rows) // MOST_ROWS), 1)]
    if not len(rows):
        raise GroupError("no row has a group to learn from")
    inputs, target = x[rows].double(), codes[rows]
    model = mlp(x.shape[1], depth=0, n_outputs=n_classes).double()
    layer = cast("nn.Linear", model[0])
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=MOST_STEPS, line_search_fn="strong_wolfe", history_size=20
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(model(inputs), target)
        loss = loss + PENALTY / len(rows) * layer.weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        optimiser.step(objective)
    return model.float().requires_grad_(requires_grad=False).eval()
