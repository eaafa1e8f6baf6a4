"""Every method takes steps on images, with the paper's networks, under both of its gaps."""

import copy
import warnings

import pytest
import torch

import faces
from dralign import models
from dralign.data import load
from dralign.methods import method_names, users_of
from dralign.rationale import select_layers
from dralign.training import TrainingSettings, group_thresholds, predict_probability, train
from dralign.training.evaluation import rationale_similarity
from switched_off import method_of

pytest.importorskip("PIL", reason="images need pillow")
ALEXNET = {"name": "alexnet", "classifier_width": 8}
RESNET = {"name": "resnet18"}
GAPS = ("demographic_parity", "equalized_odds")
CASES = {
    **{name: (ALEXNET, {"name": name}) for name in method_names() if name != "plugin"},
    "mixup of features": (ALEXNET, {"name": "mixup", "mixup_layer": "features"}),
    "dralign per parameter": (ALEXNET, {"name": "dralign", "granularity": "parameter"}),
    "dralign with mixup": (ALEXNET, {"name": "dralign", "penalty": "mixup"}),
    "dralign, last two of resnet18": (RESNET, {"name": "dralign", "layers": 2}),
    "mixup on resnet18": (RESNET, {"name": "mixup"}),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The made-up faces at 64 pixels, every cell with rows in every part."""
    home = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        faces.official(home / "celeba", n=32)
        yield load("celeba", data_home=home, image_size=64, label="Smiling")


def network(architecture):
    torch.manual_seed(0)
    return models.build(architecture)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("case", CASES)
def test_a_step_moves_the_weights_and_keep_them_finite(case, gap, data):
    architecture, options = CASES[case]
    name = options["name"]
    weights = {"fairness_weight": 0.5 * (name in users_of("fairness_weight"))}
    weights["alignment_weight"] = 0.05 * (name == "dralign")
    method = method_of(gap=gap, **weights, **options)
    model = network(architecture)
    before = copy.deepcopy(model.state_dict())
    settings = TrainingSettings(epochs=1, iterations=1, batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = train(model, data, method, settings, keep="none")
    after = model.state_dict()
    assert all(bool(torch.isfinite(x).all()) for x in after.values())
    layers = select_layers(model)
    assert all(not torch.equal(after[x.parameter], before[x.parameter]) for x in layers)
    assert run.history[0].skipped == 0
    assert 0 <= run.history[0].validation[f"soft_{gap}"] <= len(method.gap.strata)
    if name == "thresholds":
        found = group_thresholds(predict_probability(model, data.validation.x), data, method)
        assert len(found) == 2


@pytest.mark.parametrize("gap", GAPS)
def test_dralign_aligns_what_gap_alone_does_not(gap, data):
    """The same two steps with a large beta end in other weights than without it."""
    found = []
    for beta in (0.0, 5.0):
        method = method_of("dralign", gap=gap, fairness_weight=0.5, alignment_weight=beta)
        model = network(ALEXNET)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train(model, data, method, TrainingSettings(epochs=1, iterations=2, batch_size=2))
        found.append(model.features[0].weight.detach())
    assert not torch.allclose(found[0], found[1], rtol=1e-3)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("architecture", [ALEXNET, RESNET], ids=["alexnet", "resnet18"])
def test_per_unit_the_one_output_layer_is_constant_and_per_parameter_it_is_not(
    architecture, gap, data
):
    model = network(architecture)
    layers = select_layers(model)
    assert len(layers) == {"alexnet": 8, "resnet18": 21}[architecture["name"]]
    method = method_of("erm", gap=gap)
    found = rationale_similarity(model, data.test, layers=layers, gap=method.gap, n_groups=2)
    last, top = layers[-1].name, len(method.gap.strata)
    assert found["unit"][last] == pytest.approx(top, abs=1e-6)
    assert 0 < found["parameter"][last] < top
    assert all(0 <= value <= top + 1e-6 for value in found["unit"].values())
