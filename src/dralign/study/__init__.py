"""Studies: many trials, kept in a ledger, and run on many processes."""

from dralign.tiers import require

require("dralign.study", "joblib", "pandas", "scipy")

from dralign.study.compared import compared_trials, methods_for
from dralign.study.environment import environment
from dralign.study.ledger import Ledger, ledger_path
from dralign.study.network import TrainedNetwork, train_network
from dralign.study.plan import Plan, load_plan
from dralign.study.record import TrialRecord
from dralign.study.runner import StudyOutcome, only_writer, run_study, unfinished
from dralign.study.spec import Trial, TrialSpec, identify
from dralign.study.trial import run_trial

__all__ = [
    "Ledger",
    "Plan",
    "StudyOutcome",
    "TrainedNetwork",
    "Trial",
    "TrialRecord",
    "TrialSpec",
    "compared_trials",
    "environment",
    "identify",
    "ledger_path",
    "load_plan",
    "methods_for",
    "only_writer",
    "run_study",
    "run_trial",
    "train_network",
    "unfinished",
]
