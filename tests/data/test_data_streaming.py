"""A Parquet file goes through training in batches: every training row once in a pass."""

import os
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.data import limits, load_table, stream_table, streaming
from dralign.errors import DataError, GroupError, OptionError
from dralign.training import TrainingSettings, train
from switched_off import method_of
from synthetic import mlp

ROWS = 3_000
ABOUT = {"label": "loan", "positive": "granted", "sensitive": "region"}


def people(n: int = ROWS) -> pd.DataFrame:
    """The whole part of the pay is the number of the row; regions are in order."""
    draw = np.random.default_rng(0)
    region = np.sort(draw.choice(["east", "north", "west"], n, p=[0.5, 0.4, 0.1]))
    job = draw.choice(["cook", "nurse", "smith"], n)
    pay = np.arange(n) + draw.uniform(0.2, 0.8, n)
    loan = np.where(draw.random(n) < 0.3 + 0.3 * (region == "east"), "granted", "refused")
    return pd.DataFrame({"pay": pay, "job": job, "region": region, "loan": loan})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "people.parquet"
    people().to_parquet(path, row_group_size=400, index=False)
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Windows and blocks so small that the file has many of them."""
    monkeypatch.setattr(streaming, "WINDOW_ROWS", 500)
    monkeypatch.setattr(streaming, "BLOCK_ROWS", 64)


def pays(stream, x: torch.Tensor) -> list[int]:
    """The whole part of the pay, the number of the row, of encoded rows."""
    column = stream.dataset.encoder.columns[0]
    assert column.name == "pay"
    return [int(v) for v in (x[:, 0].double() * column.std + column.mean).tolist()]


def test_a_pass_has_every_row_once_that_is_not_held_back_with_its_label_and_group(file):
    frame, stream = people(), stream_table(file, **ABOUT, sample_rows=600, batch_rows=90)
    data = stream.dataset
    seen = []
    for x, y, group in stream:
        assert 60 <= len(y) <= 120
        for pay, label, code in zip(pays(stream, x), y.tolist(), group.tolist(), strict=True):
            row = frame.iloc[pay]
            assert (row["loan"] == "granted") == bool(label)
            assert row["region"] == data.group_names[code]
            seen.append(pay)
    held = [*pays(stream, data.validation.x), *pays(stream, data.test.x)]
    assert Counter(seen + held) == Counter(range(ROWS))
    assert len(held) == 240
    assert len(data.train) == 360
    assert len(stream) == len(seen)
    assert set(pays(stream, data.train.x)) <= set(seen)


def test_inputs_are_those_of_the_encoder_of_the_sample(file):
    stream = stream_table(file, **ABOUT, sample_rows=600)
    whole = stream.dataset.encoder.transform(people())
    for x, _, _ in stream:
        assert np.array_equal(x.numpy(), whole[pays(stream, x)])


def test_a_file_that_is_sampled_whole_is_the_dataset_of_its_rows(file):
    stream = stream_table(file, **ABOUT)
    data = stream.dataset
    assert [len(data.train), len(data.validation), len(data.test)] == [1800, 600, 600]
    assert len(stream) == 1800
    assert data.encoder.feature_names == load_table(people(), **ABOUT).encoder.feature_names


def order(stream) -> list[int]:
    return [pay for x, _, _ in stream for pay in pays(stream, x)]


def test_the_order_is_another_in_every_pass_and_the_same_for_the_same_seed(file):
    one, same, other = (stream_table(file, **ABOUT, seed=seed) for seed in (0, 0, 1))
    first = order(one)
    assert first == order(one) == order(same)
    assert first != order(other)
    one.set_epoch(1)
    second = order(one)
    assert second != first
    assert sorted(second) == sorted(first)
    same.set_epoch(1)
    assert order(same) == second


def test_batches_of_a_sorted_file_mix_its_row_groups(file):
    stream = stream_table(file, **ABOUT, batch_rows=100)
    kinds = [len(set(group.tolist())) for _, _, group in stream]
    assert np.mean(kinds) > 1.5
    parts = [len({pay // 400 for pay in pays(stream, x)}) for x, _, _ in stream]
    assert min(parts) >= 2


def test_no_more_than_a_window_of_rows_is_in_memory(file, monkeypatch):
    """Counted as blocks are made and batches are taken."""
    stream = stream_table(file, **ABOUT, batch_rows=50)
    made, most, taken = 0, 0, 0
    block = streaming.TableStream._block

    def counted(self, start, frame):
        nonlocal made, most
        result = block(self, start, frame)
        made += len(result[1])
        most = max(most, made - taken)
        return result

    monkeypatch.setattr(streaming.TableStream, "_block", counted)
    for _, y, _ in stream:
        taken += len(y)
    assert made == taken == len(stream)
    assert most < 500 + 64


def test_a_sample_of_many_blocks_holds_few_frames(file, monkeypatch):
    """Frames of a few rows each would take more the longer the file is."""
    most, concat = [], pd.concat

    def watched(frames, **given):
        most.append(len(frames))
        return concat(frames, **given)

    plain = stream_table(file, **ABOUT, sample_rows=600).dataset
    monkeypatch.setattr(streaming, "BLOCK_ROWS", 5)  # 600 blocks
    monkeypatch.setattr(pd, "concat", watched)
    many = stream_table(file, **ABOUT, sample_rows=600).dataset
    assert max(most) == streaming._PIECES
    assert torch.equal(many.train.x, plain.train.x)


def test_a_network_is_trained_on_it(file):
    stream = stream_table(file, **ABOUT, batch_rows=200)
    data = stream.dataset
    model = mlp(data.n_inputs, hidden=8)
    settings = TrainingSettings(epochs=2, iterations=12)
    done = train(model, data, method_of("gap", fairness_weight=0.2), settings, batches=stream)
    assert len(done.history) == 2
    assert done.history[-1].test["average_precision"] > 0.3


def test_classes_missing_labels_bins_and_missing_groups_are_as_in_a_table(tmp_path):
    frame, path = people(900), tmp_path / "people.parquet"
    frame["loan"] = np.array(["no", "some", "yes"])[np.arange(900) % 3]
    frame.loc[::10, "loan"] = None
    frame["age"] = np.where(np.arange(900) % 7 == 0, np.nan, np.arange(900) % 60)
    frame.to_parquet(path, row_group_size=100, index=False)
    about = {"label": "loan", "sensitive": "age", "bin": "age=25", "drop_missing_label": True}
    stream = stream_table(path, **about, sample_rows=500)
    assert stream.dataset.class_names == ("no", "some", "yes")
    assert stream.dataset.group_names == ("over 25", "up to 25")
    n = 0
    for x, y, group in stream:
        for pay, label, code in zip(pays(stream, x), y.tolist(), group.tolist(), strict=True):
            row = frame.iloc[pay]
            assert row["loan"] == stream.dataset.class_names[label]
            expected = -1 if np.isnan(row["age"]) else int(row["age"] <= 25)
            assert code == expected
            n += 1
    assert n > 400


def refused(error, told, path, **given):
    with pytest.raises(error, match=told) as raised:
        stream_table(path, **{**ABOUT, **given})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"weight": "pay"}, "weight: can't be used with a stream"),
        ({"min_group_size": 5}, "min_group_size: can't be used with a stream"),
        ({"batch_rows": 0}, "batch_rows: expected at least 1, got 0"),
        ({"sample_rows": 0}, "sample_rows: expected at least 1, got 0"),
        ({"color": "red"}, "unknown option 'color'"),
        ({"seed": -1}, "seed: expected a number from 0"),
    ],
)
def test_an_option_that_means_nothing_here_is_refused(given, told, file):
    refused(OptionError, told, file, **given)


def test_a_group_or_label_that_the_sample_lacks_is_told_at_once(tmp_path):
    path = tmp_path / "people.parquet"
    people(900).to_parquet(path, row_group_size=100, index=False)
    stream = stream_table(path, **ABOUT, sample_rows=300)
    data, frame = stream.dataset, people(900)
    sampled = {pay for p in (data.train, data.validation, data.test) for pay in pays(stream, p.x)}
    assert len(sampled) == 300
    row = min({*range(900)} - sampled)
    frame.loc[row, "region"] = "south"
    frame.to_parquet(path, row_group_size=100, index=False)
    refused(GroupError, "group 'south' is not among the 300 rows .*larger", path, sample_rows=300)
    frame = people(900)
    frame.loc[row, "loan"] = None
    frame.to_parquet(path, row_group_size=100, index=False)
    refused(DataError, "rows have no label 'loan'; to leave them out", path, sample_rows=300)
    frame.loc[row, "loan"] = "perhaps"
    frame.to_parquet(path, row_group_size=100, index=False)
    refused(DataError, "'perhaps' is not among the values", path, sample_rows=300)


def test_a_long_text_that_is_stored_once_for_many_rows_is_counted_before_it_is_made(
    file, monkeypatch
):
    people().assign(job="cook" * 2**12).to_parquet(file, index=False)
    assert file.stat().st_size < 300_000
    monkeypatch.setattr(limits, "memory", lambda: 2**23)
    refused(DataError, "GiB of content are too much for the", file, sample_rows=600)


def test_what_is_no_parquet_file_is_refused_in_one_line(tmp_path, file):
    refused(DataError, "none.parquet: no such file", tmp_path / "none.parquet")
    refused(DataError, "no such file", tmp_path / "a\0b.parquet")
    refused(DataError, "no such file", tmp_path / ("long" * 100))
    (tmp_path / "text.parquet").write_text("pay,loan\n")
    refused(DataError, "text.parquet: not a Parquet file", tmp_path / "text.parquet")
    people(0).to_parquet(tmp_path / "empty.parquet")
    refused(DataError, "empty.parquet: the file has no rows", tmp_path / "empty.parquet")
    refused(DataError, "has no column 'wage'", file, label="wage")


def test_a_file_that_changed_between_passes_is_refused(file):
    stream = stream_table(file, **ABOUT)
    os.utime(file, (1, 1))
    with pytest.raises(DataError, match="the file changed since it was opened; open it again"):
        next(iter(stream))


def with_another_job(content: bytes) -> bytes:
    """The same file with other cells, of the same length."""
    assert b"smith" in content
    return content.replace(b"smith", b"baker")


def test_another_file_of_the_same_size_and_time_is_refused(file):
    stream, before = stream_table(file, **ABOUT), file.stat()
    other = file.with_name("other.parquet")
    other.write_bytes(with_another_job(file.read_bytes()))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(DataError, match="the file changed since it was opened; open it again"):
        next(iter(stream))


def test_a_file_that_is_overwritten_during_a_pass_ends_it(file):
    stream = stream_table(file, **ABOUT)
    batches = iter(stream)
    next(batches)
    with file.open("r+b") as written:
        content = with_another_job(written.read())
        written.seek(0)
        written.write(content)
    with pytest.raises(DataError, match="the file changed since it was opened; open it again"):
        list(batches)


def test_a_file_without_two_rows_of_a_group_takes_each_row_a_few_times(tmp_path, monkeypatch):
    """Rows that are put together with all before them, block by block, take the square of them."""
    path, looked_at = tmp_path / "people.parquet", []
    people().assign(region=[f"r{row}" for row in range(ROWS)]).to_parquet(path, index=False)
    real = pd.DataFrame.drop_duplicates

    def counted(self):
        looked_at.append(len(self))
        return real(self)

    monkeypatch.setattr(pd.DataFrame, "drop_duplicates", counted)
    with streaming._opened(path) as (opened, _):
        rules = streaming.Rules.of(streaming.TableOptions())
        _, kinds = streaming._sampled(opened, np.arange(0), ["region", "loan"], rules)
    assert len(kinds) == ROWS
    assert sum(looked_at) < 6 * ROWS
