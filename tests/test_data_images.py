"""Images: decoded once into a cache, read as tensors; a user's own folder with a table."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import faces
from dralign.data import DataSource, Images, encoder_from_dict, images_cache, load_images
from dralign.data.images_cache import decode_all, decoded, list_files, picture
from dralign.errors import DataError, DralignWarning, GroupError, OptionError
from dralign.gaps import resolve_gap
from dralign.methods import build_method
from dralign.rationale import group_gradients, select_layers
from dralign.training import TrainingSettings, predict_probability, train

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
    import dataclasses

    data = load_own(own)
    parts = {part: getattr(data, part) for part in ("train", "validation", "test")}
    tensors = dataclasses.replace(
        data, **{part: dataclasses.replace(s, x=s.x[:]) for part, s in parts.items()}
    )
    method = build_method(
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
