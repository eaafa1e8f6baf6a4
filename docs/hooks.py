"""What the site needs beside the pages, which stay plain Markdown that any code host shows.

The pages at the root of the repository (CONTRIBUTING.md and so on) become pages of the site, with
their links led to where the site has them. A link to another file outside of docs/ is an error of
the build.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
# Docstrings name other modules in the form of Sphinx: ":func:`~dralign.gaps.register_gap`".
ROLE = re.compile(r":(?:class|data|func|meth|mod):<code>~?([\w.]+)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the root."""
    for name in ROOT_PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Leads links between docs/ and the root to their pages, and renders what can be unfolded."""
    root_pages = "|".join(re.escape(name) for name in ROOT_PAGES)
    markdown = re.sub(rf"\]\(\.\./({root_pages})", r"](\1", markdown)
    if page.file.src_uri in ROOT_PAGES:
        markdown = markdown.replace("](docs/", "](").replace("](README.md", "](index.md")
    return markdown.replace("<details>", '<details markdown="1">')


def on_page_content(html: str, **_: object) -> str:
    """Shows Sphinx's roles in docstrings as links, where the site has what they name."""
    return ROLE.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', html)
