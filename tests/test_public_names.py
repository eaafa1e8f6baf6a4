"""The public names are these, and each has a docstring and a home of another name."""

import inspect
from pathlib import Path

import pytest

import dralign

NAMES = [
    "Audit",
    "DRAlignClassifier",
    "Frontier",
    "MethodComparison",
    "ParityScores",
    "PluginClassifier",
    "PredictionAudit",
    "RationaleAlignment",
    "aligned_backward",
    "audit",
    "audit_predictions",
    "compare",
    "demographic_parity_gap",
    "encode_groups",
    "equal_opportunity_gap",
    "equalized_odds_gap",
    "fetch_adult",
    "fetch_compas",
    "fetch_german",
    "group_losses",
    "parity_scores",
    "predictive_parity_gap",
]


def test_public_names_are_listed_once():
    assert sorted(dralign.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_public_name_has_a_docstring_and_no_namesake_module(name):
    thing = getattr(dralign, name)
    assert inspect.getdoc(thing)
    modules = {path.stem for path in Path(dralign.__file__).parent.iterdir()}
    assert name not in modules


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dralign.nothing  # noqa: B018
