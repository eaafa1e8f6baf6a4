"""Prints, in the form of a requirements file, the lowest versions that pyproject.toml declares.

torch and torchvision stay at their versions in requirements.lock: other releases of torch come with
gigabytes of CUDA libraries from most indexes.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AS_LOCKED = ("torch", "torchvision")
# Packages that bring many of their own; the tests of these skip where they are not there.
OF_OTHERS = ("transformers", "lightning", "skorch", "optuna", "mlflow", "wandb", "onnx")


def main() -> None:
    """Prints one line for each requirement of the package, of its extras and of its build."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = declared["project"]
    wanted = [*declared["build-system"]["requires"], *project["dependencies"]]
    for name, extra in project["optional-dependencies"].items():
        wanted += [] if name in OF_OTHERS else extra
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(line.split("==") for line in lock.split())
    for requirement in wanted:
        if requirement.startswith(f"{project['name']}["):  # an extra of its own, listed anyway
            continue
        found = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
        if found is None:
            raise SystemExit(f"{requirement}: expected name>=version")
        name, lowest = found.groups()
        print(f"{name}=={locked[name] if name in AS_LOCKED else lowest}")


if __name__ == "__main__":
    main()
