"""One thread for small matrices.

Searches run beside training, which keeps all cores busy: a library that shares a product of a
thousand rows among threads then waits for the last of them, fifty times as long as it computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute linear algebra of NumPy and SciPy in the calling thread."""
    with threadpool_limits(1, "blas"):
        yield
