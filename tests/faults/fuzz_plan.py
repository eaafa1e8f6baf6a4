"""Plans whose text and values are changed at random.

python tests/faults/fuzz_plan.py 5000 [SEED]
"""

import string
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dralign.study import load_plan
from dralign.study.plan import MOST_TRIALS
from fuzzing import ChangedError, run

KEYS = (
    "dataset", "preparation", "sensitive", "include_sensitive", "label", "positive", "labels",
    "image_size", "partition", "method", "gap", "fairness_weight", "alignment_weight", "gap_bound",
    "granularity", "layers", "alignment_every", "aggregate", "loss", "penalty", "mixup_layer",
    "network", "classifier_width", "hidden", "depth", "epochs", "iterations", "batch_size",
    "learning_rate", "micro_batch", "precision", "patience", "readings", "alignment_share", "seeds",
)  # fmt: skip
PLANS = Path(__file__).parents[2] / "examples"
TEXT = """
name = "small"
assumed = ["all of it"]
[defaults]
dataset = "german"
epochs = 2
seeds = 2
[[trials]]
method = ["erm", "gap", "dralign"]
fairness_weight = [0.5, 1]
layers = [2, ["0", "2"]]
[[trials]]
method = "all"
gap = "equalized_odds"
"""
VALUES = [
    "0", "-1", "1", "2.5", "nan", "-inf", "1e999", "9" * 30, "9" * 5000, "true", "''", "'x'",
    '"\\u0000"', '"\\u202e"', "'../../x'", "'" + "a" * 5000 + "'", "[]", "[[]]", "[1, 'a']",
    "[[1]]", "{}", "{a = 1}", "1979-05-27", "07:32:00", "[" * 400 + "]" * 400, "[" * 50_000,
    "'erm'", "'all'", "['all', 'all']", "'adult'", "'.'", "'/dev/zero'", "['a', 'a']",
    "4611686018427387904", str(list(range(3000))), '"""a\nb"""', "0x10", "1_000", "[0.1, 0.2]",
    "'\x7f'",
]  # fmt: skip
_scratch = tempfile.TemporaryDirectory()
_path = Path(_scratch.name) / "plan.toml"


def base(rng):
    """The text of a plan."""
    texts = [TEXT, *(path.read_text() for path in sorted(PLANS.glob("*.toml")))]
    return TEXT if rng.random() < 0.6 else rng.choice(texts)


def load(content):
    """Reads a plan twice."""
    _path.write_bytes(content)
    plan = load_plan(_path)
    if len(plan.trials) > MOST_TRIALS or load_plan(_path) != plan:
        raise ChangedError(f"{len(plan.trials)} trials")


def of_bytes(rng):
    """Bytes that are lost, doubled, or others."""
    content = bytearray(base(rng).encode())
    for _ in range(rng.choice((1, 2, 5))):
        place, length = rng.randrange(len(content)), rng.choice((1, 1, 3, 20))
        match rng.randrange(4):
            case 0:
                del content[place : place + length]
            case 1:
                content[place:place] = content[place : place + length]
            case 2:
                content[place : place + length] = rng.randbytes(length)
            case 3:
                signs = rng.choices(string.punctuation + "\n 01ae", k=length)
                content[place:place] = "".join(signs).encode()
        content = content or bytearray(b"\n")
    load(bytes(content))


def of_values(rng):
    """Keys with other values, among them keys that were not there."""
    lines = base(rng).split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        key = rng.choice((*KEYS, "name", "assumed", "defaults", "trials", "x", "a.b", '"é"', ""))
        line = f"{key} = {rng.choice(VALUES)}"
        place = rng.randrange(len(lines))
        if rng.random() < 0.5 and "=" in lines[place]:
            lines[place] = f"{lines[place].split('=')[0]}= {rng.choice(VALUES)}"
        else:
            lines.insert(place, line)
    load("\n".join(lines).encode())


def of_structure(rng):
    """Very many, very deep, and very long."""
    count = rng.choice((10, 100, 1000, 10_000, 60_000))
    piece = rng.choice((
        "[[trials]]\n", "[[trials]]\nmethod = 'erm'\ndataset = 'adult'\n", "[a{0}.b]\n",
        "a{0} = 1\n", "a.", "'a'.", "'' . ", "[", "{{a=", "[[", "a = [", "'", '"""', "#", ".",
        "0,", "\\u0041", "\n", "trials.", "[trials.a{0}]\n", "[[trials.a]]\n", "seeds = {0}\n",
        "x", "é",
    ))  # fmt: skip
    text = "".join(piece.format(number) for number in range(count))
    around = rng.choice(("{0}", "a = {0}", "a = [{0}]", 'a = "{0}"', "[{0}]", "{0} = 1", "{1}{0}"))
    load(around.format(text, TEXT).encode())


def of_grids(rng):
    """Lists of all lengths."""
    keys = rng.sample(("fairness_weight", "hidden", "depth", "epochs", "seeds", "learning_rate"), 3)
    lines = [f"{key} = {[n + 1 for n in range(rng.choice((1, 2, 10, 100, 1000)))]}" for key in keys]
    if rng.random() < 0.3:
        lines = [line for line in lines if not line.startswith("seeds")]
        lines.append(f"seeds = {rng.choice((1, 100, 10_000, 10**9, 2**62, 2**63, 10**40))}")
    load("\n".join(("[[trials]]\ndataset = 'adult'\nmethod = 'gap'", *lines)).encode())


CASES = {"bytes": of_bytes, "values": of_values, "structure": of_structure, "grids": of_grids}

if __name__ == "__main__":
    sys.exit(run(CASES, sys.argv[1:]))
