"""A copy of the package beside the results: the code that runs is the code that was submitted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

from jaxsim.results.files import unwritable, write_atomically
from jaxsim.results.provenance import SNAPSHOT, commit, jaxsim_version, versions

_PACKAGE = Path(__file__).resolve().parents[1]


def source_home(directory: Path) -> Path:
    """Return the folder of the copy, DIR/launch/code/<digest of the package>."""
    digest = hashlib.sha256()
    for path in _files():
        name = str(path.relative_to(_PACKAGE))
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return directory / "launch" / "code" / digest.hexdigest()[:16]


def keep_source(directory: Path) -> Path:
    """Copy the package into `source_home`; return that folder.

    A copy of the same content is used again. Its SOURCE.json tells commit and versions.

    Raises:
        InputError: if it cannot be written.
    """
    home = source_home(directory)
    if (home / SNAPSHOT).exists():
        return home
    beside = home.with_name(f".{home.name}.{uuid.uuid4().hex[:8]}")
    try:
        for path in _files():
            to = beside / _PACKAGE.name / path.relative_to(_PACKAGE)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
        facts = {"commit": commit(), "version": jaxsim_version(), "versions": versions()}
        write_atomically(beside / SNAPSHOT, (json.dumps(facts, indent=2) + "\n").encode())
        try:
            os.rename(beside, home)
        except OSError:
            # Somebody else has just made the same one.
            if not (home / SNAPSHOT).exists():
                raise
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise unwritable(home, error) from error
    return home


def _files() -> list[Path]:
    return sorted(
        p
        for p in _PACKAGE.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and not p.name.startswith(".")
    )
