"""Audits: what a trained network does to each group, and which of its parts do it."""

from dralign.auditing.assessment import audit
from dralign.auditing.records import Audit

__all__ = ["Audit", "audit"]
