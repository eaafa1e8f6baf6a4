"""Plans: what a TOML file means in trials, and that every mistake is one clear line."""

import os

import pytest

from dralign.data import DataSource
from dralign.errors import OptionError, StudyError
from dralign.methods import method_names
from dralign.study import Plan, TrialSpec, identify, load_plan

ADULT = DataSource("adult")
HEAD = '[defaults]\ndataset = "adult"\n'


@pytest.fixture
def plan(tmp_path):
    def load(text, **options) -> Plan:
        path = tmp_path / "plan.toml"
        path.write_text(text, encoding="utf-8")
        return load_plan(path, **options)

    return load


def test_a_table_is_a_grid_written_out_by_hand(plan):
    found = plan(
        """
        name = "small"
        assumed = ["the learning rate"]
        [defaults]
        dataset = "adult"
        epochs = 4
        seeds = 2
        [[trials]]
        method = ["gap", "dralign"]
        fairness_weight = [0.2, 1]
        hidden = 50
        [[trials]]
        method = "erm"
        gap = "equalized_odds"
        seeds = [7]
        """
    )
    expected = {
        TrialSpec(ADULT, "gap", fairness_weight=weight, hidden=50, epochs=4, seed=seed)
        for weight in (0.2, 1.0)
        for seed in (0, 1)
    }
    expected |= {
        TrialSpec(
            ADULT,
            "dralign",
            fairness_weight=weight,
            alignment_weight=0.1 * weight,
            alignment_every=8,
            hidden=50,
            epochs=4,
            seed=seed,
        )
        for weight in (0.2, 1.0)
        for seed in (0, 1)
    }
    expected |= {TrialSpec(ADULT, "erm", gap="equalized_odds", epochs=4, seed=7)}
    assert set(found.trials) == expected
    assert len(found.trials) == len(expected)
    assert (found.name, found.assumed) == ("small", ("the learning rate",))
    seeds = [spec.seed for spec in found.trials]
    assert seeds == sorted(seeds)


def test_what_a_method_does_not_use_is_dropped_for_it(plan):
    found = plan(
        HEAD
        + """
        seeds = 1
        [[trials]]
        method = ["erm", "oversample", "gap", "dralign"]
        fairness_weight = [0.2, 0.5]
        alignment_share = [0.1, 0.2]
        granularity = ["unit", "parameter"]
        layers = [2, ["0", "2"]]
        alignment_every = 4
        """
    )
    counts = dict.fromkeys(("erm", "oversample", "gap", "dralign"), 0)
    for spec in found.trials:
        counts[spec.method] += 1
    assert counts == {"erm": 1, "oversample": 1, "gap": 2, "dralign": 16}
    assert {spec.layers for spec in found.trials} == {"all", 2, ("0", "2")}


def betas(found):
    return sorted((spec.fairness_weight, spec.alignment_weight) for spec in found.trials)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", [(0.2, 0.1 * 0.2)]),
        ("fairness_weight = [0.5, 1.0]", [(0.5, 0.05), (1.0, 0.1)]),
        ("fairness_weight = [0, 0.4]\nalignment_weight = 0.02", [(0.0, 0.02), (0.4, 0.02)]),
        ("fairness_weight = [0.5, 1.0]\nalignment_share = 0.5", [(0.5, 0.25), (1.0, 0.5)]),
    ],
)
def test_beta_is_a_number_or_a_share_of_lambda(plan, keys, expected):
    assert betas(plan(f'{HEAD}seeds = 1\n[[trials]]\nmethod = "dralign"\n{keys}')) == expected


def test_a_gap_bound_stands_in_for_the_weights(plan):
    text = f'{HEAD}seeds = 1\n[[trials]]\nmethod = ["erm", "gap", "dralign"]\n'
    text += "gap_bound = [0.05, 0.1]\n"
    found = plan(text)
    assert betas(found) == [(0.0, 0.0)] * 5
    assert sorted(str(spec.gap_bound) for spec in found.trials) == [
        "0.05", "0.05", "0.1", "0.1", "None",
    ]  # fmt: skip
    with pytest.raises(OptionError, match="trials 1: alignment_share: gap_bound finds the weights"):
        plan(text + "alignment_share = 0.1")
    with pytest.raises(OptionError, match="trials 1: fairness_weight: gap_bound finds the weights"):
        plan(text + "fairness_weight = 0.1")


def test_a_table_s_own_beta_replaces_the_default_one_of_either_kind(plan):
    text = f'{HEAD}seeds = 1\nalignment_share = 0.5\n[[trials]]\nmethod = "dralign"\n'
    assert betas(plan(text + "alignment_weight = 0.3")) == [(0.2, 0.3)]


def test_all_methods_are_those_that_support_the_gap(plan):
    found = plan(
        HEAD + '[[trials]]\nmethod = "all"\ngap = ["demographic_parity", "predictive_parity"]'
    )
    methods = {
        gap: {spec.method for spec in found.trials if spec.gap == gap}
        for gap in ("demographic_parity", "predictive_parity")
    }
    assert methods["demographic_parity"] == set(method_names())
    assert "mixup" not in methods["predictive_parity"] >= {"erm", "gap", "dralign"}
    assert {spec.seed for spec in found.trials} == {0, 1, 2}


def test_data_are_described_as_on_the_command_line(plan, tmp_path):
    found = plan(
        """
        [[trials]]
        dataset = "people.csv"
        sensitive = ["sex", ["sex", "race"]]
        label = "income"
        positive = ">50K"
        method = "erm"
        seeds = 1
        """,
        data_home="elsewhere",
    )
    sources = [spec.data for spec in found.trials]
    assert {source.sensitive for source in sources} == {("sex",), ("sex", "race")}
    assert {source.name for source in sources} == {str(tmp_path / "people.csv")}
    assert {source.data_home for source in sources} == {"elsewhere"}


def test_the_same_plan_names_the_same_trials_and_a_grown_one_contains_them(plan):
    text = HEAD + "seeds = {}\n[[trials]]\nmethod = {}\nfairness_weight = {}\n"
    first = identify(plan(text.format(2, '["erm", "dralign"]', "0.2")).trials)
    again = identify(plan(text.format(2, '["erm", "dralign"]', "0.2")).trials)
    grown = identify(plan(text.format(3, '["erm", "gap", "dralign"]', "[0.2, 0.4]")).trials)
    assert list(first) == list(again)
    assert set(first) < set(grown)


TRIALS = "[[trials]]\nmethod = 'gap'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 1", r"unknown key 'trails'; did you mean 'trials'\?"),
        ("xyz = 1", r"unknown key 'xyz'; known: name, assumed, defaults, trials"),
        ("", r"no trials; expected one or more \[\[trials\]\] tables"),
        ("[trials]\nmethod = 'erm'", r"no trials; expected one or more \[\[trials\]\] tables"),
        ("assumed = 'rate'\n" + TRIALS, "assumed: expected a list of texts"),
        ("defaults = 3\n" + TRIALS, "defaults: expected a table, got 3"),
        (
            "[defaults]\nepoch = 3\n" + TRIALS,
            "defaults: unknown key 'epoch'; did you mean 'epochs'",
        ),
        (TRIALS, "trials 1: the key 'dataset' is missing"),
        (HEAD + "[[trials]]\nhidden = 3", "trials 1: the key 'method' is missing"),
        (
            HEAD + TRIALS + TRIALS + "fairnes_weight = 1",
            "trials 2: unknown key 'fairnes_weight'; did",
        ),
        (HEAD + TRIALS + "seeds = 0", "trials 1: seeds: expected a count from 1 up or a list"),
        (HEAD + TRIALS + "seeds = [1, -2]", "trials 1: seed: expected a whole number from 0 up"),
        (HEAD + TRIALS + "hidden = []", "trials 1: hidden: expected at least one value"),
        (
            HEAD + TRIALS + "hidden = true",
            "trials 1: hidden: expected a whole number from 1",
        ),
        (
            HEAD + TRIALS + "hidden = 0",
            "trials 1: hidden: expected a whole number from 1 up, got 0",
        ),
        (
            HEAD + TRIALS + "readings = 'yes'",
            "trials 1: readings: expected true or false",
        ),
        (
            HEAD + TRIALS + "fairness_weight = 'big'",
            "fairness_weight: expected a number from 0 up, got",
        ),
        (HEAD + TRIALS + "fairness_weight = -1", "fairness_weight: expected a number from 0 up"),
        (
            HEAD + TRIALS + "fairness_weight = nan",
            "fairness_weight: expected a number from 0 up, g",
        ),
        (HEAD + TRIALS + "gap = 'parity'", "trials 1: unknown gap 'parity'; known: demographic"),
        (
            "name = '../../elsewhere'\n" + HEAD + TRIALS,
            "name: expected a text that can name a folder",
        ),
        ("name = '..'\n" + HEAD + TRIALS, "name: expected a text that can name a folder, got '..'"),
        ("name = ''\n" + HEAD + TRIALS, "name: expected a text that can name a folder, got ''"),
        ('name = "a\\u202eb"\n' + HEAD + TRIALS, "name: expected a text that can name a folder"),
        (HEAD + TRIALS + f"seeds = {10**30}", "trials 1: seeds: expected a count from 1 up or a"),
        (HEAD + "[[trials]]\nmethod = 'gapp'", "unknown method 'gapp'; known: all, erm"),
        ("[[trials]]\nmethod = 'erm'\ndataset = 'adlt'", "unknown dataset 'adlt'; known: adult"),
        (
            HEAD + TRIALS + "alignment_weight = 1\nalignment_share = 1",
            "trials 1: alignment_weight or alignment_share, not both",
        ),
        (
            HEAD + "[[trials]]\nmethod = 'mixup'\ngap = 'predictive_parity'",
            "trials 1: gap: the method 'mixup' supports demographic_parity, equalized_odds, got",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(plan, text, message):
    with pytest.raises(OptionError, match=rf"plan\.toml: .*{message}") as caught:
        plan(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["alignment_weight = [0.1, 0.2]", "alignment_share = 0.1", "gap_bound = 0.05"]
)
def test_a_key_of_a_table_that_its_methods_do_not_use_is_refused_and_an_inherited_one_is_not(
    plan, key
):
    table = "[[trials]]\ndataset = 'german'\nmethod = ['erm', 'oversample']\n"
    name = key.split(" ", maxsplit=1)[0]
    with pytest.raises(OptionError, match=rf"plan\.toml: trials 1: {name}: "):
        plan(f"{table}{key}\n")
    assert plan(f"[defaults]\n{key}\n{table}").trials == plan(table).trials
    both = table.replace("'oversample'", "'dralign'")
    assert len(plan(f"{both}fairness_weight = [0.2, 0.4]\nseeds = 1").trials) == 3


def test_a_file_that_is_no_plan_is_one_clear_line(plan, tmp_path):
    with pytest.raises(StudyError, match=r"plan\.toml: not a TOML file: .*line 1, col"):
        plan("name = ]")
    with pytest.raises(StudyError, match=r"none\.toml: the plan can't be read: No such file"):
        load_plan(tmp_path / "none.toml")
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match=r"plan\.toml: not a TOML file"):
        load_plan(tmp_path / "plan.toml")


GRID = """
[defaults]
dataset = "adult"
seeds = 10
[[trials]]
method = ["gap", "dralign"]
fairness_weight = [0.1, 0.2, 0.3]
[[trials]]
method = "all"
hidden = [10, 20]
seeds = [1, 2]
"""


def test_too_many_trials_are_refused_before_any_is_made(plan, monkeypatch):
    asked = 2 * 3 * 10 + len(method_names()) * 2 * 2
    assert len(plan(GRID, max_trials=asked).trials) <= asked
    monkeypatch.setattr("dralign.study.plan._expand", None)
    message = rf"asks for {asked} trials, more than 91; .* with --max-trials {asked}$"
    with pytest.raises(OptionError, match=message):
        plan(GRID, max_trials=91)


def test_a_plan_of_more_trials_than_could_be_counted_out_is_one_line(plan):
    lists = "\n".join(f"{key} = {list(range(1, 2000))}" for key in ("hidden", "depth", "epochs"))
    text = f"{HEAD}[[trials]]\nmethod = 'erm'\nseeds = {2**62}\n{lists}"
    with pytest.raises(
        OptionError, match=rf"asks for {1999**3 * 2**62:,} trials, more than 10,000"
    ):
        plan(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 100_000, r"nested too deeply"),
        ("a = " + "[" * 100_000 + "]" * 100_000, r"nested too deeply"),
        ("a = " + "{a=" * 100_000, r"nested too deeply"),
        (".".join("a" * 50_000) + " = 1", r"not a plan: a key has more than 50 parts"),
        (" . ".join(["'a'"] * 50_000) + " = 1", r"a key has more than 50 parts"),
        ("[" + ".".join("a" * 50_000) + "]", r"a key has more than 50 parts"),
        ("a = " + "1" * 10_000, r"not a TOML file: "),
        ("#" * 2**20 + "\n", r"plan.toml: larger than any plan of ours \(1,048,576 bytes\)"),
        ("\0", r"not a TOML file: "),
    ],
    ids=["lists", "closed", "tables", "dots", "quoted", "header", "digits", "large", "zero"],
)
def test_a_plan_that_could_not_be_read_in_a_lifetime_is_one_line(plan, text, message):
    with pytest.raises(StudyError, match=message) as caught:
        plan(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_texts_and_numbers_with_many_dots_are_no_long_keys(plan):
    dots = ", ".join(["0.5"] * 200)
    text = f"# {'. ' * 99}{'.' * 99}\nassumed = ['and so on {'.' * 99}']\n{HEAD}"
    assert plan(text + f"[[trials]]\nmethod = 'gap'\nfairness_weight = [{dots}]").trials


def test_a_mistake_of_any_length_is_a_short_line(plan):
    with pytest.raises(OptionError, match=r"unknown key 'xxx.*\.\.\.; known: ") as caught:
        plan("x" * 100_000 + " = 1")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("key", ["dataset", "labels", "partition"])
def test_a_path_that_the_system_refuses_is_one_line(plan, key):
    given = {"dataset": "adult", key: "a" * 5000}
    lines = "\n".join(f"{name} = '{value}'" for name, value in given.items())
    with pytest.raises(OptionError, match=r"unknown dataset|is for images"):
        plan(f"[[trials]]\nmethod = 'erm'\n{lines}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_the_place_of_a_plan_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "plan.toml")
    with pytest.raises(StudyError, match=r"plan\.toml: not a regular file"):
        load_plan(tmp_path / "plan.toml")
