"""An audit in one line, as a notebook or a debugger shows it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dralign.auditing.records import Audit, Outcomes, PredictionAudit


def audit_line(audit: "Audit") -> str:
    """Rows, groups, the gap of the decisions and the similarity per unit, as far as asked for."""
    figures = [_gap(audit.outcomes)] if audit.outcomes else []
    if audit.similarity:
        units = audit.similarity["unit"]
        value = units.total.similarity.value
        figures.append(f"similarity {value:.3f} of at most {len(units.layers)}")
    return _line("Audit", audit.groups, figures)


def predictions_line(audit: "PredictionAudit") -> str:
    """Rows, groups, average precision and the gap of the decisions."""
    precision = audit.outcomes.overall["average_precision"].value
    figures = [f"average precision {precision:.3f}", _gap(audit.outcomes)]
    return _line("PredictionAudit", audit.groups, figures)


def _gap(outcomes: "Outcomes") -> str:
    """The gap of the decisions."""
    return f"demographic parity gap {outcomes.gaps['hard_demographic_parity'].value:.3f}"


def _line(kind: str, groups: Mapping[str, int], figures: Sequence[str]) -> str:
    """What it is, of how many rows, and its figures."""
    of = f"{kind} of {sum(groups.values()):,} rows in {len(groups)} groups"
    return f"<{of}: {', '.join(figures)}>" if figures else f"<{of}>"
