"""A table on standard input, which is kept in a file for as long as the command runs."""

import shutil
import sys
from typing import Final

from dralign.files import private_folder

STDIN: Final = "-"
_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"


def table_path(name: str) -> str:
    """The path of a table: the name itself, or for ``-`` a file with what standard input holds.

    The file is called ``stdin.csv`` (or ``.csv.gz``, ``.parquet``) wherever it lies, and is removed
    at the end.
    """
    if name != STDIN:
        return name
    folder = private_folder()
    spooled = folder / "stdin.csv"
    with spooled.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    with spooled.open("rb") as file:
        start = file.read(len(_PARQUET))
    if start == _PARQUET:
        return str(spooled.rename(folder / "stdin.parquet"))
    if start.startswith(_GZIP):
        return str(spooled.rename(folder / "stdin.csv.gz"))
    return str(spooled)
