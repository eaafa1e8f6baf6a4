"""The classifier keeps scikit-learn's rules, trains as the loop does, and refuses in one line."""

import json
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import dralign
from dralign import models
from dralign.artifact import load_artifact, save_artifact
from dralign.data import Dataset, Split
from dralign.errors import (
    ArtifactError,
    DataError,
    DralignWarning,
    GroupError,
    ModelError,
    OptionError,
    UndefinedMetricWarning,
)
from dralign.estimator import DRAlignClassifier
from dralign.methods import method_names
from dralign.metrics import average_precision, soft_demographic_parity_difference
from dralign.training import TrainingSettings, predict_probability, seeded, spawn_seeds, train
from sealed import resealed
from switched_off import method_of

DRAWN = (
    "batches are drawn at random: a row that is there twice is drawn twice as often, and one of "
    "weight 2 counts twice; the two are equal on the average, not in every digit"
)
TINY = {"epochs": 2, "iterations": 10, "hidden": 8, "batch_size": 16, "learning_rate": 0.02}


def tiny(method: str = "dralign", **options) -> DRAlignClassifier:
    return DRAlignClassifier(method, **{**TINY, "random_state": 0, **options})


def rows(n: int = 120, n_groups: int = 2):
    """Inputs, labels that lean on the first input and the group, and the groups by name."""
    generator = np.random.RandomState(0)
    x, code = generator.normal(size=(n, 4)), np.arange(n) % n_groups
    y = (x[:, 0] + 0.8 * code + 0.5 * generator.normal(size=n) > 0.4).astype(int)
    return x, y, np.array(["ada", "bob", "cyd"])[code]


X, Y, A = rows()


@pytest.fixture(scope="module")
def fitted() -> DRAlignClassifier:
    return tiny().fit(X, Y, sensitive_features=A)


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
@parametrize_with_checks(
    [
        DRAlignClassifier(
            epochs=1, iterations=20, hidden=8, batch_size=16, learning_rate=0.05, random_state=0
        )
    ],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence": DRAWN,  # its name before scikit-learn 1.7
        "check_sample_weight_equivalence_on_dense_data": DRAWN,
    },
)
def test_scikit_learn_checks_pass(estimator, check):
    check(estimator)


def table() -> pd.DataFrame:
    columns, index = ["age", "pay", "debt", "years"], np.arange(len(X))[::-1]
    frame = pd.DataFrame(X.copy(), columns=columns, index=index)  # before pandas 3 it was a view
    frame["job"] = np.where(X[:, 1] > 0, "clerk", "nurse")
    frame.loc[frame.index[:7], "job"] = None
    frame.loc[frame.index[5:9], "pay"] = np.nan
    return frame


@pytest.mark.parametrize(
    ("x", "y", "a"),
    [
        (X, Y, A),
        (X.tolist(), Y.tolist(), A.tolist()),
        (X.astype(np.float32), Y.astype(bool), A == "ada"),
        (pd.DataFrame(X), pd.Series(Y), pd.Series(A, name="who")),
        (table(), np.where(Y, "yes", "no"), pd.DataFrame({"who": A, "old": X[:, 1] > 0})),
    ],
    ids=["arrays", "lists", "float32 and booleans", "frame of numbers", "mixed table"],
)
def test_fits_and_predicts_what_users_have(x, y, a):
    model = tiny().fit(x, y, sensitive_features=a)
    proba = model.predict_proba(x)
    assert proba.shape == (len(Y), 2)
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-6)
    assert set(model.predict(x)) <= set(np.unique(y))
    np.testing.assert_array_equal(model.predict(x) == model.classes_[1], proba[:, 1] >= 0.5)
    assert model.mitigated_
    assert len(model.history_) == 2
    assert 0 <= model.score(x, y) <= 1


def test_a_frame_of_another_library_is_that_of_pandas():
    pyarrow = pytest.importorskip("pyarrow")
    frame = table().reset_index(drop=True)
    other = pyarrow.Table.from_pandas(frame)
    plain = tiny().fit(frame, Y, sensitive_features=A)
    model = tiny().fit(other, Y, sensitive_features=A)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(model.predict_proba(other), plain.predict_proba(frame))
    named = pyarrow.table({"who": A, "old": X[:, 1] > 0})
    assert tiny().fit(X, Y, sensitive_features=named).sensitive_names_ == ("who", "old")


def test_frame_of_numbers_and_its_array_make_the_same_network(fitted):
    frame = pd.DataFrame(X, columns=list("pqrs"))
    other = tiny().fit(frame, Y, sensitive_features=A)
    np.testing.assert_array_equal(other.predict_proba(frame), fitted.predict_proba(X))
    assert other.feature_names_in_.tolist() == list("pqrs")
    assert not hasattr(fitted, "feature_names_in_")


def test_scale_and_shift_of_a_column_make_no_difference(fitted):
    moved = X * [1e4, 1, 1e-3, 1] + [0, 50, 0, 0]
    other = tiny().fit(moved, Y, sensitive_features=A)
    np.testing.assert_allclose(other.predict_proba(moved), fitted.predict_proba(X), atol=1e-4)


def test_training_is_that_of_the_training_loop(fitted):
    """The same rows, seeds and method through train() give the same weights."""
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    code, y = torch.from_numpy((A == "bob").astype(np.int64)), torch.from_numpy(Y)
    permutation, validation = np.random.RandomState(seed), []
    for cell in range(4):
        inside = permutation.permutation(np.flatnonzero(code.numpy() * 2 + Y == cell))
        validation += inside[: round(0.2 * len(inside))].tolist()
    kept = np.sort(validation)
    rest = np.setdiff1d(np.arange(len(X)), kept)
    scaled = torch.from_numpy(((X - X[rest].mean(0)) / X[rest].std(0)).astype(np.float32))
    parts = [Split(scaled[at], y[at], code[at]) for at in (rest, kept, kept)]
    data = Dataset("x", "standard", *parts, ("ada", "bob"), ("who",), "y", "1")
    with seeded(spawn_seeds(seed).initialisation):
        model = models.mlp(4, hidden=8)
    weights = {"fairness_weight": 0.2, "alignment_weight": 0.02}
    method = method_of("dralign", **weights, alignment_every=8)
    result = train(model, data, method, TrainingSettings(2, 10, 16, 0.02, seed))
    for record, expected in zip(fitted.history_, result.history, strict=True):
        assert record.validation == pytest.approx(expected.validation)
        assert record.test == {}
    model.load_state_dict(result.states[fitted.chosen_epoch_])
    np.testing.assert_allclose(
        fitted.predict_proba(X)[:, 1], predict_probability(model, scaled), atol=1e-6
    )


def test_three_groups_and_crossed_columns_are_named():
    x, y, a = rows(180, n_groups=3)
    assert tiny().fit(x, y, sensitive_features=a).group_names_ == ("ada", "bob", "cyd")
    old = np.where(np.arange(180) < 90, "old", "young")
    crossed = tiny("gap").fit(x, y, sensitive_features=np.column_stack([a, old]))
    assert len(crossed.group_names_) == 6
    assert crossed.group_names_[0] == "ada & old"


def test_same_random_state_gives_the_same_network_and_leaves_global_randomness_alone():
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002

    def proba(random_state):
        model = tiny(random_state=random_state).fit(X, Y, sensitive_features=A)
        return model.predict_proba(X)

    np.testing.assert_array_equal(proba(3), proba(3))
    assert not np.array_equal(proba(3), proba(4))
    moving = np.random.RandomState(3)
    first = proba(moving)
    np.testing.assert_array_equal(first, proba(3))
    assert not np.array_equal(first, proba(moving))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert numpy_state == np.random.get_state()[1].tolist()  # noqa: NPY002


def test_without_groups_the_task_loss_is_trained_and_that_is_said():
    with pytest.warns(DralignWarning, match="no sensitive_features: .* nothing is mitigated"):
        model = tiny(epochs=4).fit(X, Y)
    assert model.mitigated_ is False
    assert model.group_names_ == ()
    figures = [record.validation for record in model.history_]
    assert all(set(f) == {"average_precision", "accuracy", "balanced_accuracy"} for f in figures)
    best = max(range(1, 4), key=lambda epoch: figures[epoch]["average_precision"])
    assert model.chosen_epoch_ == best
    assert model.score(X, Y) > 0.7


def test_without_groups_weights_and_gap_have_no_effect():
    def proba(**options):
        with pytest.warns(DralignWarning, match="no sensitive_features"):
            return tiny(select="last", **options).fit(X, Y).predict_proba(X)

    np.testing.assert_array_equal(proba(), proba(fairness_weight=9.0))
    np.testing.assert_array_equal(proba(), proba(method="erm"))


def test_erm_with_groups_reports_gaps_and_mitigates_nothing():
    model = tiny("erm").fit(X, Y, sensitive_features=A)
    assert model.mitigated_ is False
    assert model.history_[0].validation["soft_demographic_parity"] >= 0


@pytest.mark.parametrize("method", [name for name in method_names() if name != "thresholds"])
def test_every_method_that_predicts_without_groups_trains(method):
    model = tiny(method, epochs=1).fit(X, Y, sensitive_features=A)
    assert model.mitigated_ == (method != "erm")
    assert np.isfinite(model.predict_proba(X)).all()


def test_gap_bound_finds_lambda_and_tells_whether_it_was_met(tmp_path):
    loose = tiny("gap", gap_bound=0.9).fit(X, Y, sensitive_features=A)
    assert loose.bound_met_ is True
    assert loose.fairness_weight_ == 0
    assert loose.selection_ == "highest AP with a base-rate gap of at most 0.9, first 1 left out"
    with pytest.warns(DralignWarning, match="no epoch keeps the base-rate gap at 1e-09 on"):
        tight = tiny("dralign", gap_bound=1e-9, penalty="mixup").fit(X, Y, sensitive_features=A)
    assert tight.bound_met_ is False
    assert tight.fairness_weight_ == tight.history_[tight.chosen_epoch_].found_weight > 0
    again = DRAlignClassifier.load(tight.save(tmp_path / "net"))
    assert (again.bound_met_, again.fairness_weight_) == (False, tight.fairness_weight_)
    with pytest.warns(DralignWarning, match="no sensitive_features"):
        assert tiny("gap", gap_bound=0.1).fit(X, Y).bound_met_ is None


def test_fixed_weight_is_reported_as_it_was_given(fitted):
    assert (fitted.fairness_weight_, fitted.bound_met_) == (0.2, None)
    assert tiny("erm").fit(X, Y, sensitive_features=A).fairness_weight_ == 0


def test_row_without_a_sensitive_value_is_in_no_group():
    a = A.astype(object).copy()
    a[:20] = None
    with pytest.warns(DralignWarning, match="20 of 120 rows have no sensitive value"):
        model = tiny().fit(X, Y, sensitive_features=a)
    assert model.group_names_ == ("ada", "bob")


@pytest.mark.filterwarnings("ignore:group 'cyd' has no training rows")
def test_coded_groups_train_the_network_of_their_values():
    values = np.where(np.arange(120) % 7 == 0, None, A)
    with pytest.warns(DralignWarning, match="18 of 120 rows have no sensitive value"):
        plain = tiny().fit(X, Y, sensitive_features=values)
    with pytest.warns(DralignWarning, match="18 of 120 rows have no sensitive value"):
        coded = tiny().fit(X, Y, sensitive_features=dralign.encode_groups(values))
    assert coded.group_names_ == ("ada", "bob")
    np.testing.assert_array_equal(coded.predict_proba(X), plain.predict_proba(X))


def test_group_that_is_absent_from_validation_is_announced_and_left_out():
    a = A.copy()
    a[:2] = "cyd"  # two rows are too few to keep one back
    with pytest.warns(UndefinedMetricWarning, match="'cyd' has .*no validation rows"):
        model = tiny().fit(X, Y, sensitive_features=a)
    assert np.isfinite(model.history_[-1].validation["soft_demographic_parity"])


def test_training_warns_of_nothing_on_whole_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, y, a = rows(400)
        tiny().fit(x, y, sensitive_features=a)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_groups_are_routed_through_pipeline_and_cross_validation(routing):
    result = cross_validate(
        make_pipeline(StandardScaler(), tiny()),
        X,
        Y,
        cv=2,
        params={"sensitive_features": A},
        return_estimator=True,
        error_score="raise",
    )
    assert len(result["test_score"]) == 2
    assert all(pipeline[-1].group_names_ == ("ada", "bob") for pipeline in result["estimator"])


def test_grid_search_over_a_pipeline_routes_groups(routing):
    pipeline = make_pipeline(StandardScaler(), tiny().set_fit_request(sensitive_features=True))
    grid = {"dralignclassifier__method": ["erm", "gap", "dralign"]}
    search = GridSearchCV(
        pipeline, grid, cv=2, scoring="average_precision", error_score="raise"
    ).fit(X, Y, sensitive_features=A)
    assert search.best_estimator_[-1].group_names_ == ("ada", "bob")
    assert search.predict_proba(X).shape == (120, 2)


def test_pipeline_takes_groups_by_step_without_routing():
    pipeline = make_pipeline(StandardScaler(), tiny())
    pipeline.fit(X, Y, dralignclassifier__sensitive_features=A)
    assert pipeline[-1].mitigated_


def test_clone_has_the_parameters_and_nothing_learned(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        copy.predict(X)


def test_pickled_classifier_predicts_the_same(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("names", ["array", "frame"])
@pytest.mark.parametrize("values", [("no", "yes"), (1, 2), (False, True)], ids=str)
def test_saved_classifier_comes_back_whole(names, values, tmp_path):
    x, y = (X if names == "array" else table()), np.array(values)[Y]
    model = tiny(hidden=np.int64(8)).fit(x, y, sensitive_features=pd.Series(A, name="who"))
    folder = model.save(tmp_path / "net")
    again = DRAlignClassifier.load(folder)
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.get_params() == model.get_params()
    learned = {name for name in vars(model) if name.endswith("_") and name != "module_"}
    for name in learned - {"classes_", "feature_names_in_"}:
        # As text, since figures that are undefined for a few rows are NaN.
        assert repr(getattr(again, name)) == repr(getattr(model, name)), name
    assert again.classes_.tolist() == list(values)
    assert ("feature_names_in_" in vars(again)) == (names == "frame")
    if names == "frame":  # what the command line reads
        artifact = load_artifact(folder)
        assert artifact.sensitive == ("who",)
        single = model.module_(torch.from_numpy(model.network_inputs(x))).sigmoid()[:, 0].detach()
        np.testing.assert_array_equal(artifact.predict_proba(x), single)
        # The classifier runs its perceptron in double precision, a saved network in single.
        np.testing.assert_allclose(single, model.predict_proba(x)[:, 1], rtol=1e-6)


def test_classifier_without_groups_comes_back_too(tmp_path):
    with pytest.warns(DralignWarning, match="no sensitive_features"):
        model = tiny(random_state=np.random.RandomState(1)).fit(X, Y)
    again = DRAlignClassifier.load(model.save(tmp_path / "net"))
    assert again.history_ == model.history_
    assert again.mitigated_ is False
    assert again.random_state is None


def test_nearly_one_decision_for_all_is_said_and_kept(tmp_path):
    rng = np.random.default_rng(0)
    x, a = rng.normal(size=(400, 3)), np.arange(400) % 2
    y = np.where(np.arange(400) < 4, "no", "yes")
    model = DRAlignClassifier("erm", epochs=1, iterations=60, hidden=4, learning_rate=0.05)
    model.set_params(random_state=0)
    line = "100 % of the rows kept back get decision yes: the hard gap says nothing"
    with pytest.warns(DralignWarning, match=line):
        model.fit(x, y, sensitive_features=a)
    assert model.notes_ == (line,)
    again = DRAlignClassifier.load(model.save(tmp_path / "net"))
    assert again.notes_ == (line,)
    assert line in (tmp_path / "net" / "README.md").read_text()
    # A figure that is undefined is so again after its way through JSON.
    kept = [record.validation for record in (*model.history_, *again.history_)]
    np.testing.assert_equal(kept[1], kept[0])


def test_other_artifacts_and_damaged_ones_are_refused(fitted, tmp_path):
    folder = fitted.save(tmp_path / "net")
    artifact = load_artifact(folder)
    other = save_artifact(replace(artifact, training={"epoch": 0}), tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"not saved by DRAlignClassifier\.save"):
        DRAlignClassifier.load(other)
    whole = (folder / "artifact.json").read_text()
    for entry, value, message in (
        ("classes", ["a"], "'classes' must be two different labels, or one"),
        ("classes", [[], []], "not a classifier of ours"),
        ("n_features", "four", "'n_features' must be a whole number"),
        ("history", [], "'epoch' must be one of the history"),
        ("history", [{"loss": 1}], "not a classifier of ours"),
        ("feature_names", ["a"], "'feature_names' must be 4 names"),
        ("parameters", [], "'parameters' must be an object"),
        ("parameters", {"speed": 1}, "written by another version"),
        ("mitigated", 1, "'mitigated' must be true or false"),
    ):
        form = json.loads(whole)
        form["training"]["classifier"][entry] = value
        (folder / "artifact.json").write_text(json.dumps(resealed(form)))
        with pytest.raises(ArtifactError, match=message):
            DRAlignClassifier.load(folder)


def small_network(n_inputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_inputs, 3), nn.Tanh(), nn.Dropout(0.2), nn.Linear(3, 1))


def test_network_of_ones_own_is_copied_or_made_from_the_seed(tmp_path):
    with seeded(0):
        given = small_network(4)
    before = given[0].weight.clone()
    model = tiny(module=given).fit(X, Y, sensitive_features=A)
    assert torch.equal(given[0].weight, before)
    assert not torch.equal(model.module_[0].weight, before)
    assert not model.module_.training
    made = [tiny(module=small_network).fit(X, Y, sensitive_features=A) for _ in range(2)]
    np.testing.assert_array_equal(made[0].predict_proba(X), made[1].predict_proba(X))
    with pytest.raises(ArtifactError, match="module can't be saved"):
        model.save(tmp_path / "net")


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        ("net", OptionError, "module: expected an nn.Module, .* got str"),
        (lambda n_inputs: None, OptionError, "module: expected an nn.Module, .* got NoneType"),
        (small_network(5), ModelError, "module: can't take the 4 inputs made from X"),
        (nn.Linear(4, 2), ModelError, r"one logit a row, shape \(2, 1\), got \(2, 2\)"),
        (nn.ReLU(), ModelError, "it has no parameters"),
    ],
    ids=["text", "makes nothing", "too wide", "two logits", "no parameters"],
)
def test_network_that_does_not_fit_is_refused(module, error, message):
    with pytest.raises(error, match=message) as caught:
        tiny(module=module).fit(X, Y, sensitive_features=A)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "unknown method 'magic'"),
        ({"method": "thresholds"}, "method: 'thresholds' decides by the group of every row"),
        ({"gap": "wage"}, "unknown gap 'wage'"),
        ({"gap_bound": 0}, "gap_bound: expected a positive number, got 0"),
        ({"gap_bound": 0.1, "fairness_weight": 0.2}, "fairness_weight: gap_bound finds the weig"),
        ({"method": "erm", "gap_bound": 0.1}, "the method 'erm' has no weight to find"),
        ({"method": "gap", "penalty": "mixup"}, "penalty: the method 'gap' does not use it"),
        ({"method": "erm", "fairness_weight": 0.5}, "the method 'erm' does not use it"),
        ({"method": "gap", "alignment_weight": 0.5}, "the method 'gap' does not use it"),
        ({"fairness_weight": -1.0}, "fairness_weight: expected a number from 0 up"),
        ({"fairness_weight": "big"}, "fairness_weight: expected a number from 0 up"),
        ({"epochs": 1.5}, "epochs: expected a whole number from 1 up, got 1.5"),
        ({"batch_size": 0}, "batch_size: expected a whole number from 1 up, got 0"),
        ({"hidden": True}, "hidden: expected a whole number from 1 up, got True"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number"),
        ({"validation_fraction": 1}, "validation_fraction: expected a number between 0 and 1"),
        ({"select": "best"}, "unknown selection rule 'best'"),
        ({"bound": 0.1}, "bound: needed by the rule"),
        (
            {"gap_bound": 0.1, "measure": "hard", "threshold": "base-rate"},
            "threshold: a bound on the hard gap holds for decisions from 0.5 on, not from 'base-",
        ),
        (
            {"select": "highest_ap_under_bound", "bound": 0.1, "measure": "hard", "threshold": 0.9},
            "threshold: a bound on the hard gap holds for decisions from 0.5 on, not from 0.9",
        ),
        ({"layers": 9}, "the model has 3 layers, got a count of 9"),
        ({"device": "abacus"}, "device: 'abacus' can't be used"),
    ],
    ids=str,
)
def test_parameter_that_is_not_known_or_in_range_is_refused_by_fit(options, message):
    with pytest.raises(OptionError, match=message) as caught:
        tiny(**options).fit(X, Y, sensitive_features=A)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threshold", ["base-rate", 0.9])
@pytest.mark.parametrize("door", ["fit", "frontier"])
def test_a_threshold_is_for_two_classes_and_refused_before_training(door, threshold, monkeypatch):
    monkeypatch.setattr("dralign.estimator.classifier.untrained", None)
    monkeypatch.setattr("dralign.estimator.frontier.untrained", None)
    level = np.select([X[:, 0] > 1, X[:, 0] > 0], [2, 1], 0)
    with pytest.raises(OptionError, match="threshold: for two classes, and the label has 3"):
        getattr(tiny(threshold=threshold), door)(X, level, sensitive_features=A)


def test_without_groups_nothing_is_said_of_their_gaps():
    """All rows get the same decision, which is told where there are groups."""
    y = np.where(np.arange(len(X)) < 4, "no", "yes")
    with pytest.warns(DralignWarning, match="no sensitive_features") as told:
        bare = tiny("erm").fit(X, y)
    assert (bare.notes_, len(told)) == ((), 1)
    with pytest.warns(DralignWarning, match="the hard gap says nothing"):
        assert tiny("erm").fit(X, y, sensitive_features=A).notes_


def test_layer_to_mix_after_must_be_in_the_network():
    with pytest.raises(ModelError, match="mixup: no layer 'z'; known: 0, 1"):
        tiny("mixup", mixup_layer="z").fit(X, Y, sensitive_features=A)
    assert tiny("mixup", mixup_layer="1").fit(X, Y, sensitive_features=A).mitigated_


def with_nan(values):
    changed = values.astype(object if values.dtype.kind == "U" else float)
    changed[3] = np.nan
    return changed


@pytest.mark.parametrize(
    ("x", "y", "a", "error", "message"),
    [
        (with_nan(X), Y, A, DataError, "X: 4 of 480 numbers are NaN or infinite"),
        (X, with_nan(Y), A, DataError, "y: 1 of 120 rows have no value"),
        (X, np.zeros(120), A, DataError, "y: expected two classes or more, got one class: 0.0"),
        (X, X[:, 0], A, ValueError, "Unknown label type: continuous"),
        (X, Y[1:], A, ValueError, "inconsistent numbers of samples"),
        (X, Y, A[1:], GroupError, "sensitive_features: expected 120 rows, got 119"),
        (X, Y, np.full(120, "ada"), GroupError, r"one group \(ada\); at least two are needed"),
        (X, Y, [None] * 120, GroupError, "every row has a missing value"),
        (X, Y, X[:, 0], DataError, "sensitive_features has 120 different values in 120 rows.* bin"),
        (X[:4], [0, 1] * 2, A[:4], DataError, "X: 4 rows are too few to keep a fraction of 0.2"),
        (pd.DataFrame(X).iloc[:0], Y[:0], A[:0], DataError, "X: expected at least one row"),
        (pd.DataFrame(X, columns=list("aabc")), Y, A, DataError, "X has 2 columns named 'a'"),
        (
            table().assign(pay=np.where(Y, np.inf, 1.0)),
            Y,
            A,
            DataError,
            "column 'pay': expected .*numbers, got 'inf'",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_data_that_can_not_be_used_are_refused_in_one_line(x, y, a, error, message):
    with pytest.raises(error, match=message) as caught:
        tiny().fit(x, y, sensitive_features=a)
    assert "\n" not in str(caught.value)


def test_gap_that_conditions_on_the_label_needs_both_labels_in_every_group():
    y = np.where(A == "ada", 0, Y)
    with pytest.raises(GroupError, match="'ada' has no training rows with label 1"):
        tiny(gap="equalized_odds").fit(X, y, sensitive_features=A)


@pytest.mark.filterwarnings("ignore:values that the training rows did not have")
def test_gap_regularisation_narrows_the_gap_on_real_rows():
    """On Adult rows that were not seen in training, for each of three seeds, against erm."""
    x, y = dralign.fetch_adult(return_X_y=True)
    chosen = np.random.RandomState(0).permutation(len(x))[:5000]
    x, y = x.iloc[chosen].drop(columns="fnlwgt"), y.iloc[chosen]
    sex, x = x["sex"], x.drop(columns=["sex", "native-country"])
    options = {"epochs": 3, "iterations": 30, "hidden": 32, "batch_size": 128}

    def figures(method, seed, **weight):
        model = tiny(method, **{**options, **weight, "random_state": seed, "learning_rate": 5e-3})
        model.fit(x[:3000], y[:3000], sensitive_features=sex[:3000])
        prob, label = model.predict_proba(x[3000:])[:, 1], y[3000:] == ">50K"
        gap = soft_demographic_parity_difference(label, prob, sensitive_features=sex[3000:])
        return average_precision(label, prob), gap

    for seed in range(3):
        precision, gap = figures("erm", seed)
        _, narrowed = figures("gap", seed, fairness_weight=1.0)
        assert precision > 0.6
        assert narrowed < gap / 2


def test_a_fit_goes_on_from_its_checkpoints_to_the_same_end(tmp_path):
    whole = tiny(epochs=3).fit(X, Y, sensitive_features=A)
    folder = tmp_path / "run"
    tiny(epochs=2, checkpoints=folder).fit(X, Y, sensitive_features=A)  # as if it was stopped
    parts = tiny(epochs=3, checkpoints=folder).fit(X, Y, sensitive_features=A)
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    assert len(parts.history_) == 3
    assert DRAlignClassifier.load(parts.save(tmp_path / "net")).checkpoints is None
    with pytest.raises(OptionError, match="checkpoints"):
        parts.fit(X[:100], Y[:100], sensitive_features=A[:100])


def test_notes_are_about_decisions_at_the_threshold_of_the_classifier():
    """They told that everybody gets 0, which was so at 0.5 and not at the base rate."""
    draw = np.random.default_rng(0)
    x, group = draw.normal(size=(500, 2)), draw.choice(["f", "m"], 500)
    rare = (x[:, 0] + draw.normal(0, 0.7, 500) > 1.3).astype(int)
    model = tiny("gap", epochs=3, iterations=20, threshold="base-rate")
    model.fit(x, rare, sensitive_features=group)
    assert 0.05 < model.predict(x).mean() < 0.3
    assert not any("get decision 0" in note for note in model.notes_)
    model = tiny("gap", epochs=3, iterations=20, threshold=0.999)
    model.fit(x, (x[:, 0] > 0).astype(int), sensitive_features=group)
    assert any("100 % of the rows kept back get decision 0" in note for note in model.notes_)
