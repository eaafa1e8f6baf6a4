"""Which methods there are: each declares itself in its own file, and is found here by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dralign.errors import OptionError
from dralign.extensions import Registry
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


_METHODS: Final = Registry[MethodType]("method")


def register(kind: MethodType) -> None:
    """Makes a method known by its name, at every door.

    Installed packages are asked to do so by an entry point of the group ``dralign.extensions``,
    which names a module; it is imported, also in worker processes, before methods are looked up.

    Raises:
        OptionError: if the name is taken, or a setting is declared otherwise by another method.
    """
    _METHODS.require_free(kind.name)
    known = _declared(_METHODS.so_far())
    for setting in kind.settings:
        if known.get(setting.name, setting) != setting:
            raise OptionError(
                f"method {kind.name!r}: the setting {setting.name!r} is declared otherwise already"
            )
    _METHODS.add(kind)


def unregister(name: str) -> None:
    """Forgets a method that ``register`` made known; for tests."""
    _METHODS.remove(name)


def method_types() -> tuple[MethodType, ...]:
    """All methods, in the order in which they were registered."""
    return _METHODS.all()


def method_names() -> tuple[str, ...]:
    """The names of all methods."""
    return tuple(kind.name for kind in method_types())


def method_type(name: str) -> MethodType:
    """The method called ``name``.

    Raises:
        OptionError: if there is none.
    """
    return _METHODS.find(name)


def method_settings() -> dict[str, Setting]:
    """The settings of all methods by name, each declared once."""
    return _declared(_METHODS.all())


def users_of(setting: str) -> tuple[str, ...]:
    """The methods that use a setting."""
    return tuple(kind.name for kind in method_types() if setting in kind.setting_names)


def _declared(kinds: Iterable[MethodType]) -> dict[str, Setting]:
    """The settings of some methods by name."""
    return {setting.name: setting for kind in kinds for setting in kind.settings}
