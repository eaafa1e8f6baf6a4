"""Importing torchvision beside a torch that its operator library was not built for."""

import sys
from types import ModuleType
from typing import Any

from dralign.errors import ModelError
from dralign.tiers import installing

# What ``torchvision/csrc/ops/nms.cpp`` and ``quantized/cpu/qnms_kernel.cpp`` declare.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
SIGN = "operator torchvision::nms does not exist"
_kept: list[Any] = []  # a torch.library.Library takes its declarations along when it goes


def vision_models() -> ModuleType:
    """The module ``torchvision.models``.

    The wheels of torchvision are built for CUDA. Beside a CPU-only torch their operator library
    does not load, and the import stops at the missing operator ``torchvision::nms``, which no
    network for classification needs. In that case, and in no other, its schema is declared (without
    an implementation) and the import tried once more.

    Raises:
        ModelError: if torchvision is not installed, or does not fit the installed torch.
    """
    if "torchvision" not in sys.modules and not _imports():
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        _kept.append(library)
    try:
        import torchvision.models as result
    except ModuleNotFoundError as error:
        raise ModelError(
            f"AlexNet and ResNet-18 need torchvision; {installing('vision')}"
        ) from error
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"torchvision does not fit the installed torch ({reason})") from error
    module: ModuleType = result
    return module


def _imports() -> bool:
    """Whether the import gets past the operators; False only for the known case."""
    try:
        import torchvision  # noqa: F401 - that it can be imported is the question
    except RuntimeError as error:
        return SIGN not in str(error)
    except ImportError:
        return True  # what is wrong is told by the import that follows
    return True
