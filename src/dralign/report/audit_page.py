"""One page for an audit: a single HTML file that needs no network, from ``Audit.to_dict()``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from dralign.gaps import figure_names, gap_type
from dralign.metrics import gap_measure
from dralign.report.audit_charts import (
    RATES,
    independence_chart,
    influence_chart,
    noise_chart,
    rates_chart,
    what_if_chart,
)
from dralign.report.audit_parts import influence_parts
from dralign.report.page import Chart, Table, write_page

if TYPE_CHECKING:
    import plotly.graph_objects as go

Form = Mapping[str, Any]
_SMALL: Final = Markup("{}<small>{}</small>")
_BELOW: Final = Markup('<span class="below">{}</span>')
SHOWN = ("base_rate", "all_cutoffs", "soft", "hard")  # measures of gaps


def write_audit_page(path: Path | str, audit: Form, *, title: str = "Audit") -> Path:
    """Writes the page: findings, group figures, noise floor, heat maps, tables, what-if, limits.

    Everything is escaped. The tables can be read without JavaScript.

    Args:
        path: the HTML file.
        audit: what ``Audit.to_dict()`` gave.
        title: the heading.

    Returns:
        The path of the file.

    Raises:
        StudyError: if the file can't be written.
    """
    charts = audit_charts(audit)
    return write_page(
        path,
        "audit",
        title=title,
        facts=_facts(audit),
        charts=charts,
        findings=audit["findings"],
        details=audit["details"],
        notes=audit["notes"],
        data=audit["meaning"]["data"],
        outcomes=outcome_parts(audit, charts, "What the network decides")
        if "rates" in charts
        else None,
        similarity=_similarity(audit["similarity"], charts) if "noise" in charts else None,
        influence=influence_parts(audit, charts) if audit["influence"] else None,
        what_if=_what_if(audit["what_if"], charts) if "what-if" in charts else None,
        agreement=_agreement(audit) if audit["agreement"] else None,
        independence=_independence(audit, charts) if "independence" in charts else None,
        settings=_settings(audit),
        environment=audit["provenance"]["environment"],
    )


def audit_charts(audit: Form) -> "dict[str, go.Figure]":
    """The charts by key, of what ``Audit.to_dict()`` gave; what has no figures has none."""
    groups = list(audit["groups"])
    layers = audit["influence"]["layers"] if audit["influence"] else []
    charts = {
        f"map-{index}": influence_chart(layer, groups)
        for index, layer in enumerate(layers)
        if len(layer["scores"]) > 1
    }
    if audit["similarity"]:
        charts["noise"] = noise_chart(audit["similarity"])
    if audit["independence"]:
        charts["independence"] = independence_chart(audit["independence"])
    if audit["outcomes"] is not None:
        charts["rates"] = rates_chart(audit["outcomes"])
    if len(audit["what_if"]) > 1:
        charts["what-if"] = what_if_chart(audit["what_if"])
    return charts


def _facts(audit: Form) -> list[tuple[str, str]]:
    """The figures at the top of the page."""
    facts = [
        (f"{sum(audit['groups'].values()):,}", "rows"),
        (str(len(audit["groups"])), "groups"),
    ]
    if audit["outcomes"] is not None:
        gaps, overall = audit["outcomes"]["gaps"], audit["outcomes"]["overall"]
        facts += [
            (number(overall["average_precision"]["value"]), "average precision"),
            (number(gaps["hard_demographic_parity"]["value"]), "demographic parity gap"),
        ]
    if audit["similarity"]:
        total, layers = (audit["similarity"]["unit"][key] for key in ("total", "layers"))
        value = number(total["similarity"]["value"], digits=2)
        facts += [
            (f"{value} / {len(layers)}", "similarity of rationales"),
            (number(total["p_value"]), "p: as different by chance"),
        ]
    return facts


def outcome_parts(
    audit: Form, charts: "Mapping[str, go.Figure]", heading: str
) -> dict[str, object]:
    """Group figures and gaps, of a network or of predictions alone."""
    outcomes, made = audit["outcomes"], audit["provenance"]
    few = f"fewer than {made['min_group_size']}"
    measures = [gap_measure(name) for name in SHOWN]
    good = audit["meaning"]["favourable"] is not False
    body = [
        [one["group"], f"{one['n']:,}", *(_estimate(one["figures"][k]) for k in RATES)]
        for one in outcomes["groups"]
    ]
    body += [[name, few, *["withheld"] * len(RATES)] for name in audit["withheld"]]
    gaps = [
        [name, *(_defined(outcomes["gaps"].get(known.key(gap))) for known in measures)]
        for gap, name in _gaps().items()
    ]
    figures = "Figures of each group"
    return {
        "heading": heading,
        "decided": _decided(made["threshold"]),
        "n_bootstrap": made["n_bootstrap"],
        "chart": Chart("rates", charts["rates"], figures),
        "figures": Table(figures, ["group", "rows", *RATES.values()], body),
        "gaps": Table("Gaps between groups", ["gap", *(known.words for known in measures)], gaps),
        "rate": "selection rate" if good else "rate of the favourable decision",
        "ratio": _in_text(outcomes["selection_ratio"]),
    }


def _decided(threshold: float | Mapping[str, float]) -> str:
    """From which probability on a row is decided positive."""
    if not isinstance(threshold, Mapping):
        return f"A decision is positive from a probability of {threshold:.4g} on."
    each = ", ".join(f"{value:.4g} for {name}" for name, value in threshold.items())
    return f"A decision is positive from a probability of {each} on."


def _defined(estimate: Form | None) -> str:
    """A figure with its interval; a dash where a gap never has it."""
    return "–" if estimate is None else _estimate(estimate)


def _similarity(similarity: Form, charts: "Mapping[str, go.Figure]") -> dict[str, object]:
    """Rationales against their noise floor."""
    head = ["layer", "per", "similarity", "noise floor", "p", "reading"]
    body = [
        [
            test["layer"],
            granularity,
            _estimate(test["similarity"]),
            number(test["noise_floor"]),
            number(test["p_value"]),
            _reading(test),
        ]
        for granularity, result in similarity.items()
        for test in [result["total"], *result["layers"]]
    ]
    return {
        "n_splits": len(similarity["unit"]["total"]["null"]),
        "chart": Chart("noise", charts["noise"], "Similarity against random splits"),
        "tests": Table("Similarity against its noise floor", head, body),
        "parity": _parity(similarity),
    }


def _reading(test: Form) -> str:
    """What a similarity says beside its noise floor."""
    if {*test["null"]} == {test["similarity"]["value"]}:
        return "constant, tells nothing"
    return "within noise" if test["within_noise"] else _BELOW.format("below noise")


def _parity(similarity: Form) -> Table:
    """First-order parity scores against their noise ceiling."""
    head = ["layer", "per", "parity score", "noise ceiling", "p", "reading", "direction"]
    body = [
        [
            test["layer"],
            granularity,
            f"{test['score']:.2e}",
            f"{test['noise_ceiling']:.2e}",
            number(test["p_value"]),
            "within noise" if test["within_noise"] else _BELOW.format("above noise"),
            number(test["direction"], digits=2),
        ]
        for granularity, result in similarity.items()
        for test in [result["parity_total"], *result["parity"]]
    ]
    return Table("Parity scores against their noise ceiling", head, body)


def _gaps() -> dict[str, str]:
    """The gaps that there are figures of, in words, by name."""
    return {name: gap_type(name).words for name in figure_names()}


def _what_if(steps: Sequence[Form], charts: "Mapping[str, go.Figure]") -> dict[str, object]:
    """The network without its top units."""
    keys = ["average_precision", *(f"{form}_{gap}" for gap in _gaps() for form in ("soft", "hard"))]
    names = [
        "average precision",
        *(f"{form} {words}" for words in _gaps().values() for form in ("soft", "hard")),
    ]
    body = [
        [
            str(step["k"]),
            *(
                _SMALL.format(
                    number(step["figures"].get(key)), f"random {number(step['random'].get(key))}"
                )
                if step["k"]
                else number(step["figures"].get(key))
                for key in keys
            ),
        ]
        for step in steps
    ]
    label = "Without the top units"
    return {
        "chart": Chart("what-if", charts["what-if"], label),
        "steps": Table(label, ["removed", *names], body),
        "order": ", ".join(f"{layer}:{unit}" for layer, unit in steps[-1]["units"]),
    }


def _agreement(audit: Form) -> Table:
    """Taylor against ablation."""
    groups = list(audit["groups"])
    rows: dict[tuple[str, str], dict[str, Form]] = {}
    for one in audit["agreement"]:
        rows.setdefault((one["layer"], one["granularity"]), {})[one["group"]] = one
    head = ["layer", "per", "entries", "parity score d", *(f"c, {g}" for g in groups)]
    body = [
        [
            layer,
            granularity,
            f"{own['']['n']:,}",
            *(number(own[name]["correlation"], digits=3) for name in ["", *groups]),
        ]
        for (layer, granularity), own in rows.items()
    ]
    return Table("First-order against exact", head, body)


def _independence(audit: Form, charts: "Mapping[str, go.Figure]") -> dict[str, object]:
    """Weights removed together, against the sum of what each does."""
    sizes = sorted({one["size"] for one in audit["independence"]})
    return {
        "sizes": ", ".join(map(str, sizes)),
        "n_sets": audit["provenance"]["n_sets"],
        "chart": Chart("independence", charts["independence"], "Sets against sums"),
    }


def _settings(audit: Form) -> dict[str, str]:
    """What the audit was asked for, and what it took."""
    made = audit["provenance"]
    seconds = made["seconds"]
    settings = {f"rows of {name}": f"{n:,}" for name, n in audit["groups"].items()}
    settings["rows a group must have"] = str(made["min_group_size"])
    settings["parts"] = ", ".join(made["parts"])
    if audit["similarity"]:
        settings["random splits"] = str(made["n_splits"])
        settings["cost of a split"] = made["cost_of_a_split"]
    settings["bootstrap draws"] = str(made["n_bootstrap"])
    if audit["independence"]:
        settings["sets of weights per size"] = str(made["n_sets"])
    if audit["influence"]:
        settings["ablated entries a layer"] = str(made["sample"] or "all")
        settings["engine of the exact scores"] = audit["influence"]["engine"]
    each = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    return settings | {
        "layers": ", ".join(made["layers"]),
        "seed": str(made["seed"]),
        "seconds": f"{sum(seconds.values()):.1f} ({each})",
    }


def _estimate(one: Form) -> str:
    """A figure, and its interval in small print."""
    if one["value"] is None:
        return "undefined"
    if one["low"] is None:
        return number(one["value"])
    return _SMALL.format(number(one["value"]), f"{number(one['low'])} to {number(one['high'])}")


def _in_text(one: Form) -> str:
    """A figure with its interval, in a sentence."""
    if one["value"] is None or one["low"] is None:
        return _estimate(one)
    low, high = number(one["low"]), number(one["high"])
    return f"{number(one['value'])} ({low} to {high})"


def number(value: float | None, *, digits: int = 3) -> str:
    """A figure, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"
