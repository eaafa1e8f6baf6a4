"""The settings that all methods have, or several share."""

from typing import Final, get_args

from dralign.gaps import Aggregate, gap_names
from dralign.settings import Setting
from dralign.step import LossConvention

LARGEST_WEIGHT: Final = 1e20  # float32 still holds it times all else that enters a step
GAP: Final = Setting(
    "gap",
    "The gap that is trained for, or judged by; of more than two classes those of demographic "
    "parity and equalized odds.",
    "choice",
    default="demographic_parity",
    choices=gap_names,
)
LOSS: Final = Setting(
    "loss",
    "batch_mean (as in the published code) or group_sum (Algorithm 1).",
    "choice",
    default="batch_mean",
    choices=get_args(LossConvention),
)
FAIRNESS_WEIGHT: Final = Setting(
    "fairness_weight",
    "lambda, the weight of the gap, or of what the method has in its place.",
    "number",
    default=0.2,
    off=0.0,
    least=0.0,
    most=LARGEST_WEIGHT,
    sign="λ",
)
AGGREGATE: Final = Setting(
    "aggregate",
    "Of more than two groups, train on the max or the mean over pairs.",
    "choice",
    default="max",
    off="max",
    choices=get_args(Aggregate),
)
MIXUP_LAYER: Final = Setting(
    "mixup_layer",
    "The module whose output Fair Mixup mixes; the inputs if not given.",
    "text",
    off=None,
    optional=True,
    when=lambda settings: settings.get("penalty", "mixup") == "mixup",
)
