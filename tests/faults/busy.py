"""Three processes that keep the machine busy beside a loop, and end with it.

Where other work does so already, none are started.
"""

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


def add_option(parser):
    """Lets a script be told that the machine is busy."""
    parser.add_argument(
        "--busy",
        action="store_true",
        help=f"{COUNT} other processes compute already: start none; a line tells the load",
    )


def load():
    """How many processes computed or waited for a processor, mean of the last minute."""
    return round(os.getloadavg()[0], 1)


@contextmanager
def busy_machine(*, already=False):
    """Runs a block beside them, at the same priority."""
    count = 0 if already else COUNT
    spinning = [
        subprocess.Popen([sys.executable, "-c", _SPIN, str(os.getpid())]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
