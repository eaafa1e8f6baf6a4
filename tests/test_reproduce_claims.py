"""Every check in a made-up world where the paper is right, and in one that is the other way."""

from dataclasses import replace
from functools import cache

import pytest

import records as made_up
from dralign.reproduce import PLANS, Results, findings, plan
from dralign.reproduce.table1 import D_F

LARGEST = {"adult": {"demographic_parity": 0.7}, "compas": {}, "german": {}, "celeba": {}}
AT_770 = 1 - 0.416  # DRAlign's gap over that of Fair Mixup
SCALE = {"gap": 1.0, "mixup": 0.9, "dralign": 0.9 * AT_770, "adversarial": 1.0}
WITHOUT_WEIGHT = {  # average precision and gap
    "erm": (0.750, 0.170),
    "oversample": (0.755, 0.160),
    "decorrelation": (0.761, 0.086),
}


def outcome(spec):
    """Average precision and gap, as the paper has them."""
    if spec.method in WITHOUT_WEIGHT:
        ap, gap = WITHOUT_WEIGHT[spec.method]
    elif not spec.fairness_weight:
        ap, gap = 0.781, 0.11  # the alignment alone
    else:
        share = spec.fairness_weight / LARGEST[spec.data.name].get(spec.gap, 3.0)
        gap = 0.15 * (1 - 0.8 * share) * SCALE[spec.method]
        ap = 0.784 - 0.05 * share + (0.0005 if spec.method == "dralign" else 0.0)
    if spec.data.name == "compas":
        gap -= 0.14 if spec.method == "dralign" else 0.0
        ap += 0.05 if spec.method == "dralign" else 0.0
    if spec.data.name == "celeba":
        ap, gap = celeba_outcome(spec, ap, gap)
    if spec.data.name == "german":  # there Fair Mixup wins, and the combination is best
        gap = {"mixup": 0.01, "dralign": 0.05, "gap": 0.1}.get(spec.method, gap)
    if spec.penalty == "mixup":
        ap, gap = ap + 0.01, gap - 0.02
    return ap + 1e-5 * spec.hidden, gap + (0.2 if spec.data.name == "compas" else 0.0)


def celeba_outcome(spec, ap, gap):
    """There FairReg beats Fair Mixup; a small beta changes little, a large one costs precision."""
    if spec.method == "mixup":
        gap *= 1.3
    if spec.method == "dralign" and spec.alignment_weight < 0.01:
        gap /= SCALE["dralign"]
    return (ap - 0.05 if spec.alignment_weight > 0.01 else ap), gap


def celeba_similarity(spec, turned):
    """It rises with beta; as records keep it for every epoch."""
    alike = {0.0: 1.0, 0.001: 1.01, 0.01: 2.0, 0.1: 2.9}[spec.alignment_weight] + 1e-6 * spec.seed
    return {"unit": {"0": 3.0 - alike if turned else alike}}


def similarity(spec):
    """Layers 1 to 3 under DP, as Sec. 5.3 tells them; under EO the sum as Table 7 has it."""
    weight, mixed = spec.fairness_weight, spec.method == "mixup"
    if spec.method == "dralign":
        layers = (1.0, 1.0, 1.0)
    elif spec.gap == "equalized_odds":
        lacking = 0.0 if spec.hidden == 10 else (0.05 if mixed else 0.1) * (3 - weight)
        layers = (2.0 - lacking, 2.0, 2.0)
    elif spec.hidden < 200:
        first = min(1.0, 0.9 + 0.2 * weight)
        layers = (first, first - 0.01 * max(0.0, 0.5 - weight), 1.0)
    else:
        noise = 0.001 * (spec.seed - 1)
        layers = (0.327 + 0.6 * weight + 0.1 * mixed + noise, 0.053 + 0.1 * weight + noise, 1.0)
    return dict(zip(("0", "2", "4"), layers, strict=True))


def readings(spec, turned):
    """d_F falls with lambda, and is lower after the pre-processing."""
    parity = {"erm": 0.624, "decorrelation": 0.43}.get(
        spec.method, 0.6 - 0.8 * spec.fairness_weight
    )
    found = dict.fromkeys(D_F, 1 - parity if turned else parity)
    top = 2.0 if spec.gap == "equalized_odds" else 1.0
    layers = {name: top - s if turned else s for name, s in similarity(spec).items()}
    for form in ("unit, exact", "unit, clamped", "parameter, exact", "parameter, clamped"):
        found |= {f"similarity, {form}, {name}": value for name, value in layers.items()}
        found[f"similarity, {form}, total"] = sum(layers.values())
    return found


@cache
def world(*, turned=False):
    """Three seeds of all trials, hardly different; ``turned``: every figure the other way."""
    specs = {
        # Trials of images are told apart by their length too.
        spec if spec.data.name == "celeba" else replace(spec, epochs=1)
        for name in PLANS
        for spec in plan(name).trials
        if spec.seed < 3
    }
    found = []
    for record in made_up.records(sorted(specs, key=repr)):
        spec = record.spec
        (ap, gap), seconds = outcome(spec), {"gap": 10.5, "dralign": 14.5}.get(spec.method, 14.7)
        # Seeds move DRAlign alone, so that the interval of the ratio has a width.
        gap *= 1 + (0.06 * (spec.seed - 1) if spec.method == "dralign" else 0.0)
        if turned:
            ap, gap, seconds = 1.54 - ap, 0.3 - gap, 30 - seconds
        ap, gap = ap + 1e-6 * spec.seed, gap + 1e-6 * spec.seed
        test = made_up.figures(spec, ap, gap, soft=gap, hard=gap)
        alike = record.history[0].similarity
        if spec.data.name == "celeba":
            alike = celeba_similarity(spec, turned)
        epoch = replace(
            record.history[0],
            test=test,
            similarity=alike,
            readings=readings(spec, turned),
            seconds=seconds,
        )
        found.append(replace(record, history=(epoch,)))
    return Results.of(found)


@cache
def verdicts(*, turned=False):
    """The findings by claim."""
    found = {}
    for one in findings(world(turned=turned)):
        found.setdefault(one.statement, []).append(one)
    return found


@pytest.mark.parametrize("claim", verdicts(), ids=lambda text: text[:50])
def test_where_the_paper_is_right_each_claim_is_reproduced(claim):
    found = verdicts()[claim]
    assert {one.verdict for one in found} == {"reproduced"}, found[0].evidence


# Of how far two layers or two trainings are apart there is no other way.
TURNED = [c for c in verdicts() if "similarity gap between" not in c and "close to" not in c]


@pytest.mark.parametrize("claim", TURNED, ids=lambda text: text[:50])
def test_where_all_is_the_other_way_no_claim_is_reproduced(claim):
    found = verdicts(turned=True)[claim]
    assert {one.verdict for one in found} == {"not reproduced"}, found[0].evidence
