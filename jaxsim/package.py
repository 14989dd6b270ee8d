"""What the code of this package is, as a digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def package_digest(package: Path | None = None) -> str:
    """Return a digest of the names and contents of a package's files, of this one by default."""
    package = package or PACKAGE
    digest = hashlib.sha256()
    for path in package_files(package):
        name = str(path.relative_to(package))
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def package_files(package: Path) -> list[Path]:
    """Return the files of a package, without what Python compiles of them."""
    return sorted(
        p
        for p in package.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and not p.name.startswith(".")
    )
