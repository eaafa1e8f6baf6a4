"""Group coding: columns of any type to codes, and the checks on codes."""

import datetime as dt
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dralign import metrics
from dralign.errors import DataError, DralignWarning, GroupError, GroupTypeError
from dralign.groups import GroupCodes, check_group, encode_groups, named_codes, require_groups

NAT, NAN, NA = pd.NaT, float("nan"), pd.NA

COLUMNS = {
    "text": (["b", "a", None, "b"], [1, 0, -1, 1], ("a", "b")),
    "numpy text": (np.array(["b", "a"]), [1, 0], ("a", "b")),
    "empty text": (["Zoë", "", "a"], [1, 0, 2], ("", "Zoë", "a")),
    "int": ([10, 9, 100], [1, 0, 2], ("9", "10", "100")),
    "float": ([1.0, 0.5, NAN, -0.0, 0.0], [2, 1, -1, 0, 0], ("0", "0.5", "1")),
    "infinite": ([float("inf"), 1.0], [1, 0], ("1", "inf")),
    "bool": ([True, False, True], [1, 0, 1], ("False", "True")),
    "every kind of missing": (["a", None, NAN, NAT, NA, "b"], [0, -1, -1, -1, -1, 1], ("a", "b")),
    "mixed": ([2, "x", None, 1], [1, 2, -1, 0], ("1", "2", "x")),
    "decimal": ([Decimal("2.5"), Decimal(1)], [1, 0], ("1", "2.5")),
    "tensor of ints": (torch.tensor([3, 1, 3]), [1, 0, 1], ("1", "3")),
    "tensor of bools": (torch.tensor([False, True]), [0, 1], ("False", "True")),
    "tensor of floats": (torch.tensor([0.5, NAN, 2.0]), [0, -1, 1], ("0.5", "2")),
    "bfloat16": (torch.tensor([1.5, 0.0], dtype=torch.bfloat16), [1, 0], ("0", "1.5")),
    "with gradient": (torch.tensor([1.0, 2.0], requires_grad=True), [0, 1], ("1", "2")),
    "column of a matrix": (np.array([["b"], ["a"]]), [1, 0], ("a", "b")),
    "Int64": (pd.Series([2, None, 1], dtype="Int64"), [1, -1, 0], ("1", "2")),
    "Float64": (pd.Series([2.0, None, 0.5], dtype="Float64"), [1, -1, 0], ("0.5", "2")),
    "boolean": (pd.Series([True, None, False], dtype="boolean"), [1, -1, 0], ("False", "True")),
    "string": (pd.Series(["b", None, "a"], dtype="string"), [1, -1, 0], ("a", "b")),
    "category": (
        pd.Series(pd.Categorical(["b", None, "a"], categories=["c", "b", "a"])),
        [1, -1, 0],
        ("a", "b"),
    ),
    "arrow": (pd.Series([2, None, 1], dtype="int64[pyarrow]"), [1, -1, 0], ("1", "2")),
    "array of pyarrow": (pa.chunked_array([["b", None], ["a"]]), [1, -1, 0], ("a", "b")),
    "extension array": (pd.array(["b", None, "a"], dtype="string"), [1, -1, 0], ("a", "b")),
    "dates": (
        pd.to_datetime(pd.Series(["2021-01-01", None, "2020-01-01"])),
        [1, -1, 0],
        ("2020-01-01 00:00:00", "2021-01-01 00:00:00"),
    ),
    "numpy dates": (
        np.array(["2021-01-01", "NaT", "2020-01-01"], dtype="datetime64[ns]"),
        [1, -1, 0],
        ("2020-01-01 00:00:00", "2021-01-01 00:00:00"),
    ),
    "masked": (np.ma.masked_array([3, 9, 1], mask=[False, True, False]), [1, -1, 0], ("1", "3")),
    "numpy scalars": ([np.int64(2), np.float64("nan"), np.float64(1)], [1, -1, 0], ("1", "2")),
    "python dates": ([dt.date(2020, 1, 2), None], [0, -1], ("2020-01-02",)),
    "index of its own": (pd.Series(["a", "b"], index=[7, 7]), [0, 1], ("a", "b")),
    "generator": ((x for x in "ba"), [1, 0], ("a", "b")),
}


@pytest.mark.parametrize(("values", "codes", "names"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_of_any_type_is_coded_in_sorted_order(values, codes, names):
    found = encode_groups(values)
    assert found.codes.dtype == torch.int64
    assert found.codes.tolist() == codes
    assert found.names == names


SEX, RACE = ["F", "M", "F", None, "M"], ["w", "b", "b", "w", NA]
CROSSED = {
    "dict": {"sex": SEX, "race": RACE},
    "frame": pd.DataFrame({"sex": SEX, "race": RACE}, index=[3, 3, 1, 0, 9]),
    "same name twice": pd.DataFrame(zip(SEX, RACE, strict=True), columns=["x", "x"]),
    "rows": list(zip(SEX, RACE, strict=True)),
    "list of arrays": [np.array(row, dtype=object) for row in zip(SEX, RACE, strict=True)],
    "dict of arrays": {"sex": np.array(SEX, dtype=object), "race": pd.Series(RACE)},
    "array": np.array([SEX, RACE], dtype=object).T,
}


@pytest.mark.parametrize("features", CROSSED.values(), ids=CROSSED)
def test_several_columns_are_crossed_and_only_what_occurs_is_a_group(features):
    found = encode_groups(features)
    assert found.names == ("F & b", "F & w", "M & b")
    assert found.codes.tolist() == [1, 2, 0, -1, -1]


def test_codes_follow_the_names_of_an_earlier_coding():
    """A group that is absent now keeps its code, and numbers are known by how they are written."""
    found = encode_groups(["b", "a", None], names=["c", "b", "a"])
    assert found.codes.tolist() == [1, 2, -1]
    assert found.names == ("c", "b", "a")
    later = encode_groups([2.0, 1.0], names=encode_groups([1, 2, 3]).names)
    assert later.codes.tolist() == [1, 0]
    assert later.names == ("1", "2", "3")
    with pytest.raises(GroupError, match="group 'z' is not among the known groups: 'a', 'b'"):
        encode_groups(["a", "z"], names=["a", "b"])


@given(st.lists(st.none() | st.integers(-3, 3) | st.text(max_size=2), min_size=1, max_size=12))
def test_every_row_gets_the_code_of_its_own_value(values):
    """For any mixture of values: the name of the code is the value as text, missing ones get -1."""
    known = {value for value in values if value is not None}
    if not known or len({str(value) for value in known}) < len(known):
        with pytest.raises(GroupError, match=r"missing value|both written"):
            encode_groups(values)
        return
    codes, names = encode_groups(values)
    for value, code in zip(values, codes.tolist(), strict=True):
        assert code == -1 if value is None else names[code] == str(value)
    assert sorted(names) == sorted(map(str, known))


BAD = {
    "a text": ("abc", DataError, "expected columns of values, got str"),
    "a number": (5, DataError, "expected columns of values, got int"),
    "None": (None, DataError, "expected columns of values, got NoneType"),
    "a scalar array": (np.array(3), DataError, "expected .n,. or .n, c. values"),
    "three dimensions": (np.zeros((2, 2, 2)), DataError, "expected .n,. or .n, c. values"),
    "unequal columns of pandas": (
        {"a": pd.Series([1, 2]), "b": [1]},
        DataError,
        "expected .n,. or .n, c. values",
    ),
    "indexes that differ": (
        {"a": pd.Series(["x", "y"]), "b": pd.Series(["x", "y"], index=[1, 0])},
        DataError,
        "different indexes.*pass a DataFrame, or reset_index",
    ),
    "a column of rows": ({"a": [[1, 2], [3, 4]]}, DataError, "expected .n,. or .n, c. values"),
    "unequal columns": ({"a": [1, 2], "b": [1]}, DataError, "expected .n,. or .n, c. values"),
    "lists": (pd.Series([["a"], ["b"]]), DataError, "values can't name groups"),
    "no columns": ([], GroupError, "at least one column and one row"),
    "no rows": (np.zeros((0, 2)), GroupError, "at least one column and one row"),
    "all missing": ([None, NAN], GroupError, "every row has a missing value"),
    "all missing crossed": ({"a": [1, None], "b": [None, 2]}, GroupError, "every row"),
    "same text": ([1, "1"], GroupError, "two different values are both written '1'"),
    "same when crossed": (
        {"a": ["x & y", "x"], "b": ["z", "y & z"]},
        GroupError,
        "both written 'x & y & z'",
    ),
}


@pytest.mark.parametrize(("values", "kind", "message"), BAD.values(), ids=BAD)
def test_what_can_t_be_coded_is_refused(values, kind, message):
    with pytest.raises(kind, match=message):
        encode_groups(values)


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        (torch.zeros(3), "torch.float32"),
        (torch.zeros(3, dtype=torch.int32), "torch.int32"),
        (torch.zeros(3, dtype=torch.bool), "torch.bool"),
        (np.zeros(3, dtype=np.int64), "ndarray"),
        (["a", "b", "a"], "list"),
        (None, "NoneType"),
    ],
)
def test_codes_of_another_type_are_a_type_error_that_names_it(group, kind):
    with pytest.raises(GroupTypeError, match=f"int64 tensor of codes, got {kind}; use encode_gr"):
        check_group(group, n_rows=3, n_groups=2)
    assert issubclass(GroupTypeError, TypeError)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (torch.tensor([0, 1]), r"expected shape \(3,\), got \(2,\)"),
        (torch.zeros((3, 1), dtype=torch.int64), r"expected shape \(3,\), got \(3, 1\)"),
        (torch.tensor([0, 2, 1]), "codes from -1 to 1, got 0 to 2"),
        (torch.tensor([0, -2, 1]), "codes from -1 to 1, got -2 to 1"),
    ],
)
def test_codes_out_of_range_or_shape_are_refused(group, message):
    with pytest.raises(GroupError, match=message):
        check_group(group, n_rows=3, n_groups=2)


def test_good_codes_pass_also_when_there_are_none():
    check_group(torch.tensor([0, -1, 1]), n_rows=3, n_groups=2)
    check_group(torch.zeros(0, dtype=torch.int64), n_rows=0, n_groups=0)


GROUP = torch.tensor([0, 0, 1, 1, -1])


@pytest.mark.parametrize(
    ("names", "label", "message"),
    [
        ((), None, "no training row is in a group; at least two are needed"),
        (("a",), None, r"all training rows are in one group \(a\); at least two are needed"),
        (("a", "b", "c"), None, "group 'c' has no training rows"),
        (("a", "b"), [0, 1, 0, 0, 1], "group 'b' has no training rows with label 1, which"),
    ],
)
def test_absent_groups_and_cells_are_refused(names, label, message):
    label = None if label is None else torch.tensor(label)
    with pytest.raises(GroupError, match=message):
        require_groups(GROUP, names, where="training", label=label)


def test_groups_with_all_that_is_needed_pass():
    require_groups(GROUP, ("a", "b"), where="training")
    require_groups(GROUP, ("a", "b"), where="training", label=torch.tensor([0, 1, 1, 0, 1]))


CODED = GroupCodes(torch.tensor([1, -1, 2, 0]), ("9", "10", "no row"))


def test_groups_that_are_coded_stay_as_they_are():
    """Their order is not that of text, and a name without rows is kept."""
    same = encode_groups(CODED)
    assert same.codes.tolist() == [1, -1, 2, 0]
    assert same.names == CODED.names
    other = encode_groups(CODED, names=["no row", "10", "9"])
    assert other.codes.tolist() == [1, -1, 0, 2]
    crossed = encode_groups({"a": CODED, "b": ["x", "x", None, "y"]})
    assert crossed.names == ("10 & x", "9 & y")
    assert crossed.codes.tolist() == [0, -1, -1, 1]
    for codes, message in (([3, 0], "codes from -1 to 2, got 0 to 3"), ([-1], "every row has a")):
        with pytest.raises(GroupError, match=message):
            encode_groups(GroupCodes(torch.tensor(codes), CODED.names))


def test_a_tensor_with_minus_one_is_values_and_says_so():
    codes = torch.tensor([0, -1, 1])
    with pytest.warns(DralignWarning, match="value -1 is taken as a group .* encode_groups return"):
        assert encode_groups(codes).names == ("-1", "0", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_groups(codes.numpy())  # numbers of a table, as any
        encode_groups(codes.abs())


def test_measures_leave_out_the_rows_that_are_coded_as_missing():
    values = ["f", None, "m", "m", None, "f"]
    y, decided = [0, 1, 1, 0, 1, 1], [1, 1, 0, 1, 0, 1]
    gap = metrics.demographic_parity_difference(
        y, decided, sensitive_features=encode_groups(values)
    )
    assert gap == 1 - 1 / 2  # f: 2 of 2, m: 1 of 2


@pytest.mark.parametrize("kind", [torch.tensor, np.array, lambda x: np.array(x, dtype=np.int8)])
def test_codes_are_taken_as_they_are(kind):
    found = named_codes(kind([2, -1, 0]))
    assert found.codes.dtype == torch.int64
    assert found.codes.tolist() == [2, -1, 0]
    assert found.names == ("0", "1", "2")
    assert named_codes(kind([2, -1, 0]), ["a", "b", "c"]).names == ("a", "b", "c")
    assert named_codes(CODED).names == CODED.names


@pytest.mark.parametrize(
    ("group", "kind", "message"),
    [
        (torch.tensor([0, -2, 1]), GroupError, "expected codes from -1 up, got -2"),
        (np.array([0, 1, -9]), GroupError, "expected codes from -1 up, got -9"),
        (torch.zeros(3, 1).long(), DataError, r"one code per row, got shape \(3, 1\)"),
        (np.array([True, False]), GroupTypeError, "got bool; pass values .* as sensitive_features"),
        (np.array([0.0, 1.0]), GroupTypeError, "got float64; pass values"),
        (torch.zeros(3).int(), GroupTypeError, r"got torch\.int32; pass values"),
        (["a", "b"], GroupTypeError, "got list; pass values"),
        (pd.Series(["a", "b"]), GroupTypeError, "pass values of any type as sensitive_features"),
        (pd.Series([0, 1]), GroupTypeError, "pass values of any type as sensitive_features"),
    ],
)
def test_what_is_no_code_is_refused(group, kind, message):
    with pytest.raises(kind, match=message):
        named_codes(group)


def test_repeated_names_of_an_earlier_coding_are_refused():
    with pytest.raises(GroupError, match="'a' is given twice"):
        encode_groups(["a", "b"], names=["a", "a", "b"])


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(DataError, match="rows differ in length"):
        encode_groups([["a", "b"], ["a"]])


def test_huge_floats_are_named_as_they_are_written():
    assert encode_groups([1e300, 2.0]).names == ("2", "1e+300")
