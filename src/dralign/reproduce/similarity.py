"""Fig. 4 and Table 7: similarity of the rationales against lambda, width and layer, Adult."""

from collections.abc import Sequence
from pathlib import Path

from dralign.reproduce.entry import Reproduction, printed
from dralign.reproduce.results import Results, Values, mean, reading, shown

FORMS = tuple(
    f"{granularity}, {form}"
    for granularity in ("unit", "parameter")
    for form in ("exact", "clamped")
)
DP_WEIGHTS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)
WIDTHS = (10, 20, 50, 200)
LAYERS = ("0", "2")  # the first and the second weight layer of the perceptron


def at(
    results: Results, form: str, layer: str, method: str, weight: float, **settings: object
) -> Values:
    """The similarity of a network in one form; FairReg at lambda 0 is Oversample."""
    figure = reading(f"similarity, {form}, {layer}")
    if not weight and method in {"gap", "mixup"}:
        return results.values(figure, "oversample", **settings)
    return results.values(figure, method, fairness_weight=weight, **settings)


def fig4(results: Results) -> Reproduction:
    """Sums over layers for every curve of Fig. 4 (a), and single layers for Fig. 4 (b)."""
    lines = []
    for form in FORMS:
        for method, width in _CURVES:
            for layer in ("total", *(LAYERS if method == "gap" and width >= 50 else ())):
                values = [
                    at(results, form, layer, method, weight, hidden=width) for weight in DP_WEIGHTS
                ]
                name = {"total": "sum", "0": "layer 1", "2": "layer 2"}[layer]
                lines.append((form, f"{method} (c{width})", name, *(shown(v, 2) for v in values)))
    header = ("form", "network", "layer", *(f"lambda {weight:g}" for weight in DP_WEIGHTS))
    return Reproduction(header, tuple(lines), note=_NOTE)


def table7(results: Results) -> Reproduction:
    """The sums over layers and labels under EO, in every form."""
    paper = printed("table7")
    weights = paper["weights"]
    lines = []
    for method in ("gap", "mixup"):
        for width in WIDTHS:
            values = [f"{value:g}" for value in paper[f"{method}_{width}"]]
            lines.append((f"{method} (c{width})", "paper", *values))
            for form in FORMS:
                ours = [
                    at(results, form, "total", method, w, hidden=width, gap="equalized_odds")
                    for w in weights
                ]
                lines.append((f"{method} (c{width})", form, *(shown(v, 2) for v in ours)))
    return Reproduction(
        ("network", "form", *(f"lambda {w:g}" for w in weights)), tuple(lines), note=_NOTE
    )


_CURVES = (*(("gap", width) for width in WIDTHS), ("mixup", 200), ("dralign", 200))
_NOTE = (
    "On all training rows at the epoch of the smallest soft validation gap. 'clamped' divides by "
    "at least 1e-8, as the published code's framework did; 'exact' has no epsilon. At unit "
    "granularity the last layer has one unit and is 1 by construction. The top is 3 under DP and 6 "
    "under EO."
)


def draw_fig4(results: Results, path: Path) -> Path:
    """Fig. 4: sums (a) and layers (b), in the unit form, exact and clamped."""
    from matplotlib.figure import Figure

    from dralign.report.files import write_atomically

    figure = Figure(figsize=(11, 4.4), dpi=160, layout="constrained")
    left, right = figure.subplots(1, 2)
    for form, style in (("unit, exact", "-"), ("unit, clamped", ":")):
        for place, (method, width) in enumerate(_CURVES):
            values = [at(results, form, "total", method, w, hidden=width) for w in DP_WEIGHTS]
            _line(left, values, f"{method} (c{width})" if style == "-" else None, place, style)
        for place, (width, layer) in enumerate((w, x) for w in (50, 200) for x in LAYERS):
            values = [at(results, form, layer, "gap", w, hidden=width) for w in DP_WEIGHTS]
            name = f"c{width}, layer {1 + LAYERS.index(layer)}"
            _line(right, values, name if style == "-" else None, place, style)
    left.set_title("(a) sum over layers; dotted: clamped", loc="left", fontsize=10)
    right.set_title("(b) layers, FairReg; dotted: clamped", loc="left", fontsize=10)
    for ax in (left, right):
        ax.set_xlabel("lambda")
        ax.set_ylabel("similarity of the rationales")
        ax.grid(color="#e5e7eb")
        if ax.get_lines():
            ax.legend(fontsize=8, frameon=False)
    return write_atomically(path, lambda file: figure.savefig(file, facecolor="white"))


_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#d55e00")


def _line(ax: object, values: Sequence[Values], label: str | None, place: int, style: str) -> None:
    """A curve through the weights that have trials."""
    points = [(w, mean(v)) for w, v in zip(DP_WEIGHTS, values, strict=True) if v]
    if points:
        ax.plot(  # type: ignore[attr-defined]  # matplotlib has no types
            *zip(*points, strict=True),
            style,
            marker="o",
            markersize=3,
            color=_COLOURS[place],
            label=label,
        )
