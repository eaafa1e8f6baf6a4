"""The datasets that are known by name: what they are, and whether their files are right."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dralign.data import acs, baf, canonical, celeba, compas
from dralign.data.local import PublishedFile, find, verified_bytes
from dralign.errors import OptionError, unknown


class ByHand(NamedTuple):
    """A dataset that a person has to get, as no program can or may.

    Attributes:
        homepage: where.
        find: the path at which it lies, among the folders of datasets; None if it is not there.
        check: what was found right about it, in words; else a DataError.
        reason: why, in words.
    """

    homepage: str
    find: Callable[[str | Path | None], Path | None]
    check: Callable[[str | Path | None], str]
    reason: str = "its terms ask for a person to fetch it"


@dataclass(frozen=True)
class Entry:
    """One dataset.

    Attributes:
        name: what it is called.
        rows: rows of the published table, before any preparation; None where it is one of many.
        licence: of the source.
        source: who made it, as it is to be cited.
        embedded: the files of it in the package.
        published: the file of it that is not in the package; None if there is none.
        by_hand: how it is found and checked, if it can't be downloaded by a program.
    """

    name: str
    rows: int | None
    licence: str
    source: str
    embedded: tuple[str, ...] = ()
    published: PublishedFile | None = None
    by_hand: ByHand | None = None

    def location(self, data_home: str | Path | None = None) -> str:
        """``"built in"``, the path where it lies, or ``"missing"``."""
        if self.by_hand:
            return str(self.by_hand.find(data_home) or "missing")
        if self.published is None:
            return "built in"
        return str(find(self.published, data_home) or "missing")

    def verify(self, data_home: str | Path | None = None) -> str:
        """What was found right about the files, in words.

        Raises:
            DataError: if something is missing or wrong.
        """
        if self.by_hand:
            return self.by_hand.check(data_home)
        for name in self.embedded:
            canonical.embedded_bytes(name)
        if self.published is not None:
            verified_bytes(self.published, data_home)
        return "as published"


ENTRIES = (
    Entry(
        "adult",
        48_842,
        "CC BY 4.0",
        "Becker and Kohavi (1996), UCI, https://doi.org/10.24432/C5XW20",
        embedded=("adult.data", "adult.test"),
    ),
    Entry(
        "german",
        1_000,
        "CC BY 4.0",
        "Hofmann (1994), UCI, https://doi.org/10.24432/C5NC77",
        embedded=("german.data",),
    ),
    Entry(
        "compas",
        7_214,
        "none given; not to be passed on",
        "Larson, Mattu, Kirchner and Angwin (2016), ProPublica, "
        "https://github.com/propublica/compas-analysis",
        published=compas.FILE,
    ),
    Entry(
        "celeba",
        celeba.ROWS,
        "non-commercial research only; not to be passed on",
        "Liu, Luo, Wang and Tang (2015), ICCV",
        by_hand=ByHand(celeba.HOMEPAGE, celeba.find_folder, celeba.check_folder),
    ),
    Entry(
        "baf",
        baf.ROWS,
        "Creative Commons, non-commercial (see the source)",
        "Jesus, Pombal, Alves, Cruz, Saleiro, Ribeiro, Gama and Bizarro (2022), NeurIPS",
        by_hand=ByHand(baf.HOMEPAGE, baf.find_file, baf.check_file),
    ),
    *(
        Entry(
            task.name,
            None,
            "public (U.S. Census Bureau; see its terms of use)",
            "Ding, Hardt, Miller and Schmidt (2021), NeurIPS",
            by_hand=ByHand(
                acs.HOMEPAGE,
                acs.find_file,
                partial(acs.check_file, task),
                "a person chooses the state and the year",
            ),
        )
        for task in acs.TASKS
    ),
)


def entry(name: str) -> Entry:
    """The dataset of that name.

    Raises:
        OptionError: if there is none.
    """
    for one in ENTRIES:
        if one.name == name:
            return one
    raise OptionError(unknown("dataset", name, (one.name for one in ENTRIES)))
