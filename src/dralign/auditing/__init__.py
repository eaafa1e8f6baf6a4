"""Audits: what a trained network does to each group, and which of its parts do it."""

from dralign.tiers import require

require("dralign.auditing", "pandas", "plotly", "scipy")

from dralign.auditing.assessment import audit
from dralign.auditing.cases import AuditCase, artifact_case, network_case
from dralign.auditing.networks import make_network, put_weights
from dralign.auditing.predictions import audit_predictions, audit_score_table
from dralign.auditing.records import Audit, Meaning, PredictionAudit

__all__ = [
    "Audit",
    "AuditCase",
    "Meaning",
    "PredictionAudit",
    "artifact_case",
    "audit",
    "audit_predictions",
    "audit_score_table",
    "make_network",
    "network_case",
    "put_weights",
]
