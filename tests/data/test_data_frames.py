"""Frames of other libraries are read as those of pandas."""

import pandas as pd
import pyarrow as pa
import pytest
import torch

from dralign.data import load_table
from dralign.errors import DataError
from tables.make import people

COLUMNS = {"label": "loan", "positive": "yes", "sensitive": "sex"}


def as_categories(frame):
    """Texts as what OpenML's frames have, dictionaries in arrow."""
    texts = [name for name in frame if pd.api.types.infer_dtype(frame[name]) == "string"]
    return frame.astype(dict.fromkeys(texts, "category"))


@pytest.mark.parametrize(
    "made",
    [pa.Table.from_pandas, as_categories, lambda frame: pa.Table.from_pandas(as_categories(frame))],
)
def test_a_frame_of_arrow_or_of_categories_is_the_dataset_of_the_plain_one(made):
    frame = people()
    one, other = load_table(frame, **COLUMNS), load_table(made(frame), **COLUMNS)
    for part in ("train", "validation", "test"):
        for name in ("x", "y", "group"):
            ours, theirs = (getattr(getattr(data, part), name) for data in (one, other))
            assert torch.equal(ours, theirs)
    assert one.group_names == other.group_names


@pytest.mark.parametrize("table", [[1, 2], 3, {"loan": [1]}])
def test_what_is_no_frame_is_refused_in_one_line(table):
    with pytest.raises(DataError, match="expected a file, or a frame of pandas, polars or pyarrow"):
        load_table(table, **COLUMNS)
