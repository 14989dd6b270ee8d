"""Certificates of the optimal risk in a directory of results.

    DIR/optimum/<hypothesis class>/<strategy>.npz

Arrays only, no pickles: what a search left, a text that says what it is of, and behind it all its
SHA-256. It appears by one rename. Nothing in it is believed: whoever reads it has it verified.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxsim.optimum.strategy import Certificate, CertificateError
from jaxsim.results.files import open_regular, sealed, unsealed, write_atomically

FOLDER = "optimum"
FORMAT = 1
"""Of the files: what has another one is made anew."""
LARGEST = 2**28
"""Bytes of a file: more is read of none."""
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, TypeError, AttributeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_ABOUT = "about"


class CertificateFiles:
    """Certificates as files of a directory.

    Args:
        directory: of results.
    """

    def __init__(self, directory: str | Path) -> None:
        self.folder = Path(directory) / FOLDER

    def path(self, key: str, strategy: str) -> Path:
        """Return where a certificate stands or will stand."""
        return self.folder / key / f"{strategy.replace(' ', '-')}.npz"

    def place(self, key: str, strategy: str) -> str:
        """Return where it stands, for sentences."""
        return f"certificate {str(self.path(key, strategy))!r}"

    def load(self, key: str, strategy: str) -> Certificate | None:
        """Return a certificate as it was written; None if there is none.

        Raises:
            CertificateError: if it is damaged, or another class's or strategy's.
        """
        try:
            with open_regular(self.path(key, strategy)) as file:
                content = file.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CertificateError(f"it cannot be read ({error.strerror})") from None
        if len(content) > LARGEST:
            raise CertificateError(f"it has more than {LARGEST:,} bytes")
        try:
            with np.load(io.BytesIO(unsealed(content)), allow_pickle=False) as file:
                if sum(part.file_size for part in file.zip.infolist()) > LARGEST:
                    raise CertificateError(f"it holds more than {LARGEST:,} bytes")
                arrays = {name: file[name] for name in file.files}
            about = json.loads(str(arrays.pop(_ABOUT)))
            # Earlier files say neither format nor version.
            layout, version = about.get("format", FORMAT), about.get("version", 0)
            whose, finished = (about["class"], about["strategy"]), about["finished"]
        except _UNREADABLE:
            raise CertificateError("it is damaged") from None
        if layout != FORMAT:
            raise CertificateError(f"its format is {str(layout)[:20]!r}; {FORMAT} is known here")
        if whose != (key, strategy):
            raise CertificateError("it is of another problem, network or strategy")
        sound = isinstance(finished, bool) and type(version) is int and version >= 0
        if not sound or not _are_plain(arrays):
            raise CertificateError("it holds what no search leaves")
        return Certificate(strategy, arrays, finished, version)

    def save(self, key: str, certificate: Certificate) -> None:
        """Write a certificate: all of it appears, or nothing.

        Raises:
            InputError: if it cannot be written.
            ValueError: for arrays that cannot be stored without pickles.
        """
        arrays = {name: np.asarray(array) for name, array in certificate.arrays.items()}
        if _ABOUT in arrays or not _are_plain(arrays):
            raise ValueError(f"a certificate of {certificate.strategy!r} holds more than numbers")
        about = {
            "format": FORMAT,
            "version": int(certificate.version),
            "class": key,
            "strategy": certificate.strategy,
            "finished": bool(certificate.finished),
        }
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{_ABOUT: np.array(json.dumps(about)), **arrays})
        path = self.path(key, certificate.strategy)
        write_atomically(path, sealed(buffer.getvalue()))


def _are_plain(arrays: Mapping[str, np.ndarray]) -> bool:
    return all(array.dtype.kind in "biuf" for array in arrays.values())
