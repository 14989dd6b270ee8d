"""Writing files so that a reader sees the whole content or none, even after a crash."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from jaxsim.errors import InputError

MANIFEST = "study.json"
"""The file of a directory of results that says which study it holds."""
SNAPSHOT = "SOURCE.json"
"""Beside a copied package: what it was copied from."""
TEMPORARY = ".*.tmp"
"""Pattern of the names of files that are being written."""


class NoRegularFile(OSError):
    """A pipe, socket or device stands where a file should: it holds no data of anybody's."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe in its place, which a stranger may have left, never waits.

    Raises:
        OSError: if it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise NoRegularFile(errno.EINVAL, "it is no regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> str:
    """Return the text of a file; as `open_regular`."""
    with open_regular(path) as file:
        return file.read().decode("utf-8")


def sealed(content: bytes) -> bytes:
    """Return a content with its SHA-256 behind it, where readers of zip files ignore it."""
    return content + hashlib.sha256(content).digest()


def unsealed(content: bytes) -> bytes:
    """Return a content without its SHA-256.

    Raises:
        ValueError: if it is not its own: zip files check less than all of their bytes.
    """
    size = hashlib.sha256().digest_size
    if sealed(content[:-size]) != content:
        raise ValueError("it is damaged")
    return content[:-size]


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same directory, sync, rename.

    Raises:
        InputError: if the disk is full or the directory cannot be written; nothing that was
            there before is touched.
    """
    _write(path, content, os.replace)


def create_atomically(path: Path, content: bytes) -> bool:
    """Write a file that nobody else has written; return False if there is one.

    Of several processes that try at once, on whatever hosts that share the directory, exactly one
    succeeds, and no reader sees a part of its content.

    Raises:
        InputError: as `write_atomically`.
    """
    try:
        _write(path, content, _link)
    except FileExistsError:
        return False
    return True


def _write(path: Path, content: bytes, publish: Callable[[Path, Path], object]) -> None:
    """Write and sync a temporary file beside `path`, then give it its name by `publish`."""
    require_no_link(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
        _sync_directory(path.parent)
    except FileExistsError as error:
        if publish is os.replace:
            raise unwritable(path, error) from error
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    """Give a finished file its name unless the name is taken: link() is atomic on NFS, too.

    Raises:
        FileExistsError: if the name is taken.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno == errno.EEXIST:
            # A server that answers a repeated request reports the link that the first one made.
            if not _is_same_file(temporary, path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        elif error.errno in _NO_LINKS:
            _copy_exclusively(temporary, path)
        else:
            raise


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
"""What file systems without hard links (FAT, some of FUSE) answer."""


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


def _copy_exclusively(temporary: Path, path: Path) -> None:
    with open(path, "xb") as file:
        file.write(temporary.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def require_no_link(folder: Path, directory: Path | None = None) -> None:
    """Check that a folder inside a directory of results leads nowhere else.

    The directory may be a stranger's: what is written into it must not go where its links point.
    The directory itself, and what it lies in, may be reached by links: they are the user's.

    Args:
        folder: that something is to be written into.
        directory: of results; None for the one whose manifest lies above the folder, if any does.

    Raises:
        InputError: if it or a folder between it and the directory is a symbolic link.
    """
    chain = [folder, *folder.parents]
    links = [n for n, part in enumerate(chain) if part.is_symlink()]
    above = chain[links[0] + 1 :] if links else []
    if directory in above if directory else any(_holds_study(part) for part in above):
        raise InputError(
            f"{str(chain[links[0]])!r} is a symbolic link inside a directory of results, and "
            "nothing is written through one; remove it and run the same command again"
        )


def _holds_study(directory: Path) -> bool:
    """Return whether a directory holds a manifest of ours; that of an outer project is none."""
    try:
        manifest = json.loads(read_regular(directory / MANIFEST))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and "schema" in manifest and "experiments" in manifest


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
