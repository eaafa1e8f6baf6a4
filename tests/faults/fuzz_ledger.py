"""Ledgers with bytes, records, tables and journals changed at random.

    python tests/faults/fuzz_ledger.py 5000 [SEED]

A ledger whose bytes were changed is refused, or its records are those that were written. A record
that was forged is refused, or can be reported and exported.
"""

import json
import sqlite3
import sys
import tempfile
import zlib
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import records as made_up
from dralign.analysis import compare_with_baseline, record_table, summarise
from dralign.data.source import Overview
from dralign.errors import DralignError
from dralign.forms import to_json
from dralign.metrics import Cells, scored
from dralign.metrics.measures import SHARES
from dralign.report.verdict import groups_of
from dralign.study import Ledger, Trial, TrialSpec
from dralign.training import Selection
from fuzzing import ChangedError, run

PAGE = 4096
EXTREME = (0.0, 0.5, 1.0, 1000.0, 1e30, 1e308, -1e308)
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
BOMB = zlib.compress(bytes(10**8))
ODD = [
    None, True, False, 0, -1, 1, 7, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e30, 1e308, -1e308,
    float("nan"), float("inf"), "", "x", "nan", "0", "erm", "\x00", "\u202e", "=1", "\n",
    "a" * 10_000, [], [1], ["a", "a"], [[]], {}, {"a": 1}, {"": None}, [{}], {"0": "x"},
]  # fmt: skip


def with_cells(record, number):
    """The record with cells of made-up rows, of every second one weighted ones."""
    draw = np.random.default_rng(number)
    weight = draw.integers(1, 5, 90) if number % 2 else None
    rows = draw.integers(0, 2, 90), draw.random(90), draw.integers(0, 2, 90)
    cells = Cells.of(scored(*rows, n_groups=2, sample_weight=weight))
    of_splits = {"validation": cells, "test": cells}
    return replace(record, history=tuple(replace(e, cells=of_splits) for e in record.history))


class Made:
    """A small and a larger ledger, made once, and a folder for the cases."""

    def __init__(self):
        shared = Path("/dev/shm")
        self.scratch = tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None)
        self.folder = Path(self.scratch.name)
        self.contents, self.texts = [], []
        for seeds, epochs in ((1, 1), (12, 2)):
            found = made_up.records(made_up.specs(seeds=range(seeds), epochs=epochs))
            found = [with_cells(record, number) for number, record in enumerate(found)]
            found[0] = replace(found[0], status="failed", error="bad luck", history=())
            self.records = found
            path = self.folder / "made.sqlite"
            with Ledger(path) as ledger:
                for record in found:
                    ledger.add(record)
            self.contents.append(path.read_bytes())
            self.texts.append({record.hash: to_json(record.to_dict()) for record in found})
            path.unlink()
        self.path = self.folder / "study.sqlite"

    def place(self, content):
        """Puts bytes where the ledger is, with nothing beside it."""
        for file in self.folder.iterdir():
            file.unlink()
        self.path.write_bytes(content)

    def read(self, rng):
        """What a command would read."""
        with Ledger(self.path, create=rng.random() < 0.2, timeout=0.1) as ledger:
            done, found = ledger.done_hashes(), ledger.records()
        if done != {record.hash for record in found if record.status == "done"}:
            raise ChangedError("other trials are done by their rows than by their records")
        return found


_made = []


def made():
    """The ledgers, which are made when the first case needs them."""
    if not _made:
        _made.append(Made())
    return _made[0]


def check(found, texts):
    """Compares what was read with what was written."""
    if {record.hash: to_json(record.to_dict()) for record in found} != texts:
        raise ChangedError(f"{len(found)} records, and not those {len(texts)} that were written")


def use(found):
    """What report and export do with records; of their figures shares are from 0 to 1."""
    for per in ("epoch", "trial"):
        record_table(found, per=per)
    rows = summarise(found, selection=Selection())
    compare_with_baseline(found, selection=Selection())
    for row in rows:
        known = {(row.spec.data, row.fingerprint): Overview((), (), ("a", "b"))}
        told = [one for of_row in groups_of([row], found, known) for one in of_row]
        shares = [row.figures[name].mean for name in SHARES]
        shares += [one[name] for one in told if one["rows"] for name in ("mean_score", *RATES)]
        if odd := [share for share in shares if share < -1e-6 or share > 1 + 1e-6]:
            raise ChangedError(f"a share of {odd[0]:g}")


def spoil(content, rng):
    """Bytes of a file, changed in one to three places."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        size = max(1, len(content))
        place = rng.randrange(size) if rng.random() < 0.7 else rng.randrange(min(200, size))
        length = rng.choice((1, 1, 2, 4, 16, 100, 1000))
        pages = max(1, size // PAGE)
        one, other = (PAGE * rng.randrange(pages) for _ in range(2))
        match rng.randrange(9):
            case 0 | 1:
                content[place : place + 1] = bytes([content[place] ^ (1 << rng.randrange(8))])
            case 2:
                content[place : place + length] = rng.randbytes(length)
            case 3:
                content[place : place + length] = bytes(length)
            case 4:
                content[one : one + PAGE] = content[other : other + PAGE]
            case 5:
                content[one : one + PAGE], content[other : other + PAGE] = (
                    content[other : other + PAGE],
                    content[one : one + PAGE],
                )
            case 6:
                del content[place:]
            case 7:
                head = one + (100 if one == 0 else 0)  # of a page: kind, cells, free bytes
                at = head + rng.randrange(40)
                content[at : at + 1] = bytes([rng.randrange(256)])
            case 8:
                content += rng.randbytes(length)
    return bytes(content)


def of_bytes(rng):
    """The file itself."""
    one, which = made(), rng.randrange(2)
    one.place(spoil(one.contents[which], rng))
    check(one.read(rng), one.texts[which])


def of_a_cut_off_write(rng):
    """File and journal as a kill leaves them, one of them changed."""
    one = made()
    one.place(one.contents[1])
    connection = sqlite3.connect(one.path, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE trial SET record = zeroblob(900) WHERE rowid > 3")
    content, journal = (Path(f"{one.path}{end}").read_bytes() for end in ("", "-journal"))
    connection.close()
    one.place(content if rng.random() < 0.5 else spoil(content, rng))
    Path(f"{one.path}-journal").write_bytes(spoil(journal, rng) if rng.random() < 0.8 else journal)
    check(one.read(rng), one.texts[1])


def of_files_beside(rng):
    """Anything in the place of a journal or a log."""
    one = made()
    one.place(one.contents[0])
    for ending in rng.sample(("-journal", "-wal", "-shm"), rng.randrange(1, 4)):
        size = rng.choice((0, 1, 8, 28, 32, 600, 5000))
        start = rng.choice((b"", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"\x37\x7f\x06\x82"))
        Path(f"{one.path}{ending}").write_bytes((start + rng.randbytes(size))[:size])
    check(one.read(rng), one.texts[0])


def somewhere(form, rng):
    """An object or list anywhere in a form, and one of its keys."""
    while True:
        keys = list(form) if isinstance(form, dict) else list(range(len(form)))
        if not keys:
            return form, None
        key = rng.choice(keys)
        if not isinstance(form[key], (dict, list)) or rng.random() < 0.15:
            return form, key
        form = form[key]


def forge(form, rng):
    """Changes one to three entries of a record."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        inner, key = somewhere(form, rng)
        value = deepcopy(rng.choice(ODD))
        match rng.randrange(5):
            case 0 if key is not None:
                del inner[key]
            case 1 if isinstance(inner, dict):
                inner[rng.choice(("", "x", "epoch", "unit", "soft_x", "\x00", "a" * 999))] = value
            case 2 if isinstance(inner, list):
                inner.append(value if rng.random() < 0.5 or key is None else inner[key])
            case _ if key is not None:
                inner[key] = value


def of_records(rng):
    """One record, with the hash made to fit where it can be."""
    one = made()
    one.place(one.contents[1])
    digest = rng.choice(sorted(one.texts[1]))
    form = json.loads(one.texts[1][digest])
    forge(form, rng)
    row = digest
    if rng.random() < 0.5:
        try:
            row = Trial(TrialSpec.from_dict(form["spec"]), form["fingerprint"]).hash
            form["hash"] = row
        except (DralignError, LookupError, TypeError, ValueError, AttributeError):
            pass
    text = json.dumps(form)
    if rng.random() < 0.1:
        text = "[" * 10_000 + text
    blob = zlib.compress(text.encode())
    if rng.random() < 0.1:
        blob = rng.choice((b"", blob[:-3], blob + b"x", BOMB, spoil(blob, rng)))
    connection = sqlite3.connect(one.path, isolation_level=None)
    status = form.get("status")
    status = status if status in ("done", "failed") else "done"
    sql = "UPDATE OR REPLACE trial SET hash = ?, status = ?, record = ? WHERE hash = ?"
    connection.execute(sql, (row, status, blob, digest))
    connection.close()
    use(one.read(rng))


def of_figures(rng):
    """One record in whose every epoch all numbers of one kind are the same, whatever they were."""
    one = made()
    one.place(one.contents[1])
    digest = rng.choice(sorted(one.texts[1]))
    form = json.loads(one.texts[1][digest])
    split, value = rng.choice(("validation", "test")), rng.choice(EXTREME)
    names = [split, "counts", "selected", "mean_scores", "weights", "squares"]
    names = rng.sample(names, rng.choice((1, 1, 2, 3)))
    for epoch in form["history"]:
        for name in names:
            if name == split:
                epoch[split] = dict.fromkeys(epoch[split], value)
            elif name in (cells := epoch["cells"][split]):
                cells[name] = [value] * len(cells[name])
    connection = sqlite3.connect(one.path, isolation_level=None)
    blob = zlib.compress(json.dumps(form).encode())
    connection.execute("UPDATE trial SET record = ? WHERE hash = ?", (blob, digest))
    connection.close()
    use(one.read(rng))


ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT "
TABLES = [
    f"CREATE VIEW v AS {ENDLESS} * FROM r",
    f"DROP TABLE trial; CREATE VIEW trial AS {ENDLESS} i hash, 'done' status, x'00' record FROM r",
    "CREATE TRIGGER t AFTER INSERT ON trial BEGIN DELETE FROM trial; END",
    "CREATE TEMP TABLE t (x)",
    "CREATE TABLE other (x)",
    "CREATE INDEX i ON trial (status)",
    "CREATE INDEX i ON trial (length(record))",
    "ALTER TABLE trial ADD COLUMN more TEXT",
    "ALTER TABLE trial RENAME COLUMN record TO records",
    "ALTER TABLE trial RENAME TO trials",
    "ANALYZE",
    "VACUUM",
    "REINDEX",
    "PRAGMA user_version = 2",
    "PRAGMA application_id = 0",
    "PRAGMA journal_mode = WAL",
    "PRAGMA auto_vacuum = FULL; VACUUM",
    "PRAGMA page_size = 65536; VACUUM",
    "PRAGMA page_size = 512; VACUUM",
    "PRAGMA encoding = 'UTF-16'; VACUUM",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE VIEW trial AS SELECT 1'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 3 WHERE name = 'trial'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 2",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = sql || ' STRICT'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = CAST(x'ff' AS TEXT)",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT)",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE type = 'index'",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master",
    "PRAGMA writable_schema = ON; INSERT INTO sqlite_master SELECT * FROM sqlite_master",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'BLOB', 'BLOB, x')",
]
ROWS = [
    "UPDATE trial SET hash = NULL",
    "UPDATE trial SET hash = CAST(hash AS BLOB) WHERE rowid = 2",
    "UPDATE trial SET hash = upper(hash)",
    "UPDATE trial SET hash = CAST(x'ff' AS TEXT) WHERE rowid = 2",
    "UPDATE trial SET record = CAST(record AS TEXT) WHERE rowid = 3",
    "UPDATE trial SET record = 7",
    "UPDATE trial SET record = zeroblob(10000000) WHERE rowid = 2",
    "UPDATE trial SET status = CASE status WHEN 'done' THEN 'failed' ELSE 'done' END",
    "PRAGMA ignore_check_constraints = ON; UPDATE trial SET status = 'great' WHERE rowid = 1",
    "UPDATE trial SET record = (SELECT record FROM trial WHERE rowid = 5) WHERE rowid = 6",
    "INSERT INTO trial SELECT 'x' || hash, status, record FROM trial",
]


def of_tables(rng):
    """Other tables and rows than ours."""
    one, which = made(), rng.randrange(2)
    one.place(one.contents[which])
    connection = sqlite3.connect(one.path, isolation_level=None)
    try:
        for script in rng.sample(TABLES + ROWS, rng.choice((1, 1, 2))):
            for statement in script.split("; ") if "BEGIN" not in script else [script]:
                connection.execute(statement)
    except sqlite3.Error:  # two that do not fit together
        pass
    connection.close()
    check(one.read(rng), one.texts[which])


CASES = {
    "bytes": of_bytes,
    "a cut-off write": of_a_cut_off_write,
    "files beside it": of_files_beside,
    "records": of_records,
    "figures": of_figures,
    "tables": of_tables,
}

if __name__ == "__main__":
    sys.exit(run(CASES, sys.argv[1:]))
