"""Writing files so that a reader sees the whole content or none, even after a crash."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from pathlib import Path

from jaxsim.errors import InputError

TEMPORARY = ".*.tmp"
"""Pattern of the names of files that are being written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same directory, sync, rename.

    Raises:
        InputError: if the disk is full or the directory cannot be written; nothing that was
            there before is touched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def file_time(folder: Path) -> float:
    """Return the time of a folder's file system, by touching a file where that is possible."""
    probe = folder / f".{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def unwritable(path: Path, error: OSError) -> InputError:
    """Return the sentence for a failed write."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(
            f"output = {str(path.parent)!r} has no room left ({reason}); free some space and run "
            "the same command again: finished shards are kept"
        )
    return InputError(
        f"output = {str(path.parent)!r} cannot be written ({reason}); choose a directory that can"
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        # Some network file systems cannot sync directories; the rename itself is atomic.
        pass
    finally:
        os.close(descriptor)


def names_in(folder: Path) -> list[str]:
    """Return the names of what is in a folder, by one listing; none if there is no such folder.

    Raises:
        InputError: if it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be listed: {error.strerror}") from None
