"""One page for an audit: a single HTML file that needs no network, from ``Audit.to_dict()``."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from dralign.report.audit_parts import influence_section
from dralign.report.page import (
    chart,
    definitions,
    folded,
    listed,
    overview_section,
    scrolled,
    table,
    write_page,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

Form = Mapping[str, Any]
SHOWN = ("base_rate", "all_cutoffs", "soft", "hard")  # measures of gaps


def write_audit_page(path: Path | str, audit: Form, *, title: str = "Audit") -> Path:
    """Writes the page: findings, group figures, noise floor, heat maps, tables, what-if, limits.

    Everything that comes from data, names or options is escaped. The tables can be read without
    JavaScript.

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
        findings=listed(list(map(escape, audit["findings"])), "findings"),
        details=_details(audit["details"]),
        data=overview_section(audit["meaning"]["data"]),
        notes=listed([f"Note: {escape(text)}" for text in audit["notes"]], "findings note"),
        sections="".join(_sections(audit, charts)),
        settings=definitions(_settings(audit)),
        environment=definitions(audit["provenance"]["environment"]),
        charts=charts,
    )


def _details(sentences: Sequence[str]) -> str:
    """What is found in the terms of the paper, folded."""
    if not sentences:
        return ""
    told = listed(list(map(escape, sentences)), "findings")
    return folded("In detail, in the terms of the paper", told)


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


def _sections(audit: Form, charts: "Mapping[str, go.Figure]") -> Iterator[str]:
    """The parts of the page, in order of interest."""
    if "rates" in charts:
        yield outcomes_section(audit, charts, heading="What the network decides")
    if "noise" in charts:
        yield _similarity(audit["similarity"], charts)
    if audit["influence"]:
        yield influence_section(audit, charts)
    if "what-if" in charts:
        yield _what_if(audit["what_if"], charts)
    if audit["agreement"] or audit["independence"]:
        yield _trust(audit, charts)


def outcomes_section(audit: Form, charts: "Mapping[str, go.Figure]", *, heading: str) -> str:
    """Group figures and gaps, of a network or of predictions alone."""
    outcomes, made = audit["outcomes"], audit["provenance"]
    n_bootstrap, few = made["n_bootstrap"], f"fewer than {made['min_group_size']}"
    head = ["group", "rows", *RATES.values()]
    measures = [gap_measure(name) for name in SHOWN]
    good = audit["meaning"]["favourable"] is not False
    rate = "selection rate" if good else "rate of the favourable decision"
    gap_head = ["gap", *(known.words for known in measures)]
    body = [
        [escape(one["group"]), f"{one['n']:,}", *(_estimate(one["figures"][k]) for k in RATES)]
        for one in outcomes["groups"]
    ]
    body += [[escape(name), few, *["withheld"] * len(RATES)] for name in audit["withheld"]]
    gaps = [
        [name, *(_defined(outcomes["gaps"].get(known.key(gap))) for known in measures)]
        for gap, name in _gaps().items()
    ]
    return (
        f"<section><h2>{heading}</h2>"
        f"<p>{_decided(made['threshold'])} Bars and "
        f"small print are 95 % percentile intervals from {n_bootstrap} draws of rows within each "
        "group; drawing makes gaps near 0 look larger, so their intervals lie high.</p>"
        f"{chart('rates', charts['rates'], 'Figures of each group')}"
        f"{scrolled(table(head, body), 'Figures of each group')}"
        f"<h3>Gaps between groups (0 is parity)</h3>"
        f"{scrolled(table(gap_head, gaps), 'Gaps between groups')}"
        "<p>Base-rate and all-cut-offs gaps are decided by the order of the scores alone; soft and "
        "hard ones get smaller where all scores do. Equalized odds adds the labels up. Smallest "
        f"over largest {rate}: "
        f"{_in_text(outcomes['selection_ratio'])}; a rule of thumb asks for .8 or more.</p>"
        "</section>"
    )


def _decided(threshold: float | Mapping[str, float]) -> str:
    """From which probability on a row is decided positive."""
    if not isinstance(threshold, Mapping):
        return f"A decision is positive from a probability of {threshold:.4g} on."
    each = ", ".join(f"{value:.4g} for {escape(name)}" for name, value in threshold.items())
    return f"A decision is positive from a probability of {each} on."


def _defined(estimate: Form | None) -> str:
    """A figure with its interval; a dash where a gap never has it."""
    return "–" if estimate is None else _estimate(estimate)


def _similarity(similarity: Form, charts: "Mapping[str, go.Figure]") -> str:
    """Rationales against their noise floor."""
    n_splits = len(similarity["unit"]["total"]["null"])
    head = ["layer", "per", "similarity", "noise floor", "p", "reading"]
    body = [
        [
            escape(test["layer"]),
            granularity,
            _estimate(test["similarity"]),
            number(test["noise_floor"]),
            number(test["p_value"]),
            _reading(test),
        ]
        for granularity, result in similarity.items()
        for test in [result["total"], *result["layers"]]
    ]
    return (
        "<section><h2>Do the groups' rationales differ by more than chance?</h2>"
        "<p>The diamond is the cosine similarity of the groups' first-order influences (Taylor, "
        f"Eq. 8). The grey dots are {n_splits} random splits of the same rows into parts of the "
        "same sizes: what would be seen if the groups meant nothing to the network. A diamond left "
        "of the black bar is less similar than 95 % of them. A layer with one unit has similarity "
        "1 per unit whatever the split.</p>"
        f"{chart('noise', charts['noise'], 'Similarity against random splits')}"
        f"{scrolled(table(head, body), 'Similarity against its noise floor')}"
        "<h3>And in size?</h3>"
        "<p>Similarity compares shapes. The parity score (Eq. 5) of the same influences compares "
        "sizes too; above its noise ceiling it is larger than in 95 % of the splits. The direction "
        "is the cosine of the signed changes: near −1 what helps one group harms the other, which "
        "squares can't show.</p>"
        f"{_parity(similarity)}</section>"
    )


def _reading(test: Form) -> str:
    """What a similarity says beside its noise floor."""
    if {*test["null"]} == {test["similarity"]["value"]}:
        return "constant, tells nothing"
    return "within noise" if test["within_noise"] else '<span class="below">below noise</span>'


def _parity(similarity: Form) -> str:
    """First-order parity scores against their noise ceiling."""
    head = ["layer", "per", "parity score", "noise ceiling", "p", "reading", "direction"]
    body = [
        [
            escape(test["layer"]),
            granularity,
            f"{test['score']:.2e}",
            f"{test['noise_ceiling']:.2e}",
            number(test["p_value"]),
            "within noise" if test["within_noise"] else '<span class="below">above noise</span>',
            number(test["direction"], digits=2),
        ]
        for granularity, result in similarity.items()
        for test in [result["parity_total"], *result["parity"]]
    ]
    return scrolled(table(head, body), "Parity scores against their noise ceiling")


def _gaps() -> dict[str, str]:
    """The gaps that there are figures of, in words, by name."""
    return {name: gap_type(name).words for name in figure_names()}


def _what_if(steps: Sequence[Form], charts: "Mapping[str, go.Figure]") -> str:
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
                number(step["figures"].get(key))
                + (f"<small>random {number(step['random'].get(key))}</small>" if step["k"] else "")
                for key in keys
            ),
        ]
        for step in steps
    ]
    last = ", ".join(f"{escape(layer)}:{unit}" for layer, unit in steps[-1]["units"])
    return (
        "<section><h2>What if the units with the highest scores were gone?</h2>"
        "<p>Their rows of the weights are set to zero, their biases stay; output units are kept. "
        "Grey lines, and the small print, are medians over random sets of as many units, because "
        "any removal moves the gaps. One network, no intervals: this shows what units do.</p>"
        f"{chart('what-if', charts['what-if'], 'Without the top units')}"
        f"{scrolled(table(['removed', *names], body), 'Without the top units')}"
        f'<p class="note">Removed in this order (layer:unit): {last}</p></section>'
    )


def _trust(audit: Form, charts: "Mapping[str, go.Figure]") -> str:
    """How far the approximations hold: Taylor, and independence."""
    agreement = _agreement(audit) if audit["agreement"] else ""
    independence = _independence(audit, charts) if "independence" in charts else ""
    head = "<h2>How far the approximations hold here</h2>"
    return f"<section>{head}{agreement}{independence}</section>"


def _agreement(audit: Form) -> str:
    """Taylor against ablation."""
    groups = list(audit["groups"])
    rows: dict[tuple[str, str], dict[str, Form]] = {}
    for one in audit["agreement"]:
        rows.setdefault((one["layer"], one["granularity"]), {})[one["group"]] = one
    head = ["layer", "per", "entries", "parity score d", *(f"c, {escape(g)}" for g in groups)]
    body = [
        [
            escape(layer),
            granularity,
            f"{own['']['n']:,}",
            *(number(own[name]["correlation"], digits=3) for name in ["", *groups]),
        ]
        for (layer, granularity), own in rows.items()
    ]
    return (
        "<h3>First-order against exact</h3>"
        "<p>Spearman rank correlation of Taylor (Eq. 8) and ablation (Eq. 4), in the same form on "
        "both sides. Entries without influence in both are left out, as their ties would raise it."
        f"</p>{scrolled(table(head, body), 'First-order against exact')}"
    )


def _independence(audit: Form, charts: "Mapping[str, go.Figure]") -> str:
    """Weights removed together, against the sum of what each does."""
    sizes = sorted({one["size"] for one in audit["independence"]})
    return (
        "<h3>Independence (A.13)</h3>"
        "<p>Parity scores add up the influences of single weights. Here random sets of "
        f"{', '.join(map(str, sizes))} weights "
        "of all layers are removed at once and compared with the sum over their weights: medians "
        f"and quartiles of {audit['provenance']['n_sets']} sets. Influences are squares, which do "
        "not add up even where the signed loss changes (right) do.</p>"
        f"{chart('independence', charts['independence'], 'Sets against sums')}"
    )


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
    return f"{number(one['value'])}<small>{number(one['low'])} to {number(one['high'])}</small>"


def _in_text(one: Form) -> str:
    """A figure with its interval, in a sentence."""
    if one["value"] is None or one["low"] is None:
        return _estimate(one)
    low, high = number(one["low"]), number(one["high"])
    return f"{number(one['value'])} ({low} to {high})"


def number(value: float | None, *, digits: int = 3) -> str:
    """A figure, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"
