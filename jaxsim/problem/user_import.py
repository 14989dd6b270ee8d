"""Importing the user's own modules from their source, never from Python's cached bytecode.

Python takes cached bytecode for that of a file if the file's size and time agree, so that an edited
file whose time was set back would run its older code. Here the source that is read is the source
that runs, and is kept for the module's identity.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any


class FromSource(importlib.machinery.SourceFileLoader):
    """A loader that compiles the source anew and keeps it."""

    executed: bytes | None = None

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the source as it is now."""
        path = self.get_filename(fullname)
        self.executed = self.get_data(path)
        return self.source_to_code(self.executed, path)


class _Finder:
    """What Python's own finder finds on the path, with another loader for the user's own files."""

    def __init__(self, is_own: Callable[[str], bool]) -> None:
        self._is_own = is_own

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None:
            return None
        if type(spec.loader) is not importlib.machinery.SourceFileLoader:
            return None
        if not self._is_own(spec.origin):
            return None
        spec.loader = FromSource(name, spec.origin)
        return spec


@contextlib.contextmanager
def importing(folder: str, is_own: Callable[[str], bool]) -> Iterator[None]:
    """Let imports find the modules of a folder first, and take own files from their source.

    Args:
        folder: put in front of Python's path.
        is_own: whether a file is the user's own.
    """
    finder = _Finder(is_own)
    # Before Python's own finder, but after hooks that rewrite sources.
    place = next(
        (i for i, f in enumerate(sys.meta_path) if f is importlib.machinery.PathFinder),
        len(sys.meta_path),
    )
    sys.meta_path.insert(place, finder)  # type: ignore[arg-type]  # it has find_spec, all of a finder
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(finder)  # type: ignore[arg-type]  # as above
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def here() -> str:
    """Return the current folder, empty (for Python, the current one) if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""
