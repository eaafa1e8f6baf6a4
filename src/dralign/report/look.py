"""Colours, and how charts look: the same in every figure, chart and page."""

from typing import Any, Final

# Okabe and Ito's colours can be told apart with every common colour vision.
GREY, ORANGE, BLUE, VERMILION = "#5A5A5A", "#E69F00", "#0072B2", "#D55E00"
GREEN, PINK, SKY, BLACK = "#009E73", "#CC79A7", "#56B4E9", "#000000"
METHODS: Final = (GREY, ORANGE, BLUE, VERMILION, GREEN, PINK, SKY, BLACK)
GROUPS: Final = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, GREY)
LINES: Final = (BLUE, SKY, GREEN, ORANGE, PINK, VERMILION)

INK, TEXT, SOFT, FAINT, LINE = "#111827", "#374151", "#666d7b", "#9ca3af", "#e5e7eb"
ALERT: Final = "#b45309"  # what a reader should not miss; dark enough for text
SHADES: Final = [  # from nothing to the largest value
    [0.0, "#f8fafc"],
    [0.15, "#cfe0fb"],
    [0.4, "#7ea8f0"],
    [0.7, "#2f5fc4"],
    [1.0, "#172554"],
]
# What the style sheets of pages call them.
VARIABLES: Final = {
    "ink": INK,
    "soft": SOFT,
    "line": LINE,
    "card": "#ffffff",
    "page": "#f6f7f9",
    "mark": BLUE,
    "alert": ALERT,
    "front": "#eff6ff",
    "hover": "#f3f4f6",
}
GRID: Final = {"gridcolor": LINE, "zeroline": False, "linecolor": FAINT, "ticks": "outside"}
BELOW: Final = {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0}
_CLEAR: Final = "rgba(0,0,0,0)"
LAYOUT: Final[dict[str, Any]] = {
    "template": "none",  # a whole template would be repeated in every chart of a page
    "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13},
    "modebar": {"orientation": "v", "bgcolor": _CLEAR, "color": FAINT, "activecolor": SOFT},
    "hoverlabel": {"bgcolor": "white", "align": "left", "namelength": -1},
    "paper_bgcolor": _CLEAR,
    "plot_bgcolor": _CLEAR,
}


def faint(colour: str, part: float = 0.5) -> str:
    """A colour that lets something through, in a form that every release of plotly takes."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return f"rgba({red},{green},{blue},{part})"


def style_variables() -> str:
    """The colours for style sheets, which write them ``var(--ink)``."""
    return f":root {{ {' '.join(f'--{name}: {value};' for name, value in VARIABLES.items())} }}\n"
