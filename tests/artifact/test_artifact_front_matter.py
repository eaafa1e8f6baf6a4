"""The top of a model card is what model hubs read, and holds nothing that comes from data."""

import math
from dataclasses import replace

import pytest
import yaml

from dralign import models
from dralign.artifact import Artifact
from dralign.artifact.card import model_card
from dralign.data import ImageEncoder

ARCHITECTURE = {"name": "mlp", "n_inputs": 2, "hidden": 3, "depth": 1}
TRIAL = {"method": "dralign", "gap": "demographic_parity", "data": {"name": "adult"}}
TEST = {
    "average_precision": 0.78125,
    "accuracy": 0.8,
    "base_rate_demographic_parity": 0.00001,
    "hard_demographic_parity": math.nan,
    "soft_demographic_parity": None,
    "something else": 0.5,
}


def network(**training):
    return Artifact(
        model=models.build(ARCHITECTURE),
        architecture=ARCHITECTURE,
        encoder=None,
        label="income",
        positive="high",
        sensitive=("sex",),
        group_names=("f", "m"),
        training={"trial": TRIAL, "test": TEST, **training},
    )


def top(artifact):
    """The front matter by a parser of YAML, and the rest."""
    empty, text, rest = model_card(artifact).split("---\n", 2)
    assert not empty
    return yaml.safe_load(text), rest


def test_the_front_matter_has_library_task_tags_and_the_figures_that_are_defined():
    meta, rest = top(network())
    assert rest.lstrip().startswith("# Model card")
    assert meta.keys() == {"library_name", "pipeline_tag", "tags", "metrics", "model-index"}
    assert meta["library_name"] == "dralign"
    assert meta["pipeline_tag"] == "tabular-classification"
    assert meta["tags"][-1] == "method-dralign"
    (model,) = meta["model-index"]
    (result,) = model["results"]
    assert result["dataset"] == {"type": "adult", "name": "adult", "split": "test"}
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {
        "average_precision": 0.78125,
        "accuracy": 0.8,
        "base_rate_demographic_parity": 0.00001,
    }
    assert meta["metrics"] == list(values)


@pytest.mark.parametrize("hostile", ["people.csv", "a: b", "---\nx: 1\n---", "!!python/object:x"])
def test_no_name_of_data_reaches_the_front_matter(hostile):
    trial = {"method": hostile, "gap": hostile, hostile: hostile, "data": {"name": hostile}}
    test = {hostile: 0.5, "accuracy": 0.8, f"soft_{hostile}": 0.1}
    meta, _ = top(network(trial=trial, test=test))
    assert meta["tags"] == ["dralign", "decision-rationale-alignment", "group-gaps"]
    assert meta["metrics"] == ["accuracy"]
    assert meta["model-index"][0]["results"][0]["dataset"]["name"] == "own-table"


@pytest.mark.parametrize("training", [{"test": None}, {"test": {}, "trial": None}, {"test": "x"}])
def test_without_figures_there_is_no_evaluation(training):
    meta, _ = top(network(**training))
    assert "model-index" not in meta
    assert "metrics" not in meta


def test_a_network_of_images_has_the_task_of_images():
    meta, _ = top(replace(network(), encoder=ImageEncoder(8)))
    assert meta["pipeline_tag"] == "image-classification"


def test_huggingface_hub_reads_it_as_the_card_of_a_model():
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    card = hub.ModelCard(model_card(network()), ignore_metadata_errors=False)
    assert card.data.library_name == "dralign"
    assert card.data.model_name == "dralign-network"
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["average_precision"] == 0.78125
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    assert card.text.lstrip().startswith("# Model card")
