"""A classifier's front: networks and figures as the command has them, and fitted classifiers."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from dralign.data import Dataset, DataSource, Split, TableEncoder
from dralign.errors import DralignWarning, GroupError, OptionError
from dralign.estimator import DRAlignClassifier, Frontier
from dralign.metrics import evaluate, gap_measure_names, measure, scored
from dralign.metrics.resampling import bootstrap_intervals
from dralign.study import TrialSpec
from dralign.study.front import train_trial_front
from dralign.training.front import WEIGHTS

TINY = {"epochs": 3, "iterations": 12, "hidden": 8, "batch_size": 20, "learning_rate": 0.05}
SOME = (0.0, 0.3, 1.5)


def tiny(method: str = "gap", **options) -> DRAlignClassifier:
    return DRAlignClassifier(method, **{**TINY, "random_state": 0, **options})


def rows(n: int = 400):
    """Inputs, labels that lean on the first input and the group, and the groups by name."""
    generator = np.random.RandomState(0)
    x, code = generator.normal(size=(n, 4)), np.arange(n) % 2
    x[:, 1] += 2 * code
    y = (x[:, 0] + 1.2 * code + 0.5 * generator.normal(size=n) > 0.6).astype(int)
    return x, y, np.array(["ada", "bob"])[code]


X, Y, A = rows()
SEED = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))


@pytest.fixture(scope="module")
def front() -> Frontier:
    return tiny().frontier(X, Y, sensitive_features=A, weights=SOME)


def kept_back() -> np.ndarray:
    """The numbers of the rows that are kept back: a fifth of every group within a label."""
    permutation, kept = np.random.RandomState(SEED), []
    for cell in range(4):
        inside = permutation.permutation(np.flatnonzero((A == "bob") * 2 + Y == cell))
        kept += inside[: round(0.2 * len(inside))].tolist()
    return np.sort(kept)


def figures_of(classifier: DRAlignClassifier) -> dict[str, float]:
    """Every figure of a classifier's probabilities on the rows kept back."""
    kept = kept_back()
    prob = classifier.predict_proba(X[kept])[:, 1]
    return evaluate(Y[kept], prob, (A[kept] == "bob").astype(int), n_groups=2)


@pytest.mark.parametrize("method", ["gap", "dralign"])
def test_networks_figures_and_intervals_are_those_of_the_command(method, monkeypatch):
    kept = kept_back()
    rest = np.setdiff1d(np.arange(len(X)), kept)
    table = pd.DataFrame(X, columns=list("abcd"))
    scaled = torch.from_numpy(TableEncoder.fit(table.iloc[rest], list("abcd")).encode(table)[0])
    y, code = torch.from_numpy(Y), torch.from_numpy((A == "bob").astype(np.int64))
    parts = [Split(scaled[at], y[at], code[at]) for at in (rest, kept, kept)]
    data = Dataset("x", "standard", *parts, ("ada", "bob"), ("who",), "y", "1")
    monkeypatch.setattr(DataSource, "load", lambda _self, _seed: data)
    source = DataSource("none.csv", label="y", positive="1", sensitive=("who",))
    command = train_trial_front(TrialSpec(source, method, seed=SEED, **TINY), SOME)
    front = tiny(method).frontier(X, Y, sensitive_features=A, weights=SOME[::-1])
    assert front.points_["weight"].tolist() == [point.weight for point in command.points]
    for index, (point, fitted) in enumerate(zip(command.points, front.estimators_, strict=True)):
        validation = [record.validation for record in fitted.history_]
        assert repr(validation) == repr([one.validation for one in point.history])  # NaN is NaN
        assert fitted.chosen_epoch_ == point.record.epoch
        for name, weight in point.state.items():
            assert torch.equal(fitted.module_.state_dict()[name], weight)
        row = front.points_.iloc[index]
        for name, ends in command.intervals[index].items():
            assert (row[f"{name}_low"], row[f"{name}_high"]) == ends
    for max_gap in (None, 0.0, 0.1, 0.3, 1.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DralignWarning)
            selected = front.select(max_gap)
        assert selected.fairness_weight_ == command.points[command.choose(max_gap)].weight


def test_a_selected_classifier_predicts_what_the_table_says(front):
    assert front.points_["weight"].tolist() == list(SOME)
    for index, row in front.points_.iterrows():
        figures = figures_of(front.estimators_[index])
        for name in ("average_precision", "accuracy"):
            assert row[name] == pytest.approx(figures[name], abs=1e-6)
        for name in gap_measure_names():
            assert row[name] == pytest.approx(figures[f"{name}_demographic_parity"], abs=1e-6)
        assert row["seconds"] > 0
    assert front.points_["epoch"].tolist() == [one.chosen_epoch_ for one in front.estimators_]
    assert front.points_["soft"].iloc[2] < front.points_["soft"].iloc[0]


def test_intervals_are_those_of_the_classifiers_own_probabilities(front):
    kept, measures = kept_back(), [measure("average_precision"), measure("base_rate")]
    code = (A[kept] == "bob").astype(int)
    for index, row in front.points_.iterrows():
        prob = front.estimators_[index].predict_proba(X[kept])[:, 1]
        known = scored(Y[kept], prob, code, n_groups=2)
        rng = np.random.default_rng(SEED)
        wanted = [(one, "demographic_parity") for one in measures]
        for one, ends in zip(
            measures, bootstrap_intervals(known, wanted, draws=200, rng=rng), strict=True
        ):
            name = one.name
            assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(ends, abs=1e-6)
            assert ends[0] < ends[1]


@pytest.mark.parametrize("by", [None, "base_rate", "soft"])
def test_the_highest_average_precision_that_keeps_the_gap_is_selected(front, by):
    gaps, precisions = front.points_[by or "base_rate"], front.points_["average_precision"]
    for max_gap in [*gaps, gaps.max() + 0.1]:
        kept = precisions[gaps <= max_gap]
        selected = front.select(max_gap=max_gap, measure=by)
        assert selected.fairness_weight == front.points_["weight"][kept.idxmax()]
        assert selected.bound_met_ is True
    near = gaps[precisions >= precisions[0] - 0.005]
    selected = front.select(measure=by)
    assert selected.fairness_weight_ == front.points_["weight"][near.idxmin()]
    assert selected.bound_met_ is None


def test_that_no_weight_keeps_the_gap_is_said_and_the_nearest_is_selected(front):
    gaps = front.points_["base_rate"]
    line = f"no weight keeps the base-rate gap at 1e-06 .* nearest, with {gaps.min():.3f}"
    with pytest.warns(DralignWarning, match=line) as told:
        selected = front.select(max_gap=1e-6)
    assert selected.bound_met_ is False
    assert selected.fairness_weight_ == front.points_["weight"][gaps.idxmin()]
    assert told[0].filename == __file__


def test_a_selected_classifier_comes_back_whole_and_its_card_tells_of_the_front(front, tmp_path):
    selected = front.select(max_gap=0.9)
    folder = selected.save(tmp_path / "net")
    again = DRAlignClassifier.load(folder)
    np.testing.assert_array_equal(again.predict_proba(X), selected.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), selected.predict(X))
    assert again.get_params() == selected.get_params()
    assert again.front_weights_ == selected.front_weights_ == SOME
    assert (again.bound_met_, again.fairness_weight_) == (True, selected.fairness_weight_)
    assert (
        "from one early network with the weights 0, 0.3, 1.5" in (folder / "README.md").read_text()
    )
    thawed = pickle.loads(pickle.dumps(front))
    np.testing.assert_array_equal(thawed.select(0.9).predict(X), selected.predict(X))


def test_a_selected_classifier_that_is_fitted_anew_leaves_the_front_as_it_was(front):
    selected, before = front.select(max_gap=0.9), front.points_.copy()
    probabilities = [one.predict_proba(X) for one in front.estimators_]
    selected.fit(X, 1 - Y, sensitive_features=A)
    assert selected.front_weights_ is None
    for one, prob in zip(front.estimators_, probabilities, strict=True):
        np.testing.assert_array_equal(one.predict_proba(X), prob)
    pd.testing.assert_frame_equal(front.points_, before)


def test_the_classifier_itself_is_not_fitted_and_keeps_its_parameters():
    classifier = tiny()
    before = classifier.get_params()
    classifier.frontier(X, Y, sensitive_features=A, weights=SOME[:2])
    assert classifier.get_params() == before
    assert not [name for name in vars(classifier) if name.endswith("_")]
    with pytest.raises(NotFittedError, match="not fitted yet"):
        classifier.predict(X)


def test_the_same_random_state_gives_the_same_front_and_another_one_another(front):
    def figures(**options):
        own = tiny(**options).frontier(X, Y, sensitive_features=A, weights=SOME)
        return own.points_.drop(columns="seconds")

    pd.testing.assert_frame_equal(figures(), front.points_.drop(columns="seconds"))
    assert not figures(random_state=1).equals(figures())


def test_the_weights_are_the_ten_of_the_command_unless_others_are_given():
    front = tiny(epochs=1, iterations=1).frontier(X, Y, sensitive_features=A)
    assert tuple(front.points_["weight"]) == WEIGHTS
    assert repr(front).startswith("Frontier(method='gap', weights=[0, 0.05, 0.1,")


def test_a_row_of_weight_zero_is_left_out_and_other_weights_count():
    weight = np.where(np.arange(len(X)) < 40, 0.0, 1.0)

    def points(x, y, a, **given):
        front = tiny().frontier(x, y, sensitive_features=a, weights=(0, 0.3), **given)
        return front.points_.drop(columns="seconds")

    whole = points(X[40:], Y[40:], A[40:])
    pd.testing.assert_frame_equal(points(X, Y, A, sample_weight=weight), whole)
    assert not points(X, Y, A, sample_weight=1 + X[:, 0] ** 2).equals(points(X, Y, A))


def test_every_point_has_a_threshold_of_its_own():
    front = tiny(threshold="base-rate").frontier(X, Y, sensitive_features=A, weights=SOME)
    kept = kept_back()
    for one in front.estimators_:
        assert (one.predict(X[kept]) == 1).sum() == Y[kept].sum()
    assert len({one.threshold_ for one in front.estimators_}) == len(SOME)


def test_a_largest_hard_gap_is_refused_where_decisions_are_not_from_a_half_on():
    """The base-rate gap is the hard gap of what it predicts."""
    front = tiny(threshold="base-rate", measure="hard").frontier(
        X, Y, sensitive_features=A, weights=SOME[:2]
    )
    for refused in (front.select, front.plot):
        with pytest.raises(OptionError, match="threshold: a bound on the hard gap holds for"):
            refused(0.9)
    kept, chosen = kept_back(), front.select(0.9, measure="base_rate")
    assert chosen.bound_met_
    rates = [(chosen.predict(X[kept]) == 1)[A[kept] == name].mean() for name in ("ada", "bob")]
    assert figures_of(chosen)["base_rate_demographic_parity"] == pytest.approx(
        abs(rates[0] - rates[1])
    )


def test_tables_text_labels_and_three_classes_have_a_front_too():
    table = pd.DataFrame(X, columns=list("pqrs")).assign(job=np.where(X[:, 1] > 0, "cook", "nurse"))
    level = pd.Series(
        np.select([X[:, 0] > 1, X[:, 0] > 0], ["high", "middle"], "low"), name="level"
    )
    groups = pd.Series(A, name="who")
    front = tiny().frontier(table, level, sensitive_features=groups, weights=SOME[:2])
    selected = front.select()
    assert selected.feature_names_in_.tolist() == [*"pqrs", "job"]
    assert set(selected.predict(table)) <= {"high", "middle", "low"}
    assert front.points_[["average_precision", "base_rate", "base_rate_low"]].notna().all(axis=None)
    assert front.plot().axes[0].get_title(loc="left").strip() == "label: level, groups: who"


def test_what_must_be_said_of_the_selected_point_is_said():
    x, y = X, np.where(np.arange(len(X)) < 8, "no", "yes")
    front = tiny(epochs=2, iterations=60).frontier(x, y, sensitive_features=A, weights=(0, 0.1))
    line = "% of the rows kept back get decision yes: the hard gap says nothing"
    with pytest.warns(DralignWarning, match=line):
        assert any(line in note for note in front.select().notes_)


@pytest.mark.parametrize("max_gap", [None, 0.9])
def test_the_drawing_has_the_points_and_a_ring_around_the_selected_one(front, max_gap):
    ax = front.plot(max_gap).axes[0]
    assert ax.get_xlabel() == "average precision (rows kept back)"
    assert ax.get_ylabel() == "base-rate gap (rows kept back)"
    drawn = [line.get_xydata().tolist() for line in ax.lines]
    points = front.points_[["average_precision", "base_rate"]]
    assert points.to_numpy().tolist() in drawn
    selected = front.points_["weight"] == front.select(max_gap).fairness_weight_
    assert points[selected].to_numpy().tolist() in drawn


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"fairness_weight": 0.2}, "fairness_weight: a front has many; .* give weights"),
        ({"gap_bound": 0.1}, "gap_bound: finds one weight, and a front has many"),
        ({"checkpoints": "run"}, "checkpoints: a front is not saved as it goes"),
        ({"method": "erm"}, "method: erm has no fairness weight, so it has no front"),
        ({"method": "plugin"}, "method: plugin has its whole front .* PluginClassifier"),
        ({"method": "thresholds"}, "method: 'thresholds' decides by the group of every row"),
        ({"epochs": 0}, "epochs: expected a whole number from 1 up"),
    ],
)
def test_parameters_that_mean_nothing_for_a_front_are_refused(options, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=line) as caught:
        tiny(**options).frontier(X, Y, sensitive_features=A)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weights", [(), (0.1, 0.1), (-0.1,), (float("nan"),), ("a", "b"), 0.2])
def test_weights_that_make_no_front_are_refused(weights):
    with pytest.raises(OptionError, match="weights: expected different numbers from 0 up, got"):
        tiny().frontier(X, Y, sensitive_features=A, weights=weights)


def test_without_groups_or_with_one_there_is_no_front():
    with pytest.raises(OptionError, match="sensitive_features: a front trades precision"):
        tiny().frontier(X, Y, sensitive_features=None)
    with pytest.raises(GroupError, match="ada"):
        tiny().frontier(X, Y, sensitive_features=np.full(len(X), "ada"))


@pytest.mark.parametrize("max_gap", [-1, float("nan"), "small"])
def test_a_largest_gap_that_is_none_is_refused(front, max_gap):
    with pytest.raises(OptionError, match="max_gap: expected a number from 0 up, got"):
        front.select(max_gap)
    with pytest.raises(OptionError, match="max_gap: expected a number from 0 up, got"):
        front.plot(max_gap)


def test_an_unknown_measure_is_refused_with_the_known_ones(front):
    with pytest.raises(OptionError, match="unknown measure of the gap 'sft'; known: base_rate"):
        front.select(0.1, measure="sft")
