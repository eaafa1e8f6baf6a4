"""What the parts of the package need beyond torch and numpy, and what to install for it."""

from importlib.util import find_spec
from typing import Final

from dralign.errors import MissingPackageError

# Where it is not the name of the package.
_MODULES: Final = {
    "mlflow-skinny": "mlflow",
    "pytorch-lightning": "pytorch_lightning",
    "scikit-learn": "sklearn",
}


def installing(extra: str) -> str:
    """What to do where an extra is missing: no command, as the package is on no index."""
    return f"install dralign[{extra}] from where dralign came"


def require(part: str, *packages: str, extra: str = "app") -> None:
    """Checks that what a part needs is installed, without importing it.

    Args:
        part: what needs it, for the message.
        *packages: by their names at the package index.
        extra: the extra of ``pip install`` that brings them.

    Raises:
        MissingPackageError: if one is not there.
    """
    missing = [name for name in packages if not _is_there(_MODULES.get(name, name))]
    if missing:
        raise MissingPackageError(f"{part} needs {_listed(missing)}; {installing(extra)}")


def _is_there(module: str) -> bool:
    """Whether a module can be found."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # something keeps it from being imported
        return False


def _listed(names: list[str]) -> str:
    """Names as they stand in a sentence."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
