"""Frames of other libraries (polars, pyarrow, modin) as pandas DataFrames."""

from typing import TYPE_CHECKING, Any

from dralign.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def as_pandas(table: Any) -> "pd.DataFrame":  # noqa: ANN401 - of any library
    """The same rows and columns as a pandas DataFrame; one of pandas as it is.

    Raises:
        DataError: if it is no frame.
    """
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table
    import narwhals

    try:
        return narwhals.from_native(table, eager_only=True).to_pandas()
    except TypeError as error:
        kind = f"{type(table).__module__}.{type(table).__name__}".removeprefix("builtins.")
        raise DataError(
            "the table: expected a file, or a frame of pandas, polars or pyarrow in memory, got "
            f"{kind}"
        ) from error
