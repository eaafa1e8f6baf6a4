"""The paper's multi-layer perceptron."""

from itertools import pairwise

from torch import nn

from dralign.models.sizes import check_sizes


def mlp(n_inputs: int, hidden: int = 200, depth: int = 2, n_outputs: int = 1) -> nn.Sequential:
    """A perceptron with ``depth`` hidden layers of ``hidden`` ReLU units; it returns logits.

    The paper's "3-layer MLP" for Adult is ``mlp(120)``: 120-200-200-1, with 64,601
    parameters (Sec. 5.3).

    Args:
        n_inputs: the number of input columns.
        hidden: units in each hidden layer.
        depth: the number of hidden layers; 0 gives a linear model.
        n_outputs: 1 for two classes (one logit), C for C classes.

    Raises:
        OptionError: if a size is not a positive number (``depth``: negative).
    """
    check_sizes(n_inputs=n_inputs, hidden=hidden, n_outputs=n_outputs)
    check_sizes(0, depth=depth)
    widths = [n_inputs, *[hidden] * depth]
    layers: list[nn.Module] = []
    for fan_in, width in pairwise(widths):
        layers += [nn.Linear(fan_in, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))
