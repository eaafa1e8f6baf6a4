"""Three processes that keep the machine busy beside a loop, and end with it."""

import os
import subprocess
import sys
from contextlib import contextmanager

COUNT = 3
_SPIN = """
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy_machine():
    """Runs a block beside them, at the same priority."""
    spinning = [
        subprocess.Popen([sys.executable, "-c", _SPIN, str(os.getpid())]) for _ in range(COUNT)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
