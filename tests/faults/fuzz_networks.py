"""Saved networks and checkpoints changed at random: refused in one line, or used as they stand.

    python tests/faults/fuzz_networks.py 5000                    # of each kind
    python tests/faults/fuzz_networks.py 1 --kind artifact --case 417

A change whose checksum is not computed anew must never be used: what is accepted gives the same
predictions, and a resumed run the same end, as if nothing had been changed. Where it is computed
anew, as a forger would, what is accepted must be possible: finite weights, probabilities and
decisions, a description that can be saved again, a run that ends.
"""

import argparse
import collections
import copy
import functools
import hashlib
import json
import math
import os
import random
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import safetensors
import torch
from safetensors.torch import load, save

import checkpoint_runs as runs
import sealed
from dralign import DRAlignClassifier, models
from dralign.artifact import Artifact, load_artifact, save_artifact
from dralign.data import TableEncoder
from dralign.errors import DralignError
from dralign.estimator.saving import KEY
from fuzzing import Late, limited

OUTCOMES = ("refused in one line", "accepted", "traceback", "hang", "silently wrong")
FRAME = pd.DataFrame(
    {
        "age": [20.0, 30.0, None, 50.0, 41.5, 38.0],
        "job": ["a", "b", "b", None, "a", "c"],
        "sex": ["f", "m", "f", "m", "f", "m"],
    }
)
KINDS = [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64,
         torch.int64, torch.int8, torch.bool]  # fmt: skip
if tuple(map(int, safetensors.__version__.split(".")[:2])) < (0, 7):  # without complex numbers
    KINDS.remove(torch.complex64)


_HOME = tempfile.TemporaryDirectory(prefix="fuzz-networks-")  # of what the cases change


class WrongError(Exception):
    """Something impossible, or something else than before, without a word."""


# What values and bytes are changed to


def hostile(rng):
    """A value that may be none of those expected."""
    return rng.choice(
        [
            None, True, False, 0, 1, -1, 2, 3, 7, 0.5, -0.5, 1.5, -5, 1e-300, 1e308, 10**9, 10**12,
            2**62, 2**63, 10**30, 10**400, -(10**30), math.nan, math.inf, -math.inf, "", " ", "0",
            "a", "m", "mlp", "alexnet", "dralign", "x" * 5000, "\ud800", "\u202e", "\x00", "<b>",
            [], [[]], [None], [1, 2], ["a", "a"], ["f", "m"], [0.1, 0.2], [0] * 3, {}, {"a": 1},
            {"kind": "table"}, {"kind": "images", "size": 64}, {"name": "mlp"}, [{}], [[[[[]]]]],
        ]
    )  # fmt: skip


def places(value, path=()):
    """The path of every value inside of a JSON value."""
    if not isinstance(value, dict | list):
        return
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        yield from places(entry, (*path, key))


def at(value, path):
    """The value at a path."""
    return functools.reduce(lambda inner, key: inner[key], path, value)


def mutate_json(rng, value):
    """A JSON value with one to three changes."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        known = list(places(value))
        if not known:
            return value
        *before, last = rng.choice(known)
        inner = at(value, before)
        change = rng.randrange(8)
        if change == 0:
            del inner[last]
        elif change == 1:
            inner[last] = copy.deepcopy(at(value, rng.choice(known)))
        elif change == 2 and isinstance(inner[last], int | float):
            inner[last] = inner[last] * rng.choice([-1, 2, 10, 0.5, 1e300]) + rng.choice([0, 1])
        elif change == 3 and isinstance(inner, dict):
            inner[rng.choice(["new", "", "depth", "n_outputs", "\udfff"])] = hostile(rng)
        elif change == 4 and isinstance(inner, list):
            inner.append(copy.deepcopy(inner[last]) if rng.random() < 0.5 else hostile(rng))
        elif change == 5 and isinstance(inner[last], str):
            inner[last] = "".join(rng.sample(inner[last], len(inner[last]))) + rng.choice(["", "x"])
        else:
            inner[last] = hostile(rng)
    return value


def mutate_bytes(rng, content):
    """Bytes flipped, cut out, doubled, set, or cut off."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if not content:
            break
        start = rng.randrange(len(content))
        stop = min(start + rng.choice([1, 2, 16, 256]), len(content))
        change = rng.randrange(5)
        if change == 0:
            content[start] ^= 1 << rng.randrange(8)
        elif change == 1:
            del content[start:stop]
        elif change == 2:
            content[start:start] = content[start:stop]
        elif change == 3:
            content[start:stop] = bytes(rng.randrange(256) for _ in range(stop - start))
        else:
            del content[start:]
    return bytes(content)


def mutate_tensors(rng, tensors):
    """Tensors of another type, shape, content or name, in place."""
    name = rng.choice(list(tensors))
    x, change = tensors[name], rng.randrange(7)
    if change == 0:
        kind = rng.choice(KINDS)
        chosen = tensors if rng.random() < 0.3 else [name]
        tensors.update({one: tensors[one].to(kind) for one in chosen})
    elif change == 1:
        tensors[name] = rng.choice([x.reshape(-1), x[None], torch.zeros(3), torch.zeros(0), x.T])
        tensors[name] = tensors[name].contiguous().clone()
    elif change == 2 and x.is_floating_point() and x.numel():
        x.view(-1)[rng.randrange(x.numel())] = rng.choice([math.nan, math.inf, -math.inf, 3e38])
    elif change == 3:
        del tensors[name]
    elif change == 4:
        tensors[rng.choice(["new", "model/9.weight", "kept/9/0.weight", "0"])] = x.clone()
    elif change == 5:
        other = rng.choice(list(tensors))
        tensors[name], tensors[other] = tensors[other], x
    elif x.numel():
        content = x.view(-1).view(torch.uint8)
        content[rng.randrange(len(content))] = rng.randrange(256)


def odd_file(rng, path):
    """Something that is no regular file, or none, in the place of a file."""
    path.unlink()
    change = rng.randrange(5)
    if change == 0:
        os.mkfifo(path)
    elif change == 1:
        path.mkdir()
    elif change == 2:
        path.symlink_to(path.name)
    elif change == 3:
        path.symlink_to("/dev/zero")


# Saved networks


@functools.cache
def networks():
    """A folder of saved networks of four kinds, with what they predict."""
    home = Path(_HOME.name) / "networks"
    encoder = TableEncoder.fit(FRAME, ["age", "job"])
    sizes = {"n_inputs": len(encoder.feature_names), "hidden": 4, "depth": 1}
    torch.manual_seed(0)
    training = {"epoch": 1, "selection": "last", "test": {"accuracy": 0.5, "undefined": math.nan},
                "trial": {"data": {"name": "people.csv"}, "seed": 0}, "notes": []}  # fmt: skip
    for name, outputs, more in (
        ("two", 1, {}),
        ("thresholds", 1, {"thresholds": (0.4, 0.6)}),
        ("three", 3, {"class_names": ("low", "mid", "high"), "positive": ""}),
    ):
        architecture = {"name": "mlp", **sizes, "n_outputs": outputs}
        plain = Artifact(
            model=models.build(architecture).eval(), architecture=architecture, encoder=encoder,
            label="loan", positive="yes", sensitive=("sex",), group_names=("f", "m"),
            training=training,
        )  # fmt: skip
        save_artifact(replace(plain, **more), home / name)
    rows = FRAME.loc[np.arange(60) % len(FRAME)].reset_index(drop=True)
    label = np.arange(60) % 2
    fitted = DRAlignClassifier(epochs=1, iterations=2, hidden=4, random_state=0)
    fitted.fit(rows[["age", "job"]], label, sensitive_features=rows["sex"])
    fitted.save(home / "classifier")
    return home, {path.name: used(path) for path in home.iterdir()}


def used(folder):
    """All that a network says of the table: probabilities, decisions, and what they are called."""
    artifact = load_artifact(folder)
    prob = artifact.predict_proba(FRAME)
    if not bool(((prob >= 0) & (prob <= 1)).all()):
        raise WrongError(f"probabilities {prob.tolist()}")
    decided = prob.argmax(1) if artifact.class_names else artifact.decide(FRAME, prob)
    with tempfile.TemporaryDirectory() as other:
        save_artifact(artifact, Path(other) / "net")
    found = [prob.tolist(), decided.tolist(), artifact.label, artifact.positive]
    found += [artifact.class_names, artifact.group_names, artifact.sensitive]
    if KEY in artifact.training:
        loaded = DRAlignClassifier.load(folder)
        columns = list(loaded.feature_names_in_)  # scikit-learn refuses others, in several lines
        found += [loaded.predict(FRAME.reindex(columns=columns)).tolist(), loaded.notes_]
    return found


def artifact_case(rng, folder):
    """One saved network with a change in its description or its weights."""
    home, known = networks()
    name = rng.choice(sorted(known))
    net = Path(shutil.copytree(home / name, folder / "net"))
    description, weights = net / "artifact.json", net / "model.safetensors"
    change, forged = rng.randrange(10), rng.random() < 0.5
    if change < 6:
        content = mutate_json(rng, json.loads(description.read_text()))
        if forged and isinstance(content, dict):
            content = sealed.resealed(content)
        description.write_text(json.dumps(content))
    elif change == 6:
        forged = False
        description.write_bytes(mutate_bytes(rng, description.read_bytes()))
    elif change < 9:
        if rng.random() < 0.7:
            state = load(weights.read_bytes())
            mutate_tensors(rng, state)
            content = save({key: x.contiguous().clone() for key, x in state.items()})
        else:
            content = mutate_bytes(rng, weights.read_bytes())
        weights.write_bytes(content)
        if forged:
            sealed.edit(weights_sha256=hashlib.sha256(content).hexdigest())(net)
    else:
        forged = False
        odd_file(rng, rng.choice([description, weights]))
    if used(net) != known[name] and not forged:
        raise WrongError("other predictions, with the checksum as it was")


# Checkpoints

METHODS = ("dralign", "adversarial", "bound", "float16", "gap")


@functools.cache
def checkpoints(name):
    """The folder of a finished run, and what a run of one epoch more leaves."""
    home = Path(_HOME.name) / "checkpoints" / name
    runs.run(name, home)
    return home, left(name, None)


def left(name, folder):
    """What a run of one epoch more leaves, but for the time it took."""
    return runs.outcome(runs.run(name, folder, epochs=runs.EPOCHS + 1))


def checkpoint_case(rng, folder):
    """A finished run that is to go on, with a change in one or all of its checkpoints."""
    name = rng.choice(METHODS)
    home, expected = checkpoints(name)
    place = Path(shutil.copytree(home, folder / "run"))
    files = sorted(place.glob("step-*"), key=lambda path: -int(path.name.split("-")[1]))
    chosen = files if rng.random() < 0.3 else files[:1]
    change, forged = rng.randrange(10), False
    for path in chosen:
        if change == 9:
            odd_file(rng, path)
        elif change == 8 or rng.random() < 0.1:
            path.write_bytes(mutate_bytes(rng, path.read_bytes()))
        else:
            forged = True
            header = functools.partial(changed_header, rng)
            tensors = functools.partial(changed_tensors, rng)
            sealed.rewrite_checkpoint(path, header if change < 5 else tensors)
    ended = left(name, place)
    same = ended.keys() == expected.keys() and all(
        ended[key].tobytes() == value.tobytes() for key, value in expected.items()
    )
    if not same and not forged:
        raise WrongError("another end, with the checksum as it was")


def changed_header(rng, tensors, header):
    """Changes the header of a checkpoint in place."""
    new = mutate_json(rng, header)
    header.clear()
    header.update(new if isinstance(new, dict) else {})


def changed_tensors(rng, tensors, _):
    """Changes the tensors of a checkpoint in place."""
    mutate_tensors(rng, tensors)


CASES = {"artifact": artifact_case, "checkpoint": checkpoint_case}


def outcome(kind, number):
    """What became of one case, and in which words; the same number is the same case."""
    prepare(kind)
    rng = random.Random(f"{kind} {number}")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with limited():
            result, text = tried(kind, rng, Path(folder))
    passed_over = [str(one.message) for one in told if "passed over" in str(one.message)]
    if result == "accepted" and passed_over:
        result, text = "refused in one line", passed_over[0]
    if result == "refused in one line" and "\n" in text:
        result = "traceback"
    return result, text


def tried(kind, rng, folder):
    """As ``outcome``, within its limits."""
    try:
        CASES[kind](rng, folder)
    except DralignError as error:
        return "refused in one line", str(error)
    except Late:
        return "hang", traceback.format_exc()
    except WrongError as error:
        return "silently wrong", str(error)
    except Exception:  # noqa: BLE001 - that is what is looked for
        return "traceback", traceback.format_exc()
    return "accepted", ""


def prepare(kind):
    """What the cases of a kind change, made once and outside of their limits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "artifact":
            networks()
        else:
            for name in METHODS:
                checkpoints(name)


def main():
    """Runs the cases; 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int, help="of each kind")
    parser.add_argument("--kind", choices=CASES, help="this kind alone")
    parser.add_argument("--case", type=int, help="run this one only, and say what became of it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = [given.kind] if given.kind else list(CASES)
    if given.case is not None:
        say("\n".join(outcome(kinds[0], given.case)))
        return 0
    bad, rows = 0, []
    for kind in kinds:
        counts, words = collections.Counter(), collections.Counter()
        for number in range(given.cases):
            result, text = outcome(kind, number)
            counts[result] += 1
            words[re.sub(r"/\S+|\d+|'[^']*'", "_", text)[:70]] += result == OUTCOMES[0]
            if result not in OUTCOMES[:2]:
                say(f"{kind} {number}: {result}: {text.strip().splitlines()[-1][:200]}")
        bad += sum(counts[name] for name in OUTCOMES[2:])
        figures = (str(counts[name]) for name in OUTCOMES)
        rows.append(" | ".join([f"| {kind} | {given.cases}", *figures]) + " |")
        for text, count in words.most_common(12):
            say(f"  {count:5} {text}")
    say(" | ".join(["| kind | cases", *OUTCOMES]) + " |")
    say("| --- " * (2 + len(OUTCOMES)) + "|")
    say("\n".join(rows))
    return int(bad > 0)


def say(line):
    """Prints a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
