"""Users' own tables: reading files, choosing columns, and one clear line for bad input."""

import gzip
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.data import DataSource, TableEncoder, load_table, read_table
from dralign.data.inputs import usable_columns
from dralign.errors import DataError, DralignError, DralignWarning, GroupError, OptionError

PEOPLE = "name,sex,income\nZoë,F,1\nBob,M,0\n"


def people(n=300, seed=0):
    """A table as a new user might have it: text, missing values, three groups, odd columns."""
    rng = np.random.default_rng(seed)
    region = rng.choice(["north", "south", "west"], n)
    score = rng.normal(50, 10, n)
    score[::17] = np.nan
    job = rng.choice(np.array(["cook", "nurse", "clerk"], dtype=object), n)
    job[::11] = None
    hired = (np.nan_to_num(score, nan=50) + 8 * (region == "north") + rng.normal(0, 9, n)) > 53
    return pd.DataFrame(
        {
            "id": [f"person {i}" for i in range(n)],
            "region": region,
            "score": score,
            "job": job,
            "remote": rng.random(n) > 0.5,
            "children": rng.integers(0, 2, n),
            "joined": pd.date_range("2020-01-01", periods=n).strftime("%Y-%m-%d"),
            "country": "NL",
            "hired": np.where(hired, "yes", "no"),
        }
    )


def write(path, frame):
    """Writes a frame as the ending of the path says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    return path


OPTIONS = {"label": "hired", "positive": "yes", "sensitive": ["region"]}


@pytest.mark.filterwarnings("ignore:columns left out")
@pytest.mark.parametrize("name", ["p.csv", "P.CSV", "p.csv.gz", "p.tsv", "p.tsv.gz", "p.parquet"])
def test_every_kind_of_file_gives_the_same_dataset(tmp_path, name):
    expected = load_table(write(tmp_path / "people.csv", people()), **OPTIONS)
    data = load_table(write(tmp_path / name, people()), **OPTIONS)
    assert data.encoder == expected.encoder
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(data, part).x, getattr(expected, part).x)
        assert torch.equal(getattr(data, part).group, getattr(expected, part).group)


def test_a_table_of_strings_missing_values_and_three_groups_works_at_once(tmp_path):
    frame = people()
    with pytest.warns(DralignWarning, match="left out") as caught:
        data = load_table(write(tmp_path / "people.csv", frame), **OPTIONS, seed=4)
    assert str(caught[0].message) == (
        "columns left out of the inputs: 'id' (180 different texts), 'joined' (dates), "
        "'country' (one value)"
    )
    assert data.name == "people.csv"
    assert data.group_names == ("north", "south", "west")
    assert (data.label, data.positive, data.sensitive) == ("hired", "yes", ("region",))
    assert data.encoder.feature_names == (
        "score",
        "score is missing",
        "job=clerk",
        "job=cook",
        "job=nurse",
        "job is missing",
        "remote=False",
        "remote=True",
        "children",
    )
    splits = data.train, data.validation, data.test
    assert sum(len(split) for split in splits) == len(frame)
    for code, region in enumerate(data.group_names):
        for label, word in enumerate(("no", "yes")):
            n = int(((frame["region"] == region) & (frame["hired"] == word)).sum())
            counts = [int(((s.group == code) & (s.y == label)).sum()) for s in splits]
            assert np.abs(np.array(counts) - np.array([0.6, 0.2, 0.2]) * n).max() < 1
    assert data.train.x[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert data.validation.x[:, 0].mean() != pytest.approx(0, abs=1e-6), "fitted on training rows"


@pytest.mark.filterwarnings("ignore:columns left out")
def test_sensitive_columns_are_inputs_when_asked_and_may_be_crossed(tmp_path):
    path = write(tmp_path / "people.csv", people())
    crossed = {**OPTIONS, "sensitive": ["region", "children"]}
    data = load_table(path, **crossed)
    assert data.group_names[:2] == ("north & 0", "north & 1")
    assert not {"children", "region=north"} & set(data.encoder.feature_names)
    shown = load_table(path, **crossed, include_sensitive=True)
    assert {"children", "region=north"} <= set(shown.encoder.feature_names)


@pytest.mark.filterwarnings("ignore:columns left out")
def test_rows_without_a_sensitive_value_are_kept_without_a_group(tmp_path):
    frame = people()
    frame.loc[:8, "region"] = None
    text = "9 of 300 rows have no value of region: they are in no group; a method's task loss"
    with pytest.warns(DralignWarning, match=text):
        data = load_table(write(tmp_path / "people.csv", frame), **OPTIONS)
    splits = data.train, data.validation, data.test
    assert sum(int((split.group == -1).sum()) for split in splits) == 9
    assert data.group_names == ("north", "south", "west")


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (b"\xef\xbb\xbf" + PEOPLE.encode(), ["name", "sex", "income"]),
        (PEOPLE.replace(",", ", ").encode(), ["name", "sex", "income"]),
        (PEOPLE.replace("\n", "\r\n").encode(), ["name", "sex", "income"]),
        (b"\n" + PEOPLE.replace("\n", "\n\n").encode(), ["name", "sex", "income"]),
        (PEOPLE.rstrip().encode(), ["name", "sex", "income"]),
        (b'name,sex,income\n"Zo\xc3\xab",F,1\nBob,"M",0\n', ["name", "sex", "income"]),
        (b",name,sex\n0,Zo\xc3\xab,F\n1,Bob,M\n", ["Unnamed: 0", "name", "sex"]),
    ],
    ids=["BOM", "blanks", "CRLF", "empty lines", "no last newline", "quotes", "no name"],
)
def test_harmless_oddities_of_a_csv_do_not_matter(tmp_path, content, columns):
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    frame = read_table(path)
    assert list(frame.columns) == columns
    assert frame["name"].tolist() == ["Zoë", "Bob"]
    assert frame["sex"].tolist() == ["F", "M"]


def test_words_for_missing_values_are_missing(tmp_path):
    path = tmp_path / "people.csv"
    words = ["", "?", " ?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>"]
    path.write_text("number,text\n" + "\n".join(f"{w},{w}" for w in words) + "\n1,no\n2,N\n")
    frame = read_table(path)
    assert frame["number"].isna().sum() == len(words)
    assert frame["number"].dtype == float
    assert frame["text"].dropna().tolist() == ["no", "N"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", None, "a.csv: no such file"),
        ("a.csv", "folder", "a.csv: is a folder"),
        ("a.doc", b"x", "expected a file name that ends in one of .csv, .csv.gz"),
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.csv", b"\n \n", "a.csv: the file is empty"),
        ("a.csv", b"\xef\xbb\xbf", "a.csv: the file is empty"),
        ("a.csv", b"name,sex\n", "has a header but no rows"),
        ("a.csv", b"PK\x03\x04\x00\x00\x08", r"a binary file \(byte 4 is 0\)"),
        (
            "a.csv",
            "name\nZoë\n".encode("latin-1"),
            r"byte 7 \(0xeb\) is not UTF-8; give the enc",
        ),
        ("a.csv", "name\nZoë\n".encode("utf-16"), "a binary file .* with --encoding utf-16"),
        ("a.csv", b"a,b\n1,2\n3\n", "line 3 has 1 fields, the header has 2"),
        ("a.csv", b"a,b\n1,2,3\n", "line 2 has 3 fields, the header has 2"),
        ("a.csv", b"a,b\n1,2,\n3,4,\n", "line 2 has 3 fields, the header has 2"),
        ("a.csv", b"a,b,a\n1,2,3\n", "two columns are named 'a'"),
        ("a.csv", b"a, a\n1,2\n", "two columns are named 'a'"),
        ("a.csv", b"a;b\n1;2;3\n", "expected ',' between .* is one field, 'a;b'; give .* --sep"),
        ("a.csv", b'a,b\n1,"2\n3,4\n', "not a table of text .*EOF inside string"),
        ("a.csv", b'a,b\n1,"2' + b"x" * 200_000, "line 2: field larger than"),
        ("a.csv.gz", b"a,b\n1,2\n", "not a whole gzip file"),
        (
            "a.csv.gz",
            gzip.compress(b"a,b\n" + b"1,2\n" * 99, mtime=0)[:30],
            "not a whole gzip file",
        ),
        ("a.parquet", b"a,b\n1,2\n", "not a Parquet file"),
        ("a.parquet", b"PAR1" + b"\x00" * 50 + b"PAR1", "not a Parquet file"),
    ],
)
def test_a_file_that_can_t_be_read_is_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_parquet_file_without_rows_or_with_repeated_names_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    people().head(0).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="has a header but no rows"):
        read_table(tmp_path / "none.parquet")
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="two columns are named 'a'"):
        read_table(tmp_path / "twice.parquet")


def test_columns_of_a_parquet_file_are_used_by_their_type(tmp_path):
    n = 40
    frame = pd.DataFrame(
        {
            "price": [Decimal(i) / 7 for i in range(n)],
            "when": pd.date_range("2020", periods=n),
            "tags": [["a"]] * n,
            "raw": [bytes([i]) for i in range(n)],
            "count": pd.Series(range(n), dtype="Int64").mask(np.arange(n) == 3),
            "kind": pd.Series(["x", "y"] * (n // 2), dtype="category"),
            "ok": pd.Series([True, False, False, None] * (n // 4), dtype="boolean"),
            "group": ["a", "a", "b", "b"] * (n // 4),
            "label": [0, 1] * (n // 2),
        }
    ).set_index(np.arange(n) * 3)
    with pytest.warns(DralignWarning, match="'when' .dates.*'tags' .neither.*'raw' .neither"):
        data = load_table(write(tmp_path / "t.parquet", frame), label="label", sensitive=["group"])
    names = data.encoder.feature_names
    assert [name for name in names if not name.startswith(("count", "ok"))] == [
        "price",
        "kind=x",
        "kind=y",
    ]
    assert {"ok=False", "ok=True"} <= set(names)


def test_columns_that_can_t_help_are_left_out_by_rule(tmp_path):
    """Text with a value of fewer than 10 training rows in most rows, or over 1,000 values."""
    n = 2600
    frame = pd.DataFrame(
        {
            "group": ["a", "b"] * (n // 2),
            "label": [0, 0, 1, 1] * (n // 4),
            "number": np.arange(n) * 7 % 1000,
            "hundred": [f"v{i % 100}" for i in range(n)],
            "third": [f"v{i % 800}" for i in range(n)],
            "many": [f"v{i % 1300}" for i in range(n)],
            "empty": [None] * n,
            "half": [None, "x"] * (n // 2),
            "time": [f"2020-01-01T10:{i % 60:02d}:00Z" for i in range(n)],
        }
    )
    with pytest.warns(DralignWarning, match="left out") as caught:
        data = load_table(write(tmp_path / "t.csv", frame), label="label", sensitive=["group"])
    text = str(caught[0].message)
    assert [n for n in frame.columns if f"'{n}'" in text] == ["third", "many", "empty", "time"]
    kept = {name.split("=")[0].removesuffix(" is missing") for name in data.encoder.feature_names}
    assert kept == {"number", "hundred", "half"}


BAD = {
    "no label": ({"label": ""}, OptionError, r"give it as label \(--label\)"),
    "no sensitive": ({"sensitive": []}, OptionError, r"give it as sensitive \(--sensitive\)"),
    "both": ({"sensitive": ["hired"]}, OptionError, "can't be both label and sensitive"),
    "label unknown": ({"label": "fired"}, DataError, "no column 'fired'; it has: id, region"),
    "sensitive unknown": ({"sensitive": ["sex"]}, DataError, "no column 'sex'; it has: id, region"),
    "label of many": (
        {"label": "id", "positive": ""},
        DataError,
        r"300 different values \('person 0', .*'person 101', \.\.\.\), at most 50 can be classes",
    ),
    "label of three": (
        {"label": "region", "sensitive": ["job"]},
        DataError,
        "no value 'yes'; it has 'north', 'south', 'west'",
    ),
    "label of one": ({"label": "country"}, DataError, "expected two values, got 1: 'NL'"),
    "label missing": ({"label": "job"}, DataError, "label 'job': 28 of 300 rows have no value"),
    "positive unknown": ({"positive": "Yes"}, DataError, "no value 'Yes'; it has 'no' and 'yes'"),
    "positive not given": ({"positive": ""}, DataError, "'no' and 'yes' counts as positive"),
    "one group": ({"sensitive": ["country"]}, GroupError, "all training rows are in one group"),
    "many groups": ({"sensitive": ["id"]}, GroupError, "'id' makes 300 groups"),
    "seed": ({"seed": -3}, OptionError, "seed: expected a number from 0"),
}


@pytest.mark.parametrize(("change", "kind", "message"), BAD.values(), ids=BAD)
def test_options_that_do_not_fit_the_table_are_refused_in_one_line(tmp_path, change, kind, message):
    path = write(tmp_path / "people.csv", people())
    with pytest.raises(kind, match=message) as caught:
        load_table(path, **{**OPTIONS, **change})
    assert "\n" not in str(caught.value)


TINY = {
    "no input": ("a,b\nx,1\ny,0\n" * 9, DataError, "no column is left to predict from"),
    "few rows": ("a,c,b\nx,1,1\ny,2,0\n", DataError, "2 rows are too few for three parts"),
    "no group": ("a,c,b\n,1,1\n,2,0\n", GroupError, "every row has a missing value"),
    "infinite": (
        "a,c,b\nx,inf,1\ny,2,0\n" * 9,
        DataError,
        "'c': expected finite numbers, got 'inf'",
    ),
}


@pytest.mark.parametrize(("text", "kind", "message"), TINY.values(), ids=TINY)
def test_tables_that_can_t_be_trained_on_are_refused_in_one_line(tmp_path, text, kind, message):
    lines = text.splitlines()
    path = tmp_path / "t.csv"
    path.write_text("\n".join([lines[0], *(line for line in lines[1:] if line != lines[0])]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DralignWarning)
        with pytest.raises(kind, match=message):
            load_table(path, label="b", sensitive=["a"])


@pytest.mark.parametrize(
    ("values", "positive", "shown"),
    [
        (["0", "1"], "", "1"),
        (["0", "1"], "0", "0"),
        (["0.0", "1.0"], "1.0", "1"),
        (["true", "false"], "", "True"),
        (["true", "false"], "false", "False"),
        (["TRUE", "FALSE"], "True", "True"),
        (["<=50K", ">50K"], ">50K", ">50K"),
        (["1", "2"], "2", "2"),
        (["-1", "1"], "1", "1"),
    ],
)
def test_the_positive_value_is_named_as_it_stands_in_the_file(tmp_path, values, positive, shown):
    rows = [f"{g},{i % 5},{values[i % 2]}" for i, g in enumerate("aabb" * 10)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["group,x,label", *rows]))
    data = load_table(path, label="label", positive=positive, sensitive=["group"])
    assert data.positive == shown
    splits = data.train, data.validation, data.test
    assert [int(sum(split.y.sum() for split in splits)), sum(map(len, splits))] == [20, 40]


def test_the_label_is_one_where_the_positive_value_stands(tmp_path):
    """The input tells the row, so that each row's label can be checked."""
    rows = [f"{g},{i},{'good' if i % 3 else 'bad'}" for i, g in enumerate("ab" * 30)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["group,row,label", *rows]))
    data = load_table(path, label="label", positive="bad", sensitive=["group"])
    column = data.encoder.columns[0]
    for split in (data.train, data.validation, data.test):
        row = (split.x[:, 0].double() * column.std + column.mean).round().long()
        assert torch.equal(split.y, (row % 3 == 0).long())
        assert torch.equal(split.group, row % 2)


def test_blanks_around_values_do_not_count(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sex,ok \nM , yes\n F,no\nM,yes \nNA , no\n")
    frame = read_table(path)
    assert frame["sex"].tolist()[:3] == ["M", "F", "M"]
    assert frame["sex"].isna().tolist() == [False, False, False, True]
    assert frame["ok"].tolist() == ["yes", "no", "yes", "no"]


def test_row_numbers_and_keys_are_left_out_but_other_whole_numbers_stay():
    """Of 200 amounts up to a million none may be equal; of 200 up to 3,000 seven pairs would be."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row": range(1000, 1200),
            "key": rng.permutation(3000)[:200],
            "amount": rng.permutation(10**6)[:200],
            "age": rng.integers(18, 90, 200),
            "weight": rng.random(200),
        }
    )
    frame["gaps"] = frame["row"].mask(frame["age"] == 30)
    expected = r"'row' \(row numbers\), 'key' \(keys, all different\), 'gaps' \(row numbers\)$"
    with pytest.warns(DralignWarning, match=expected):
        assert usable_columns(frame) == ["amount", "age", "weight"]


@pytest.mark.parametrize("kind", [complex, object])
def test_complex_numbers_are_no_inputs(kind):
    frame = pd.DataFrame({"x": [1.5, 2.5] * 9, "z": np.array([1j, 2 + 1j] * 9, dtype=kind)})
    with pytest.warns(DralignWarning, match=r"inputs: 'z' \(neither numbers nor text\)$"):
        assert usable_columns(frame) == ["x"]


def test_names_of_people_in_a_small_table_are_not_published(tmp_path):
    n = 150
    frame = pd.DataFrame(
        {
            "name": [f"Person {i:03d}" for i in range(n)],
            "town": ["Oslo"] * 60 + ["Bergen"] * 60 + [f"Village {i % 10}" for i in range(30)],
            "sex": ["f", "m"] * (n // 2),
            "hired": [0, 0, 1, 1] * (n // 4) + [0, 1],
        }
    )
    path = write(tmp_path / "t.csv", frame)
    with pytest.warns(DralignWarning, match=r"left out of the inputs: 'name' \(90 different texts"):
        data = load_table(path, label="hired", sensitive="sex")
    assert data.encoder.feature_names == ("town=Bergen", "town=Oslo")


def test_text_that_few_rows_share_is_left_out():
    frame = pd.DataFrame({"class": list("abcdefghij") * 9, "x": np.arange(90.0)})
    with pytest.warns(
        DralignWarning, match=r"'class' \(10 different texts, few in 10 rows or more\)"
    ):
        assert usable_columns(frame) == ["x"]


def test_columns_of_rare_texts_alone_are_refused():
    frame = pd.DataFrame({"class": list("abcdefghij") * 9})
    with pytest.raises(DataError, match="no column has a value that 10 training rows share"):
        TableEncoder.fit(frame, ["class"])


def test_many_columns_that_are_left_out_are_one_short_line():
    frame = pd.DataFrame({f"c{i}": [1, 1, 1] for i in range(400)}).assign(x=[1, 2, 3])
    with pytest.warns(DralignWarning) as caught:
        assert usable_columns(frame) == ["x"]
    (warning,) = caught
    assert str(warning.message).startswith("columns left out of the inputs: 'c0' (one value), 'c1'")
    assert str(warning.message).endswith("'c9' (one value), and 390 more")


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 5000 + ".csv", "a\x00b.csv", "a\x00b"])
def test_impossible_file_names_are_one_clear_line(name):
    with pytest.raises(DralignError):
        read_table(name)
    source = DataSource(name, label="a", sensitive=("b",))
    for use in (source.fingerprint, lambda: source.load(0)):
        with pytest.raises(DralignError):
            use()


def test_one_sensitive_column_may_be_given_as_text(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame(
        {"sex": ["f", "m"] * 50, "x": np.arange(100.0) ** 2, "y": [0, 0, 1, 1] * 25}
    ).to_csv(path, index=False)
    assert load_table(path, label="y", sensitive="sex").group_names == ("f", "m")
