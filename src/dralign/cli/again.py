"""The command line that does a part of another one again."""

import shlex
from collections.abc import Sequence
from typing import Final

from dralign.cli.stdin import STDIN
from dralign.methods import method_settings
from dralign.study import TrialSpec
from dralign.training import Selection

_OF_COMPARE: Final = {
    "--methods", "--weights", "--seeds", "--out", "--save", "--jobs", "--trial-timeout"
}  # fmt: skip
_FLAGS: Final = {"--json"}


def training_command(typed: Sequence[str], spec: TrialSpec, rule: Selection) -> str:
    """The command that trains a trial of a comparison, to be kept; empty if it can't be typed.

    Args:
        typed: the words of the comparison, the name of the command first.
        spec: the trial.
        rule: by which its epoch was chosen.
    """
    if STDIN in typed:
        return ""
    unused = [name for name in (*method_settings(), "gap_bound") if not _has(spec, name)]
    left_out = _OF_COMPARE | {f"--{name.replace('_', '-')}" for name in unused}
    words: list[str] = []
    skipping = False
    for word in typed[1:]:
        name, equals, _ = word.partition("=")
        if not skipping and name not in left_out | _FLAGS:
            words.append(word)
        skipping = not skipping and name in left_out and not equals
    weight = ["--fairness-weight", repr(spec.fairness_weight)]
    own = weight if spec.uses("fairness_weight") and spec.gap_bound is None else []
    # Without its gap bound the command would choose by another rule than the comparison did.
    unbound = spec.gap_bound is None and rule.bound is not None and "--select" not in words
    own += ["--select", rule.rule, "--bound", repr(rule.bound)] if unbound else []
    chosen = ["--method", spec.method, *own, "--seed", str(spec.seed), "--out", "net"]
    return shlex.join(["dralign", "train", *words, *chosen])


def _has(spec: TrialSpec, name: str) -> bool:
    """Whether the trial uses a setting."""
    return spec.gap_bound is not None if name == "gap_bound" else spec.uses(name)
