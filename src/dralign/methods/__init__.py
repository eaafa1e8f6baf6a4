"""Methods: the ways to train, each declared in a file of its own and registered here."""

from dralign.methods.adversarial import ADVERSARIAL
from dralign.methods.base import (
    Adjusting,
    Adjustment,
    Method,
    PostProcess,
    Step,
    StepResult,
    TermStep,
)
from dralign.methods.build import build_method, method_options, used_options
from dralign.methods.decorrelation import DECORRELATION
from dralign.methods.dralign import BETA_SHARE, DRALIGN, DRAlign
from dralign.methods.erm import ERM
from dralign.methods.fairbatch import FAIRBATCH
from dralign.methods.gap import GAP
from dralign.methods.hsic import HSIC
from dralign.methods.mixup import MIXUP
from dralign.methods.oversample import OVERSAMPLE
from dralign.methods.placebo import PLACEBO
from dralign.methods.plugin import PLUGIN
from dralign.methods.prejudice_remover import PREJUDICE_REMOVER
from dralign.methods.registry import (
    MethodType,
    method_names,
    method_settings,
    method_type,
    method_types,
    register,
    unregister,
    users_of,
)
from dralign.methods.schedule import Every, Schedule, register_schedule
from dralign.methods.thresholds import THRESHOLDS

# In the order of tables, figures and help.
for _kind in (
    ERM,
    OVERSAMPLE,
    GAP,
    DRALIGN,
    MIXUP,
    ADVERSARIAL,
    DECORRELATION,
    THRESHOLDS,
    PLUGIN,
    PREJUDICE_REMOVER,
    HSIC,
    FAIRBATCH,
    PLACEBO,
):
    register(_kind)

PLAIN = "erm"  # what stands for training as it is, and for data without groups
BASELINES = ("gap", "erm", "oversample")  # what others are compared with, the first that there is

__all__ = [
    "BASELINES",
    "BETA_SHARE",
    "PLAIN",
    "Adjusting",
    "Adjustment",
    "DRAlign",
    "Every",
    "Method",
    "MethodType",
    "PostProcess",
    "Schedule",
    "Step",
    "StepResult",
    "TermStep",
    "build_method",
    "method_names",
    "method_options",
    "method_settings",
    "method_type",
    "method_types",
    "register",
    "register_schedule",
    "unregister",
    "used_options",
    "users_of",
]
