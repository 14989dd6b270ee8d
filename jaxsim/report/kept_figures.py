"""Figures that an earlier report drew and that would be drawn the same: they are left as they are.

Drawing takes longer than computing what is drawn, and most reports of a directory differ from the
one before in nothing that a figure shows. What was drawn is remembered in the user's cache, which
is trusted as compiled programs are, not in the directory, which may be a stranger's: the digests of
the files, under a digest of all they depend on (the answer, the code and libraries that draw,
settings of Matplotlib's). If any of them differs, everything is drawn.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from jaxsim.errors import InputError
from jaxsim.package import package_digest
from jaxsim.results.files import open_regular, read_regular, write_atomically
from jaxsim.startup import cache_directory, forget_older_half

_MOST = 2000
"""Records in the cache, of about a kilobyte each; beyond it the older half goes."""


class KeptFigures:
    """Figures that are drawn together, from the same content.

    Args:
        folder: of the figures.
        content: text that determines, with the code, what is drawn.
    """

    def __init__(self, folder: Path, content: str) -> None:
        self.folder = folder
        key = hashlib.sha256(f"{drawing_digest()}\0{content}".encode()).hexdigest()
        self.record = cache_directory() / "figures" / f"{key}.json"

    def drawn(self, draw: Callable[[], Iterable[Path]]) -> set[str]:
        """Return the names of the files, of `draw` unless they are there as it would draw them."""
        names = self.find()
        if names is None:
            names = {path.name for path in draw()}
            self.remember(names)
        return names

    def find(self) -> set[str] | None:
        """Return the names of the files if all are there as they would be drawn now, else None."""
        if not settings_are_of_files():
            return None
        try:
            files = json.loads(read_regular(self.record))
            whole = all(digest_of(self.folder / name) == digest for name, digest in files.items())
        except (OSError, ValueError, AttributeError, TypeError):
            return None
        return set(files) if whole else None

    def remember(self, names: Iterable[str]) -> None:
        """Remember files that were just drawn; a cache that cannot be written costs only time."""
        if not settings_are_of_files():
            return
        with contextlib.suppress(OSError, InputError):
            files = {name: digest_of(self.folder / name) for name in sorted(names)}
            self.record.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.record, json.dumps(files).encode())
            forget_old(self.record.parent)


def forget_old(folder: Path) -> None:
    """Remove the older half of the records of a folder if there are too many."""
    forget_older_half(folder.glob("*.json"), _MOST)


def digest_of(path: Path) -> str:
    """Return the digest of a file.

    Raises:
        OSError: if it cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.sha256(file.read()).hexdigest()


@lru_cache(maxsize=1)
def drawing_digest() -> str:
    """Return a digest of everything besides the content that figures depend on."""
    digest = hashlib.sha256()
    for name in ("matplotlib", "numpy", "pillow", "kiwisolver", "contourpy"):
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    digest.update(f"{package_digest()}\0".encode())
    for path in filter(Path.is_file, _settings_files()):
        digest.update(f"{path}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _settings_files() -> list[Path]:
    """Return where Matplotlib looks for the user's settings."""
    given = os.environ.get("MATPLOTLIBRC")
    folder = os.environ.get("MPLCONFIGDIR")
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    places = [Path("matplotlibrc").resolve(), Path(base, "matplotlib", "matplotlibrc")]
    places += [Path.home() / ".matplotlib" / "matplotlibrc"]
    places += [Path(given), Path(given, "matplotlibrc")] if given else []
    return [*places, Path(folder, "matplotlibrc")] if folder else places


def settings_are_of_files() -> bool:
    """Return whether nobody has changed Matplotlib's settings in this process."""
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None:
        return True
    now, read = (
        {k: v for k, v in settings.items() if k != "backend"}
        for settings in (matplotlib.rcParams, matplotlib.rcParamsOrig)
    )
    return now == read
