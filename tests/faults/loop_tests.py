"""The tests that kill and stop processes, many times on a busy machine.

    python tests/faults/loop_tests.py 20 --log tests.jsonl

Each round is a line of the log; those that are there count, and only the missing ones are run. The
table at the end counts the failures of each test. The exit code is 1 if there is any.

``--at-once 5`` runs five rounds at a time, which keep each other waiting: with ``--busy`` there is
no need of other processes beside them.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from busy import add_option, busy_machine, load

TESTS = Path(__file__).resolve().parents[1]
FILES = [
    *(f"study/test_study_{name}.py" for name in ("faults", "dask", "runner", "ledger")),
    *(f"training/test_training_{name}.py" for name in ("launcher", "checkpoints")),
    "artifact/test_artifact_saving.py",
    "cli/test_cli_sweep.py",
    "test_ci.py",
    "test_scratch.py",
]
CHOSEN = "kill or stop or die or ctrl_c or late or limit or forget"
LIMIT = 3600  # seconds a round
MOST_PRINTED = 10_000  # characters that are kept of a round that failed


def main():
    options = parsed()
    log = Path(options.log)
    there = {line["round"] for line in lines(log)}
    missing = [place for place in range(options.rounds) if place not in there]
    with busy_machine(already=options.busy), ThreadPoolExecutor(options.at_once) as threads:
        rounds = {threads.submit(one_round, options.tests): place for place in missing}
        try:
            for done in as_completed(rounds):
                line = {"round": rounds[done], **done.result()}
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(line, flush=True)
        finally:
            threads.shutdown(cancel_futures=True)
    return summary(lines(log))


def one_round(chosen):
    """Runs the tests once."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", chosen, *FILES]
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
    line = {"seconds": round(time.monotonic() - start, 1), "failed": failed, "load": load()}
    return {**line, "printed": printed[-MOST_PRINTED:]} if failed else line


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
    parser.add_argument("--tests", default=CHOSEN, help="pytest's -k: which tests (all that kill)")
    parser.add_argument("--at-once", type=int, default=1, help="rounds at a time")
    add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
