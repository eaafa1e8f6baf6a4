"""Reading tables that are hostile or odd: one clear line, at once, and never another value."""

import datetime as dt
import gzip
import os
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dralign.data import DataSource, limits, load_table, read_table
from dralign.errors import DataError, DralignWarning

TABLE = pd.DataFrame({"age": [20, 30, 40], "job": ["cook", None, "nurse"]})


def refused(path, message):
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def with_pandas_metadata(path, metadata):
    """Writes the table with other bytes than pandas' own under its key."""
    table = pa.Table.from_pandas(TABLE).replace_schema_metadata({b"pandas": metadata})
    pq.write_table(table, path)


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"index_columns": ["key"], "columns": [], "column_indexes": []}',
        b'{"index_columns": [3, {"kind": "range"}], "columns": [{}], "column_indexes": [{}]}',
        b'{"index_columns": 3}',
        b'{"columns": [{"field_name": "age", "numpy_type": "nonsense", "pandas_type": 3}]}',
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b"",
    ],
)
def test_a_parquet_file_is_read_whatever_pandas_metadata_says(tmp_path, metadata):
    """Another tool dropped the index column, or wrote what it liked."""
    with_pandas_metadata(tmp_path / "t.parquet", metadata)
    frame = read_table(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(frame, TABLE)


@pytest.mark.parametrize("name", [None, "key"])
def test_a_row_index_that_pandas_stored_is_no_column(tmp_path, name):
    frame = TABLE.set_index(pd.Index([7, 3, 9], name=name))
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), TABLE)


def test_a_damaged_page_is_found_by_its_checksum(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"x": np.arange(1000.0)})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(500).tobytes()) + 6] ^= 1
    path.write_bytes(content)
    refused(path, "not a Parquet file .*[Cc][Rr][Cc]")


def test_text_of_a_parquet_file_that_is_not_utf_8_is_refused(tmp_path):
    broken = pa.array([b"\xed\xa0\x80", b"ok"]).view(pa.string())  # half a surrogate pair
    pq.write_table(pa.table({"job": broken}), tmp_path / "t.parquet")
    refused(tmp_path / "t.parquet", "not a Parquet file .*UTF-?8")


def test_a_parquet_file_that_says_it_is_too_large_is_not_read(tmp_path, monkeypatch):
    """A million times the same value takes a few hundred bytes in the file."""
    pq.write_table(pa.table({"x": np.zeros(1_000_000)}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 50_000
    monkeypatch.setattr(limits, "memory", lambda: 2**23)
    refused(tmp_path / "t.parquet", r"GiB of content are too much for the 0\.0 GiB of memory")


@pytest.mark.parametrize("kind", ["text", "list", "record", "fixed"])
def test_a_long_text_that_is_stored_once_for_many_rows_is_counted_before_it_is_made(
    tmp_path, monkeypatch, kind
):
    text = pa.array(["a" * 2**16] * 200)
    columns = {
        "text": text,
        "list": pa.ListArray.from_arrays(range(201), text),
        "record": pa.StructArray.from_arrays([text], ["x"]),
        "fixed": text.cast(pa.binary()).cast(pa.binary(2**16)),
    }
    table = pa.table({"x": columns[kind], "y": range(200)})
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < 50_000
    monkeypatch.setattr(limits, "memory", lambda: 2**23)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("it was made"))
    refused(tmp_path / "t.parquet", r"GiB of content are too much for the 0\.0 GiB of memory")


def test_a_packed_bomb_is_counted_while_it_is_unpacked(tmp_path, monkeypatch):
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 250_000)
    (tmp_path / "t.csv.gz").write_bytes(bomb)
    assert len(read_table(tmp_path / "t.csv.gz")) == 250_000, "small enough to be let through"
    monkeypatch.setattr(limits, "SMALL", 2**16)
    refused(tmp_path / "t.csv.gz", rf"{len(bomb):,} bytes unpack to over [\d,]+; if that is right")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_more_than_the_memory_holds_is_one_line(tmp_path, monkeypatch, name):
    frame = pd.DataFrame({"x": np.random.default_rng(0).random(1000)})
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path)
    monkeypatch.setattr(limits, "memory", lambda: 2**12)
    refused(path, f"{name}: .* too much for the .* memory of this machine")


def test_a_lack_of_memory_while_reading_is_one_line(tmp_path, monkeypatch):
    TABLE.to_csv(tmp_path / "t.csv", index=False)

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(pd, "read_csv", fail)
    refused(tmp_path / "t.csv", r"t\.csv: does not fit into the memory")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_too_many_columns_are_one_line(tmp_path, ending):
    names = [f"c{i}" for i in range(limits.MOST_COLUMNS + 1)]
    path = tmp_path / f"t.{ending}"
    if ending == "csv":
        path.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    else:
        pq.write_table(pa.table({name: [1] for name in names}), path)
    refused(path, f"{len(names):,} columns, at most 20,000 are read")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    refused(tmp_path / name, "not a regular file")
    with pytest.raises(DataError, match="not a regular file"):
        DataSource(str(tmp_path / name), label="a", sensitive=("b",)).fingerprint()
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    refused(tmp_path / name, "not a regular file")


def test_a_link_to_a_table_is_read(tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "link.csv").symlink_to(tmp_path / "t.csv")
    assert len(read_table(tmp_path / "link.csv")) == 3


def test_texts_among_missing_ones_are_stripped(tmp_path):
    (tmp_path / "t.csv").write_text('x,job\n1,a \n2,\n3,"\u2028b"\n4,NA \n', encoding="utf-8")
    jobs = read_table(tmp_path / "t.csv")["job"]
    assert jobs.dropna().tolist() == ["a", "b"]
    assert jobs.isna().tolist() == [False, True, False, True]


def test_numbers_are_read_to_the_last_digit(tmp_path):
    values = np.random.default_rng(0).uniform(-0.05, 0.05, 1000)
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{v!r},a" for v in values.tolist())]))
    assert read_table(tmp_path / "t.csv")["x"].tolist() == values.tolist()


def test_names_of_files_are_text_in_a_table_of_images(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("label,file,size\n1,1,1\n0,0002,2\n")
    assert read_table(path, of_images=True).to_dict("list") == {
        "label": [1, 0],
        "file": ["1", "0002"],
        "size": [1, 2],
    }
    path.write_text("picture,label\n1,1\n")
    assert read_table(path, of_images=True)["picture"].tolist() == ["1"]
    assert read_table(path)["picture"].tolist() == [1]


ODD = [
    "עברית",
    "👩🏽‍💼",
    "\u202etxt",
    "a\tb",
    "\x1b[2J",
    "\ufeffb",
    "e\u0301",
    "x" * 3000,
    "{[/red]}",
]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_odd_texts_are_taken_as_they_are(tmp_path, odd, ending):
    n = 120
    frame = pd.DataFrame(
        {
            odd: [f"{odd}{i % 2}" for i in range(n)],
            "group": ["a", odd] * (n // 2),
            "label": ["no", "no", odd, odd] * (n // 4),
        }
    )
    path = tmp_path / f"t.{ending}"
    frame.to_parquet(path) if ending == "parquet" else frame.to_csv(path, index=False)
    data = load_table(path, label="label", positive=odd, sensitive="group")
    name = odd if ending == "parquet" or odd != "\ufeffb" else "b"  # a byte order mark
    assert data.encoder.feature_names == tuple(f"{name}={odd}{i}" for i in range(2))
    assert odd in data.group_names


def test_what_could_steer_a_terminal_is_not_printed_as_it_is(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\x1b[2J,\u202eevil,good\n1,2,3\n")
    with pytest.raises(DataError, match="no column 'x'") as caught:
        load_table(path, label="x", sensitive="good")
    assert str(caught.value).isprintable()


TYPES = [
    (pa.large_string(), "t"),
    (getattr(pa, "string_view", pa.string)(), "t"),  # of pyarrow 16
    (pa.dictionary(pa.int8(), pa.string()), "t"),
    (pa.binary(), b"t"),
    (pa.large_binary(), b"t"),
    (pa.binary(2), b"ab"),
    (pa.null(), None),
    (pa.bool_(), True),
    (pa.float16(), np.float16(1.5)),
    (pa.uint64(), 2**64 - 1),
    (pa.decimal128(9, 2), Decimal("1.25")),
    (pa.decimal256(60, 2), Decimal("1.25")),
    (pa.date32(), dt.date(2020, 1, 2)),
    (pa.time64("us"), dt.time(1, 2, 3)),
    (pa.duration("us"), dt.timedelta(1)),
    (pa.timestamp("ns", "Europe/Berlin"), dt.datetime(2020, 1, 2, tzinfo=dt.UTC)),
    (pa.list_(pa.int8()), [1, 2]),
    (pa.struct([("a", pa.int8())]), {"a": 1}),
    (pa.map_(pa.string(), pa.int8()), [("a", 1)]),
]


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
@pytest.mark.parametrize(("kind", "value"), TYPES, ids=[str(kind) for kind, _ in TYPES])
def test_no_type_of_parquet_is_a_traceback(tmp_path, kind, value):
    """As an input it is used or left out; as label or groups it is refused: it has one value."""
    n = 80
    column = pa.array([None if i % 9 == 0 else value for i in range(n)], type=kind)
    others = {"y": np.arange(n) ** 2.0, "g": ["a", "b"] * 40, "label": [0, 0, 1, 1] * 20}
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": column} | others), path)
    data = load_table(path, label="label", sensitive="g")
    assert "y" in data.encoder.feature_names
    with pytest.raises(DataError, match="'x'"):
        load_table(path, label="x", sensitive="g")
    with pytest.raises(DataError, match=r"'x'|one group|missing value|sensitive"):
        load_table(path, label="label", sensitive="x")


@pytest.mark.parametrize("line", ['""', "\u00a0", "\u2028"])
def test_a_line_that_is_blank_to_one_reader_and_not_to_another_is_refused(tmp_path, line):
    (tmp_path / "t.csv").write_text(f"a,b\n1,2\n{line}\n3,4\n")
    refused(tmp_path / "t.csv", "2 lines of fields are 3 rows; remove lines of quotes")


def test_a_missing_value_of_a_single_column_is_written_as_quotes(tmp_path):
    pd.DataFrame({"a": [1, None, 3]}).to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv")["a"].isna().tolist() == [False, True, False]


def test_a_file_in_a_folder_without_entry_is_told(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n")
    refused(tmp_path / "t.csv" / "x.csv", "Not a directory")


def test_warnings_do_not_depend_on_what_was_loaded_before(tmp_path):
    frame = pd.DataFrame(
        {"x": range(40), "n": "NL", "g": ["a", "b"] * 20, "label": [0, 0, 1, 1] * 10}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    for _ in range(2):
        with pytest.warns(DralignWarning, match="'n' .one value"):
            load_table(tmp_path / "t.csv", label="label", sensitive="g")
