"""Studies: many trials, kept in a ledger, run on many processes, and summarised."""

from dralign.study.curves import Curve, learning_curves
from dralign.study.environment import environment
from dralign.study.ledger import Ledger
from dralign.study.record import TrialRecord
from dralign.study.runner import StudyOutcome, run_study, unfinished
from dralign.study.spec import Trial, TrialSpec, identify
from dralign.study.statistics import Interval, Row, Setting, summarise
from dralign.study.trial import run_trial

__all__ = [
    "Curve",
    "Interval",
    "Ledger",
    "Row",
    "Setting",
    "StudyOutcome",
    "Trial",
    "TrialRecord",
    "TrialSpec",
    "environment",
    "identify",
    "learning_curves",
    "run_study",
    "run_trial",
    "summarise",
    "unfinished",
]
