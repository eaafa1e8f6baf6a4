"""Which methods there are: each declares itself in its own file, and is found here by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dralign.errors import OptionError, unknown
from dralign.extensions import load_extensions
from dralign.gaps import Gap, gap_names
from dralign.methods.base import Method
from dralign.settings import Setting
from dralign.step import LossConvention


@dataclass(frozen=True)
class MethodType:
    """What a method is called, what it takes, and how it is built.

    Attributes:
        name: by which users choose it.
        summary: what it minimises or does, in a few words.
        build: makes it from the gap it is trained for, or judged by, the loss convention and its
            settings, which are all there and checked.
        settings: those that it uses, in their order.
        gaps: the gaps it can be trained for or, without a gap term, judged by; None for all.
        two_classes: whether it can't do with more.
        scaled: what lambda multiplies where a gap bound finds it, by setting; empty where the
            method has no weight to find.
        note: what tables say below about trials of it, made of the settings; empty for nothing.
    """

    name: str
    summary: str
    build: Callable[[Gap, LossConvention, Mapping[str, Any]], Method]
    settings: tuple[Setting, ...] = ()
    gaps: tuple[str, ...] | None = None
    two_classes: bool = False
    scaled: tuple[tuple[str, float], ...] = ()
    note: Callable[[Mapping[str, Any]], str] = lambda _settings: ""

    @property
    def setting_names(self) -> tuple[str, ...]:
        """The names of its settings."""
        return tuple(setting.name for setting in self.settings)

    def supported_gaps(self, n_classes: int = 2) -> tuple[str, ...]:
        """The names of the gaps it takes for a label of so many classes; none if it takes none."""
        if n_classes > 2 and self.two_classes:
            return ()
        names = gap_names(n_classes)
        return names if self.gaps is None else tuple(name for name in names if name in self.gaps)


_TYPES: Final[dict[str, MethodType]] = {}


def register(kind: MethodType) -> None:
    """Makes a method known by its name, at every door.

    Installed packages are asked to do so by an entry point of the group ``dralign.extensions``,
    which names a module; it is imported, also in worker processes, before methods are looked up.

    Raises:
        OptionError: if the name is taken, or a setting is declared otherwise by another method.
    """
    if kind.name in _TYPES:
        raise OptionError(f"method: {kind.name!r} is known already")
    known = _declared()
    for setting in kind.settings:
        if known.get(setting.name, setting) != setting:
            raise OptionError(
                f"method {kind.name!r}: the setting {setting.name!r} is declared otherwise already"
            )
    _TYPES[kind.name] = kind


def unregister(name: str) -> None:
    """Forgets a method that ``register`` made known; for tests."""
    _TYPES.pop(name, None)


def method_types() -> tuple[MethodType, ...]:
    """All methods, in the order in which they were registered."""
    load_extensions()
    return tuple(_TYPES.values())


def method_names() -> tuple[str, ...]:
    """The names of all methods."""
    return tuple(kind.name for kind in method_types())


def method_type(name: str) -> MethodType:
    """The method called ``name``.

    Raises:
        OptionError: if there is none.
    """
    load_extensions()
    if name not in _TYPES:
        raise OptionError(unknown("method", name, _TYPES))
    return _TYPES[name]


def method_settings() -> dict[str, Setting]:
    """The settings of all methods by name, each declared once."""
    load_extensions()
    return _declared()


def users_of(setting: str) -> tuple[str, ...]:
    """The methods that use a setting."""
    return tuple(kind.name for kind in method_types() if setting in kind.setting_names)


def _declared() -> dict[str, Setting]:
    """The settings of the methods registered so far."""
    return {setting.name: setting for kind in _TYPES.values() for setting in kind.settings}
