"""An optimiser, a schedule and a loss of the caller's own in the classifier."""

import copy
import json
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ConstantLR

from dralign import parity_scores
from dralign.errors import ModelError, OptionError
from dralign.estimator import DRAlignClassifier
from dralign.rationale import per_sample_loss

TINY = {"epochs": 2, "iterations": 20, "hidden": 8, "batch_size": 32, "random_state": 0}


def rows(n: int = 200):
    """Inputs, labels that lean on the first input and the group, and groups."""
    draw = np.random.RandomState(0)
    x, code = draw.normal(size=(n, 4)), np.arange(n) % 2
    y = (x[:, 0] + 0.8 * code + 0.5 * draw.normal(size=n) > 0.4).astype(int)
    return x, y, np.array(["ada", "bob"])[code]


X, Y, A = rows()


def focal(outputs: Tensor, label: Tensor, *, gamma: float) -> Tensor:
    losses = per_sample_loss(outputs, label)
    return (1 - torch.exp(-losses)) ** gamma * losses


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3, fused=True)


OWN = {
    "optimiser": partial(SGD, lr=0.05),
    "scheduler": partial(ConstantLR, factor=0.1, total_iters=100),
    "row_loss": partial(focal, gamma=2.0),
}
every_function = pytest.mark.parametrize("name", OWN)


def fitted(**given) -> DRAlignClassifier:
    return DRAlignClassifier(**TINY, **given).fit(X, Y, sensitive_features=A)


@every_function
def test_a_function_of_ones_own_takes_the_place_of_what_is_there(name):
    same = {
        "optimiser": adam,
        "scheduler": partial(ConstantLR, factor=1.0),
        "row_loss": partial(focal, gamma=0.0),
    }
    plain = fitted().predict_proba(X)
    np.testing.assert_allclose(fitted(**{name: same[name]}).predict_proba(X), plain, atol=1e-6)
    assert np.abs(fitted(**{name: OWN[name]}).predict_proba(X) - plain).max() > 1e-3


def test_a_loss_of_several_classes_gets_their_codes():
    label = np.array(["high", "low", "mid"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    seen = []

    def loss(outputs: Tensor, codes: Tensor) -> Tensor:
        seen.append((outputs.shape[1], set(codes.tolist())))
        return per_sample_loss(outputs, codes)

    plain, own = (
        DRAlignClassifier(**TINY, row_loss=given).fit(X, label, sensitive_features=A)
        for given in (None, loss)
    )
    np.testing.assert_array_equal(own.predict_proba(X), plain.predict_proba(X))
    assert {columns for columns, _ in seen} == {3}
    assert set.union(*(codes for _, codes in seen)) == {0, 1, 2}


def test_functions_go_through_clone_searches_and_pickle():
    model = fitted(**OWN)
    for name, function in OWN.items():
        assert getattr(clone(model), name).keywords == function.keywords
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    refitted = again.fit(X, Y, sensitive_features=A)
    np.testing.assert_array_equal(refitted.predict_proba(X), model.predict_proba(X))
    losses = [partial(focal, gamma=0.0), partial(focal, gamma=5.0)]
    search = GridSearchCV(
        DRAlignClassifier("erm", **TINY), {"row_loss": losses}, cv=2, error_score="raise"
    ).fit(X, Y)
    assert search.best_params_["row_loss"].keywords["gamma"] in (0.0, 5.0)


def test_a_saved_classifier_names_its_functions_and_does_not_hold_them(tmp_path):
    model = fitted(**OWN)
    folder = model.save(tmp_path / "net")
    again = DRAlignClassifier.load(folder)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.get_params() == {**model.get_params(), **dict.fromkeys(OWN)}
    told = json.loads((folder / "artifact.json").read_text())["training"]["method"]
    assert told["row_loss"] == "focal(gamma=2.0)"
    assert told["optimiser"] == "SGD(lr=0.05)"
    assert told["scheduler"] == "ConstantLR(factor=0.1, total_iters=100)"


@every_function
def test_what_is_no_function_is_refused_in_one_line(name):
    with pytest.raises(
        OptionError, match=f"{name}: expected a function from .* got 'that'"
    ) as told:
        fitted(**{name: "that"})
    assert "\n" not in str(told.value)


def test_a_front_takes_a_loss_and_refuses_an_optimiser():
    plain, own = (
        DRAlignClassifier("gap", **TINY, row_loss=loss)
        .frontier(X, Y, sensitive_features=A, weights=[0.0, 0.5])
        .points_["average_precision"]
        for loss in (None, OWN["row_loss"])
    )
    assert not np.array_equal(plain, own)
    for name in ("optimiser", "scheduler"):
        model = DRAlignClassifier("gap", **TINY, **{name: OWN[name]})
        with pytest.raises(OptionError, match=f"{name}: a front has an Adam of its own for each"):
            model.frontier(X, Y, sensitive_features=A)


def linear(n_inputs: int, n_outputs: int = 1, dtype: torch.dtype = torch.float32) -> nn.Module:
    return nn.Linear(n_inputs, n_outputs).to(dtype)


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
def test_a_network_of_float64_is_trained_and_scored_and_gives_what_float32_does():
    weight = torch.tensor([[0.3, -0.2, 0.1, 0.05]])
    scored = []
    for dtype in (torch.float32, torch.float64):
        given = linear(4, dtype=dtype)
        given.load_state_dict({"weight": weight, "bias": torch.zeros(1)})
        model = DRAlignClassifier(module=given, **TINY).fit(X, Y, sensitive_features=A)
        assert next(model.module_.parameters()).dtype == dtype
        scored.append(model.predict_proba(X))
    np.testing.assert_allclose(*scored, atol=1e-4)
    assert max(parity_scores(model, X, Y, sensitive_features=A).similarity.values()) < 1.001
    front = model.set_params(module=given).frontier(X, Y, sensitive_features=A, weights=[0.0, 0.5])
    assert next(front.estimators_[1].module_.parameters()).dtype == torch.float64
    shifted = DRAlignClassifier(module=given, method="plugin", **TINY)
    shifted.fit(X, Y, sensitive_features=A)
    assert {p.dtype for p in shifted.module_.parameters()} == {torch.float64}
    assert shifted.predict_proba(X).shape == (len(X), 2)


def lazy(_: int) -> nn.Module:
    return nn.Sequential(nn.LazyLinear(3), nn.Tanh(), nn.LazyLinear(1))


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
def test_lazy_weights_are_drawn_by_the_seed():
    scored = []
    for place in range(3):
        torch.manual_seed(place)
        model = DRAlignClassifier(module=lazy, **{**TINY, "random_state": place // 2})
        scored.append(model.fit(X, Y, sensitive_features=A).predict_proba(X))
    np.testing.assert_array_equal(scored[0], scored[1])
    assert not np.allclose(scored[0], scored[2])


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
def test_a_compiled_network_is_taken_by_its_original():
    torch.manual_seed(0)
    given = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    compiled = torch.compile(given, backend="eager")
    made = partial(copy.deepcopy, given)
    scored = []
    for module in (given, compiled, lambda _: torch.compile(made(), backend="eager")):
        model = DRAlignClassifier(module=module, **TINY).fit(X, Y, sensitive_features=A)
        assert list(model.module_.state_dict()) == list(given.state_dict())
        scored.append(model.predict_proba(X))
    np.testing.assert_array_equal(scored[0], scored[1])
    np.testing.assert_array_equal(scored[0], scored[2])


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (partial(linear, n_outputs=2), r"expected one logit a row.*\(2, 2\); let its last layer"),
        (partial(linear, dtype=torch.bfloat16), "float32 or float64, got bfloat16; give it as"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_one_line_that_says_what_to_do(module, line):
    with pytest.raises(ModelError, match=line) as told:
        DRAlignClassifier(module=module, **TINY).fit(X, Y, sensitive_features=A)
    assert "\n" not in str(told.value)
