"""A copy of the package beside the results: the code that runs is the code that was submitted."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

from jaxsim.package import PACKAGE, package_digest, package_files
from jaxsim.results.files import SNAPSHOT, unwritable, write_atomically


def source_home(directory: Path) -> Path:
    """Return the folder of the copy, DIR/launch/code/<digest of the package>."""
    return directory / "launch" / "code" / package_digest()[:16]


def keep_source(directory: Path) -> Path:
    """Copy the package into `source_home`; return that folder.

    A copy of the same content is used again: what it contains decides, not what it is called, for
    the directory may be a stranger's. Its SOURCE.json tells commit and versions.

    Raises:
        InputError: if it cannot be written.
    """
    from jaxsim.results.provenance import commit, jaxsim_version, versions

    home = source_home(directory)
    if _is_whole(home):
        return home
    if home.is_symlink():
        home.unlink()
    shutil.rmtree(home, ignore_errors=True)
    beside = home.with_name(f".{home.name}.{uuid.uuid4().hex[:8]}")
    try:
        for path in package_files(PACKAGE):
            to = beside / PACKAGE.name / path.relative_to(PACKAGE)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
        facts = {"commit": commit(), "version": jaxsim_version(), "versions": versions()}
        write_atomically(beside / SNAPSHOT, (json.dumps(facts, indent=2) + "\n").encode())
        try:
            os.rename(beside, home)
        except OSError:
            # Somebody else has just made the same one.
            if not _is_whole(home):
                raise
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise unwritable(home, error) from error
    return home


def _is_whole(home: Path) -> bool:
    """Return whether a folder holds the package and its description, and nothing else.

    Nothing else: neither links, nor compiled code (`__pycache__`), which need not be that of the
    source beside it. Python is told to keep that elsewhere (PYTHONPYCACHEPREFIX).
    """
    wanted = {Path(PACKAGE.name) / p.relative_to(PACKAGE) for p in package_files(PACKAGE)}
    copied = set()
    try:
        if home.is_symlink():
            return False
        for folder, folders, files in os.walk(home):
            if any(os.path.islink(os.path.join(folder, name)) for name in folders + files):
                return False
            copied |= {Path(folder, name).relative_to(home) for name in files}
        return (
            copied == wanted | {Path(SNAPSHOT)}
            and package_digest(home / PACKAGE.name) == package_digest()
        )
    except OSError:
        return False
