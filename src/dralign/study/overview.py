"""What the data of a study hold, kept beside its ledger for pages that are written later."""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from dralign.data import DataSource
from dralign.data.source import Overview
from dralign.errors import DralignError, DralignWarning, StudyError
from dralign.files import is_file, read_whole, write_atomically
from dralign.forms import Form, parse_json, shown, to_json

KEPT_IN: Final = "overview.json"
LARGEST: Final = 2**20  # bytes of it
_TEXTS: Final = ("lines", "findings", "groups")
# By the data and their fingerprint, as records have them: names of groups are of these data alone.
Overviews = Mapping[tuple[DataSource, str], Overview]
NONE_KNOWN: Final[Overviews] = MappingProxyType({})


def overviews_of(source: DataSource, overview: Overview) -> Overviews:
    """What is known of one data set, as pages find it by the records of its trials."""
    return {(DataSource.from_dict(source.to_dict()), overview.fingerprint): overview}


def keep_overview(folder: Path, source: DataSource, overview: Overview) -> None:
    """Keeps it with a study, beside those of other data, for pages that are written later.

    Its texts are kept as pages show them. Where all of them together are too long, the oldest go.

    Raises:
        OutputError: if it can't be written.
    """
    kept: dict[tuple[DataSource, str], Overview] = {}
    with suppress(StudyError):  # a damaged one is replaced
        kept |= kept_overviews(folder)
    lines, findings, groups = (tuple(map(shown, getattr(overview, name))) for name in _TEXTS)
    own = overviews_of(source, Overview(lines, findings, groups, overview.fingerprint))
    kept = {data: other for data, other in kept.items() if data not in own} | dict(own)
    while len(text := _written(kept)) > LARGEST:
        del kept[next(iter(kept))]
    with suppress(StudyError):  # a name that is not UTF-8: of such data no trial is recorded either
        parse_json(text, KEPT_IN, error=StudyError)
        write_atomically(folder / KEPT_IN, lambda file: file.write_text(text, encoding="utf-8"))


def kept_overviews(folder: Path) -> Overviews:
    """Those that were kept with a study; a warning tells of one that says not of which data it is.

    Raises:
        StudyError: if they can't be read, or are none of ours.
    """
    path = folder / KEPT_IN
    if not is_file(path):
        return NONE_KNOWN
    try:
        content = read_whole(path, at_most=LARGEST)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: can't be read ({error})") from error
    form = Form(parse_json(content, str(path), error=StudyError), str(path), error=StudyError)
    if form.content.keys() == {*_TEXTS}:
        warnings.warn(
            f"{path}: is of an older dralign and does not say of which data it is; it is not used, "
            "and the same dralign compare, run again, writes it anew",
            DralignWarning,
            stacklevel=2,
        )
        return NONE_KNOWN
    form.only("comparisons")
    return dict(_comparison(one, str(path)) for one in form.entries("comparisons"))


def _written(kept: Overviews) -> str:
    """The content of the file."""
    entries = [
        {"data": source.to_dict(), **overview._asdict()} for (source, _), overview in kept.items()
    ]
    return to_json({"comparisons": entries}, indent=1)


def _comparison(content: Any, where: str) -> tuple[tuple[DataSource, str], Overview]:  # noqa: ANN401
    """The data of an entry, and what is said of them.

    Raises:
        StudyError: if it is none of ours.
    """
    form = Form(content, where, error=StudyError)
    form.only("data", "fingerprint", *_TEXTS)
    lines, findings, groups = (form.texts(name, different=False) for name in _TEXTS)
    overview = Overview(lines, findings, groups, form.text("fingerprint"))
    try:
        return (DataSource.from_dict(form.form("data").content), overview.fingerprint), overview
    except DralignError as error:
        raise StudyError(f"{where}: {error}") from error
