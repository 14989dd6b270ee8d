"""The ready studies: one commented TOML file each, and a folder of them for each published source.

A folder `reproductions/NAME` is named by an arXiv number or a title. It holds `source.toml` (what
the source is) and the studies, with the numbers that are printed there as [[published]]:
`study.toml` is the study NAME, any other file PART.toml the study NAME/PART.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from jaxsim.study.variables import grid_size

_SOURCE = "source.toml"
_WHOLE = "study.toml"
_FORMER = {"symmetry": "2511.06675"}
"""Studies of a source that have a second name, under which they were ready before."""


@dataclass(frozen=True)
class Source:
    """A paper or report whose numbers are reproduced.

    Attributes:
        name: of its folder.
        title: of the paper.
        authors: of the paper.
        year: of the version that the numbers are from.
        about: what is reproduced, in a sentence.
        studies: names of its studies.
        url: where it is found.
    """

    name: str
    title: str
    authors: str
    year: int
    about: str
    studies: tuple[str, ...]
    url: str = ""

    @property
    def citation(self) -> str:
        """As in a list of references."""
        number = f"arXiv:{self.name}" if self.name[:4].isdigit() else self.url
        return f"{self.authors}, {self.title} ({f'{number}, ' if number else ''}{self.year})"


def _root() -> Traversable:
    return resources.files(__name__)


def _studies(folder: Traversable) -> tuple[str, ...]:
    """Return the names of the studies of a source, the one of the whole source first."""
    files = {e.name for e in folder.iterdir() if e.name.endswith(".toml")} - {_SOURCE}
    whole = (folder.name,) if _WHOLE in files else ()
    parts = sorted(f.removesuffix(".toml") for f in files - {_WHOLE})
    return whole + tuple(f"{folder.name}/{part}" for part in parts)


def _sources() -> dict[str, Traversable]:
    folders = (_root() / "reproductions").iterdir()
    return {f.name: f for f in sorted(folders, key=lambda f: f.name) if (f / _SOURCE).is_file()}


READY: tuple[str, ...] = tuple(
    sorted(
        [e.name.removesuffix(".toml") for e in _root().iterdir() if e.name.endswith(".toml")]
        + list(_FORMER)
    )
)
"""Names of the ready studies that reproduce no source, and of one that has both names."""

REPRODUCTIONS: tuple[str, ...] = tuple(
    name for folder in _sources().values() for name in _studies(folder)
)
"""Names of the studies that reproduce published numbers."""

NAMES: tuple[str, ...] = READY + REPRODUCTIONS
"""Names of all ready studies."""


@cache
def sources() -> tuple[Source, ...]:
    """Return the sources whose numbers are reproduced, by name."""
    return tuple(
        Source(name=name, studies=_studies(folder), **tomllib.loads(_text(folder / _SOURCE)))
        for name, folder in _sources().items()
    )


def ready_text(name: str) -> str:
    """Return the commented text of a ready study."""
    if name in _FORMER:
        now = _FORMER[name]
        return ready_text(now).replace(f'name = "{now}"', f'name = "{name}"', 1)
    if name in READY:
        return _text(_root() / f"{name}.toml")
    source, _, part = name.partition("/")
    return _text(_root() / "reproductions" / source / (f"{part}.toml" if part else _WHOLE))


def ready_table(name: str) -> dict[str, Any]:
    """Return the tables of a ready study; its published numbers are by default of its source."""
    table = tomllib.loads(ready_text(name))
    source = next((s for s in sources() if name in s.studies), None)
    for number in table.get("published", ()) if source is not None else ():
        assert source is not None
        number.setdefault("source", source.citation)
    return table


@dataclass(frozen=True)
class Summary:
    """What a list says of a ready study.

    Attributes:
        title: of the study.
        experiments: how many it has.
        published: how many printed numbers it compares with.
        quick: whether it has smaller settings of its own.
    """

    title: str
    experiments: int
    published: int
    quick: bool


def summary(name: str) -> Summary:
    """Return what a list says of a ready study, from its tables as they stand.

    The models that check a study take a second to import, for which a list should not wait.
    """
    table = ready_table(name)
    return Summary(
        title=table.get("title", ""),
        experiments=grid_size(
            table.get("experiment", []), table.get("variables", {}), table.get("grid", {})
        ),
        published=len(table.get("published", [])),
        quick=bool(table.get("quick")),
    )


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")
