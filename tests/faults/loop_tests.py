"""The tests that kill and stop processes, many times on a busy machine.

    python tests/faults/loop_tests.py 20 --log tests.jsonl

Each round is a line of the log; those that are there count, and only the missing ones are run. The
table at the end counts the failures of each test. The exit code is 1 if there is any.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from busy import add_option, busy_machine, load

TESTS = Path(__file__).resolve().parents[1]
FILES = ["study/test_study_faults.py", "study/test_study_dask.py", "study/test_study_runner.py"]
CHOSEN = "kill or stop or die or ctrl_c or late or limit or forget"
LIMIT = 3600  # seconds a round


def main():
    options = parsed()
    log = Path(options.log)
    with busy_machine(already=options.busy):
        for place in range(len(lines(log)), options.rounds):
            line = {"round": place, **one_round(), "load": load()}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)
    return summary(lines(log))


def one_round():
    """Runs the tests once."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", CHOSEN, *FILES]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, check=False, cwd=TESTS, capture_output=True, text=True, timeout=LIMIT
        )
        code, printed = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, printed = -1, (error.stdout or b"").decode(errors="replace")
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    if code and not failed:
        failed = [f"exit code {code}: {' '.join(printed[-300:].split())}"]
    return {"seconds": round(time.monotonic() - start, 1), "failed": failed}


def lines(log):
    """The rounds that were run."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def summary(found):
    """Prints the table; 1 if a test failed."""
    failures = Counter(name for one in found for name in one["failed"])
    print(f"{'rounds':>10}  {len(found)}")
    print(f"{'failures':>10}  {sum(failures.values())}")
    for name, count in failures.most_common():
        print(f"{count:>10}  {name}")
    return int(bool(failures))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", type=int)
    parser.add_argument("--log", default="loop_tests.jsonl")
    add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
