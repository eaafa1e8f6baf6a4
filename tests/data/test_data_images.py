"""Images: decoded once into a cache, read as tensors; a user's own folder with a table."""

import dataclasses
import os
import pickle
import shutil
import stat
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import faces
from dralign.data import (
    DataSource,
    Images,
    content,
    encoder_from_dict,
    images_cache,
    load_images,
    read_table,
)
from dralign.data.images_cache import decode_all, decoded, list_files, picture
from dralign.errors import DataError, DralignWarning, GroupError, OptionError
from dralign.gaps import resolve_gap
from dralign.rationale import group_gradients, select_layers
from dralign.training import TrainingSettings, predict_probability, train
from switched_off import method_of

Image = pytest.importorskip("PIL.Image", reason="images need pillow")
MEAN = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
DEVIATION = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dralign" / "images"


@pytest.fixture
def own(tmp_path):
    """A folder of 60 pictures and a table about them."""
    names = [f"{'ab'[i % 2]}/{i}.jpg" for i in range(60)]
    for i, name in enumerate(names):
        faces.picture(tmp_path / "pictures" / name, i)
    table = pd.DataFrame(
        {
            "gender": ["f", "m", "m"] * 20,
            "file": names,
            "smiling": ["no", "no", "yes", "no", "yes"] * 12,
        }
    )
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def load_own(own, **options):
    about = {
        "labels": own / "labels.csv",
        "label": "smiling",
        "positive": "yes",
        "sensitive": "gender",
        "image_size": 8,
    }
    return load_images(own / "pictures", **(about | options))


def plain(path, size):
    """The inputs of one file, written from the description: bilinear, no crop, ImageNet's form."""
    image = Image.open(path).convert("RGB").resize((size, size), Image.BILINEAR)
    values = np.asarray(image).astype(np.float64).transpose(2, 0, 1) / 255
    return (values - MEAN) / DEVIATION


def test_a_file_becomes_what_the_published_preparation_makes_of_it(tmp_path):
    faces.picture(tmp_path / "one.jpg", 3, size=(178, 218))
    files = list_files(tmp_path, ["one.jpg"], listed_in=tmp_path / "list.txt")
    x = Images(decoded(files, 256), np.array([0]))
    assert x.shape == (1, 3, 256, 256)
    np.testing.assert_allclose(x[torch.tensor([0])][0], plain(tmp_path / "one.jpg", 256), atol=1e-6)


def test_grey_and_transparent_pictures_become_three_channels(tmp_path):
    paths = [tmp_path / f"{mode}.png" for mode in ("L", "RGBA", "P")]
    for path in paths:
        Image.new(path.stem, (9, 7), 1).save(path)
    pixels = np.full((3, 3, 4, 4), 255, np.uint8)
    decode_all(paths, 4, pixels)
    assert (pixels < 2).all()


def test_images_answer_what_is_asked_of_a_tensor(own):
    data = load_own(own)
    x = data.train.x
    everything = x[torch.arange(len(x))]
    assert (len(x), x.ndim, x.shape) == (36, 4, (36, 3, 8, 8))
    assert everything.dtype == torch.float32
    drawn = torch.tensor([5, 2, 5])
    assert torch.equal(x[drawn], everything[drawn])
    assert torch.equal(torch.cat(list(x.split(7))), everything)
    assert [len(block) for block in x.split(16)] == [16, 16, 4]
    packed = pickle.dumps(x)
    assert torch.equal(pickle.loads(packed)[drawn], x[drawn])
    assert len(packed) < 36 * 3 * 8 * 8, "the pixels stay where they are"


def test_rows_stay_with_their_labels(own):
    data, table = load_own(own), pd.read_csv(own / "labels.csv")
    assert data.group_names == ("f", "m")
    seen = 0
    for split in (data.train, data.validation, data.test):
        for x, y, group in zip(split.x[:], split.y, split.group, strict=True):
            errors = [
                float(np.abs(plain(own / "pictures" / name, 8) - x.numpy()).max())
                for name in table["file"]
            ]
            row = table.iloc[int(np.argmin(errors))]
            assert min(errors) < 1e-5
            assert (row["smiling"] == "yes", row["gender"] == "m") == (bool(y), bool(group))
            seen += 1
    assert seen == 60


def test_files_are_decoded_once_and_again_when_they_change(own, cache, monkeypatch):
    first = load_own(own).train.x[:]
    calls = []
    monkeypatch.setattr(images_cache, "picture", lambda *a: calls.append(a) or picture(*a))
    assert torch.equal(load_own(own).train.x[:], first)
    assert not calls
    faces.picture(own / "pictures" / "a" / "0.jpg", 99, size=(50, 50))
    load_own(own)
    assert len(calls) == 60
    assert len(list(cache.iterdir())) == 2
    load_own(own, image_size=9)
    assert len(list(cache.iterdir())) == 3


KILLED = """
import os, signal, sys
from dralign.files import write_folder
write_folder(sys.argv[1], lambda new: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_what_a_killed_decode_of_other_images_left_is_removed_before_the_room_is_looked_at(
    own, cache, monkeypatch
):
    subprocess.run([sys.executable, "-c", KILLED, cache / ("a" * 64)], check=False, timeout=60)
    (left,) = cache.iterdir()
    os.utime(left, (0, 0))
    plain = images_cache._check_disk

    def check_disk(*given):
        assert not left.exists()
        plain(*given)

    monkeypatch.setattr(images_cache, "_check_disk", check_disk)
    load_own(own)
    assert len(list(cache.iterdir())) == 1


def test_a_damaged_picture_is_named_and_leaves_no_cache(own, cache):
    path = own / "pictures" / "b" / "31.jpg"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"31\.jpg: truncated, or not an image"):
        load_own(own)
    assert not list(cache.iterdir())


def test_a_damaged_cache_is_made_again(own, cache):
    first = load_own(own).train.x[:]
    (folder,) = cache.iterdir()
    (folder / "pixels.npy").write_bytes((folder / "pixels.npy").read_bytes()[:200])
    assert torch.equal(load_own(own).train.x[:], first)


def grey(folder, level):
    """A folder of 60 bitmaps of one grey: equal names, equal sizes, and a table about them."""
    folder.mkdir()
    for i in range(60):
        Image.new("RGB", (6, 5), (level, level, level)).save(folder / f"{i:03d}.bmp")
    table = pd.DataFrame({"file": [f"{i:03d}.bmp" for i in range(60)], "sex": ["f", "m"] * 30})
    table.assign(tall=["yes", "yes", "no", "no"] * 15).to_csv(folder / "labels.csv", index=False)
    return DataSource(
        str(folder),
        labels=str(folder / "labels.csv"),
        label="tall",
        positive="yes",
        sensitive=("sex",),
        image_size=4,
    )


def test_folders_with_equal_names_and_sizes_are_told_apart(tmp_path):
    black, white = grey(tmp_path / "black", 0), grey(tmp_path / "white", 255)
    assert black.fingerprint() != white.fingerprint()
    dark, light = black.load(0), white.load(0)
    assert float(dark.train.x[:].max()) < 0 < float(light.train.x[:].min())
    assert (dark.fingerprint, light.fingerprint) == (black.fingerprint(), white.fingerprint())


def test_a_moved_folder_has_the_same_fingerprint(tmp_path):
    source = grey(tmp_path / "one", 7)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    moved = dataclasses.replace(
        source, name=str(tmp_path / "two"), labels=str(tmp_path / "two" / "labels.csv")
    )
    assert moved.fingerprint() == source.fingerprint()


def test_a_picture_exchanged_behind_its_times_is_noticed_also_with_a_memory(tmp_path, monkeypatch):
    """The time of the last change of a file's state can't be set back as others can."""
    monkeypatch.setattr(content, "UNSETTLED", 0)
    source = grey(tmp_path / "one", 7)
    path = tmp_path / "one" / "003.bmp"
    before, stamp = source.fingerprint(), path.stat()
    Image.new("RGB", (6, 5), (8, 8, 8)).save(path)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_size == stamp.st_size
    assert source.fingerprint() != before


def test_pictures_that_were_not_touched_are_not_read_again(tmp_path, monkeypatch):
    source, reads = grey(tmp_path / "one", 7), []
    digest = content.file_digest
    monkeypatch.setattr(content, "file_digest", lambda path: reads.append(path) or digest(path))
    first = source.fingerprint()
    assert source.fingerprint() == first
    assert len(reads) == 120, "what was just written is not trusted by its times"
    monkeypatch.setattr(content, "UNSETTLED", 0)
    assert [source.fingerprint() for _ in range(3)] == [first] * 3
    assert len(reads) == 180


def test_the_cache_of_pictures_is_readable_by_its_user_alone(own, cache):
    load_own(own)
    (folder,) = cache.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "pixels.npy").stat().st_mode) == 0o600


def test_a_cache_that_was_changed_is_made_again(own, cache):
    first = load_own(own).train.x[:]
    (folder,) = cache.iterdir()
    pixels = np.load(folder / "pixels.npy")
    np.save(folder / "pixels.npy", pixels ^ 1)
    assert torch.equal(load_own(own).train.x[:], first)


def test_pictures_changed_while_they_are_decoded_are_refused(own, cache, monkeypatch):
    def exchange(path, *rest):
        if path.name == "59.jpg":
            faces.picture(own / "pictures" / "a" / "58.jpg", 99)
        return picture(path, *rest)

    monkeypatch.setattr(images_cache, "_workers", lambda: 1)
    monkeypatch.setattr(images_cache, "CHUNK", 1)
    table = pd.read_csv(own / "labels.csv")
    table.iloc[::-1].to_csv(own / "labels.csv", index=False)  # 59 before 58
    monkeypatch.setattr(images_cache, "picture", exchange)
    with pytest.raises(DataError, match="images were changed while they were read; start again"):
        load_own(own)
    assert not list(cache.iterdir())


@pytest.mark.timeout(60)
def test_a_pipe_or_device_among_pictures_is_not_waited_for(own):
    path = own / "pictures" / "a" / "4.jpg"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"a/4\.jpg: not a regular file"):
        load_own(own)
    with pytest.raises(DataError, match="not a regular file"):
        decode_all([path], 4, np.empty((1, 3, 4, 4), np.uint8))
    path.unlink()
    path.symlink_to(own / "pictures" / "a" / "2.jpg")
    os.mkfifo(own / "pictures" / "a" / "not listed.jpg")
    (own / "pictures" / "a" / "nowhere.jpg").symlink_to("nowhere")
    assert len(load_own(own).train) == 36


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path):
    """10,000 x 10,000 pixels of one colour are a hundred kB in a file, and 300 MB decoded."""
    path = tmp_path / "bomb.png"
    Image.new("1", (10_000, 10_000)).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"10000 x 10000 pixels, at most 89,478,485"):
            decode_all([path], 4, np.empty((1, 3, 4, 4), np.uint8))


def test_a_file_that_another_program_would_draw_is_no_image(tmp_path):
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with pytest.raises(DataError, match="truncated, or not an image") as caught:
        picture(tmp_path / "a.jpg", content, 4)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("name", ["001", "1.50", "1e2"])
def test_names_of_pictures_are_text(tmp_path, name):
    source = grey(tmp_path / "one", 7)
    (tmp_path / "one" / "000.bmp").rename(tmp_path / "one" / name)
    for i in range(1, 60):
        (tmp_path / "one" / f"{i:03d}.bmp").rename(tmp_path / "one" / f"{i + 100}")
    table = pd.read_csv(tmp_path / "one" / "labels.csv")
    table["file"] = [name, *(f"{i + 100}" for i in range(1, 60))]
    table.to_csv(tmp_path / "one" / "labels.csv", index=False)
    assert len(source.load(0).train) == 36
    rows = read_table(tmp_path / "one" / "labels.csv", of_images=True)
    encoder = source.load(0).encoder
    assert encoder.listed(rows, tmp_path / "one").pixels().max() == 7


def test_much_work_is_announced(own, monkeypatch):
    monkeypatch.setattr(images_cache, "MUCH", 1000)
    with pytest.warns(DralignWarning, match=r"decoding 60 images once into .*images \(0\.0 GiB"):
        load_own(own)


def test_too_little_room_on_the_disk_is_told_before_decoding(own, monkeypatch):
    room = images_cache.shutil.disk_usage("/")._replace(free=100)
    monkeypatch.setattr(images_cache.shutil, "disk_usage", lambda _: room)
    with pytest.raises(DataError, match=r"are needed for the decoded images.*smaller image size"):
        load_own(own)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"label": ""}, OptionError, "give it with --label"),
        ({"sensitive": ()}, OptionError, "give it with --sensitive"),
        ({"labels": ""}, OptionError, "give it with --labels"),
        ({"sensitive": "smiling"}, OptionError, "can't be both"),
        ({"label": "smile"}, DataError, "no column 'smile'"),
        ({"image_size": -1}, OptionError, "image_size: expected a number from 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(own, change, kind, message):
    with pytest.raises(kind, match=message):
        load_own(own, **change)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda t: t.replace("a/2.jpg", "a/200.jpg"), DataError, r"missing: a/200\.jpg"),
        (lambda t: t.replace("a/2.jpg", "a/0.jpg"), DataError, r"'a/0\.jpg' is named twice"),
        (lambda t: t.replace("a/2.jpg", "../2.jpg"), DataError, "leads out of the folder"),
        (lambda t: t.replace("a/2.jpg", None), DataError, "1 rows name no file"),
        (lambda t: t.assign(gender="f"), GroupError, "at least two are needed"),
    ],
)
def test_a_table_that_does_not_fit_the_folder_is_refused(own, change, kind, message):
    change(pd.read_csv(own / "labels.csv")).to_csv(own / "labels.csv", index=False)
    with pytest.raises(kind, match=message):
        load_own(own)


def test_the_encoder_reads_files_as_the_dataset_did(own):
    data = load_own(own)
    table = pd.read_csv(own / "labels.csv")
    table["file"] = [str(own / "pictures" / name) for name in table["file"]]
    encoder = encoder_from_dict(data.encoder.to_dict())
    inputs = torch.from_numpy(encoder.transform(table))
    whole = torch.cat([split.x[:] for split in (data.train, data.validation, data.test)])
    assert torch.equal(inputs.flatten(1).sum(1).sort()[0], whole.flatten(1).sum(1).sort()[0])
    with pytest.raises(DataError, match="'size' must be a whole number"):
        encoder_from_dict({"kind": "images", "size": 0})


def test_a_source_describes_a_folder_of_images(own):
    source = DataSource(
        str(own / "pictures"),
        sensitive=("gender",),
        label="smiling",
        positive="yes",
        labels=str(own / "labels.csv"),
        image_size=8,
    )
    form = source.to_dict()
    assert (form["name"], form["labels"], form["image_size"]) == ("pictures", "labels.csv", 8)
    assert DataSource.from_dict(form).to_dict() == form
    assert torch.equal(source.load(3).test.x[:], load_own(own, seed=3).test.x[:])
    before = source.fingerprint()
    faces.picture(own / "pictures" / "a" / "0.jpg", 99, size=(50, 50))
    assert source.fingerprint() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adult", "image_size": 64}, "image_size is for images"),
        ({"name": "people.csv", "partition": "own.txt"}, "partition is for images"),
        ({"name": "adult", "labels": "labels.csv"}, "labels is for images"),
        ({"name": "pictures", "labels": "x.csv", "include_sensitive": True}, "can't be added"),
    ],
)
def test_options_of_images_are_for_images(options, message):
    with pytest.raises(OptionError, match=message):
        DataSource(**options)


def test_a_folder_needs_a_table_and_a_table_a_folder(own):
    with pytest.raises(OptionError, match=r"give the table .* with --labels"):
        DataSource(str(own / "pictures"), label="smiling", sensitive="gender").load(0)
    with pytest.raises(OptionError, match="no such folder; --labels is for a folder of images"):
        DataSource(str(own / "none"), labels=str(own / "labels.csv")).fingerprint()


@pytest.mark.parametrize("name", ["erm", "dralign"])
def test_training_on_images_equals_training_on_the_same_tensors(own, name):
    """A small convolution, so that only the way the inputs are read differs."""
    data = load_own(own)
    parts = {part: getattr(data, part) for part in ("train", "validation", "test")}
    tensors = dataclasses.replace(
        data, **{part: dataclasses.replace(s, x=s.x[:]) for part, s in parts.items()}
    )
    method = method_of(
        name,
        gap="demographic_parity",
        fairness_weight=0.1 * (name == "dralign"),
        alignment_weight=0.1 * (name == "dralign"),
    )
    settings = TrainingSettings(epochs=2, iterations=3, batch_size=6)
    found = []
    for dataset in (data, tensors):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 1)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train(network, dataset, method, settings)
        gradients = group_gradients(
            network,
            dataset.test.x,
            label=dataset.test.y,
            group=dataset.test.group,
            n_groups=2,
            layers=select_layers(network),
            strata=resolve_gap("demographic_parity").strata,
            batch_rows=5,
        )
        found.append((predict_probability(network, dataset.test.x), gradients[0][0][0]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_grey_of_16_bits_is_scaled_and_pixels_without_a_white_are_refused(tmp_path):
    image = pytest.importorskip("PIL.Image")
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    image.fromarray(ramp).save(tmp_path / "grey.png")
    pixels = picture(tmp_path / "grey.png", (tmp_path / "grey.png").read_bytes(), 8)
    assert np.abs(pixels[0] - ramp / 257).max() < 1
    image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match=r"float\.tif: its pixels are numbers of 32 bits; save it"):
        picture(tmp_path / "float.tif", (tmp_path / "float.tif").read_bytes(), 8)
