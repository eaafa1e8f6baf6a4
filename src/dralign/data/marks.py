"""Which rows a network was trained on, kept as salted hashes of its inputs, without the rows.

Whoever has a saved network and all inputs of a row can find out whether the row was used, and for
what; nobody can get a row, or a part of one, out of the hashes but by trying rows.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from dralign.data.dataset import Dataset
from dralign.errors import DataError
from dralign.forms import Form

MOST_ROWS: Final = 1_000_000  # 8 bytes each in the saved network
SURE: Final = 3  # standard deviations
_BYTES: Final = 6  # of a hash: of a million rows and a million others, one in 280 finds a twin


@dataclass(frozen=True)
class RowMarks:
    """Hashes of the rows of a dataset.

    Attributes:
        salt: what goes into every hash, another one for every table.
        used: (m,) uint64 hashes of the rows that it was trained on, or an epoch chosen by.
        held_out: (k,) those of the test rows.
        twins: the share of the test rows that have the inputs of a used row; so it is with new rows
            too, where inputs have few values.
    """

    salt: bytes
    used: np.ndarray
    held_out: np.ndarray
    twins: float

    @classmethod
    def of(cls, dataset: Dataset) -> "RowMarks | None":
        """The hashes of a dataset's rows; None for images, and for more than a million rows."""
        if not isinstance(dataset.train.x, Tensor) or dataset.n_rows > MOST_ROWS:
            return None
        name = f"{dataset.name}\n{dataset.fingerprint}"
        salt = hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:16]
        used = np.unique(_hashes(torch.cat([dataset.train.x, dataset.validation.x]), salt))
        held_out = _hashes(dataset.test.x, salt)
        return cls(salt, used, np.unique(held_out), float(np.isin(held_out, used).mean()))

    def with_used(self, *inputs: Tensor) -> "RowMarks":
        """With these rows of inputs among the used ones."""
        new = np.concatenate([_hashes(x, self.salt) for x in inputs])
        used, held_out = np.union1d(self.used, new), np.setdiff1d(self.held_out, new)
        return replace(self, used=used, held_out=held_out)

    def used_rows(self, x: Tensor) -> np.ndarray:
        """(n,) whether each row was used for training and was not a test row too.

        Two rows with the same inputs are one to it. If no more rows have the inputs of a used one
        than new rows would have, none is said to be used.
        """
        found = _hashes(x, self.salt)
        like_used = np.isin(found, self.used)
        result: np.ndarray = like_used & ~np.isin(found, self.held_out)
        return result if like_used.sum() > self._by_chance(len(found)) else np.zeros_like(result)

    def _by_chance(self, n: int) -> float:
        """The most of ``n`` new rows that have the inputs of a used row, but for rare cases."""
        k = max(len(self.held_out), 1)
        share = min(self.twins + SURE * math.sqrt(self.twins * (1 - self.twins) / k) + SURE / k, 1)
        return n * share + SURE * math.sqrt(n * share * (1 - share))

    def to_dict(self) -> dict[str, str | float]:
        """A JSON-ready form."""
        parts = {"salt": self.salt, "used": _packed(self.used), "held_out": _packed(self.held_out)}
        texts = {key: base64.b64encode(part).decode() for key, part in parts.items()}
        return {**texts, "twins": self.twins}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "RowMarks":
        """The hashes that ``to_dict`` wrote.

        Raises:
            DataError: if the form is not one of ours.
        """
        entries = Form(form, "row hashes")
        try:
            salt, used, held_out = (
                base64.b64decode(entries.text(key), validate=True)
                for key in ("salt", "used", "held_out")
            )
        except binascii.Error as error:
            raise DataError(f"row hashes: not base64 ({error})") from error
        if len(used) % _BYTES or len(held_out) % _BYTES:
            raise DataError(f"row hashes: expected {_BYTES} bytes each")
        twins = entries.number("twins")
        if not 0 <= twins <= 1:
            raise DataError(f"row hashes: 'twins' must be from 0 to 1, got {twins:g}")
        return cls(salt, _unpacked(used), _unpacked(held_out), twins)


def _hashes(x: Tensor, salt: bytes) -> np.ndarray:
    """(n,) uint64 keyed hashes of rows of inputs."""
    rows = np.ascontiguousarray(x.detach().cpu().numpy(), dtype="<f4")
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(row, digest_size=_BYTES, key=salt).digest(), "big")
            for row in rows
        ],
        dtype=np.uint64,
    )


def _packed(hashes: np.ndarray) -> bytes:
    """The hashes in six bytes each."""
    whole: bytes = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - _BYTES :].tobytes()
    return whole


def _unpacked(content: bytes) -> np.ndarray:
    """What ``_packed`` made of hashes."""
    whole = np.zeros((len(content) // _BYTES, 8), dtype=np.uint8)
    whole[:, 8 - _BYTES :] = np.frombuffer(content, dtype=np.uint8).reshape(-1, _BYTES)
    hashes: np.ndarray = whole.reshape(-1).view(">u8").astype(np.uint64)
    return hashes
