"""What model hubs read at the top of a model card: YAML, as huggingface_hub has it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from dralign.artifact.network import Artifact
from dralign.data import ImageEncoder
from dralign.data.registry import dataset_names
from dralign.gaps import gap_names
from dralign.methods import method_names
from dralign.metrics import all_measures

_TAGS: Final = ("decision-rationale-alignment", "group-gaps")
_OWN_TABLE: Final = "own-table"  # the name of a file is nobody else's business


def front_matter(artifact: Artifact) -> str:
    """Library, task, tags and the test figures, between lines of ``---``.

    Nothing in it comes from data: names are those that dralign itself declares, and values are
    numbers, so that no text of a table can become YAML. A licence is left to whoever publishes.
    """
    training = artifact.training
    trial = training.get("trial")
    trial = trial if isinstance(trial, Mapping) else {}
    images = isinstance(artifact.encoder, ImageEncoder)
    task = "image-classification" if images else "tabular-classification"
    method = _declared(trial.get("method"), method_names())
    lines = ["library_name: dralign", f"pipeline_tag: {task}", "tags:"]
    lines += [f"- {tag}" for tag in ("dralign", *_TAGS, *([f"method-{method}"] if method else []))]
    figures = dict(_figures(training.get("test"), _declared(trial.get("gap"), gap_names())))
    if figures:
        data = trial.get("data")
        name = data.get("name") if isinstance(data, Mapping) else None
        dataset = _declared(name, dataset_names()) or _OWN_TABLE
        lines += ["metrics:", *(f"- {key}" for key in figures), *_index(task, dataset, figures)]
    return "\n".join(["---", *lines, "---", ""])


def _index(task: str, dataset: str, figures: Mapping[str, float]) -> list[str]:
    """The figures as an evaluation of one model on one dataset."""
    lines = [
        "model-index:",
        "- name: dralign-network",
        "  results:",
        "  - task:",
        f"      type: {task}",
        "    dataset:",
        f"      type: {dataset}",
        f"      name: {dataset}",
        "      split: test",
        "    metrics:",
    ]
    for key, value in figures.items():
        lines += [f"    - type: {key}", f"      value: {value:.6f}"]
    return lines


def _figures(test: Any, gap: str) -> Iterator[tuple[str, float]]:  # noqa: ANN401 - of a JSON file
    """The declared measures that have a value, by the names under which records keep them."""
    if not isinstance(test, Mapping):
        return
    for measure in all_measures():
        if measure.of_gap and not gap:
            continue
        key = measure.key(gap)
        value = test.get(key)
        if measure.better and isinstance(value, float) and math.isfinite(value):
            yield key, value


def _declared(name: object, known: tuple[str, ...]) -> str:
    """The name if it is one of these, or an empty text."""
    return name if isinstance(name, str) and name in known else ""
