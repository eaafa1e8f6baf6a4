"""One page for an audit of predictions, from ``PredictionAudit.to_dict()``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dralign.report.audit_charts import rates_chart
from dralign.report.audit_page import number, outcome_parts
from dralign.report.page import write_page


def write_predictions_page(
    path: Path | str, audit: Mapping[str, Any], *, title: str = "Audit of predictions"
) -> Path:
    """Writes the page: findings, group figures, gaps, limits; everything is escaped.

    Args:
        path: the HTML file.
        audit: what ``PredictionAudit.to_dict()`` gave.
        title: the heading.

    Returns:
        The path of the file.

    Raises:
        OutputError: if the file can't be written.
    """
    charts = {"rates": rates_chart(audit["outcomes"])}
    made, outcomes = audit["provenance"], audit["outcomes"]
    gaps, overall = outcomes["gaps"], outcomes["overall"]
    return write_page(
        path,
        "predictions",
        title=title,
        facts=[
            (f"{sum(audit['groups'].values()):,}", "rows"),
            (str(len(audit["groups"])), "groups"),
            (number(overall["average_precision"]["value"]), "average precision"),
            (number(gaps["base_rate_demographic_parity"]["value"]), "base-rate gap"),
            (number(gaps["hard_demographic_parity"]["value"]), "demographic parity gap"),
        ],
        findings=audit["findings"],
        data=audit["meaning"]["data"],
        notes=audit["notes"],
        outcomes=outcome_parts(audit, charts, "What is decided"),
        settings={
            **{f"rows of {name}": f"{n:,}" for name, n in audit["groups"].items()},
            "rows a group must have": str(made["min_group_size"]),
            "positive from a score of": f"{made['threshold']:g}",
            "bootstrap draws": str(made["n_bootstrap"]),
            "seed": str(made["seed"]),
        },
        environment=made["environment"],
        charts=charts,
    )
