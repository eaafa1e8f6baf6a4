"""Decision rationale alignment: train and audit classifiers by what matters to each group.

Implements FAIRER: Fairness as Decision Rationale Alignment (Li et al., ICML 2023). The README
shows the doors: a term for a training loop, a command line, and the parts they are made of.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dralign.alignment import RationaleAlignment, aligned_backward
    from dralign.auditing import Audit, PredictionAudit, audit, audit_predictions
    from dralign.comparing import MethodComparison, compare
    from dralign.data import fetch_adult, fetch_compas, fetch_german
    from dralign.estimator import DRAlignClassifier, Frontier, PluginClassifier
    from dralign.gaps import (
        demographic_parity_gap,
        equal_opportunity_gap,
        equalized_odds_gap,
        predictive_parity_gap,
    )
    from dralign.groups import encode_groups
    from dralign.rationale import ParityScores, group_losses, parity_scores

__all__ = [
    "Audit",
    "DRAlignClassifier",
    "Frontier",
    "MethodComparison",
    "ParityScores",
    "PluginClassifier",
    "PredictionAudit",
    "RationaleAlignment",
    "aligned_backward",
    "audit",
    "audit_predictions",
    "compare",
    "demographic_parity_gap",
    "encode_groups",
    "equal_opportunity_gap",
    "equalized_odds_gap",
    "fetch_adult",
    "fetch_compas",
    "fetch_german",
    "group_losses",
    "parity_scores",
    "predictive_parity_gap",
]

_HOMES = {
    "Audit": "auditing",
    "DRAlignClassifier": "estimator",
    "Frontier": "estimator",
    "MethodComparison": "comparing",
    "ParityScores": "rationale",
    "PluginClassifier": "estimator",
    "PredictionAudit": "auditing",
    "RationaleAlignment": "alignment",
    "aligned_backward": "alignment",
    "audit": "auditing",
    "audit_predictions": "auditing",
    "compare": "comparing",
    "demographic_parity_gap": "gaps",
    "encode_groups": "groups",
    "equal_opportunity_gap": "gaps",
    "equalized_odds_gap": "gaps",
    "fetch_adult": "data",
    "fetch_compas": "data",
    "fetch_german": "data",
    "group_losses": "rationale",
    "parity_scores": "rationale",
    "predictive_parity_gap": "gaps",
}
# Parts that need no import of their own.
_PARTS = {
    *_HOMES.values(),
    *("analysis", "errors", "methods", "metrics", "models", "report", "step", "study", "training"),
}


def __getattr__(name: str) -> object:
    """A name on its first use: ``import dralign`` itself loads nothing, and takes no time.

    Raises:
        AttributeError: if there is no such name.
    """
    from importlib import import_module

    if name in _HOMES:
        result: object = getattr(import_module(f"dralign.{_HOMES[name]}"), name)
        globals()[name] = result
        return result
    if name in _PARTS:
        return import_module(f"dralign.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
