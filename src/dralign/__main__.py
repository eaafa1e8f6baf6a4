"""``python -m dralign``, and the command ``dralign``: the command line, and Ctrl-C before it."""

import os
import sys
from io import TextIOWrapper

# ``python -m`` looks for modules in the working folder before all others, and whoever gave us a
# folder of data may have put a torch.py there. The folder of the package itself stays.
if (
    __name__ == "__main__"
    and not sys.flags.safe_path
    and sys.path[0] in {"", os.getcwd()}  # noqa: PTH109 - pathlib might be found there as well
    and sys.path[0] != os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
):
    del sys.path[0]

from dralign.errors import DralignError
from dralign.interrupts import INTERRUPTED, hear_interrupts, silence_interrupts


def main() -> int:
    """Runs the command line; Ctrl-C ends it silently until a command is at work.

    Returns:
        The exit code, as of ``dralign.cli.main``; 1 if it can't be loaded.
    """
    # Nor do the processes that are started from here, which Python may start in ways of its own.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    silence_interrupts()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a λ is no traceback
    code = INTERRUPTED
    try:
        code = _run()
    finally:
        if code == INTERRUPTED:
            silence_interrupts()  # impatient people press it twice, and the process is ending
        else:
            hear_interrupts()
    return code


def _run() -> int:
    """The command line, if it can be loaded."""
    try:
        from dralign import cli
    except DralignError as error:
        return _refuse(str(error), 2)
    except (ImportError, MemoryError, OSError) as error:  # too little memory, or badly installed
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return _refuse(f"the program can't be loaded: {reason}", 1)
    return cli.main()


def _refuse(line: str, code: int) -> int:
    """Prints the line of an error; the exit code."""
    print(f"dralign: error: {line}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
