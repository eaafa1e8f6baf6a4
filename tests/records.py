"""Made-up but plausible trial records for the tests of study and report."""

import hashlib
from dataclasses import replace

import numpy as np

from dralign.data import DataSource
from dralign.methods import method_settings, method_type, used_options
from dralign.metrics import gap_measure
from dralign.study import Trial, TrialRecord, TrialSpec
from dralign.training import EpochRecord, History

ADULT = DataSource(name="adult", preparation="paper")
LAYERS = ("0", "2", "4")
METHOD_SETTINGS = method_settings()

# AP and gap that a method ends at with weight 0, and how they move with the fairness weight.
_METHODS = {
    "erm": (0.786, 0.165, 0.0, 0.0),
    "oversample": (0.785, 0.160, 0.0, 0.0),
    "gap": (0.785, 0.160, 0.090, 0.25),
    "dralign": (0.788, 0.158, 0.070, 0.26),
}


def specs(seeds=range(3), weights=(0.2, 0.5), data=ADULT, **settings):
    """The trials of a small comparison: every method, some at several weights."""
    found = []
    for method in _METHODS:
        for weight in weights if method in {"gap", "dralign"} else (0.0,):
            beta = round(weight / 10, 3) if method == "dralign" else 0.0
            own = {name: value for name, value in settings.items() if name not in METHOD_SETTINGS}
            own |= used_options(method_type(method), settings)
            if method == "dralign":
                own.setdefault("alignment_every", 1)
            found += [
                TrialSpec(
                    data,
                    method,
                    fairness_weight=weight,
                    alignment_weight=beta,
                    seed=seed,
                    **own,
                )
                for seed in seeds
            ]
    return found


def figures(spec: TrialSpec, ap: float, gap: float, **given: float) -> dict[str, float]:
    """Made-up figures of a split: the base-rate gap is ``gap``, every other measure another one."""
    made_up = {"base_rate": gap, "all_cutoffs": 0.7 * gap, "largest_cutoff": 1.3 * gap}
    made_up |= {"soft": 0.9 * gap + 0.01, "hard": 0.8 * gap, **given}
    gaps = {gap_measure(name).key(spec.gap): float(value) for name, value in made_up.items()}
    level = {"mean_probability": 0.24, "positive_share": 0.25, "brier_score": 0.1}
    return {"average_precision": float(ap), "accuracy": 0.8, **gaps, **level}


def history(spec: TrialSpec) -> History:
    """A course of training that depends on the spec alone."""
    base_ap, base_gap, cost, saving = _METHODS.get(spec.method, _METHODS["gap"])
    rng = np.random.default_rng(
        [spec.seed, len(spec.method), round(1000 * spec.fairness_weight), spec.hidden]
    )
    shift = rng.normal(0, 0.004, 2)
    # however large the weight, AP stays above what a constant has, and the gap a share
    ap = max(base_ap - cost * spec.fairness_weight**2, 0.26) + shift[0]
    gap = base_gap * max(1 - saving * 3 * spec.fairness_weight, -2) * (1 + 5 * shift[1])
    seconds = float((1.0 if spec.method != "dralign" else 1.9) + abs(shift[0]))
    like = (1.1 if spec.method != "dralign" else 2.4) + 0.4 * spec.fairness_weight + 10 * shift[0]
    records = []
    for epoch in range(spec.epochs):
        grown = 1 - np.exp(-(epoch + 1) / 2)
        noise = rng.normal(0, 0.002, 4)
        of_splits = [
            figures(
                spec,
                0.5 + (ap - 0.5) * grown + noise[2 * part + 1],
                abs(gap * (1.4 - 0.4 * grown) + noise[2 * part]),
            )
            for part in (0, 1)
        ]
        share = np.array([0.5, 0.2, 0.3]) * like * (0.6 + 0.4 * grown)
        similarity = {
            "unit": dict(zip(LAYERS, map(float, share), strict=True)),
            "parameter": dict(zip(LAYERS, map(float, 0.6 * share), strict=True)),
        }
        records.append(
            EpochRecord(epoch, float(0.4 - 0.1 * grown), *of_splits, similarity, seconds, 0.3)
        )
    return tuple(records)


def records(trials=None, **changes) -> list[TrialRecord]:
    """A finished record for each spec; their data need not exist."""
    found = []
    for spec in specs() if trials is None else trials:
        trial = Trial(spec, hashlib.sha256(spec.data.name.encode()).hexdigest())
        record = TrialRecord(
            hash=trial.hash,
            fingerprint=trial.fingerprint,
            spec=spec,
            status="done",
            history=history(spec),
            seconds=15.0,
            environment={"python": "3.11", "torch": "2.13", "threads": "1"},
        )
        found.append(replace(record, **changes))
    return found


def point(
    ap, gap, /, *, seed=0, similarity=None, seconds=1.0, given=None, validation=None, **settings
) -> TrialRecord:
    """A one-epoch trial with the given test figures; validation figures are far from them.

    ``gap`` is the base-rate gap, ``given`` holds others by measure, ``validation`` AP and base-rate
    gap of the validation rows.
    """
    data, method = settings.pop("data", ADULT), settings.pop("method", "gap")
    spec = TrialSpec(data, method, seed=seed, epochs=1, **settings)
    found = records([spec])[0]
    epoch = replace(
        found.history[0],
        test=figures(spec, ap, gap, **(given or {})),
        seconds=seconds,
    )
    if similarity is not None:
        epoch = replace(epoch, similarity=similarity)
    if validation is not None:
        epoch = replace(epoch, validation=figures(spec, *validation))
    return replace(found, history=(epoch,))
