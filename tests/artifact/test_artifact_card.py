"""Nothing in a model card that comes from data becomes markup, where Markdown is rendered."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import markdown
import pytest

from dralign import models
from dralign.artifact import Artifact
from dralign.artifact.card import markdown_text, model_card

EXTENSIONS = ["extra", "admonition", "codehilite", "meta", "nl2br", "sane_lists", "smarty", "toc",
              "wikilinks", "legacy_attrs", "legacy_em"]  # fmt: skip
PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<b onmouseover='alert(1)'>x</b>",
    "</td></tr></table><h1>x</h1>",
    "[click](javascript:alert(1))",
    "[click][1]\n\n[1]: javascript:alert(1)",
    "![x](https://example.org/pixel.png)",
    "![x](x){onerror=alert(1)}",
    "<https://example.org>",
    "<a@example.org>",
    "https://example.org/path",
    "www.example.org",
    "a@example.org",
    "**bold** and __bold__",
    "*emphasis* and _emphasis_",
    "`code`",
    "``co`de``",
    "~~gone~~",
    "==marked==",
    "# heading",
    "\n# heading",
    "\n\n<script>alert(1)</script>\n\n",
    "\r\n> quoted",
    "\n\n    indented code",
    "\n---\n",
    "a | b | c",
    "\n| a | b |\n| --- | --- |\n| 1 | 2 |",
    "{: onclick=alert(1) }",
    "{ #id .class onclick=alert(1) }",
    "*[HTML]: abbreviation",
    "[^1]\n\n[^1]: footnote",
    "[[wikilink]]",
    "&lt;script&gt;&#60;script&#62;&amp;",
    "&copy; &#x3C;script&#x3E;",
    "<!-- comment -->",
    "<![CDATA[x]]>",
    "<?php echo 1 ?>",
    "\\<script\\> \\*x\\* \\\\",
    "$\\alpha$",
    "\x00\x07\x1b[31m\u202ereversed\u2066",
    "half \ud800 a pair",
    "\u2028line\u2029paragraph\x85next",
]
PLAIN = "plain"


class Page(HTMLParser):
    """The tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        # The identifiers of headings are the template's own words.
        self.tags.append((tag, *((name, value) for name, value in attrs)))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.tags.append(("comment", data))

    handle_decl = handle_pi = unknown_decl = handle_comment


def card(name: str, *, several: bool) -> str:
    """A card with ``name`` in every place that data can fill."""
    architecture = {"name": "mlp", "n_inputs": 2, "hidden": 3, "depth": 1}
    trial = {"method": name, "layers": [name, name], name: name, "data": {"name": name, name: 1}}
    network = Artifact(
        model=models.build(architecture),
        architecture=architecture,
        encoder=None,
        label=name,
        positive=name,
        sensitive=(name, "sex"),
        group_names=(name, "b"),
        training={
            "trial": trial,
            "test": {name: 0.5, "accuracy": name},
            "epoch": name,
            "selection": name,
            "fingerprint": name,
            "notes": [name],
            "pretrained": {"file": name},
        },
        thresholds=(0.1, 0.2),
    )
    return model_card(replace(network, class_names=(name, "b", "c")) if several else network)


def words(text: str) -> str:
    """The text as markup shows it: printable, and with single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@pytest.mark.parametrize("several", [False, True], ids=["two classes", "three classes"])
@pytest.mark.parametrize("extensions", [[], EXTENSIONS], ids=["plain", "all extensions"])
def test_no_name_becomes_a_tag_an_attribute_or_a_link(extensions, several):
    expected = Page(markdown.markdown(card(PLAIN, several=several), extensions=extensions))
    for payload in PAYLOADS:
        text = card(payload, several=several)
        assert text.count("\n") == card(PLAIN, several=several).count("\n"), payload
        page = Page(markdown.markdown(text, extensions=extensions))
        assert page.tags == expected.tags, payload
        if "smarty" not in extensions:  # it writes quotes and dashes another way
            whole = expected.text.replace(PLAIN, words(payload))
            # Names of settings and figures are shown with spaces for underscores.
            assert re.sub(r"[\s_]", "", page.text) == re.sub(r"[\s_]", "", whole), payload


@pytest.mark.parametrize("name", ["capital-gain", "people.csv", "North & South", "50,000 (EUR)"])
def test_ordinary_names_stay_as_they_are(name):
    assert markdown_text(name) == name


def test_a_link_of_a_bare_address_has_nothing_to_hold_on_to():
    """Dialects that make links of addresses look for these characters."""
    for address in ("https://example.org", "www.example.org", "a@example.org"):
        assert not re.search(r"://|www\.|@", markdown_text(address))
