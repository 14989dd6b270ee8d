"""Two CPU devices, so that sharing work is always exercised, and one compilation cache for all.

Tests run on the CPU, even where there is a GPU, unless JAX_PLATFORMS says otherwise. Long files
come first, so that the processes that share the files end together.
"""

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_CACHE = tempfile.TemporaryDirectory(prefix="jaxsim-test-cache-")
os.environ.setdefault("JAXSIM_CACHE_DIR", _CACHE.name)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)

from jaxsim import runtime  # noqa: E402
from jaxsim.launch import searches  # noqa: E402

# Bounds of inf L are searched for where a test asks for it by a budget.
searches.LEAST_SECONDS, searches.PART = 0.0, math.inf
runtime.configure(2)
# From now on the number of devices stays, whatever a command asks for that a test runs in here.
assert jax.default_backend() != "cpu" or len(jax.local_devices()) == 2


@pytest.fixture(autouse=True)
def _no_leftovers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test has its own working directory."""
    monkeypatch.chdir(tmp_path)


LONG = ("launch/slurm/test_cluster", "engines/test_lanes", "launch/test_", "training/", "engines/")
"""Beginnings of the paths of long files below tests/, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by the length of files, otherwise keeping the order."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((n for n, begin in enumerate(LONG) if f"/tests/{begin}" in path), len(LONG))

    items.sort(key=place)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """Compiled programs are of no use to the next file, and gigabytes together."""
    yield
    jax.clear_caches()
