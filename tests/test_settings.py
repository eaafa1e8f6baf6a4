"""Settings are declared once: every door takes the same ones, with the same defaults and checks."""

import inspect
from pathlib import Path

import pytest

from dralign import DRAlignClassifier
from dralign.errors import OptionError
from dralign.methods import method_settings, method_types
from dralign.settings import Setting, resolved
from dralign.study import TrialSpec
from dralign.study.compared import shared_settings
from dralign.study.plan import keys
from dralign.study.reference import settings_reference
from dralign.study.spec import COMMON

DECLARED = {**{setting.name: setting for setting in COMMON}, **method_settings()}
# Of the classifier: its own words for these, or none.
NOT_OF_THE_CLASSIFIER = {"network", "classifier_width", "seed", "readings", "bound_measure"}
ITS_OWN = {
    "class_weight",
    "method",
    "module",
    "optimiser",
    "row_loss",
    "scheduler",
    "select",
    "warmup",
    "bound",
    "threshold",
    "measure",  # of the bound and of the selection
    "validation_fraction",
    "random_state",
    "device",
    "checkpoints",
}


def test_the_classifier_has_every_setting_of_a_trial_with_its_default():
    signature = inspect.signature(DRAlignClassifier).parameters
    assert set(signature) == set(DECLARED) - NOT_OF_THE_CLASSIFIER | ITS_OWN
    for name in set(DECLARED) - NOT_OF_THE_CLASSIFIER:
        own = name in method_settings()
        assert signature[name].default == (None if own else DECLARED[name].default), name


def test_commands_and_plans_have_every_setting():
    own = {"fairness_weight", "seed", "readings", "bound_measure"}
    assert set(shared_settings()) | own == set(DECLARED)
    assert set(DECLARED) - {"seed"} <= set(keys())


def test_nothing_given_is_the_same_trial_as_every_default_given():
    from dralign.data import DataSource

    for kind in method_types():
        bare = TrialSpec(DataSource("german"), kind.name)
        given = dict.fromkeys((*DECLARED,), None)
        assert TrialSpec(DataSource("german"), kind.name, **given) == bare


def test_the_reference_page_is_that_of_the_declarations():
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_reference(), (
        "write it anew: python -c 'from dralign.study.reference import *; "
        'print(settings_reference(), end="")\' > docs/settings.md'
    )


@pytest.mark.parametrize(
    ("setting", "text", "expected"),
    [
        (DECLARED["layers"], "2", 2),
        (DECLARED["layers"], "0,2", ("0", "2")),
        (DECLARED["layers"], "all", "all"),
        (DECLARED["epochs"], "3", 3),
        (DECLARED["fairness_weight"], "1", 1.0),
        (DECLARED["alignment_every"], "4", 4),
        (DECLARED["gap"], "equalized_odds", "equalized_odds"),
    ],
)
def test_a_text_of_the_command_line_is_read_by_its_kind(setting, text, expected):
    found = setting.parsed(text)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers", 1.5, "layers: expected 'all', a count or names, got 1.5"),
        ("layers", True, "layers: expected 'all', a count or names, got True"),
        ("mixup_layer", 3, "mixup_layer: expected a text, got 3"),
        ("readings", "yes", "readings: expected true or false, got 'yes'"),
        ("epochs", True, "epochs: expected a whole number from 1 up, got True"),
        ("fairness_weight", True, "fairness_weight: expected a number from 0 up, got True"),
    ],
)
def test_a_value_of_another_kind_is_refused(name, value, message):
    with pytest.raises(OptionError, match=message):
        DECLARED[name].checked(value)


@pytest.mark.parametrize("kind", ["number", "count", "choice", "texts", "layers", "flag"])
def test_a_foreign_value_of_any_length_is_a_short_line(kind):
    setting = Setting("hidden", "Units.", kind, choices=("a",))
    value = {"b" * 10_000: 1} if kind in {"texts", "layers"} else "b" * 10_000
    with pytest.raises(OptionError, match=r"b\.\.\.") as caught:
        setting.checked(value)
    assert len(str(caught.value)) < 150


def test_a_default_may_depend_on_the_settings_before_it():
    first = Setting("first", "One.", "number", default=2.0)
    second = Setting("second", "Half.", "number", default=lambda given: given["first"] / 2, off=0.0)
    assert resolved((first, second), {}) == {"first": 2.0, "second": 1.0}
    assert resolved((first, second), {"first": 6}) == {"first": 6.0, "second": 3.0}
    assert (first.off, second.off) == (2.0, 0.0)
