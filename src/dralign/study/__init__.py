"""Studies: many trials, kept in a ledger, run on many processes, and summarised."""

from dralign.tiers import require

require("dralign.study", "joblib", "pandas", "scipy")

from dralign.study.compared import compared_trials, methods_for
from dralign.study.comparison import Comparison, compare_methods, compare_with_baseline
from dralign.study.contrast import Contrast
from dralign.study.curves import Curve, learning_curves
from dralign.study.environment import environment
from dralign.study.export import record_table
from dralign.study.fronts import front, gap_at, hypervolume
from dralign.study.ledger import Ledger, ledger_path
from dralign.study.network import TrainedNetwork, train_network
from dralign.study.plan import Plan, load_plan
from dralign.study.record import TrialRecord
from dralign.study.runner import StudyOutcome, only_writer, run_study, unfinished
from dralign.study.significance import PValues, Ratio, holm, p_values, ratio_of_means
from dralign.study.spec import Trial, TrialSpec, identify
from dralign.study.statistics import Interval, Row, Setting, summarise
from dralign.study.trial import run_trial

__all__ = [
    "Comparison",
    "Contrast",
    "Curve",
    "Interval",
    "Ledger",
    "PValues",
    "Plan",
    "Ratio",
    "Row",
    "Setting",
    "StudyOutcome",
    "TrainedNetwork",
    "Trial",
    "TrialRecord",
    "TrialSpec",
    "compare_methods",
    "compare_with_baseline",
    "compared_trials",
    "environment",
    "front",
    "gap_at",
    "holm",
    "hypervolume",
    "identify",
    "learning_curves",
    "ledger_path",
    "load_plan",
    "methods_for",
    "only_writer",
    "p_values",
    "ratio_of_means",
    "record_table",
    "run_study",
    "run_trial",
    "summarise",
    "train_network",
    "unfinished",
]
