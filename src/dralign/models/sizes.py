"""The settings that choose a network, and checked sizes."""

from typing import Final

from dralign.errors import OptionError
from dralign.settings import Setting

NETWORK: Final = (
    Setting(
        "network",
        "mlp, alexnet or resnet18; auto: mlp of tables, else alexnet.",
        "choice",
        default="auto",
        choices=("auto", "mlp", "alexnet", "resnet18"),
        panel="network",
    ),
    Setting(
        "classifier_width",
        "Units in the hidden layers of alexnet's classifier; 4096 if not given.",
        "count",
        optional=True,
        least=1,
        panel="network",
    ),
    Setting(
        "hidden",
        "Units in each hidden layer of an mlp.",
        "count",
        default=200,
        least=1,
        panel="network",
    ),
    Setting("depth", "Hidden layers of an mlp.", "count", default=2, least=0, panel="network"),
)

MOST: Final = 10**9  # a layer of so many units can't be held anywhere


def check_sizes(least: int = 1, /, **sizes: int) -> None:
    """Checks that every size is at least ``least``, and no more than any network can have.

    Raises:
        OptionError: if one is not.
    """
    for name, value in sizes.items():
        if value < least:
            raise OptionError(f"{name}: expected at least {least}, got {value}")
        if value > MOST:
            raise OptionError(f"{name}: expected at most {MOST:,}, got {value:.3g}")
