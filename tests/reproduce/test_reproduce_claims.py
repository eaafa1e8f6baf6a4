"""Every check in a made-up world where the paper is right, and in one that is the other way."""

from dataclasses import replace
from functools import cache

import pytest

import records as made_up
from dralign.metrics import Cells
from dralign.reproduce import PLANS, Results, findings, plan
from dralign.reproduce.entry import paper, printed
from dralign.reproduce.table1 import D_F

LARGEST = {"adult": {"demographic_parity": 0.7}, "compas": {}, "german": {}, "celeba": {}}
AT_770 = 1 - 0.416  # DRAlign's gap over that of Fair Mixup
SCALE = {"gap": 1.0, "mixup": 0.9, "dralign": 0.9 * AT_770, "adversarial": 1.0}
WITHOUT_WEIGHT = {  # average precision and gap
    "erm": (0.774, 0.160),
    "oversample": (0.773, 0.155),
    "decorrelation": (0.759, 0.086),
}
CREDIT = {"mixup": (0.877, 0.010), "dralign": (0.875, 0.0169), "gap": (0.874, 0.1)}


def outcome(spec):
    """Average precision and gap, as the paper has them."""
    if spec.method in WITHOUT_WEIGHT:
        ap, gap = WITHOUT_WEIGHT[spec.method]
    elif not spec.fairness_weight:
        ap, gap = 0.779, 0.14  # the alignment alone
    else:
        share = spec.fairness_weight / LARGEST[spec.data.name].get(spec.gap, 3.0)
        share = 8 * spec.fairness_weight if spec.method == "adversarial" else min(1.0, share)
        gap = 0.15 * (1 - 0.8 * share) * SCALE[spec.method]
        ap = 0.784 - 0.05 * share + (0.0005 if spec.method == "dralign" else 0.0)
    if spec.data.name == "compas":
        gap -= 0.14 if spec.method == "dralign" else 0.0
        ap += 0.05 if spec.method == "dralign" else 0.0
    if spec.data.name == "celeba":
        ap, gap = celeba_outcome(spec, ap, gap)
    if spec.data.name == "german":  # there Fair Mixup wins, and the combination is best
        ap, gap = CREDIT.get(spec.method, (ap, gap))
    if spec.penalty == "mixup":
        ap, gap = 0.879, 0.0155
    return ap + 1e-5 * spec.hidden, gap + (0.2 if spec.data.name == "compas" else 0.0)


def celeba_outcome(spec, ap, gap):
    """There FairReg beats Fair Mixup; a small beta changes little, a large one costs precision."""
    if spec.method == "oversample":
        return 0.812 - 0.002, 0.069
    ap, gap = ap + 0.1, gap * 0.3
    if spec.method == "mixup":
        gap *= 1.5
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
        first = min(1.0, 0.94 + 0.1 * weight)
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


def rates(spec, turned):
    """True positive rates nearer to each other with alignment: Table 14 has their ratio."""
    of_first = 980 if (spec.method == "dralign") != turned else 960
    return Cells((9, 1000, 9, 1000), (0, of_first + spec.seed, 0, 1000), (0.1, 0.9, 0.1, 0.9))


@cache
def world(*, turned=False):
    """Five seeds of all trials, hardly different; ``turned``: every figure the other way."""
    specs = {
        # Trials of images are told apart by their length too.
        spec if spec.data.name == "celeba" else replace(spec, epochs=1)
        for name in PLANS
        for spec in plan(name).trials
        if spec.seed < 5
    }
    found = []
    for record in made_up.records(sorted(specs, key=repr)):
        spec = record.spec
        (ap, gap), seconds = outcome(spec), {"gap": 10.5, "dralign": 14.5}.get(spec.method, 14.7)
        # Seeds move DRAlign alone, so that the interval of the ratio has a width.
        gap *= 1 + (0.005 * (spec.seed - 2) if spec.method == "dralign" else 0.0)
        if turned:
            ap, gap, seconds = 1.54 - ap, 0.3 - gap, 30 - seconds
        ap, gap = ap + 1e-6 * spec.seed, gap + 1e-6 * spec.seed
        test = made_up.figures(spec, ap, gap, soft=gap, hard=gap, all_cutoffs=gap)
        alike = record.history[0].similarity
        if spec.data.name == "celeba":
            alike = celeba_similarity(spec, turned)
        epoch = replace(
            record.history[0],
            test=test,
            similarity=alike,
            readings=readings(spec, turned),
            seconds=seconds,
            cells={"test": rates(spec, turned)},
        )
        found.append(replace(record, history=(epoch,)))
    return Results.of(found)


@cache
def parts(*, turned=False):
    """Every part of every reading, by check."""
    found = {}
    for one in findings(world(turned=turned)):
        for part in one.parts:
            found.setdefault(one.check, []).append((one.reading, part))
    return found


CHECK_NAMES = [claim["check"] for claim in paper("claims")["claims"]]
# What the paper's own numbers contradict, and sizes of another experiment.
NOT_JUDGED = {"contradicts itself", "not comparable", "not run"}


@pytest.mark.parametrize("check", CHECK_NAMES)
def test_where_the_paper_is_right_every_part_is_borne_out(check):
    other = [
        f"{reading}: {part}"
        for reading, part in parts()[check]
        if part.verdict not in {"borne out", *NOT_JUDGED}
    ]
    assert not other
    assert any(part.verdict == "borne out" for _, part in parts()[check])


# Of how far two figures are apart there is no other way, and two turned trends go together too.
TURNED = sorted(
    {*CHECK_NAMES}
    - {
        "narrow_layers_are_alike",
        "small_beta_is_close_to_gap",
        "oversampling_fixes_little",
        "approximation_follows",
    }
)


@pytest.mark.parametrize("check", TURNED)
def test_where_all_is_the_other_way_no_part_is_borne_out(check):
    found = [
        f"{reading}: {part}"
        for reading, part in parts(turned=True)[check]
        if part.verdict not in {"contradicted", *NOT_JUDGED}
        and not part.label.startswith("below the top")  # so is the opposite
    ]
    assert not found


def test_the_printed_numbers_that_contradict_a_claim_are_in_the_tables():
    own = {check for check, found in parts().items() if found[0][1].verdict == "contradicts itself"}
    assert own == {"better_in_both_on_attractive", "best_on_compas", "best_on_compas_at_a_tenth"}
    of_5, of_15 = printed("table5"), printed("table15")
    third = of_5["dp_weights"].index(0.3)
    assert of_5["dralign_ap"][third] < of_5["gap_ap"][third]
    assert of_15["dralign_eo"][-1] == -of_15["mixup_eo"][-1] == -0.032
    assert of_15["dralign_dp_ap"][1] == of_15["mixup_dp_ap"][1] == of_15["gap_dp_ap"][0] == 0.637
