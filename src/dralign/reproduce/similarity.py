"""Fig. 4 and Table 7: similarity of the rationales against lambda, width and layer, Adult."""

from pathlib import Path

from dralign.report import Curve, Curves, line_figure, write_figure
from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import DP, EO, Results, Values, mean, reading, shown

FORMS = tuple(
    f"{granularity}, {form}"
    for granularity in ("unit", "parameter")
    for form in ("exact", "clamped")
)
DP_WEIGHTS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)  # of Table 1; claims on FairReg are judged at these
SHOWN_WEIGHTS = (0.0, 0.1, *DP_WEIGHTS[1:])  # and .1, where DRAlign starts (Table 2)
WIDTHS = (10, 20, 50, 200)
LAYERS = ("0", "2")  # the first and the second weight layer of the perceptron


def at(
    results: Results,
    form: str,
    layer: str,
    method: str,
    weight: float,
    *,
    hidden: int = 200,
    gap: str = DP,
) -> Values:
    """The similarity of a network in one form; FairReg at lambda 0 is Oversample.

    DRAlign has none at lambda 0, where nothing of Eq. 9 but the alignment is left (A.9).
    """
    if not weight and method == "dralign":
        return {}
    figure = reading(f"similarity, {form}, {layer}")
    if not weight and method in {"gap", "mixup"}:
        return results.values(figure, "oversample", gap=gap, hidden=hidden)
    return results.values(figure, method, gap=gap, hidden=hidden, fairness_weight=weight)


def fig4(results: Results) -> Reproduction:
    """Sums over layers for every curve of Fig. 4 (a), and single layers for Fig. 4 (b)."""
    lines = []
    for form in FORMS:
        for method, width in _CURVES:
            for layer in ("total", *(LAYERS if method == "gap" and width >= 50 else ())):
                values = [
                    at(results, form, layer, method, weight, hidden=width)
                    for weight in SHOWN_WEIGHTS
                ]
                name = {"total": "sum", "0": "layer 1", "2": "layer 2"}[layer]
                lines.append((form, f"{method} (c{width})", name, *(shown(v, 2) for v in values)))
    header = ("form", "network", "layer", *(f"lambda {weight:g}" for weight in SHOWN_WEIGHTS))
    return Reproduction(header, tuple(lines), _NOTE)


def table7(results: Results) -> Reproduction:
    """The sums over layers and labels under EO, in every form."""
    paper = printed("table7")
    weights = paper["weights"]
    lines = []
    for method in ("gap", "mixup"):
        for width in WIDTHS:
            values = [f"{value:.1f}" for value in paper[f"{method}_{width}"]]
            lines.append((f"{method} (c{width})", "paper", *values))
            for form in FORMS:
                ours = [
                    at(results, form, "total", method, w, hidden=width, gap=EO) for w in weights
                ]
                lines.append((f"{method} (c{width})", form, *(shown(v, 2) for v in ours)))
    return Reproduction(
        ("network", "form", *(f"lambda {w:g}" for w in weights)), tuple(lines), _NOTE
    )


_CURVES = (*(("gap", width) for width in WIDTHS), ("mixup", 200), ("dralign", 200))
_NOTE = (
    "On all training rows at the epoch of the smallest soft validation gap. 'clamped' divides by "
    "at least 1e-8, as the published code's framework did; 'exact' has no epsilon. At unit "
    "granularity the last layer has one unit and is 1 by construction. The top is 3 under DP and 6 "
    "under EO."
)


def draw_fig4(results: Results, path: Path) -> Path:
    """Fig. 4: sums (a) and layers (b) at unit granularity; clamped curves are dotted."""
    sums, layers = [], []
    for dash, form in enumerate(("unit, exact", "unit, clamped")):
        for colour, (method, width) in enumerate(_CURVES):
            label = "" if dash else f"{method} (c{width})"
            sums.append(Curve(label, _points(results, form, "total", method, width), colour, dash))
        for colour, (width, layer) in enumerate((w, x) for w in (50, 200) for x in LAYERS):
            label = "" if dash else f"c{width}, layer {1 + LAYERS.index(layer)}"
            layers.append(Curve(label, _points(results, form, layer, "gap", width), colour, dash))
    y = "similarity of the rationales"
    figure = line_figure(
        [
            Curves("(a) sum over layers; dotted: clamped", "lambda", y, tuple(sums)),
            Curves("(b) layers, FairReg; dotted: clamped", "lambda", y, tuple(layers)),
        ]
    )
    return write_figure(figure, path)


def _points(
    results: Results, form: str, layer: str, method: str, width: int
) -> tuple[tuple[float, float], ...]:
    """The means at the weights that have trials."""
    values = [(w, at(results, form, layer, method, w, hidden=width)) for w in SHOWN_WEIGHTS]
    return tuple((weight, mean(result)) for weight, result in values if result)
