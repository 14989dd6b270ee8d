"""Finished searches for bounds of inf L, remembered for other directories of the same user.

A search from nothing that ends by itself would find the same again: its steps do not depend on the
clock. What it leaves is kept in the user's cache, under a digest of the code, the libraries it
computes with and the processor, and copied where a study asks for the same hypothesis class again.
Nothing in it is believed there either: whoever reads it has it verified.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from functools import lru_cache
from pathlib import Path

import numpy as np

from jaxsim.errors import InputError
from jaxsim.optimum.solve import Certificates
from jaxsim.optimum.strategy import Certificate, CertificateError
from jaxsim.package import package_digest
from jaxsim.processor import features, processor
from jaxsim.results.certificates import CertificateFiles
from jaxsim.startup import cache_directory, forget_older_half
from jaxsim.study.study import Study

LIBRARIES = "jax", "jaxlib", "numpy", "scipy"
"""With which searches compute."""
MOST_KEPT = 400
"""Files in the cache; beyond it the older half goes."""
LARGEST = 1 << 20
"""Bytes of the arrays of a certificate that is kept."""


class KnownCertificates:
    """Certificates of a directory, with those that the user's cache has already.

    Args:
        files: of the directory.
        cache: folder of the cache.
    """

    def __init__(self, files: CertificateFiles, cache: Path) -> None:
        self.files, self.cache = files, cache
        self._from_nothing: set[tuple[str, str]] = set()

    def load(self, key: str, strategy: str) -> Certificate | None:
        """Return the certificate of the directory, or of the cache, then copied into it.

        Raises:
            CertificateError: if that of the directory cannot be read.
        """
        found = self.files.load(key, strategy)
        if found is not None or (key, strategy) in self._from_nothing:
            return found
        self._from_nothing.add((key, strategy))
        with contextlib.suppress(CertificateError):
            found = self._kept().load(key, strategy)
        if found is None or not found.finished:
            return None
        self.files.save(key, found)
        return found

    def place(self, key: str, strategy: str) -> str:
        """Return where it is kept, for sentences."""
        return self.files.place(key, strategy)

    def save(self, key: str, certificate: Certificate) -> None:
        """Keep a certificate, and in the cache, too, if it is the whole search's.

        Raises:
            InputError: if it cannot be written to the directory.
        """
        self.files.save(key, certificate)
        small = sum(np.asarray(a).nbytes for a in certificate.arrays.values()) <= LARGEST
        whole = certificate.finished and (key, certificate.strategy) in self._from_nothing
        if small and whole:
            # A cache that cannot be written costs only time.
            with contextlib.suppress(OSError, InputError):
                self._kept().save(key, certificate)
                forget_older_half(self.cache.glob("*/*/*/*.npz"), MOST_KEPT)

    def _kept(self) -> CertificateFiles:
        return CertificateFiles(self.cache / _digest())


def certificates_of(study: Study, directory: Path) -> Certificates:
    """Return the certificates of a directory; alone where a study's code is not all jaxsim's."""
    files = CertificateFiles(directory)
    if study.own_code:
        return files
    return KnownCertificates(files, cache_directory() / "certificates")


@lru_cache(maxsize=1)
def _digest() -> str:
    """Return a digest of what a search depends on besides the hypothesis class."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    facts = [package_digest(), *versions, processor(), features()]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]
