"""A made-up folder in CelebA's official layout: small pictures of noise, no faces."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

ATTRIBUTES = [f"Trait_{place}" for place in range(37)] + ["Male", "Smiling", "Wavy_Hair"]


def picture(path: Path, seed: int, *, size: tuple[int, int] = (20, 26)) -> None:
    """Writes a JPEG of smooth noise."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=95)


def values(n: int) -> np.ndarray:
    """(n, 40) of -1 and 1; every combination of the last three occurs."""
    table = np.random.default_rng(0).choice([-1, 1], (n, 40))
    for place in range(3):
        table[:, 37 + place] = np.where(np.arange(n) // 2**place % 2, 1, -1)
    return table


def official(folder: Path, *, n: int = 80, parts: Sequence[int] = (0, 0, 1, 2)) -> np.ndarray:
    """Writes the folder as the official one is written, with CRLF and double blanks.

    Returns:
        (n, 40) the values of the attributes.
    """
    table, names = values(n), [f"{place + 1:06d}.jpg" for place in range(n)]
    lines = [str(n), " ".join(ATTRIBUTES) + " "]
    for name, row in zip(names, table, strict=True):
        lines.append(f"{name} " + " ".join(f"{value:2d}" for value in row).strip())
        picture(folder / "img_align_celeba" / name, len(lines))
    write(folder / "list_attr_celeba.txt", lines)
    partition(folder / "list_eval_partition.txt", n, parts)
    return table


def partition(path: Path, n: int, parts: Sequence[int]) -> None:
    """Writes a partition in which the parts take turns, eight images at a time."""
    write(path, [f"{i + 1:06d}.jpg {parts[i // 8 % len(parts)]}" for i in range(n)])


def write(path: Path, lines: Sequence[str]) -> None:
    """Writes lines with CRLF ends."""
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
