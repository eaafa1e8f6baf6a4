"""Training: the loop, its records, and selection of an epoch from them afterwards."""

from dralign.tiers import require

require("dralign.training", "pandas", "safetensors")

from dralign.training.cautions import Caution, cautions
from dralign.training.checkpoints import Checkpoints
from dralign.training.checks import check_groups, check_weights
from dralign.training.distributed import (
    find_device,
    first_before_others,
    joined,
)
from dralign.training.evaluation import group_thresholds, predict_probability
from dralign.training.front import FrontPoint, choose_point, train_front
from dralign.training.history import EpochRecord, History
from dralign.training.launcher import is_first, launch, launched
from dralign.training.loop import Training, train
from dralign.training.run import Keep
from dralign.training.seeding import seeded, spawn_seeds
from dralign.training.selection import PUBLISHED_RULE, RULES, Rule, Selection
from dralign.training.settings import Precision, TrainingSettings
from dralign.training.tensorboard import tensorboard_log

__all__ = [
    "PUBLISHED_RULE",
    "RULES",
    "Caution",
    "Checkpoints",
    "EpochRecord",
    "FrontPoint",
    "History",
    "Keep",
    "Precision",
    "Rule",
    "Selection",
    "Training",
    "TrainingSettings",
    "cautions",
    "check_groups",
    "check_weights",
    "choose_point",
    "find_device",
    "first_before_others",
    "group_thresholds",
    "is_first",
    "joined",
    "launch",
    "launched",
    "predict_probability",
    "seeded",
    "spawn_seeds",
    "tensorboard_log",
    "train",
    "train_front",
]
