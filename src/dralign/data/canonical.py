"""The embedded files: their published bytes, compressed, checked on every load."""

import hashlib
import lzma
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from dralign.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SHA256 = {
    "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    "german.data": "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
}
EMBEDDED = files("dralign.data") / "embedded"


def embedded_bytes(name: str) -> bytes:
    """The bytes of an embedded file, exactly as the UCI repository publishes them.

    Raises:
        DataError: if the file is missing, damaged or not the published one.
    """
    try:
        content = lzma.decompress((EMBEDDED / f"{name}.xz").read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise DataError(f"embedded {name}: damaged ({error}); install dralign again") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(f"embedded {name}: not the published bytes; install dralign again")
    return content


def bunch(
    frame: "pd.DataFrame", label: str, description: str, as_frame: bool, return_x_y: bool
) -> Any:  # noqa: ANN401
    """A table in the form of scikit-learn's fetchers."""
    from sklearn.utils import Bunch

    data, target = frame.drop(columns=label), frame[label]
    x, y = (data, target) if as_frame else (data.to_numpy(), target.to_numpy())
    if return_x_y:
        return x, y
    return Bunch(
        data=x,
        target=y,
        frame=frame if as_frame else None,
        feature_names=list(data.columns),
        DESCR=description,
    )
