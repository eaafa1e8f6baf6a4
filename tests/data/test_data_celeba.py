"""CelebA from its official layout: attributes, parts, groups, and what is missing or wrong."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import faces
from dralign.data import DataSource, celeba, load
from dralign.errors import DataError, DralignWarning, OptionError

SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "celeba_sample"
pytest.importorskip("PIL", reason="images need pillow")


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.delenv("DRALIGN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def home(tmp_path):
    faces.official(tmp_path / "home" / "celeba")
    return tmp_path / "home"


def read(home, **options):
    return load("celeba", data_home=home, image_size=8, **options)


@pytest.mark.parametrize("label", ["Wavy_Hair", "Trait_3"])
def test_attributes_become_labels_and_groups_in_the_official_parts(home, label):
    data = read(home, label=label, sensitive="Smiling")
    table = faces.values(80)
    part = np.arange(80) // 8 % 4
    for split, inside in ((data.train, part < 2), (data.validation, part == 2)):
        rows = table[inside]
        assert split.y.tolist() == (rows[:, faces.ATTRIBUTES.index(label)] == 1).tolist()
        assert split.group.tolist() == (rows[:, 38] == 1).tolist()
    assert [len(split) for split in (data.train, data.validation, data.test)] == [48, 16, 16]
    assert data.group_names == ("not Smiling", "Smiling")
    assert (data.label, data.positive, data.preparation) == (label, "1", "paper")


def test_defaults_are_those_of_the_paper(home):
    data = read(home)
    assert (data.label, data.sensitive) == ("Wavy_Hair", ("Male",))
    assert data.group_names == ("not Male", "Male")
    assert set(dict(data.batch_sizes).values()) == {32}
    assert celeba.PAPER_SIZE == 256
    assert DataSource("celeba").preparation == "paper"


def test_crossed_attributes_are_named_after_both(home):
    data = read(home, sensitive=("Male", "Smiling"))
    assert data.group_names == (
        "not Male & not Smiling",
        "not Male & Smiling",
        "Male & not Smiling",
        "Male & Smiling",
    )


def test_csv_files_and_a_nested_folder_read_the_same(home):
    expected, folder = read(home), home / "celeba"
    for stem, header in (
        ("list_attr_celeba", ["image_id", *faces.ATTRIBUTES]),
        ("list_eval_partition", ["image_id", "partition"]),
    ):
        text = folder / f"{stem}.txt"
        lines = text.read_text().splitlines()[2 if "attr" in stem else 0 :]
        with (folder / f"{stem}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *(line.split() for line in lines)])
        text.unlink()
    shutil.move(folder / "img_align_celeba", home / "inner")
    (folder / "img_align_celeba").mkdir()
    shutil.move(home / "inner", folder / "img_align_celeba" / "img_align_celeba")
    found = read(home)
    assert torch.equal(found.train.y, expected.train.y)
    assert torch.equal(found.test.x[torch.arange(3)], expected.test.x[torch.arange(3)])


@pytest.mark.parametrize("place", ["beside the official one", "elsewhere"])
def test_a_partition_of_ones_own_takes_the_place_of_the_official_one(home, tmp_path, place):
    own = (home / "celeba" if "beside" in place else tmp_path) / "mine.txt"
    faces.partition(own, 80, (2, 1, 0, 0, 0))
    data = read(home, partition="mine.txt" if "beside" in place else own)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [48, 16, 16]


def test_without_validation_images_a_tenth_of_the_training_images_is_held_out(home):
    faces.partition(home / "celeba" / "list_eval_partition.txt", 80, (0, 0, 0, 2))
    with pytest.warns(DralignWarning, match=r"list_eval_partition\.txt: no validation images"):
        data = read(home)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [56, 8, 16]
    with pytest.warns(DralignWarning, match="a tenth"):
        assert torch.equal(read(home).validation.y, data.validation.y)


def _rewrite(name, change):
    def apply(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return apply


ATTR, PART = "list_attr_celeba.txt", "list_eval_partition.txt"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, r"no CelebA in .*list_attr_celeba\.txt or \.csv"),
        (lambda folder: (folder / PART).unlink(), r"no list_eval_partition\.txt or"),
        (lambda folder: shutil.rmtree(folder / "img_align_celeba"), "img_align_celeba: No such"),
        (
            lambda folder: (folder / "img_align_celeba" / "000007.jpg").unlink(),
            r"1 of the 80 images that list_attr_celeba\.txt lists are missing: 000007\.jpg",
        ),
        (_rewrite(ATTR, lambda b: b.replace(b"80\r\n", b"81\r\n", 1)), "expected 81, found .* 80"),
        (_rewrite(ATTR, lambda b: b[:-8]), r"list_attr_celeba\.txt: line 82 has 3\d fields"),
        (_rewrite(ATTR, lambda b: b.replace(b" -1\r\n", b"  0\r\n", 1)), "1 or -1, got '0'"),
        (_rewrite(ATTR, lambda _: b""), r"list_attr_celeba\.txt: expected the names"),
        (_rewrite(PART, lambda b: b.split(b"\n", 1)[1]), r"the first is 000001\.jpg"),
        (_rewrite(PART, lambda b: b.replace(b" 1", b" 3", 1)), r"got '000017\.jpg 3'"),
        (_rewrite(PART, lambda b: b.replace(b" 2\r", b" 0\r")), r"no test images \(2\)"),
        (_rewrite(PART, lambda b: b.replace(b" 0\r", b" 2\r")), r"no training images \(0\)"),
        (
            _rewrite("img_align_celeba/000009.jpg", lambda b: b[: len(b) // 2]),
            r"000009\.jpg: truncated, or not an image",
        ),
    ],
    ids=lambda value: None if callable(value) else value[:30],
)
def test_what_is_missing_or_wrong_is_named_in_one_line(home, damage, message):
    damage(home / "celeba")
    with pytest.raises(DataError, match=message) as caught:
        read(home)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "Wavy"}, "unknown attribute of celeba 'Wavy'; known: Trait_0, .*Wavy_Hair"),
        ({"sensitive": "male"}, "unknown attribute of celeba 'male'"),
        ({"label": "Male"}, "can't be both label and sensitive"),
        ({"include_sensitive": True}, "can't be added"),
        ({"preparation": "standard"}, "unknown preparation of celeba 'standard'; known: paper"),
        ({"image_size": 5000}, "image_size: expected a number from 1 to 4096"),
    ],
)
def test_unknown_options_are_refused(home, options, message):
    with pytest.raises(OptionError, match=message):
        load("celeba", data_home=home, **options)


def test_the_fingerprint_follows_the_content_and_not_the_place(home, tmp_path):
    marks = [DataSource("celeba", data_home=str(home)).fingerprint()]
    moved = shutil.copytree(home / "celeba", tmp_path / "moved")
    assert DataSource("celeba", data_home=str(moved)).fingerprint() == marks[0]
    faces.partition(moved / PART, 80, (0, 1, 2))
    marks.append(DataSource("celeba", data_home=str(moved)).fingerprint())
    faces.picture(moved / "img_align_celeba" / "000001.jpg", 0, size=(40, 50))
    marks.append(DataSource("celeba", data_home=str(moved)).fingerprint())
    assert len(set(marks)) == 3


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of CelebA is not here")
def test_the_real_sample_has_its_published_counts_and_rates():
    rates = {
        "Smiling": (0.4822, 0.5473, 0.3929),
        "Wavy_Hair": (0.3179, 0.4463, 0.1418),
        "Attractive": (0.5115, 0.6870, 0.2708),
    }
    found = celeba.read_faces(("Male", *rates), partition="sample_partition.txt", data_home=SAMPLE)
    assert len(found.files.names) == 10_000
    assert [int((found.part == value).sum()) for value in "012"] == [6906, 1028, 2066]
    male = found.values["Male"]
    assert male.mean() == pytest.approx(0.4217, abs=5e-5)
    for name, expected in rates.items():
        y = found.values[name]
        shares = y.mean(), y[male == 0].mean(), y[male == 1].mean()
        assert shares == pytest.approx(expected, abs=5e-5)
    assert celeba.check_folder(SAMPLE) == "10,000 of 202,599 images"
    with pytest.raises(DataError, match=r"list_eval_partition\.txt: no test images"):
        load("celeba", data_home=SAMPLE)
