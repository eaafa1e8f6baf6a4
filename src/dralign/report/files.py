"""Writing output files so that a reader never sees half of one."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dralign.errors import StudyError


def write_atomically(path: Path | str, write: Callable[[Path], object]) -> Path:
    """Lets ``write`` fill a file beside ``path`` and then puts it in place in one step.

    Args:
        path: the file to make or replace; its folder is made if it is missing.
        write: gets a path with the same ending, to be written.

    Returns:
        The path of the file.

    Raises:
        StudyError: if the file can't be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise StudyError(f"{path}: can't be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # the error above says it better
            temporary.unlink(missing_ok=True)
    return path
