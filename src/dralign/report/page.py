"""The frame of a page: a single HTML file that needs no network, and the parts pages are made of.

Pages are jinja2 templates beside this module; whatever they are given is escaped, unless it is
``Markup``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dralign.files import write_atomically
from dralign.forms import shown
from dralign.report.look import style_variables

if TYPE_CHECKING:
    import plotly.graph_objects as go

Kind = Literal["study", "audit", "predictions"]
STYLES: Final[dict[Kind, str]] = {"study": "study", "audit": "audit", "predictions": "audit"}
PANEL_WIDTH: Final = 260  # pixels, at least, of each of several panels beside each other


@dataclass(frozen=True)
class Table:
    """A table in a frame that scrolls.

    The caption is below the frame: within, a narrow window would cut it off.

    Attributes:
        label: what it shows, for those who don't see it.
        head: the cells above.
        body: the rows of cells.
        marks: the attributes of each row; empty for none.
        caption: below; empty for none.
    """

    label: str
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    marks: Sequence[Mapping[str, str]] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        """Checks the marks."""
        assert len(self.marks) in {0, len(self.body)}

    def attributes(self, index: int) -> Mapping[str, str]:
        """Those of a row."""
        return self.marks[index] if self.marks else {}


@dataclass(frozen=True)
class Chart:
    """A chart of a page.

    Several panels beside each other, and buttons, stay legible: a narrow window scrolls them.

    Attributes:
        key: its name in this page.
        figure: what is drawn.
        label: what it shows, for those who don't see it.
    """

    key: str
    figure: "go.Figure" = field(repr=False)
    label: str

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.figure.layout.height)

    @property
    def wide(self) -> int:
        """The least width in pixels; 0 for any."""
        starts = {axis.domain[0] for axis in self.figure.select_xaxes() if axis.domain}
        # Buttons take as much room as two panels.
        panels = 2 if self.figure.layout.updatemenus else len(starts)
        return PANEL_WIDTH * panels if panels > 1 else 0


def write_page(
    path: Path | str,
    kind: Kind,
    *,
    title: str,
    facts: Iterable[tuple[str, str]],
    charts: Mapping[str, "go.Figure"],
    **parts: object,
) -> Path:
    """Writes a page; its tables can be read without JavaScript.

    Args:
        path: the HTML file.
        kind: whose template, ``<kind>.html``, and style sheet it takes.
        title: the heading.
        facts: figures at the top: value and name.
        charts: the figures of its charts, by key.
        **parts: what the template asks for.

    Returns:
        The path of the file.

    Raises:
        OutputError: if the file can't be written.
    """
    from plotly.offline import get_plotlyjs

    page = (
        _templates()
        .get_template(f"{kind}.html")
        .render(
            title=title,
            date=datetime.now().astimezone().date().isoformat(),
            style=_piece("page.css", f"{STYLES[kind]}.css", before=style_variables()),
            facts=list(facts),
            plotly=Markup(get_plotlyjs() if charts else ""),  # noqa: S704 - plotly's own code
            drawn=_in_script({key: _drawable(figure) for key, figure in charts.items()}),
            script=_piece("page.js"),
            **parts,
        )
    )
    return write_atomically(path, lambda file: file.write_text(page, encoding="utf-8"))


def part_html(name: str, given: Table | Chart) -> Markup:
    """A part of a page by itself, as the macro of this name makes it."""
    made: Markup = getattr(_templates().get_template("parts.html").module, name)(given)
    return made


@cache
def _templates() -> Environment:
    """The templates; a name that is not given is an error."""
    environment = Environment(
        loader=PackageLoader("dralign.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    return environment


def _piece(*names: str, before: str = "") -> Markup:
    """Files of the frame, which lie beside this module, as they are."""
    folder = resources.files("dralign.report")
    texts = [folder.joinpath(name).read_text(encoding="utf-8") for name in names]
    return Markup(before + "".join(texts))  # noqa: S704 - nothing of the data


def _drawable(figure: "go.Figure") -> dict[str, Any]:
    """A chart as plotly reads it, without the template that has no say in it."""
    form: dict[str, Any] = json.loads(figure.to_json())
    form["layout"].pop("template", None)
    return form


def _in_script(charts: Mapping[str, Any]) -> Markup:
    """The charts as JSON that can't end the script element it stands in."""
    text = json.dumps(charts, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704
