"""What a trial was run with: versions and machine, written beside every result."""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import MappingProxyType

import numpy as np
import torch


def environment() -> Mapping[str, str]:
    """Versions, platform and number of threads of this process; no host or user name."""
    return MappingProxyType({**_fixed(), "threads": str(torch.get_num_threads())})


@cache
def _fixed() -> Mapping[str, str]:
    """What does not change while the process lives."""
    return MappingProxyType(
        {
            "dralign": version("dralign"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "platform": f"{platform.system()} {platform.machine()}",
            # The instruction set decides the order of sums, and with it the last digits.
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }
    )
