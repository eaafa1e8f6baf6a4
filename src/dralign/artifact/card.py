"""The model card: a page of Markdown for a person."""

import re
from collections.abc import Mapping
from typing import Final

from dralign.artifact.front_matter import front_matter
from dralign.artifact.network import Artifact
from dralign.data import Encoder, ImageEncoder
from dralign.models import base_architecture

# Settings of a trial that the card tells of in other words, or that are of another network.
_NOT_SHOWN: Final = ("network", "classifier_width", "hidden", "depth")
_BACKSLASHED: Final = re.compile(r"[\\`*_{}\[\]]")  # what every dialect takes a backslash before
# HTML, tables, what some dialects give meaning, and addresses, which some make links of.
_ENTITIES: Final = re.compile(r"&(?=[#\w])|[<>|~^$@#]|=(?==)|:(?=[\w/])|(?<=www)\.")
_GROUP_FIGURES: Final = (
    "rows",
    "positives",
    "mean_score",
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
)
_NAMED: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def markdown_text(value: object) -> str:
    """Text from data, so that Markdown and HTML show it as it is and take nothing from it.

    What can't be printed (control characters, changes of direction, halves of surrogate pairs) and
    line breaks become spaces.
    """
    printable = "".join(c if c.isprintable() else " " for c in str(value))
    text = " ".join(printable.split())
    text = _ENTITIES.sub(lambda found: _NAMED.get(found[0], f"&#{ord(found[0])};"), text)
    return _BACKSLASHED.sub(lambda found: f"\\{found[0]}", text)


def model_card(artifact: Artifact) -> str:
    """A page for a person: what the network is, how it was made, its figures and limits.

    At its top stands what model hubs read.
    """
    training = artifact.training
    test = training.get("test")
    figures = "\n".join(
        f"| {markdown_text(str(name).replace('_', ' '))} | {_figure(value)} |"
        for name, value in (test.items() if isinstance(test, Mapping) else ())
    )
    classes = ", ".join(f"“{markdown_text(name)}”" for name in artifact.class_names)
    what = f"as one of {classes}" if classes else f"= “{markdown_text(artifact.positive)}”"
    trial = training.get("trial")
    data = trial.get("data") if isinstance(trial, Mapping) else None
    return f"""{front_matter(artifact)}
# Model card

Predicts “{markdown_text(artifact.label)}” {what}; saved by dralign.

- Network: {_network(artifact)}
- Inputs: {_inputs(artifact.encoder)}
- Trained with: {_settings(trial)}{_front(training)}
- Data: {_settings(data)}{_content(training)}
- Sensitive feature: {_listed(artifact.sensitive)} ({_listed(artifact.group_names)}); \
{_use_of_groups(artifact)}
{_adjusted(training)}- Chosen epoch: {markdown_text(training.get("epoch", "not recorded"))} \
({markdown_text(training.get("selection", "no rule"))})
- Decision: {_decision(artifact)}
{_notes(training)}
## Figures on the test rows

| figure | value |
| --- | --- |
{figures}
{_groups(training)}
## Limits

These figures describe one test split of the data above and say nothing about other populations.
A small gap between groups is not evidence that decisions made with this network are just: label
bias, missing groups and the use it is put to are outside of what is measured here.
"""


def _adjusted(training: Mapping[str, object]) -> str:
    """What was done to the scores once the network was trained."""
    done = training.get("adjusted")
    return f"- Adjusted after training: {_settings(done)}\n" if isinstance(done, Mapping) else ""


def _front(training: Mapping[str, object]) -> str:
    """Of a point of a front, with which others it was trained."""
    front = training.get("front")
    weights = front.get("weights") if isinstance(front, Mapping) else None
    if not isinstance(weights, list):
        return ""
    listed = ", ".join(markdown_text(_written(weight)) for weight in weights)
    return f"; a point of a front, trained from one early network with the weights {listed}"


def _decision(artifact: Artifact) -> str:
    """When a row is decided 1."""
    if artifact.class_names:
        return "the likeliest class"
    if artifact.thresholds:
        return "by a threshold of the row's group, see above"
    return f"positive from a probability of {artifact.threshold:.4g} on"


def _groups(training: Mapping[str, object]) -> str:
    """The groups of the test rows, with their rates at the network's decisions."""
    groups = training.get("groups")
    rows = [row for row in groups if isinstance(row, Mapping)] if isinstance(groups, list) else []
    if not rows:
        return ""
    head = [markdown_text(name).replace("\\_", " ") for name in _GROUP_FIGURES]
    lines = [
        "| " + " | ".join([markdown_text(row.get("group")), *_group_figures(row)]) + " |"
        for row in rows
    ]
    return "\n".join(
        [
            "",
            "| group | " + " | ".join(head) + " |",
            "| --- |" + " --- |" * len(head),
            *lines,
            "",
        ]
    )


def _group_figures(row: Mapping[str, object]) -> list[str]:
    """The cells of a group; of a small one none."""
    if row.get("rows") is None:
        return ["few", *["not shown"] * (len(_GROUP_FIGURES) - 1)]
    return [_figure(row.get(name)) for name in _GROUP_FIGURES]


def _listed(names: tuple[str, ...]) -> str:
    """Names with commas."""
    return ", ".join(map(markdown_text, names))


def _figure(value: object) -> str:
    """A figure, which is null where it is undefined."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return "undefined" if value is None else markdown_text(value)


def _content(training: Mapping[str, object]) -> str:
    """Which content of the data it was."""
    known = training.get("fingerprint")
    return f"; fingerprint of their content {markdown_text(known)}" if known else ""


def _notes(training: Mapping[str, object]) -> str:
    """What a reader of the figures must know first."""
    notes = training.get("notes")
    listed = notes if isinstance(notes, list | tuple) else ()
    return "".join(f"- **Note: {markdown_text(note)}**\n" for note in listed)


def _use_of_groups(artifact: Artifact) -> str:
    """What the sensitive feature is for once the network is trained."""
    if artifact.shifts:
        return (
            "**used at prediction**: scores are shifted by an amount that depends on the group. "
            "Whether that is lawful depends on the place and the use"
        )
    if not artifact.thresholds:
        return "not needed for prediction"
    limits = zip(artifact.group_names, artifact.thresholds, strict=True)
    text = ", ".join(f"{markdown_text(name)}: {limit:.4f}" for name, limit in limits)
    return (
        "**used at prediction**: the decision is positive from a probability on that depends on "
        f"the group ({text}). Whether that is lawful depends on the place and the use"
    )


def _network(artifact: Artifact) -> str:
    """The architecture, and the weights that training began with."""
    base = base_architecture(artifact.architecture)
    sizes = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in base.items() if name != "name"
    )
    begun = artifact.training.get("pretrained")
    file = begun.get("file") if isinstance(begun, Mapping) else None
    start = f"; training began with the weights of {markdown_text(file)}" if file else ""
    moved = (
        "; a linear model of the groups shifts its scores"
        if base is not artifact.architecture
        else ""
    )
    return f"{base['name']}{f' ({sizes})' if sizes else ''}{start}{moved}"


def _inputs(encoder: Encoder | None) -> str:
    """What the network takes."""
    if isinstance(encoder, ImageEncoder):
        return (
            f"images, brought to {encoder.size} x {encoder.size} pixels without a crop, in the "
            "mean and deviation of ImageNet"
        )
    if encoder is None:
        return "numbers as they are given"
    return f"{len(encoder.feature_names)} numbers made of the columns of a table"


def _settings(trial: object) -> str:
    """Settings in one line, without what is empty, nested or told elsewhere."""
    if not isinstance(trial, Mapping):
        return "not recorded"
    text = ", ".join(
        f"{markdown_text(str(name).replace('_', ' '))} {markdown_text(_written(value))}"
        for name, value in trial.items()
        if not isinstance(value, Mapping)
        and value not in ("", None, False, [])
        and name not in _NOT_SHOWN
    )
    return text or "not recorded"


def _written(value: object) -> str:
    """A setting as text."""
    if isinstance(value, list | tuple):
        return " & ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
