"""What killed workers leave and nobody will use: half-written files, beginnings of whole shards."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from pathlib import Path

from jaxsim.launch.directory import Directory
from jaxsim.launch.shard_checkpoint import FOLDER, shard_name
from jaxsim.results.files import TEMPORARY, file_time

ABANDONED = 24 * 3600.0
"""Seconds after which nobody still writes a temporary file."""


def remove_stale(directory: Directory) -> None:
    """Remove them; whatever cannot be removed stays.

    Ages are differences of the file system's own times: clocks of hosts may be wrong.
    """
    root = directory.store.directory
    now = file_time(root)
    for folder, folders, files in os.walk(root):
        # Folders come and go while a launch copies the package; it cleans up behind itself.
        folders[:] = [name for name in folders if name != "code"]
        for name in fnmatch.filter(files, TEMPORARY):
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > ABANDONED:
                    path.unlink()
    _remove_stale_beginnings(directory, root / FOLDER)


def _remove_stale_beginnings(directory: Directory, folder: Path) -> None:
    if folder.is_symlink():
        return  # what it points to is not ours
    paths = {path.name: path for path in folder.glob("*.npz")}
    if not paths:
        return
    for _, shard in directory.planned():
        path = paths.get(shard_name(shard))
        if path is not None and directory.store.has(shard):
            with contextlib.suppress(OSError):
                path.unlink()
