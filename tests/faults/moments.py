"""Lets three processes do one thing at the same moment, many times.

They open one new ledger, add to one, try one new output, write one new folder, or begin a run with
checkpoints in one new folder, each in a rank of its own. All must end well, and what is there
afterwards must be whole.

    python tests/faults/moments.py [--each 100]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import records as made_up
from dralign.files import try_output, write_folder
from dralign.study import Ledger
from dralign.training import checkpoints

COUNT = 3
SOON = 0.03  # seconds, in which all are forked
RECORDS = made_up.records(made_up.specs(epochs=2))


def opened(place: Path, _: int) -> None:
    """A ledger that is not there yet."""
    with Ledger(place / "study" / "study.sqlite") as ledger:
        ledger.records()


def added(place: Path, number: int) -> None:
    """Records of the same trials."""
    with Ledger(place / "study" / "study.sqlite") as ledger:
        for record in RECORDS[number:]:
            ledger.add(record)


def tried(place: Path, _: int) -> None:
    """An output in folders that are not there."""
    try_output(place / "new" / "inner" / "net")


def written(place: Path, number: int) -> None:
    """A folder of two files."""

    def fill(folder: Path) -> None:
        for name in ("one", "two"):
            (folder / name).write_text(str(number), encoding="utf-8")

    write_folder(place / "new" / "net", fill)


def held(place: Path, number: int) -> None:
    """Checkpoints of the processes of one training."""
    checkpoints.rank = lambda: number
    with checkpoints.Checkpoints(place / "new" / "run").held():
        time.sleep(0.01)


def wrong_in(place: Path, act: Callable[[Path, int], None]) -> str:
    """What is wrong with what was left."""
    if act in {opened, added}:
        with Ledger(place / "study" / "study.sqlite", create=False) as study:
            found = {record.hash for record in study.records()}
        if found != ({record.hash for record in RECORDS} if act is added else set()):
            return "records are missing"
    if act is written:
        net = place / "new" / "net"
        if len({(net / name).read_text(encoding="utf-8") for name in ("one", "two")}) != 1:
            return "a folder of two writers"
    left = [path.name for path in place.rglob(".*")]
    return f"left: {left}" if left else ""


def at_once(act: Callable[[Path, int], None], place: Path) -> str:
    """Lets the processes act; what went wrong, or nothing."""
    place.mkdir()
    notes = place.with_name(f"{place.name}-errors")
    notes.mkdir()
    moment = time.time() + SOON
    children = []
    for number in range(COUNT):
        child = os.fork()
        if not child:
            code = 1
            try:
                while time.time() < moment:
                    pass
                act(place, number)
                code = 0
            except Exception as error:  # noqa: BLE001 - told
                (notes / str(number)).write_text(f"{type(error).__name__}: {error}")
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        return "; ".join(note.read_text() for note in notes.iterdir()) or f"exit codes {codes}"
    return wrong_in(place, act)


ACTS = (opened, added, tried, written, held)


def wrong(act: Callable[[Path, int], None], each: int) -> list[str]:
    """What went wrong in so many moments."""
    with tempfile.TemporaryDirectory() as folder:
        found = [at_once(act, Path(folder) / str(number)) for number in range(each)]
    return [text for text in found if text]


def main() -> int:
    """Prints a table; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=100)
    each = parser.parse_args().each
    failed = 0
    for act in ACTS:
        texts = wrong(act, each)
        failed += len(texts)
        print(f"{act.__name__:>8} {each:6} {each - len(texts):6}  {texts[0] if texts else ''}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
