"""An audit in words: the findings, and the summary for a terminal."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dralign.gaps import figure_names, gap_type
from dralign.metrics import gap_measure, level_note

if TYPE_CHECKING:  # whose text this is; records import it
    from dralign.auditing.records import (
        Audit,
        Estimate,
        JointRemoval,
        Meaning,
        Outcomes,
        PredictionAudit,
    )

WIDTH = 80
FIGURES: Final = {
    "base_rate": "base rate",
    "selection_rate": "selected",
    "true_positive_rate": "TPR",
    "false_positive_rate": "FPR",
    "accuracy": "accuracy",
    "average_precision": "AP",
}
SHOWN: Final = ("base_rate", "hard")  # measures of gaps; the page has more
FOUR_FIFTHS: Final = 0.8
MOST_FINDINGS: Final = 5


def findings(audit: "Audit") -> list[str]:
    """What matters most, in at most five plain sentences, careful about what they can't tell."""
    return _ranked(audit)[:MOST_FINDINGS]


def details(audit: "Audit") -> list[str]:
    """What else was found, mostly in the terms of the paper."""
    rest = _ranked(audit)[MOST_FINDINGS:]
    return [*rest, *_rationales(audit), *_parts(audit), *_trust(audit)]


def findings_of_predictions(outcomes: "Outcomes", meaning: "Meaning") -> list[str]:
    """What matters most about decisions and scores, of any model, in at most five sentences."""
    return list(_decisions(outcomes, meaning))[:MOST_FINDINGS]


def predictions_summary(audit: "PredictionAudit") -> str:
    """Everything that fits a terminal, of scores that came from anywhere."""
    rows = ", ".join(f"group {name!r} {n:,}" for name, n in audit.groups.items())
    lines = [f"Audit of {sum(audit.groups.values()):,} predictions ({rows})"]
    lines += [f"Decided positive from {threshold_text(audit.provenance['threshold'])} on", ""]
    lines += [*_group_table(audit), "Findings", *_bullets(audit.findings)]
    for note in audit.notes:
        lines += textwrap.wrap(f"Note: {note}", WIDTH, subsequent_indent="  ")
    lines += ["", "These figures assess one model on these rows; they certify nothing."]
    return "\n".join(lines)


def _ranked(audit: "Audit") -> list[str]:
    """The plain sentences, the most important ones first."""
    plain = [_in_plain_words(audit)] if audit.similarity else []
    if audit.outcomes is None:
        return plain
    decided, *rest = _decisions(audit.outcomes, audit.meaning, weighted=is_weighted(audit))
    return [decided, *plain, *rest]


def terminal_summary(audit: "Audit") -> str:
    """Everything that fits a terminal: group figures, gaps, similarity, top units, findings."""
    rows = ", ".join(f"group {name!r} {n:,}" for name, n in audit.groups.items())
    counted = "; rows are counted, all figures are weighted" if is_weighted(audit) else ""
    lines = [f"Audit of {sum(audit.groups.values()):,} rows ({rows}){counted}"]
    lines += [f"Decided positive from {threshold_text(audit.provenance['threshold'])} on", ""]
    lines += [*_group_table(audit), *_similarity_table(audit), *_unit_table(audit)]
    lines += ["Findings", *_bullets(audit.findings), ""] if audit.findings else []
    lines += ["In detail", *_bullets(audit.details)] if audit.details else []
    for note in audit.notes:
        lines += textwrap.wrap(f"Note: {note}", WIDTH, subsequent_indent="  ")
    lines += ["", "These figures assess one network on these rows; they certify nothing."]
    return "\n".join(lines)


def _decisions(
    outcomes: "Outcomes", meaning: "Meaning", *, weighted: bool = False
) -> Iterator[str]:
    """What the network decides, and what the order of its scores says alone."""
    gap = outcomes.gaps["hard_demographic_parity"]
    ordered = sorted(
        (one for one in outcomes.groups if _known(one.figures["selection_rate"].value)),
        key=lambda one: one.figures["selection_rate"].value,
    )
    low, high = ordered[0], ordered[-1]
    positive = _positive(meaning)
    most, least = (_share(one.figures["selection_rate"]) for one in (high, low))
    spread = (
        f"Group {high.group!r} is {positive} most often ({most}), {low.group!r} least often "
        f"({least}); the difference is {_interval(gap)}"
        if gap.value > 0
        else f"All groups are {positive} equally often ({least})"
    )
    if gap.value == 0:  # then it is the labels that tell the groups apart
        by_label = sorted(ordered, key=lambda one: one.figures["base_rate"].value)
        low, high = by_label[0], by_label[-1]
    label = "Label 1" if meaning.positive == "1" else f"The label {meaning.positive!r}"
    unit, again = ("weight", "that") if weighted else ("rows", "those")
    yield (
        f"{spread}, on probabilities {_interval(outcomes.gaps['soft_demographic_parity'])}. "
        f"{label} makes up {_share(high.figures['base_rate'])} of the "
        f"{unit} of {high.group!r} and {_share(low.figures['base_rate'])} of {again} of "
        f"{low.group!r}."
    )
    yield from _level(outcomes, meaning)


def is_weighted(audit: "Audit") -> bool:
    """Whether its rows are weighted."""
    return bool(audit.provenance.get("weighted"))


def _positive(meaning: "Meaning") -> str:
    """What is said of a row with decision 1."""
    if meaning.positive == "1" and meaning.favourable is not False:
        return "selected"
    against = ", which is unfavourable," if meaning.favourable is False else ""
    return f"decided {meaning.positive!r}{against}"


def _rate_in_ratio(meaning: "Meaning") -> str:
    """What the rule of four fifths compares."""
    return "rate of the favourable decision" if meaning.favourable is False else "selection rate"


def _level(outcomes: "Outcomes", meaning: "Meaning") -> Iterator[str]:
    """Four fifths, the order of the scores, errors, and whether the level is off."""
    gap = outcomes.gaps["base_rate_demographic_parity"]
    odds, ratio = outcomes.gaps["hard_equalized_odds"], outcomes.selection_ratio
    if _known(ratio.value) and ratio.value < FOUR_FIFTHS:
        yield (
            f"The smallest {_rate_in_ratio(meaning)} is {_interval(ratio)} of the largest, less "
            "than four fifths, where a rule of thumb begins to look closer."
        )
    if _known(gap.value):
        true = "have label 1" if meaning.positive == "1" else f"are {meaning.positive!r}"
        yield (
            f"If as many rows were {_positive(meaning)} as {true}, by the order of the scores, the "
            f"rates of the groups would differ by {_interval(gap)}: no level of the scores changes "
            "that."
        )
    mean, share = (outcomes.overall[name].value for name in ("mean_probability", "positive_share"))
    if note := level_note(mean, share):
        label = "label 1" if meaning.positive == "1" else f"{meaning.positive!r}"
        yield f"The mean score is {mean:.3f}, {label} makes up {share:.3f}: {note}."
    if odds.value > 0:
        yield (
            f"At the same label the rates still differ by {_interval(odds)} in all "
            "(equalized odds, the sum over labels)."
        )


def _in_plain_words(audit: "Audit") -> str:
    """Whether the rationales differ by more than chance, without the terms of the paper."""
    total = audit.similarity["unit"].total
    if total.within_noise:
        return (
            "These rows give no evidence that the network goes by different things for different "
            f"groups (p = {total.p_value:.3f}), which is not evidence that it goes by the same."
        )
    return (
        "What the network goes by differs between the groups by more than chance explains "
        f"(p = {total.p_value:.3f}): their losses rest on different parts of it."
    )


def _rationales(audit: "Audit") -> Iterator[str]:
    """Whether the rationales differ by more than chance."""
    if not audit.similarity:
        return
    units, weights = audit.similarity["unit"], audit.similarity["parameter"]
    total, n_layers = units.total, len(units.layers)
    start = (
        f"Similarity of the groups' rationales: {total.similarity.value:.3f} of at most "
        f"{n_layers}; of {len(total.null)} random splits of the same rows, 95 % give "
        f"{total.noise_floor:.3f} or more (p = {total.p_value:.3f}). "
    )
    if total.within_noise:
        yield start + "That is within noise."
    else:
        yield start + "That is below the noise floor."
    below = [one.layer for one in units.layers if not one.within_noise]
    if below:
        yield f"Layers below their noise floor, each tested by itself: {_names(below)}."
    yield _sizes(audit)
    if weights.total.within_noise != total.within_noise:
        state = "within noise" if weights.total.within_noise else "below the noise floor"
        yield (
            f"Per parameter instead of per unit the total is {state} "
            f"({weights.total.similarity.value:.3f}, p = {weights.total.p_value:.3f})."
        )


def _sizes(audit: "Audit") -> str:
    """Whether the sizes of the influences differ by more than chance."""
    test, layers = audit.similarity["unit"].parity_total, audit.similarity["parameter"].parity
    times = f"{test.score / test.noise_ceiling:.2g} times" if test.noise_ceiling > 0 else "above"
    directions = [one.direction for one in layers if _known(one.direction)]
    if test.within_noise:
        return (
            "The sizes of the influences differ no more than in random splits (first-order parity "
            f"score {test.score:.2e}, noise ceiling {test.noise_ceiling:.2e}, "
            f"p = {test.p_value:.3f})."
        )
    text = (
        "The sizes of the influences do differ by group: the first-order parity score is "
        f"{times} what 95 % of random splits stay below (p = {test.p_value:.3f})."
    )
    if directions and max(directions) < 0:
        text += (
            f" In every layer the groups pull the weights in opposite directions (cosines of the "
            f"signed changes {min(directions):.2f} to {max(directions):.2f}), which similarity, "
            "made of squares, can't show."
        )
    return text


def _parts(audit: "Audit") -> Iterator[str]:
    """The units that stand out, and the network without them."""
    names = list(audit.groups)
    if audit.influence and audit.influence.units and audit.influence.units[0].score > 0:
        best = audit.influence.units[0]
        high = max(range(len(names)), key=lambda code: best.influences[code])
        low = min(range(len(names)), key=lambda code: best.influences[code])
        smallest = best.influences[low]
        times = f"{best.influences[high] / smallest:.3g} times" if smallest > 0 else "infinitely"
        yield (
            f"The highest parity score has unit {best.unit} of layer {best.layer!r}: its weights "
            f"matter {times} as much for {names[high]!r} as for {names[low]!r}."
        )
    if len(audit.what_if) > 1:
        before, after = audit.what_if[0].figures, audit.what_if[-1]
        key = "soft_demographic_parity"
        yield (
            f"Without the {after.k} units of highest score the soft demographic parity gap goes "
            f"from {before[key]:.3f} to {after.figures[key]:.3f} and average precision from "
            f"{before['average_precision']:.3f} to {after.figures['average_precision']:.3f}; "
            f"without {after.k} random units the gap is {after.random[key]:.3f} (median). This "
            "shows what the units do; it is no repair."
        )


def _trust(audit: "Audit") -> Iterator[str]:
    """How far the approximations behind rationales hold here."""
    known = [
        one.correlation
        for one in audit.agreement
        if one.granularity == "parameter" and not one.group and _known(one.correlation)
    ]
    if known:
        yield (
            "First-order (Taylor) and exact parity scores of single weights rank alike with a "
            f"Spearman correlation of {min(known):.2f} to {max(known):.2f} over the layers."
        )
    if audit.independence:
        size = max(one.size for one in audit.independence)
        last = [one for one in audit.independence if one.size == size]
        ratios = ", ".join(f"{_ratio(one)} (group {one.group!r})" for one in last)
        yield (
            f"Independence (A.13): sets of {size} random weights, removed together, have an "
            f"influence of {ratios} times the sum of their single influences (median and "
            "quartiles; 1 would be independence)."
        )


def _group_table(audit: "Audit | PredictionAudit") -> list[str]:
    """The figures of each group, and the gaps."""
    if audit.outcomes is None:
        return []
    width = max(map(len, ("group", *audit.groups, *audit.withheld))) + 2
    head = "group".ljust(width) + "rows".rjust(8)
    lines = [head + "".join(text.rjust(10) for text in FIGURES.values())]
    for one in audit.outcomes.groups:
        cells = "".join(f"{one.figures[name].value:10.3f}" for name in FIGURES)
        lines.append(one.group.ljust(width) + f"{one.n:8,}" + cells)
    least = audit.provenance["min_group_size"]
    lines += [
        f"{name.ljust(width)}   fewer than {least} rows: figures withheld"
        for name in audit.withheld
    ]
    shown = [gap_measure(name) for name in SHOWN]
    names = {name: gap_type(name).words for name in figure_names()}
    width = max(map(len, names.values())) + 2
    heads = "".join(known.words.ljust(26) for known in shown)
    lines += ["", ("gap".ljust(width) + heads).rstrip()]
    for gap, words in names.items():
        result = [audit.outcomes.gaps.get(known.key(gap)) for known in shown]
        texts = ["–" if one is None else _interval(one) for one in result]
        lines.append(words.ljust(width) + "".join(t.ljust(26) for t in texts).rstrip())
    ratio = audit.outcomes.selection_ratio
    rate = _rate_in_ratio(audit.meaning)
    lines.append(f"smallest over largest {rate}: {_interval(ratio)} (four fifths: .8)")
    return [*lines, ""]


def _similarity_table(audit: "Audit") -> list[str]:
    """The similarity of each layer against its noise floor."""
    if not audit.similarity:
        return []
    result = audit.similarity["unit"]
    width = _first_column([one.layer for one in result.layers])
    lines = ["layer".ljust(width) + "similarity".ljust(24) + "noise floor     p"]
    for one in [*result.layers, result.total]:
        state = "" if one.within_noise else "   below noise"
        if one.constant:
            state = "   constant"
        lines.append(
            one.layer.ljust(width)
            + _interval(one.similarity).ljust(24)
            + f"{one.noise_floor:11.3f} {one.p_value:5.3f}{state}"
        )
    return [*lines, ""]


def _unit_table(audit: "Audit") -> list[str]:
    """The units with the highest parity scores."""
    units = audit.influence.units[:5] if audit.influence else ()
    names = [f"{one.layer}, unit {one.unit}" for one in units]
    width = _first_column(names)
    lines = ["unit".ljust(width) + "parity score".ljust(14) + "influence on each group"]
    for name, one in zip(names, units, strict=True):
        influences = ", ".join(
            f"{group!r} {value:.2e}"
            for group, value in zip(audit.groups, one.influences, strict=True)
        )
        lines.append(name.ljust(width) + f"{one.score:<14.2e}" + influences)
    return [*lines, ""] if len(lines) > 1 else []


def _first_column(names: Sequence[str]) -> int:
    """The width of a column of names, with two spaces after the longest."""
    return max([18, *(len(name) + 2 for name in names)])


def _interval(estimate: "Estimate") -> str:
    """A figure with its interval."""
    if not _known(estimate.value):
        return "undefined"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _bullets(sentences: Sequence[str]) -> list[str]:
    """Sentences as a list, each wrapped."""
    wrapper = textwrap.TextWrapper(WIDTH, initial_indent="- ", subsequent_indent="  ")
    return [line for text in sentences for line in wrapper.wrap(text)]


def threshold_text(threshold: float | Mapping[str, float]) -> str:
    """From which probability on a row is decided positive, of each group where they differ."""
    if isinstance(threshold, Mapping):
        each = ", ".join(f"{value:.4g} for {name!r}" for name, value in threshold.items())
        return f"a probability of {each}"
    return f"a probability of {threshold:.4g}"


def _share(estimate: "Estimate") -> str:
    """A rate in per cent."""
    return f"{100 * estimate.value:.1f} %"


def _ratio(one: "JointRemoval") -> str:
    """The median ratio with its quartiles."""
    low, middle, high = one.influence_ratio
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def _names(layers: Sequence[str]) -> str:
    """Layers in quotes."""
    return ", ".join(map(repr, layers))


def _known(value: float) -> bool:
    """Whether a figure is defined."""
    return math.isfinite(value)
