"""Which parts of a network matter to whom, on the page of an audit."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dralign.forms import shown
from dralign.report.audit_charts import MOST_COLUMNS
from dralign.report.page import chart, scrolled, table

if TYPE_CHECKING:
    import plotly.graph_objects as go

Form = Mapping[str, Any]
_FORMS = {"sum": "summed over its weights", "joint": "of the whole unit, removed at once"}


def influence_section(audit: Form, charts: "Mapping[str, go.Figure]") -> str:
    """Heat maps and the highest parity scores."""
    result, groups = audit["influence"], list(audit["groups"])
    maps = []
    for index, layer in enumerate(result["layers"]):
        n_units = len(layer["scores"])
        about = f"{n_units} unit{'s' if n_units != 1 else ''} of {layer['fan_in']} weights"
        if n_units > MOST_COLUMNS:
            about += f"; the {MOST_COLUMNS} with the highest scores"
        head = f"<h3>Layer {escape(layer['layer'])} <span class=note>{about}</span></h3>"
        if (key := f"map-{index}") in charts:
            maps.append(head + chart(key, charts[key], f"Influences of layer {layer['layer']}"))
    error = result["standard_error"]
    spread = f" (standard error {error:.1e}, from a sample)" if error else ""
    return (
        "<section><h2>Which parts matter to whom</h2>"
        "<p>The exact influence of a weight on a group is the squared change of the group's mean "
        "loss when the weight is set to zero (Eq. 4); that of a unit is "
        f"{_FORMS[result['unit_form']]}. Colours are divided by the largest value of the layer, so "
        "they compare units within a layer only. The parity score d is the squared difference "
        f"between groups (Eq. 5); over all weights it adds up to {result['total']:.3e}{spread}.</p>"
        f"{''.join(maps)}"
        '<div class="pair">'
        "<div><h3>Units with the highest scores</h3>"
        f"{_parts(result['units'], groups, _unit)}</div>"
        "<div><h3>Weights with the highest scores</h3>"
        f"{_parts(result['parameters'], groups, _weight_of(audit))}</div></div>"
        '<p class="note">A layer\'s only unit has no peer and is not ranked among units.</p>'
        "</section>"
    )


def _unit(part: Form) -> str:
    """A unit by its number."""
    return f"unit {part['unit']}"


def _weight_of(audit: Form) -> Callable[[Form], str]:
    """How a weight is told: by its indices, in the first layer by its unit and input."""
    inputs, first = audit["meaning"]["inputs"], audit["influence"]["layers"][0]["layer"]

    def told(part: Form) -> str:
        if inputs and part["layer"] == first:
            unit, column = part["index"]
            return f"unit {unit}, input {escape(shown(inputs[column]))}"
        unit, *rest = map(str, part["index"])
        return f"unit {unit}, weight {', '.join(rest)}"

    return told


def _parts(parts: Sequence[Form], groups: Sequence[str], told: Callable[[Form], str]) -> str:
    """A table of units or weights."""
    head = ["layer", "which", "d", *(f"c, {escape(name)}" for name in groups)]
    body = [
        [
            escape(one["layer"]),
            told(one),
            f"{one['score']:.2e}",
            *(f"{value:.2e}" for value in one["influences"]),
        ]
        for one in parts
    ]
    return scrolled(table(head, body), "Highest parity scores")
