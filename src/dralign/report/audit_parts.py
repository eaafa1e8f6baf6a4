"""Which parts of a network matter to whom, on the page of an audit."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dralign.forms import shown
from dralign.report.audit_charts import MOST_COLUMNS
from dralign.report.page import Chart, Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

Form = Mapping[str, Any]
_FORMS = {"sum": "summed over its weights", "joint": "of the whole unit, removed at once"}


def influence_parts(audit: Form, charts: "Mapping[str, go.Figure]") -> dict[str, object]:
    """Heat maps and the highest parity scores."""
    result, groups = audit["influence"], list(audit["groups"])
    maps = []
    for index, layer in enumerate(result["layers"]):
        n_units = len(layer["scores"])
        about = f"{n_units} unit{'s' if n_units != 1 else ''} of {layer['fan_in']} weights"
        if n_units > MOST_COLUMNS:
            about += f"; the {MOST_COLUMNS} with the highest scores"
        if (key := f"map-{index}") in charts:
            drawn = Chart(key, charts[key], f"Influences of layer {layer['layer']}")
            maps.append((layer["layer"], about, drawn))
    error = result["standard_error"]
    spread = f" (standard error {error:.1e}, from a sample)" if error else ""
    return {
        "of_unit": _FORMS[result["unit_form"]],
        "total": f"{result['total']:.3e}{spread}",
        "maps": maps,
        "units": _parts(result["units"], groups, _unit),
        "weights": _parts(result["parameters"], groups, _weight_of(audit)),
    }


def _unit(part: Form) -> str:
    """A unit by its number."""
    return f"unit {part['unit']}"


def _weight_of(audit: Form) -> Callable[[Form], str]:
    """How a weight is told: by its indices, in the first layer by its unit and input."""
    inputs, first = audit["meaning"]["inputs"], audit["influence"]["layers"][0]["layer"]

    def told(part: Form) -> str:
        if inputs and part["layer"] == first:
            unit, column = part["index"]
            return f"unit {unit}, input {shown(inputs[column])}"
        unit, *rest = map(str, part["index"])
        return f"unit {unit}, weight {', '.join(rest)}"

    return told


def _parts(parts: Sequence[Form], groups: Sequence[str], told: Callable[[Form], str]) -> Table:
    """A table of units or weights."""
    head = ["layer", "which", "d", *(f"c, {name}" for name in groups)]
    body = [
        [
            one["layer"],
            told(one),
            f"{one['score']:.2e}",
            *(f"{value:.2e}" for value in one["influences"]),
        ]
        for one in parts
    ]
    return Table("Highest parity scores", head, body)
