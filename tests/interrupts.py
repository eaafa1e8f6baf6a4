"""Ctrl-C in tests: a suite in a background job ignores it, and so would what it starts."""

import subprocess
import sys

_LISTEN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def start(command, **options):
    """A process that takes Ctrl-C as one in a terminal would, whatever this one does."""
    return subprocess.Popen(
        [sys.executable, "-c", _LISTEN, *command], start_new_session=True, **options
    )
