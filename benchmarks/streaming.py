"""A table that is written, opened and trained on in pieces: does memory grow with its rows?

Each table is written by a process of its own and read by another. Peaks are VmHWM: the most that a
process ever held, imports included.

    OMP_NUM_THREADS=1 python benchmarks/streaming.py 1000000 10000000 --folder /tmp
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dralign import models
from dralign.data import stream_table
from dralign.methods import build_method
from dralign.training import TrainingSettings, train

PIECE = 100_000  # rows that are made at a time, a row group each
BATCH = 1_000
FEW = 200  # steps of the first training
JOBS = np.array([f"job {code:02d}" for code in range(20)])
REGIONS = np.array(["east", "north", "south", "west"])
KIB_IN_MIB = 1024


@dataclass(frozen=True)
class Figures:
    """What a stage took.

    Attributes:
        stage: its name.
        rows: how many rows of the file it went through.
        processor: seconds of the processor, of all threads.
        wall: seconds of the clock.
        peak: MiB that the process held at most, up to the end of the stage.
    """

    stage: str
    rows: int
    processor: float
    wall: float
    peak: float

    def __str__(self) -> str:
        rate = self.rows / self.processor if self.rows else math.nan
        return (
            f"{self.stage:14s} {self.rows:12,d} rows {self.processor:9.1f} s of processor "
            f"{self.wall:9.1f} s {rate:10,.0f} rows/s of processor {self.peak:8,.0f} MiB at most"
        )


def piece(rows: int, seed: int) -> pa.Table:
    """Rows of a table of ten columns: six of numbers, two of texts, group and label."""
    draws = np.random.default_rng(seed)
    numbers = draws.normal(size=(rows, 5))
    sex, job = draws.integers(2, size=rows), draws.integers(len(JOBS), size=rows)
    score = numbers[:, 0] + 0.5 * numbers[:, 1] + 0.6 * sex + 0.05 * job + draws.normal(size=rows)
    return pa.table(
        {
            **{f"number {i}": column for i, column in enumerate(numbers.T)},
            "count": draws.poisson(3, size=rows),
            "job": JOBS[job],
            "region": REGIONS[draws.integers(len(REGIONS), size=rows)],
            "sex": np.array(["women", "men"])[sex],
            "loan": np.where(score > 1, "granted", "refused"),
        }
    )


def write(path: Path, rows: int) -> None:
    """Writes the table piece by piece."""
    with measured("writing", rows), pq.ParquetWriter(path, piece(1, 0).schema) as file:
        for seed, start in enumerate(range(0, rows, PIECE)):
            file.write_table(piece(min(PIECE, rows - start), seed))


def read(path: Path, rows: int) -> None:
    """Opens the table, and trains on it for a few steps and then for a whole pass."""
    torch.set_num_threads(1)
    with measured("imports", 0):
        pass
    with measured("opening", rows):
        stream = stream_table(
            path, label="loan", positive="granted", sensitive="sex", batch_rows=BATCH
        )
    data = stream.dataset
    for name, steps in ((f"{FEW} steps", FEW), ("a pass", math.ceil(len(stream) / BATCH))):
        torch.manual_seed(0)
        model = models.mlp(data.n_inputs)
        settings = TrainingSettings(epochs=1, iterations=steps)
        method = build_method("gap", fairness_weight=0.2)
        with measured(name, steps * BATCH):
            train(model, data, method, settings, batches=stream)


@contextmanager
def measured(stage: str, rows: int) -> Iterator[None]:
    """Prints the figures of a block."""
    wall, processor = time.perf_counter(), time.process_time()
    yield
    took = time.process_time() - processor, time.perf_counter() - wall
    print(Figures(stage, rows, *took, peak()), flush=True)


def peak() -> float:
    """MiB that this process held at most."""
    status = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / KIB_IN_MIB


def alone(call: Callable[[Path, int], None], path: Path, rows: int) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(call, path, rows).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, help="on a disk with room for the tables")
    given = parser.parse_args()
    for rows in given.rows:
        with TemporaryDirectory(dir=given.folder) as folder:
            path = Path(folder) / "people.parquet"
            alone(write, path, rows)
            print(f"{path.stat().st_size / 2**20:,.0f} MiB on disk", flush=True)
            alone(read, path, rows)


if __name__ == "__main__":
    main()
