"""Twenty small tables with the shapes of trouble that real tables have.

``expected.toml`` says what each command is to print of them.

``python tests/tables/make.py FOLDER`` writes them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 600


def people(seed: int = 0) -> pd.DataFrame:
    """A table without trouble: numbers, categories and truth values, two groups, a real signal."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": draw.integers(18, 81, ROWS),
            "income": draw.normal(40, 12, ROWS).round(1),
            "job": draw.choice(["clerk", "cook", "nurse", "smith"], ROWS),
            "owner": draw.random(ROWS) < 0.4,
            "sex": draw.choice(["F", "M"], ROWS),
        }
    )
    pull = (frame["income"] - 40) / 12 + 0.6 * (frame["sex"] == "M") + draw.normal(0, 1, ROWS)
    return frame.assign(loan=np.where(pull > 0.3, "yes", "no"))


def clean(folder: Path) -> None:
    people().to_csv(folder / "clean.csv", index=False)


def leak(folder: Path) -> None:
    """Two columns made of the label: one a text, one a number."""
    frame, draw = people(1), np.random.default_rng(1)
    granted = frame["loan"] == "yes"
    frame["letter"] = np.where(granted, "welcome", "sorry")
    frame["paid"] = np.where(granted, draw.normal(900, 50, ROWS), draw.normal(0, 50, ROWS)).round(2)
    frame.to_csv(folder / "leak.csv", index=False)


def proxy(folder: Path) -> None:
    """The groups once more under other names, in full and as one truth value for each."""
    frame, draw = people(2), np.random.default_rng(2)
    frame["race"] = draw.choice(["asian", "black", "white"], ROWS, p=[0.2, 0.3, 0.5])
    frame["race2"] = frame["race"].map({"asian": 3, "black": 2, "white": 1})
    frame["is_asian"] = (frame["race"] == "asian").astype(int)
    frame.drop(columns="sex").to_csv(folder / "proxy.csv", index=False)


def proxy_number(folder: Path) -> None:
    """A number that the groups were made of stays among the inputs."""
    frame = people(3)
    frame["generation"] = np.where(frame["age"] <= 45, "younger", "older")
    frame.drop(columns="sex").to_csv(folder / "proxy_number.csv", index=False)


def stray(folder: Path) -> None:
    """One text among numbers; the rows to be scored have none."""
    frame = people(4)
    frame.drop(columns="loan").to_csv(folder / "stray.new.csv", index=False)
    frame["income"] = frame["income"].astype(object)
    frame.loc[7, "income"] = "unknown"
    frame.to_csv(folder / "stray.csv", index=False)


def decimal_comma(folder: Path) -> None:
    """As a spreadsheet in much of Europe writes it."""
    people(5).to_csv(folder / "decimal_comma.csv", index=False, sep=";", decimal=",")


def latin1(folder: Path) -> None:
    """Another encoding than UTF-8."""
    frame = people(6)
    frame["job"] = frame["job"].replace("smith", "Böttcher")
    frame.to_csv(folder / "latin1.csv", index=False, encoding="latin-1")


def bars(folder: Path) -> None:
    """Columns between bars in a file called .txt."""
    people(7).to_csv(folder / "bars.txt", index=False, sep="|")


def three_labels(folder: Path) -> None:
    """A mistyped label."""
    frame = people(8)
    frame.loc[[3, 90, 200, 431], "loan"] = "maybe"
    frame.to_csv(folder / "three_labels.csv", index=False)


def other_labels(folder: Path) -> None:
    """Labels 0 and 1; the table to be audited has 1 and 2."""
    frame = people(9)
    frame["loan"] = (frame["loan"] == "yes").astype(int)
    frame.to_csv(folder / "other_labels.csv", index=False)
    frame["loan"] += 1
    frame.to_csv(folder / "other_labels.new.csv", index=False)


def no_label(folder: Path) -> None:
    """Rows that nothing was decided about yet."""
    frame = people(10)
    frame.loc[frame.index[::10], "loan"] = None
    frame.to_csv(folder / "no_label.csv", index=False)


def tiny_groups(folder: Path) -> None:
    """Two groups of one row each."""
    frame = people(11)
    frame.loc[5, "sex"], frame.loc[6, "sex"] = "X", "unsaid"
    frame.to_csv(folder / "tiny_groups.csv", index=False)


def many_groups(folder: Path) -> None:
    """A number makes the groups."""
    people(12).to_csv(folder / "many_groups.csv", index=False)


def codes(folder: Path) -> None:
    """Codes written as numbers."""
    frame, draw = people(13), np.random.default_rng(13)
    frame["position"] = draw.choice([1131, 1132, 1210, 2100, 2311, 3000], ROWS)
    frame.to_csv(folder / "codes.csv", index=False)


def keys(folder: Path) -> None:
    """What tells people apart: row numbers, account numbers, names, dates; and one empty column."""
    frame, draw = people(14), np.random.default_rng(14)
    frame.insert(0, "row", np.arange(ROWS))
    frame["account"] = draw.permutation(10_000)[:ROWS] + 100_000
    frame["name"] = [f"Person {i}" for i in draw.permutation(ROWS)]
    frame["since"] = pd.date_range("2001-01-01", periods=ROWS).strftime("%Y-%m-%d")
    frame["notes"] = None
    frame.to_csv(folder / "keys.csv", index=False)


def missing(folder: Path) -> None:
    """Missing values everywhere but in the label: -9 and nothing."""
    frame, draw = people(15), np.random.default_rng(15)
    frame.loc[draw.random(ROWS) < 0.1, "age"] = -9
    frame.loc[draw.random(ROWS) < 0.1, "job"] = None
    frame.loc[draw.choice(ROWS, 17, replace=False), "sex"] = None
    frame.to_csv(folder / "missing.csv", index=False)


def nothing_to_learn(folder: Path) -> None:
    """Nearly every label is yes, whatever the inputs are: no leak, but a constant decision."""
    frame, draw = people(16), np.random.default_rng(16)
    frame["loan"] = np.where(draw.random(ROWS) < 0.95, "yes", "no")
    frame.to_csv(folder / "nothing_to_learn.csv", index=False)


def own_split(folder: Path) -> None:
    """A column says which rows are for what."""
    frame, draw = people(17), np.random.default_rng(17)
    frame["part"] = draw.permutation(np.repeat(["train", "test"], [450, 150]))
    frame.to_csv(folder / "own_split.csv", index=False)


def own_test(folder: Path) -> None:
    """The rows to be held out lie in a file of their own."""
    frame = people(18)
    frame[:450].to_csv(folder / "own_test.csv", index=False)
    frame[450:].to_csv(folder / "own_test.new.csv", index=False)


def lacking(folder: Path) -> None:
    """The rows to be scored lack two columns."""
    frame = people(19)
    frame.to_csv(folder / "lacking.csv", index=False)
    frame.drop(columns=["job", "income", "loan"]).to_csv(folder / "lacking.new.csv", index=False)


TABLES: tuple[Callable[[Path], None], ...] = (
    clean,
    leak,
    proxy,
    proxy_number,
    stray,
    decimal_comma,
    latin1,
    bars,
    three_labels,
    other_labels,
    no_label,
    tiny_groups,
    many_groups,
    codes,
    keys,
    missing,
    nothing_to_learn,
    own_split,
    own_test,
    lacking,
)

if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        table(target)
