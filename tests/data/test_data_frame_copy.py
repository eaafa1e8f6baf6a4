"""A frame in memory as the data of trials: known by its content, the same in every process."""

import json
import multiprocessing
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from dralign.data import DataSource, load_table
from dralign.errors import DataError, OptionError
from dralign.study import Ledger, TrialSpec, run_study
from tables.make import people

COLUMNS = {"label": "loan", "positive": "yes", "sensitive": "sex"}
SMALL = {"epochs": 1, "iterations": 1, "hidden": 4, "depth": 1, "batch_size": 8}


def source(frame=None, **options):
    return DataSource.from_frame(people() if frame is None else frame, **{**COLUMNS, **options})


def digest(frame, **options):
    return source(frame, **options).fingerprint()


def varied():
    """Every kind of column that pandas users have."""
    frame, draw = people(), np.random.default_rng(0)
    n = len(frame)
    some = draw.random(n) < 0.1
    return frame.assign(
        whole=pd.Series(pd.array(draw.integers(0, 50, n), dtype="Int64")).mask(some),
        truth=pd.Series(pd.array(draw.random(n) < 0.5, dtype="boolean")).mask(some),
        maybe=draw.choice(np.array([True, False, None], dtype=object), n),
        place=pd.Categorical(draw.choice(["x", "y"], n)),
        codes=pd.Categorical(draw.integers(0, 20, n)),
        cut=pd.cut(draw.normal(size=n), 3),
        mixed=draw.choice(np.array([1, 2.5, "a", None], dtype=object), n),
        loose=draw.choice(np.array([1, 2.5], dtype=object), n),
        keys=draw.choice(["001", "002"], n),
        day=pd.date_range("2020", periods=n),
        lists=[[number] for number in range(n)],
    )


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
def test_its_dataset_is_that_of_the_frame_itself():
    ours, direct = source(varied()).load(3), load_table(varied(), **COLUMNS, seed=3)
    assert ours.encoder.feature_names == direct.encoder.feature_names
    for part in ("train", "validation", "test"):
        for name in ("x", "y", "group"):
            one, other = (getattr(getattr(data, part), name) for data in (ours, direct))
            assert torch.equal(one, other)


def test_the_same_content_is_the_same_data_and_any_change_makes_others():
    frame = people()
    assert source(frame) == source(frame.copy())
    assert hash(source(frame)) == hash(source(frame.copy()))
    assert digest(frame.set_index(np.arange(600) + 7)) == digest(frame)  # no part of the rows
    changed = frame.copy()
    changed.loc[599, "income"] += 0.1
    others = [
        changed,
        frame[::-1],
        frame[:-1],
        frame.rename(columns={"job": "work"}),
        frame[frame.columns[::-1]],
        frame.assign(age=frame["age"].astype(float)),
    ]
    digests = {digest(one) for one in (frame, *others)}
    assert len(digests) == len(others) + 1


def test_columns_that_are_used_otherwise_are_other_data_though_they_look_the_same():
    """A ledger gave the results of texts that are numbers for categories of the same name."""
    texts = people().assign(job=[f"{age}.5" for age in people()["age"]])
    kinds = [texts["job"], texts["job"].astype("category"), texts["job"].map(str.encode)]
    assert len({digest(texts.assign(job=job)) for job in kinds}) == len(kinds)
    assert digest(texts.assign(job=texts["job"].astype("string"))) == digest(texts)


def test_the_content_hash_is_the_one_that_was_written_down():
    """So that a ledger can be continued with other versions of pandas and pyarrow."""
    frame = pd.DataFrame({"x": [1.5, None], "n": [1, 2], "g": ["a", None], "y": [0, 1]})
    one = DataSource.from_frame(frame, label="y", sensitive="g")
    assert one.fingerprint() == "d6a0a5d7a08350c8d87784ae0375716150c6e4a766e4ee3170381d0032c2a5f1"


def test_frames_of_arrow_and_pandas_are_the_same_data():
    assert source(pa.Table.from_pandas(people())) == source()


def test_a_change_of_the_frame_afterwards_changes_nothing():
    frame = people()
    ours = source(frame)
    before = ours.load(0)
    frame["income"] = 0.0
    assert torch.equal(ours.load(0).train.x, before.train.x)
    assert before.fingerprint == ours.fingerprint()


def test_a_test_file_enters_what_the_data_are(tmp_path):
    later = tmp_path / "later.csv"
    people(1).to_csv(later, index=False)
    ours = source(test=str(later))
    assert ours.fingerprint() not in {source().fingerprint(), ""}
    assert len(ours.load(0).test) == len(people(1))


def test_it_travels_to_other_processes_by_name_and_content_alone():
    ours = source(pd.concat([people()] * 20))
    sent = pickle.dumps(ours)
    assert len(sent) < 2000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(DataSource.fingerprint, (pickle.loads(sent),)) == ours.fingerprint()


def test_a_study_of_a_frame_is_the_same_in_worker_processes(tmp_path):
    specs = [TrialSpec(source(), "erm", seed=seed, **SMALL) for seed in (0, 1)]
    outcomes = []
    for jobs in (1, 2):
        with Ledger(tmp_path / f"{jobs}" / "study.sqlite") as ledger:
            run_study(specs, ledger, jobs=jobs)
            outcomes.append(ledger.records())
    own, theirs = outcomes
    assert [one.status for one in own] == ["done", "done"]
    assert {one.hash for one in own} == {spec.hash for spec in specs}
    for one, other in zip(own, theirs, strict=True):
        assert one.history[0].test == other.history[0].test


def test_records_have_no_trace_of_where_the_copy_lies(tmp_path):
    ours = source()
    form = json.dumps(ours.to_dict())
    assert Path(ours.frame.path).name not in form
    assert ours.frame.path not in repr(ours)
    assert DataSource.from_dict(json.loads(form)) == replace(ours, frame=None)


@pytest.mark.parametrize("folder", [False, True])
def test_without_the_frame_one_line_says_that_it_is_needed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if folder:
        (tmp_path / "table").mkdir()
    kept = DataSource.from_dict(source(drop="job").to_dict())
    for use in (lambda: kept.load(0), kept.fingerprint, kept.inspect):
        with pytest.raises(DataError, match=r"not here; give it again in Python, to dralign\.comp"):
            use()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_copy_that_is_gone_or_changed_is_told_in_one_line(damage):
    ours = source()
    damage(Path(ours.frame.path))
    with pytest.raises(DataError, match=r"copy of the frame (is gone|was changed); give the frame"):
        ours.load(0)


def test_the_copy_is_private_and_goes_with_its_process_but_not_with_a_fork_of_it():
    code = (
        "import os, pandas as pd\n"
        "from pathlib import Path\n"
        "from dralign.data import DataSource\n"
        "frame = pd.DataFrame({'x': [1, 2], 'y': [0, 1], 'g': ['a', 'b']})\n"
        "path = Path(DataSource.from_frame(frame, label='y', sensitive='g').frame.path)\n"
        "assert path.parent.stat().st_mode & 0o077 == 0\n"
        "child = os.fork()\n"
        "if child:\n"
        "    os.waitpid(child, 0)\n"
        "    assert path.exists()\n"
        "    print(path.parent)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(ran.stdout.strip()).exists()


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (pd.DataFrame({"x": [1j], "y": [0]}), "column 'x': complex128 can't be kept in a file"),
        (pd.DataFrame({1: [1], "1": [0]}), "2 columns named '1'"),
        (pd.DataFrame({"y": []}), "the table has no rows"),
        ([1, 2], "expected a file, or a frame"),
    ],
)
def test_what_can_not_be_copied_is_refused_in_one_line(frame, line):
    with pytest.raises(DataError, match=line):
        DataSource.from_frame(frame, label="y", sensitive="g")


def test_options_are_those_of_a_table():
    with pytest.raises(OptionError, match="unknown option 'depth'"):
        source(depth=3)
    assert "job=cook" not in source(drop="job").load(0).encoder.feature_names
    with pytest.raises(OptionError, match="labels is for images"):
        replace(source(), labels="images.csv")
