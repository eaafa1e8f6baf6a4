"""A command line that does a part of another one again."""

import pytest

from dralign.cli.again import training_command
from dralign.data import DataSource
from dralign.study import TrialSpec
from dralign.training import Selection

DATA = DataSource("my people.csv", label="loan", sensitive=("region",))
TYPED = ["compare", "my people.csv", "--label", "loan", "--sensitive=region"]
STUDY = ["--methods", "erm,gap", "--weights=0.1,0.2", "--seeds", "3", "--out", "x", "--json"]
END = "--seed 0 --out net"
START = "dralign train 'my people.csv' --label loan --sensitive=region"


@pytest.mark.parametrize(
    ("typed", "spec", "expected"),
    [
        (
            [*TYPED, *STUDY, "--epochs", "3", "--save", "best"],
            TrialSpec(DATA, "gap", fairness_weight=0.1),
            f"{START} --epochs 3 --method gap --fairness-weight 0.1 {END}",
        ),
        (
            [*TYPED, "--layers", "2", "--gap-bound=0.1", "--jobs", "2"],
            TrialSpec(DATA, "erm"),
            f"{START} --method erm --select highest_ap_under_bound --bound 0.1 {END}",
        ),
        (
            [*TYPED, "--gap-bound", "0.1"],
            TrialSpec(DATA, "gap", gap_bound=0.1),
            f"{START} --gap-bound 0.1 --method gap {END}",
        ),
        (["compare", "-", "--label", "loan"], TrialSpec(DATA, "erm"), ""),
    ],
)
def test_what_only_a_comparison_takes_is_left_out_and_the_setting_put_in(typed, spec, expected):
    bounded = any(word.startswith("--gap-bound") for word in typed)
    rule = Selection.of(gap_bound=0.1 if bounded else None)
    assert training_command(typed, spec, rule) == expected
