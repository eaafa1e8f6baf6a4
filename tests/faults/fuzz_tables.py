"""Random hostile tables and images: each must be refused in one line, or read as it stands.

    python tests/faults/fuzz_tables.py 5000 --kind csv

Counts what became of the cases, prints a line for each that went wrong (``--case`` repeats it), and
exits with 1 if one ended in a traceback, took over ten seconds, or was read otherwise than a plain
oracle reads it.
"""

import argparse
import collections
import csv
import datetime as dt
import decimal
import gzip
import io
import math
import os
import random
import re
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dralign.data import encoder_from_dict, inspect_table, load_images, load_table, read_table
from dralign.data.images_cache import decode_all
from dralign.errors import DralignError
from dralign.forms import parse_json, to_json
from fuzzing import Late, limited

OUTCOMES = ("refused in one line", "accepted", "traceback", "hang", "silently wrong")
MISSING = {"", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"}
ODD = [
    *(
        "",
        " ",
        "?",
        "NA",
        "null",
        "nan",
        "inf",
        "-inf",
        "1e308",
        "1e-320",
        "1e400",
        "0x10",
        "1_000",
    ),
    *(
        "44,0",
        "44.0",
        "007",
        "-0",
        "+5",
        "1e5",
        "9" * 30,
        "true",
        "FALSE",
        "True",
        "1.",
        ".5",
        "- 1",
    ),
    *(
        "a b",
        'say "x"',
        "two\nlines",
        "a,b",
        "tab\there",
        "\ufeff",
        "\u202eevil",
        "עברית",
        "👩🏽‍💼",
    ),
    *(
        "\x1b[2J",
        "\x7f",
        "\x85",
        "\u2028",
        "e\u0301",
        "x" * 500,
        "<script>",
        "{[/]}",
        "=1+1",
        "'",
        "\\",
    ),
    *(
        "2020-01-02",
        "2020-01-02 03:04",
        "12:30",
        "1 000",
        "1,234",
        "١٢",
        "½",
        "Ⅳ",
        "NaT",
        "#N/A",
        "\r",
    ),
]
NOISE = [b"\xff", b"\xed\xa0\x80", b'"', b",", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\\", b"  "]


class WrongError(Exception):
    """Accepted, but read otherwise than by the oracle."""


def mutated(rng, content):
    """The bytes with a few random edits."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice([1, 1, 2, 4, 30]))
        edit = rng.randrange(7)
        if edit == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif edit == 1:
            content[at:at] = rng.choice(NOISE)
        elif edit == 2:
            del content[at:end]
        elif edit == 3:
            content[at:at] = content[at:end] * rng.choice([1, 2, 50])
        elif edit == 4:
            content[at:end] = rng.choice(ODD).encode() if rng.random() < 0.7 else rng.randbytes(3)
        elif edit == 5 and rng.random() < 0.3:
            content[at:end] = bytes(end - at)
        elif rng.random() < 0.3:
            del content[at:]
    return bytes(content)


COLUMNS = [
    lambda rng: str(rng.randrange(-5, 100)),
    lambda rng: repr(rng.uniform(-10, 10)),
    lambda rng: rng.choice(["a", "b", "c"]),
    lambda rng: rng.choice(["true", "false"]),
    lambda rng: rng.choice(ODD),
]


def column(rng, n):
    """Texts of one column of a table: of one kind, or one odd text among or instead of them."""
    kind, odd = rng.choice(COLUMNS), rng.randrange(4)
    values = [kind(rng) for _ in range(n)]
    if odd == 0:
        values[rng.randrange(n)] = rng.choice(ODD)
    return [rng.choice(ODD)] * n if odd == 1 else values


def csv_case(rng, folder):
    """A file of text, of bytes that were mutated or of odd values."""
    ending = rng.choice([".csv", ".csv", ".csv", ".tsv", ".csv.gz"])
    separator = "\t" if "tsv" in ending else ","
    n = rng.choice([1, 20, 30, 60, 60, 60])
    table = {"group": [rng.choice("ab") for _ in range(n)], "x": [str(i * i) for i in range(n)]}
    table |= {"label": [rng.choice("01") for _ in range(n)]}
    for place in range(rng.randrange(1, 6)):
        name = rng.choice(ODD) if rng.random() < 0.15 else f"c{place}"
        table[name] = column(rng, n)
    text = io.StringIO()
    style = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    end = rng.choice(["\n", "\n", "\r\n", "\r"])
    writer = csv.writer(text, delimiter=separator, quoting=style, lineterminator=end)
    writer.writerows([list(table), *zip(*table.values(), strict=True)])
    content = text.getvalue().encode()
    if rng.random() < 0.1:
        content = b"\xef\xbb\xbf" + content
    if rng.random() < 0.5:
        content = mutated(rng, content)
    if ending.endswith("gz"):
        content = gzip.compress(content, mtime=0)
        content = mutated(rng, content) if rng.random() < 0.3 else content
    path = folder / f"t{ending}"
    path.write_bytes(content)
    frame = read_table(path)
    compare_text(frame, content, separator, packed=ending.endswith("gz"))
    use(path, frame)


def compare_text(frame, content, separator, *, packed):
    """Compares every cell with what Python's csv reads."""
    text = (gzip.decompress(content) if packed else content).decode("utf-8-sig")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    head, *rows = [row for row in rows if row and (len(row) > 1 or row[0].strip())]
    names = [name.strip() or f"Unnamed: {place}" for place, name in enumerate(head)]
    if list(frame.columns) != names or len(frame) != len(rows):
        raise WrongError(f"{frame.shape} {list(frame.columns)}, expected {len(rows)} of {names}")
    for place, name in enumerate(names):
        for got, row in zip(frame[name].tolist(), rows, strict=True):
            if not same(got, row[place].strip()):
                raise WrongError(f"column {name!r}: {got!r}, expected {row[place]!r}")


def same(got, text):
    """Whether a value is what the text of a cell says."""
    if text in MISSING or (text.startswith(("-", "+")) and text[1:].lower() == "nan"):
        return bool(pd.isna(got))
    if isinstance(got, bool):
        return text.lower() == str(got).lower()
    if isinstance(got, (int, float)):
        return not math.isnan(got) and math.isclose(float(text), got, rel_tol=1e-15)
    return got == text


def use(path, frame):
    """What inspection, training and scoring do with a table."""
    known = positive(frame["label"]) if "label" in frame else "1"
    columns = {"label": "label", "sensitive": "group", "positive": known}
    obstacles = inspect_table(path, **columns).obstacles
    try:
        data = load_table(path, **columns)
    except DralignError as error:
        if not obstacles:
            raise WrongError(f"called usable, but: {error}") from error
        raise
    if obstacles:
        raise WrongError(f"used in spite of {obstacles}")
    encoder = data.encoder
    x = encoder.transform(frame)
    again = encoder_from_dict(parse_json(to_json(encoder.to_dict()), "encoder"))
    if again != encoder or not np.array_equal(again.transform(frame), x):
        raise WrongError("the encoder read back is another")
    if x.shape[1] != data.n_inputs or not np.isfinite(x).all():
        raise WrongError(f"inputs of shape {x.shape}, with {np.isnan(x).sum()} NaN")


def positive(values):
    """A value that counts as 1."""
    known = values.dropna().astype(str).tolist()
    return known[0] if known else "1"


MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
TYPES = [
    (pa.int8(), lambda rng: rng.randrange(-128, 128)),
    (pa.uint64(), lambda rng: rng.randrange(2**64)),
    (pa.int64(), lambda rng: rng.randrange(-(2**63), 2**63)),
    (pa.float16(), lambda rng: np.float16(rng.uniform(-9, 9))),
    (pa.float32(), lambda rng: rng.choice([0.5, 1e38, math.inf, math.nan])),
    (pa.float64(), lambda rng: rng.choice([0.5, 1e308, -math.inf, math.nan, 5e-324])),
    (pa.bool_(), lambda rng: rng.random() < 0.5),
    (pa.string(), lambda rng: rng.choice(ODD)),
    (pa.large_string(), lambda rng: rng.choice(ODD)),
    (getattr(pa, "string_view", pa.string)(), lambda rng: rng.choice(ODD)),  # of pyarrow 16
    (pa.dictionary(pa.int8(), pa.string()), lambda rng: rng.choice(ODD[:20])),
    (pa.binary(), lambda rng: rng.randbytes(3)),
    (pa.binary(4), lambda rng: rng.randbytes(4)),
    (pa.null(), lambda _: None),
    (pa.decimal128(12, 3), lambda rng: decimal.Decimal(rng.randrange(10**9)) / 1000),
    (pa.decimal256(70, 3), lambda rng: decimal.Decimal(rng.randrange(10**9)) / 1000),
    (pa.date32(), lambda rng: dt.date(rng.randrange(1, 9999), 1, 2)),
    (pa.timestamp("s"), lambda rng: dt.datetime(rng.randrange(1, 9999), 1, 2)),  # noqa: DTZ001
    (pa.timestamp("us", "UTC"), lambda rng: MOMENT + dt.timedelta(rng.randrange(999))),
    (pa.time32("s"), lambda rng: dt.time(rng.randrange(24))),
    (pa.duration("us"), lambda rng: dt.timedelta(rng.randrange(999))),
    (pa.list_(pa.int8()), lambda rng: [1] * rng.randrange(3)),
    (pa.struct([("a", pa.int8())]), lambda rng: {"a": rng.randrange(9)}),
    (pa.map_(pa.string(), pa.int8()), lambda rng: [("a", rng.randrange(9))]),
]
METADATA = [
    b"",
    b"\xff",
    b"{}",
    b"[]",
    b"null",
    b'{"index_columns": ["c0"]}',
    b'{"index_columns": [0]}',
]
METADATA += [b'{"index_columns": ["gone"], "columns": [], "column_indexes": []}', b"[" * 20_000]
METADATA += [b'{"index_columns": [], "columns": [{"name": 3}], "column_indexes": [{"name": []}]}']


def parquet_case(rng, folder):
    """A Parquet file of random types, or with mutated bytes, or strange metadata."""
    n = rng.choice([1, 30, 60, 60])
    table = {
        "x": pa.array([i * i for i in range(n)]),
        "group": pa.array([rng.choice("ab") for _ in range(n)]),
        "label": pa.array([rng.randrange(2) for _ in range(n)]),
    }
    for place in range(rng.randrange(1, 5)):
        kind, make = rng.choice(TYPES)
        values = [None if rng.random() < 0.1 else make(rng) for _ in range(n)]
        name = rng.choice(ODD) if rng.random() < 0.1 else f"c{place}"
        table[name] = pa.array(values, type=kind)
    whole = pa.table(table)
    if rng.random() < 0.3:
        frame = pd.DataFrame({"c0": range(n), "c1": ["x"] * n})
        frame["label"], frame["group"] = np.arange(n) // 2 % 2, np.where(np.arange(n) % 2, "a", "b")
        frame = frame.set_index(rng.choice(["c0", "c1"])) if rng.random() < 0.5 else frame
        whole = pa.Table.from_pandas(frame)
    if rng.random() < 0.3:
        whole = whole.replace_schema_metadata({b"pandas": rng.choice(METADATA)})
    path = folder / "t.parquet"
    pq.write_table(
        whole,
        path,
        compression=rng.choice(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
        data_page_version=rng.choice(["1.0", "2.0"]),
        use_dictionary=rng.random() < 0.5,
        write_page_checksum=rng.random() < 0.5,
        row_group_size=rng.choice([7, 1000]),
    )
    damaged = rng.random() < 0.5
    if damaged:
        path.write_bytes(mutated(rng, path.read_bytes()))
    frame = read_table(path)
    if not damaged:
        compare_arrow(frame, whole)
    use(path, frame)


def compare_arrow(frame, whole):
    """Compares every value with what was written; a row index may be gone."""
    for name in frame.columns:
        for got, expected in zip(frame[name].tolist(), whole.column(name).to_pylist(), strict=True):
            if not same_value(got, expected):
                raise WrongError(f"column {name!r}: {got!r}, expected {expected!r}")
    lost = set(whole.column_names) - set(frame.columns)
    index = str((whole.schema.metadata or {}).get(b"pandas", b"{}"))
    if any(f'"{name}"' not in index for name in lost):
        raise WrongError(f"columns lost: {lost}")


def same_value(got, expected):
    """Whether a value of a frame is that of the file."""
    if expected is None or (isinstance(expected, float) and math.isnan(expected)):
        return got is None or (not isinstance(got, (list, np.ndarray, dict)) and bool(pd.isna(got)))
    if isinstance(expected, (int, float, decimal.Decimal)):
        return math.isclose(float(got), float(expected), rel_tol=1e-15)
    if isinstance(expected, list):
        return list(map(str, got)) == list(map(str, expected))
    if isinstance(expected, dt.datetime):
        return pd.Timestamp(got) == pd.Timestamp(expected)
    if isinstance(expected, dt.timedelta):
        return pd.Timedelta(got) == pd.Timedelta(expected)
    return got == expected


KINDS = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "BMP": ["1", "L", "P", "RGB"],
    "GIF": ["L", "P", "RGB"],
    "TIFF": ["1", "L", "RGB", "CMYK", "F", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "PPM": ["1", "L", "RGB"],
    "ICO": ["RGBA"],
    "TGA": ["L", "RGB", "RGBA"],
    "EPS": ["RGB"],
    "PDF": ["RGB"],
}


def with_8_bits(image):
    """Grey of 16 bits scaled; another image as it is."""
    if not image.mode.startswith("I;16"):
        return image
    grey = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((grey * 255 + 65535 // 2) // 65535).astype(np.uint8))


def image_case(rng, folder):
    """An image file of some kind, mode and size, often damaged, sometimes no file at all."""
    kind = rng.choice(list(KINDS))
    mode, size = rng.choice(KINDS[kind]), (rng.randrange(1, 40), rng.randrange(1, 40))
    path, whole = folder / "one.jpg", io.BytesIO()
    noise = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
    as_mode = noise.convert(mode) if mode != "I;16" else Image.new(mode, size, 77)
    as_mode.save(whole, kind)
    place = rng.randrange(12)
    content = whole.getvalue()
    if place < 7:
        content = mutated(rng, content)
    path.write_bytes(content)
    if place > 9:
        path.unlink()
        odd = rng.randrange(5)
        if odd == 0:
            os.mkfifo(path)
        elif odd == 1:
            path.mkdir()
        elif odd == 2:
            path.symlink_to("/dev/zero")
        elif odd == 3:
            path.symlink_to(path)
        else:
            (folder / "real").write_bytes(content)
            path.symlink_to(folder / "real")
    pixels = np.empty((1, 3, 8, 8), np.uint8)
    if rng.random() < 0.1:
        names = [f"{i}" for i in range(30)]
        for name in names:
            (folder / name).symlink_to(path)
        rows = {"file": names, "label": [0, 0, 1, 1, 0] * 6, "group": ["a", "b"] * 15}
        pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
        labels = folder / "labels.csv"
        options = {"label": "label", "sensitive": "group", "image_size": 8, "labels": labels}
        load_images(folder, **options)
    decode_all([path], 8, pixels)
    expected = with_8_bits(Image.open(path)).convert("RGB").resize((8, 8), Image.BILINEAR)
    if not np.array_equal(pixels[0].transpose(1, 2, 0), np.asarray(expected)):
        raise WrongError("other pixels")


CASES = {"csv": csv_case, "parquet": parquet_case, "image": image_case}


def outcome(kind, number):
    """What became of one case, and in which words; the same number is the same case."""
    rng = random.Random(f"{kind} {number}")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), limited():
        warnings.simplefilter("ignore")
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        try:
            CASES[kind](rng, Path(folder))
        except DralignError as error:
            return ("traceback" if "\n" in str(error) else "refused in one line"), str(error)
        except Late:
            return "hang", traceback.format_exc()
        except WrongError as error:
            return "silently wrong", str(error)
        except Exception:  # noqa: BLE001 - that is what is looked for
            return "traceback", traceback.format_exc()
    return "accepted", ""


def main():
    """Runs the cases; 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int)
    parser.add_argument("--kind", choices=CASES, required=True)
    parser.add_argument("--case", type=int, help="run this one only, and say what became of it")
    given = parser.parse_args()
    if given.case is not None:
        say(": ".join(outcome(given.kind, given.case)))
        return 0
    counts, words = collections.Counter(), collections.Counter()
    for number in range(given.cases):
        result, text = outcome(given.kind, number)
        counts[result] += 1
        words[re.sub(r"/\S+|\d+|'[^']*'", "_", text)[:60]] += result == "refused in one line"
        if result not in OUTCOMES[:2]:
            say(f"{given.kind} {number}: {result}: {text.strip().splitlines()[-1][:200]}")
    say(" | ".join(["| kind | cases", *OUTCOMES]) + " |")
    say("| --- " * (2 + len(OUTCOMES)) + "|")
    figures = (str(counts[name]) for name in OUTCOMES)
    say(" | ".join([f"| {given.kind} | {given.cases}", *figures]) + " |")
    for text, count in words.most_common(8):
        say(f"  {count:5} {text}")
    return int(any(counts[name] for name in OUTCOMES[2:]))


def say(line):
    """Prints a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
