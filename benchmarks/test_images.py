"""Reading decoded images from the cache against decoding their JPEG files; one thread each.

Pictures have the form of CelebA's, 178 x 218, and become 64 x 64. Compare the medians of one run
with each other: the machine's own speed drifts.
"""

import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dralign.data.images import Images, normalised
from dralign.data.images_cache import ImageFiles, decoded, list_files, picture

Image = pytest.importorskip("PIL.Image", reason="images need pillow")
PICTURES, BATCH, SIZE, ROUNDS = 512, 64, 64, 7


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> ImageFiles:
    """Pictures of smooth noise, about 10 KB each."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    names = [f"{place}.jpg" for place in range(PICTURES)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (27, 22, 3), dtype=np.uint8))
        coarse.resize((178, 218), Image.Resampling.BICUBIC).save(folder / name, quality=95)
    return list_files(folder, names, listed_in=Path("names.txt"))


@pytest.fixture(scope="module")
def images(files, tmp_path_factory) -> Images:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return Images(decoded(files, SIZE), np.arange(PICTURES))


def from_files(files: ImageFiles, rows: torch.Tensor) -> torch.Tensor:
    """A batch as a loader without a cache makes it."""
    paths = [files.folder / files.names[row] for row in rows.tolist()]
    chosen = [picture(path, path.read_bytes(), SIZE) for path in paths]
    return normalised(np.stack(chosen))


def draw(generator: torch.Generator) -> torch.Tensor:
    return torch.randint(PICTURES, (BATCH,), generator=generator)


def test_batch_from_the_cache(benchmark, images):
    rows = draw(torch.Generator().manual_seed(0))
    benchmark(lambda: images[rows])


def test_batch_from_jpeg_files(benchmark, files):
    rows = draw(torch.Generator().manual_seed(0))
    benchmark.pedantic(lambda: from_files(files, rows), rounds=5, warmup_rounds=1)


def test_cached_reads_against_decoding(files, images, capsys):
    """Side by side in one run; the bar is a factor of 10."""
    generator = torch.Generator().manual_seed(1)
    seconds: dict[str, list[float]] = {"files": [], "cache": []}
    for _ in range(ROUNDS):
        rows = draw(generator)
        start = time.perf_counter()
        expected = from_files(files, rows)
        middle = time.perf_counter()
        found = images[rows]
        seconds["cache"].append(time.perf_counter() - middle)
        seconds["files"].append(middle - start)
        assert torch.equal(found, expected)
    per_image = {name: statistics.median(values) / BATCH for name, values in seconds.items()}
    with capsys.disabled():
        print(
            f"\nimages per second: cache {1 / per_image['cache']:,.0f}, "
            f"JPEG files {1 / per_image['files']:,.0f}, "
            f"ratio {per_image['files'] / per_image['cache']:.1f}"
        )
