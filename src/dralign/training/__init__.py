"""Training: the loop, its records, and selection of an epoch from them afterwards."""

from dralign.training.evaluation import group_thresholds, predict_probability
from dralign.training.history import EpochRecord, History
from dralign.training.loop import Training, TrainingSettings, check_groups, train
from dralign.training.seeding import seeded, spawn_seeds
from dralign.training.selection import RULES, Rule, Selection

__all__ = [
    "RULES",
    "EpochRecord",
    "History",
    "Rule",
    "Selection",
    "Training",
    "TrainingSettings",
    "check_groups",
    "group_thresholds",
    "predict_probability",
    "seeded",
    "spawn_seeds",
    "train",
]
