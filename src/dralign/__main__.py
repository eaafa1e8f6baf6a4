"""``python -m dralign``, and the command ``dralign``: the command line, and Ctrl-C before it."""

import os
import sys

# ``python -m`` looks for modules in the working folder before all others, and whoever gave us a
# folder of data may have put a torch.py there. The folder of the package itself stays.
if (
    __name__ == "__main__"
    and not sys.flags.safe_path
    and sys.path[0] in {"", os.getcwd()}  # noqa: PTH109 - pathlib might be found there as well
    and sys.path[0] != os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
):
    del sys.path[0]

import signal

INTERRUPTED = 130


def main() -> int:
    """Runs the command line; Ctrl-C while it is being imported, for seconds, ends it silently.

    Returns:
        The exit code, as of ``dralign.cli.main``; 1 if it can't be loaded.
    """
    # Nor do the processes that are started from here, which Python may start in ways of its own.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    before = signal.getsignal(signal.SIGINT)
    if before == signal.default_int_handler:
        # Not as an exception, which imports of compiled modules turn into others.
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        from dralign import cli
    except (ImportError, MemoryError, OSError) as error:  # too little memory, or badly installed
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"dralign: error: the program can't be loaded: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        if before == signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
