"""Runs the code of the gallery's pages, and keeps the figures that it saves.

    python docs/gallery/make.py [PAGE ...]

Pages whose packages are not installed are left out, with a line that says so. For every page the
processor seconds of its code are printed.
"""

import ast
import io
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import chdir, suppress
from importlib.util import find_spec
from pathlib import Path

from dralign._torchvision import vision_models
from dralign.errors import ModelError
from dralign.files import write_atomically

HERE = Path(__file__).resolve().parent
FIGURES = HERE.parent / "images" / "gallery"
COLOURS = 128  # of a figure that is kept: what keeps it small


def pages() -> list[str]:
    """The names of the examples, in the order of the index."""
    links = re.findall(r"\]\(([\w-]+)\.md\)", (HERE / "index.md").read_text(encoding="utf-8"))
    return list(dict.fromkeys(links))


def blocks(page: str) -> list[str]:
    """The Python of a page."""
    text = (HERE / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def figures(page: str) -> list[str]:
    """The files of the figures that a page shows."""
    text = (HERE / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"\]\(\.\./images/gallery/([\w-]+\.png)\)", text)


def missing(page: str) -> list[str]:
    """The packages that a page imports and that are not installed."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse("\n".join(blocks(page)))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    return sorted(name for name in imported if find_spec(name) is None)


def run(page: str) -> None:
    """Runs the code of a page, block after block, in the current folder."""
    code = blocks(page)
    if re.search(
        r"^from (lightning|transformers)|^import lightning", "\n".join(code), re.MULTILINE
    ):
        with suppress(ModelError):  # these import torchvision: after our own way of it
            vision_models()
    names: dict[str, object] = {"__name__": "gallery"}
    for block in code:
        exec(compile(block, f"{page}.md", "exec"), names)


def small(path: Path) -> bytes:
    """A figure as PNG with few colours."""
    from PIL import Image

    with Image.open(path) as image:
        held = io.BytesIO()
        image.convert("RGB").quantize(COLOURS).save(held, "PNG", optimize=True)
    return held.getvalue()


def make(page: str) -> Iterator[str]:
    """Runs a page in a folder of its own, keeps its figures, and tells what it took."""
    if lacking := missing(page):
        yield f"{page}: left out, for want of {', '.join(lacking)}"
        return
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        run(page)
        took = time.process_time() - began
        for name in figures(page):
            content = small(Path(name))
            write_atomically(
                FIGURES / name, lambda path, content=content: path.write_bytes(content)
            )
            yield f"{name}: {len(content) / 1000:.0f} KB"
    yield f"{page}: {took:.1f} s of processor time"


def main() -> None:
    """Makes the pages that are named, or all."""
    warnings.simplefilter("ignore")
    for page in sys.argv[1:] or pages():
        for line in make(page):
            print(line, flush=True)


if __name__ == "__main__":
    main()
