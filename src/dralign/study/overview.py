"""What the data of a study hold, kept beside its ledger for pages that are written later."""

from pathlib import Path
from typing import Final

from dralign.data.source import Overview
from dralign.errors import StudyError
from dralign.files import is_file, read_whole, write_atomically
from dralign.forms import Form, parse_json, to_json

KEPT_IN: Final = "overview.json"
LARGEST: Final = 2**20  # bytes of it


def keep_overview(folder: Path, overview: Overview) -> None:
    """Keeps it with a study, for pages that are written later.

    Raises:
        OutputError: if it can't be written.
    """
    text = to_json(overview._asdict(), indent=1)
    write_atomically(folder / KEPT_IN, lambda file: file.write_text(text, encoding="utf-8"))


def kept_overview(folder: Path) -> Overview | None:
    """The overview that was kept with a study; None if there is none.

    Raises:
        StudyError: if it can't be read, or is not one of ours.
    """
    path = folder / KEPT_IN
    if not is_file(path):
        return None
    try:
        content = read_whole(path, at_most=LARGEST)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: can't be read ({error})") from error
    form = Form(parse_json(content, str(path), error=StudyError), str(path), error=StudyError)
    form.only("lines", "findings", "groups")
    return Overview(form.texts("lines"), form.texts("findings"), form.texts("groups"))
