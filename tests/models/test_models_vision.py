"""AlexNet and ResNet-18: shapes, names, pretrained weights, and what training asks of them."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dralign import _torchvision, models
from dralign.alignment import RationaleAlignment
from dralign.errors import ModelError, OptionError
from dralign.rationale import group_losses, per_sample_loss, select_layers

pytest.importorskip("PIL", reason="torchvision needs pillow")
NARROW = {"name": "alexnet", "classifier_width": 8}


def test_alexnet_is_the_published_network_with_one_output():
    with torch.device("meta"):
        network = models.build({"name": "alexnet"})
    assert sum(weight.numel() for weight in network.parameters()) == 57_007_937
    assert len(select_layers(network)) == 8
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]


def test_resnet18_has_21_layers_of_which_the_paper_aligns_two():
    with torch.device("meta"):
        network = models.build({"name": "resnet18"})
    assert sum(weight.numel() for weight in network.parameters()) == 11_177_025
    layers = select_layers(network)
    assert len(layers) == 21
    assert [layer.name for layer in select_layers(network, 2)] == [x.name for x in layers[-2:]]
    assert layers[-1].name.startswith("fc")


@pytest.mark.parametrize(
    ("architecture", "sizes"), [(NARROW, (63, 64, 100)), ({"name": "resnet18"}, (32, 64))]
)
def test_other_image_sizes_and_outputs_work(architecture, sizes):
    network = models.build({**architecture, "n_outputs": 3}).eval()
    for size in sizes:
        with torch.inference_mode():
            assert network(torch.randn(2, 3, size, size)).shape == (2, 3)


def test_a_narrow_classifier_keeps_the_rest_of_alexnet():
    with torch.device("meta"):
        narrow, wide = models.alexnet(8), models.alexnet()
    widths = [m.out_features for m in narrow.classifier if isinstance(m, nn.Linear)]
    assert widths == [8, 8, 1]
    for own, other in zip(narrow.features.parameters(), wide.features.parameters(), strict=True):
        assert own.shape == other.shape
    assert [type(m) for m in narrow.classifier] == [type(m) for m in wide.classifier]


def test_the_seed_decides_the_weights():
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(next(models.resnet18().parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("architecture", "layers"), [(NARROW, "all"), ({"name": "resnet18"}, 2)], ids=["alex", "res"]
)
def test_rationales_of_both_can_be_aligned(architecture, layers):
    torch.manual_seed(0)
    network = models.build(architecture)
    term = RationaleAlignment(network, layers=layers)
    x, group = torch.randn(8, 3, 64, 64), torch.arange(8) % 2
    losses = per_sample_loss(network(x), torch.tensor([0, 0, 1, 1] * 2))
    value = term.align(group_losses(losses, group, n_groups=2))
    value.backward()
    assert -len(term.layers) <= float(value.detach()) <= 0
    weights = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert all(bool(torch.isfinite(grad).all()) for grad in weights)
    assert any(bool(grad.abs().max() > 0) for grad in weights)


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_weights_of_a_file_are_taken_but_for_a_head_of_another_shape(tmp_path, ending):
    torch.manual_seed(0)
    source, path = models.resnet18(n_outputs=5), tmp_path / f"weights{ending}"
    state = source.state_dict()
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    network = models.resnet18()
    head = network.fc.weight.clone()
    assert models.load_weights(network, path) == ("fc.weight", "fc.bias")
    assert torch.equal(network.fc.weight, head)
    own = network.state_dict()
    assert all(torch.equal(own[name], state[name]) for name in own if not name.startswith("fc."))
    assert models.load_weights(models.resnet18(n_outputs=5), path) == ()


class Evil:
    """Something that would run code when unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "truncated, or not a file of weights alone$"),
        (b"PK\x03\x04 nothing", "truncated, or not a file of weights alone$"),
        ({"weights": Evil()}, "truncated, or not a file of weights alone$"),
        ([torch.ones(2)], "expected a state_dict"),
        ({"fc.weight": torch.ones(1, 512)}, "nothing for 'conv1.weight'"),
        ({"classifier.1.weight": torch.ones(2)}, "it has no 'classifier.1.weight'"),
        ({"conv1.weight": torch.ones(64, 1, 7, 7)}, r"shape \(64, 1, 7, 7\) for 'conv1.weight'"),
    ],
    ids=["absent", "empty", "damaged", "code", "list", "few", "another", "shape"],
)
def test_a_file_of_other_weights_is_refused_by_name(tmp_path, capsys, content, message):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    network = models.resnet18()
    before = network.conv1.weight.clone()
    with pytest.raises(ModelError, match=rf"weights\.pth: .*{message}"):
        models.load_weights(network, path)
    assert torch.equal(network.conv1.weight, before)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"name": "vgg"}, "unknown architecture 'vgg'; known: mlp, alexnet, resnet18"),
        ({"name": ["mlp"]}, "unknown architecture"),
        ({"name": "alexnet", "hidden": 3}, "unknown size of an alexnet 'hidden'; known: class"),
        ({"name": "resnet18", "depth": 3}, "unknown size of a resnet18 'depth'; known: n_outputs"),
        ({**NARROW, "classifier_width": 0}, "classifier_width: expected at least 1, got 0"),
        ({"name": "resnet18", "n_outputs": 1.0}, "n_outputs: expected a whole number, got 1.0"),
    ],
)
def test_unknown_architectures_are_refused(architecture, message):
    with pytest.raises(OptionError, match=message):
        models.build(architecture)


def run(code):
    """What a fresh process prints."""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip().splitlines()[-1:] or [result.stderr]


def test_the_work_around_acts_only_where_the_import_stops():
    """In a fresh process: schemas are declared if and only if a plain import fails on them."""
    fails = run(
        "try:\n import torchvision; print(False)\nexcept RuntimeError as error:\n"
        f" print({_torchvision.SIGN!r} in str(error))"
    )
    acted = run("from dralign import _torchvision as t; t.vision_models(); print(bool(t._kept));")
    assert acted == fails


def test_the_work_around_is_not_needed_twice_nor_after_an_import():
    code = (
        "from dralign import _torchvision as t; m = t.vision_models(); kept = len(t._kept);"
        "import torchvision; print(t.vision_models() is m, len(t._kept) == kept)"
    )
    assert run(code) == ["True True"]


def test_a_torchvision_that_does_not_fit_is_told_in_one_line():
    code = (
        "import sys, dralign.models; from dralign.errors import ModelError\n"
        "sys.modules['torchvision'] = None\n"
        "try: dralign.models.resnet18()\nexcept ModelError as error: print(error)"
    )
    (line,) = run(code)
    assert "install dralign[vision]" in line
