"""A report that was made before and would be the same now: its text is shown again.

Most of the time of `jaxsim report` is that of the libraries it loads and of an analysis whose every
input is as it was. What was printed is remembered in the user's cache with the digests of the files
that were written, under a digest of all that a report depends on: the study and the state of every
file beside it, what is asked for, the terminal, the code and the libraries. If any of them differs,
or any written file is not as it was, the report is made anew.

Studies that refer to files or code of the user's own are always analysed: what they refer to may
have changed. Nothing here imports JAX.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from jaxsim.errors import InputError
from jaxsim.report.kept_figures import (
    digest_of,
    drawing_digest,
    forget_old,
    settings_are_of_files,
)
from jaxsim.results.files import MANIFEST, read_regular, write_atomically
from jaxsim.startup import cache_directory

if TYPE_CHECKING:
    from jaxsim.study.study import Study

LIBRARIES = (
    "jax", "jaxlib", "optax", "flax", "numpy", "scipy", "pandas", "pyarrow", "pydantic", "rich",
    "jinja2", "scikit-learn",
)  # fmt: skip
"""Whose versions a report depends on, beside those that draw."""
WRITTEN = ("plots", "figures", "reports")
"""Folders that no report reads."""
VARIABLES = ("JAX", "XLA", "CUDA", "HIP", "ROCR", "LC_", "LANG", "PYTHONHASHSEED", "OMP_", "MKL_")
"""Beginnings of the names of variables that what is computed or written may depend on."""


class KeptReport:
    """The report of a directory, as far as it is remembered.

    Args:
        directory: of the results.
        place: of the report's files.
        asked: options of the report.
        console: that it is printed to.
        write: writes text, laid out and coloured for the console, to where that prints.
    """

    def __init__(
        self,
        directory: Path,
        place: Path,
        asked: Sequence[object],
        console: Console,
        write: Callable[[str], None],
    ) -> None:
        self.directory, self.place, self.console = Path(directory), Path(place), console
        self._write = write
        self._asked = [str(directory), str(self.directory.resolve()), str(place), *map(str, asked)]
        self._key = self._digest()

    def show(self) -> bool:
        """Print the report if it would be the same as before; return whether it was printed."""
        if self._key is None:
            return False
        try:
            record = json.loads(read_regular(self._path(self._key)))
            whole = all(_digest(self.place / name) == d for name, d in record["files"].items())
            text = record["text"]
        except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError):
            return False
        if not whole or not isinstance(text, str) or not text:
            return False
        self._write(text)
        return True

    @contextlib.contextmanager
    def remembering(self, study: Study, files: Iterable[str]) -> Iterator[None]:
        """Print what is printed inside at the end, and remember it if nothing changed meanwhile.

        Args:
            study: that is answered.
            files: names of all files that a report may write, whether this one does or not.
        """
        text = ""
        self.console.begin_capture()
        try:
            yield
        finally:
            text = self.console.end_capture()
            if text:
                self._write(text)
        # What came meanwhile may be in the report or not.
        if self._key is None or self._key != self._digest() or _refers_to_more(study):
            return
        with contextlib.suppress(OSError, InputError):
            digests = {name: _digest(self.place / name) for name in sorted(files)}
            path = self._path(self._key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps({"files": digests, "text": text}).encode())
            forget_old(path.parent)

    def _path(self, key: str) -> Path:
        return cache_directory() / "reports" / f"{key}.json"

    def _digest(self) -> str | None:
        """Return a digest of all that the report depends on; None if that cannot be told."""
        if not settings_are_of_files():
            return None
        digest = hashlib.sha256()
        try:
            digest.update(read_regular(self.directory / MANIFEST).encode())
            facts = [
                drawing_digest(), *self._asked, *_libraries(), *_machine(),
                *_variables(), *_terminal(self.console), *_states(self.directory),
            ]  # fmt: skip
        except (OSError, ValueError):
            return None
        digest.update("\0".join(facts).encode(errors="surrogateescape"))
        return digest.hexdigest()


def report_directory(directory: Path, settings: Sequence[str]) -> Path:
    """Return where the answer to changed questions goes, so that it replaces no other.

    Example:
        >>> report_directory(Path("runs/a"), ["epsilon=[0.02]"]).parts[:3]
        ('runs', 'a', 'reports')
    """
    if not settings:
        return Path(directory)
    text = " ".join(settings)
    name = re.sub(r"[^A-Za-z0-9.=_-]+", "_", text).strip("_")[:60]
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Path(directory) / "reports" / f"{name}-{digest}"


def _digest(path: Path) -> str | None:
    """Return the digest of a file; None if there is none."""
    try:
        return digest_of(path)
    except FileNotFoundError:
        return None


def _states(directory: Path) -> Iterator[str]:
    """Yield name, size, times and number of every file below the folders that a report reads.

    Raises:
        ValueError: for links, behind which anything may change.
    """
    folders = [directory]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            state = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(state.st_mode):
                raise ValueError("a link")
            if stat.S_ISDIR(state.st_mode):
                if folder != directory or entry.name not in WRITTEN:
                    folders.append(Path(entry.path))
            elif folder != directory or entry.name == MANIFEST:
                times = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
                yield f"{entry.path} {times}"


def _libraries() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"no {name}"


def _machine() -> Iterator[str]:
    """Yield what last bits and the words of a report may depend on besides."""
    yield platform.python_version()
    yield from platform.uname()
    yield " ".join(platform.libc_ver())


def _variables() -> Iterator[str]:
    for name in sorted(os.environ):
        if name.startswith(VARIABLES):
            yield f"{name}={os.environ[name]}"


def _terminal(console: Console) -> Iterator[str]:
    """Yield what the same text is laid out and coloured by."""
    yield f"{console.width} {console.is_terminal} {console.color_system} {console.no_color}"
    yield f"{console.encoding} {console.legacy_windows} {console.safe_box} {console.soft_wrap}"


def _refers_to_more(study: Study) -> bool:
    """Return whether a study depends on files or code that its directory does not hold."""
    if study.own_code:
        return True
    return _names_a_file(study.spec.model_dump(mode="json"))


def _names_a_file(value: object) -> bool:
    if isinstance(value, dict):
        if value.get("path") is not None:
            return True
        return any(_names_a_file(inner) for inner in value.values())
    return isinstance(value, list) and any(_names_a_file(inner) for inner in value)
