"""Where a package is missing, its integration says in one line what to install."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from dralign.errors import MissingPackageError

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
PACKAGES = ("lightning", "mlflow", "optuna", "skorch", "transformers", "wandb")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_told_with_the_extra_that_brings_it(name, monkeypatch):
    monkeypatch.setattr("dralign.tiers._is_there", lambda _: False)
    for module in [key for key in sys.modules if key == f"dralign.integrations.{name}"]:
        monkeypatch.delitem(sys.modules, module)
    line = rf"^dralign\.integrations\.{name} needs [\w, -]+; install dralign\[{name}\] from where "
    with pytest.raises(MissingPackageError, match=line):
        importlib.import_module(f"dralign.integrations.{name}")
    assert any(re.match(rf"{name}\b", entry) for entry in EXTRAS[name])
