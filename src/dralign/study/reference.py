"""The reference page of settings and methods (docs/settings.md), made of their declarations."""

from collections.abc import Iterable

from dralign.methods import method_settings, method_types, users_of
from dralign.settings import Setting
from dralign.study.spec import COMMON
from dralign.table_options import TABLE

_HEAD = """# Settings

Every setting of a trial, as it is written in Python and in plans; on the command line with two
dashes, and dashes for underscores. None, or not given, is the default, which is the same at every
door: `TrialSpec`, `build_method`, plans, the commands and `DRAlignClassifier`. This page is made of
the declarations in the source (`dralign.study.reference`); a test holds it equal.
"""


_OF_TABLES = """Of files of rows, not of images or built-in datasets; in the commands, in plans
and in `load_table`, `inspect_table` and `DataSource`. Several values are given by repeating the
option (`--drop id --drop name`), or as a list; in a plan a list of lists makes trials of each.
"""


def settings_reference() -> str:
    """The page, as Markdown."""
    parts = [
        _HEAD,
        "## Of every method\n",
        _table((setting, "") for setting in COMMON),
        "\n## Of some methods\n",
        _table(
            (setting, ", ".join(f"`{name}`" for name in users_of(setting.name)))
            for setting in method_settings().values()
        ),
        "\n## Of a table of your own\n",
        _OF_TABLES,
        _table((setting, "tables") for setting in TABLE),
        "\n## Methods\n",
        "| method | what it minimises or does | gaps | classes |\n| --- | --- | --- | --- |",
        *(
            f"| `{kind.name}` | {kind.summary} | "
            f"{'all' if kind.gaps is None else ', '.join(kind.gaps)} | "
            f"{'two' if kind.two_classes else 'any number'} |"
            for kind in method_types()
        ),
    ]
    return "\n".join(parts) + "\n"


def _table(rows: Iterable[tuple[Setting, str]]) -> str:
    """A table of settings, with the methods that use them."""
    lines = ["| setting | what it is | default | used by |", "| --- | --- | --- | --- |"]
    for setting, users in rows:
        lines.append(
            f"| `{setting.name}` | {_described(setting)} | {_default(setting)} | {users or 'all'} |"
        )
    return "\n".join(lines)


def _described(setting: Setting) -> str:
    """Its help, with what it may be."""
    choices = ", ".join(f"`{choice}`" for choice in setting.known if choice)
    return f"{setting.help} One of {choices}." if choices else setting.help


def _default(setting: Setting) -> str:
    """Its default; a tenth of another or nothing is told in the help."""
    if callable(setting.default) or setting.default in (None, "", ()):
        return "see there" if callable(setting.default) else "none"
    return f"`{setting.default}`"
