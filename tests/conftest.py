"""One CPU device that two threads share, as users have it, and one compilation cache for all.

It remembers programs between runs of the suite, in .pytest_cache/compiled: delete that folder, or
set JAXSIM_CACHE_DIR to an empty one, to compile all of them again.

Tests run on the CPU, even where there is a GPU, unless JAX_PLATFORMS says otherwise. Long files
come first, so that the processes that share the files end together.
"""

import contextlib
import gc
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "compiled"
"""Programs that XLA compiled for earlier runs: to compile them is most of what the suite does."""
MOST_COMPILED = 40_000
"""Programs that are remembered, before the older half of them is forgotten."""


def _remember_compiled_programs() -> None:
    """Take compiled programs from earlier runs, unless a cache is given; all else begins anew.

    JAX finds a program by its text, its options and the version of XLA, so that changed code never
    meets an older program.
    """
    if os.environ["JAXSIM_CACHE_DIR"] != _CACHE.name:
        return
    # A checkout that cannot be written compiles anew each time.
    with contextlib.suppress(OSError):
        COMPILED.mkdir(parents=True, exist_ok=True)
        programs = sorted(COMPILED.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in programs[: len(programs) // 2] * (len(programs) > MOST_COMPILED):
            old.unlink(missing_ok=True)
        # Not by a link in the cache of this session: a program's key holds the name of the folder.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILED))


_CACHE = tempfile.TemporaryDirectory(prefix="jaxsim-test-cache-")
os.environ.setdefault("JAXSIM_CACHE_DIR", _CACHE.name)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
_remember_compiled_programs()
# Commands that tests start compile the package's sources once, not each of them all.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 1)
if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # a plugin may have imported JAX before
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])

from jaxsim import programs, runtime, startup  # noqa: E402
from jaxsim.launch import process, searches, simulate  # noqa: E402
from jaxsim.results.certificates import CertificateFiles  # noqa: E402

# Bounds of inf L are searched for where a test asks for it by a budget.
searches.LEAST_SECONDS, searches.PART = 0.0, math.inf
# Each of its own, whatever other tests have found.
for module in (process, simulate):
    module.certificates_of = lambda study, directory: CertificateFiles(directory)
# Tests replace functions, which no key of a kept program tells.
programs.enabled = False
runtime.configure(1)
# From now on the number of devices stays, whatever a command asks for that a test runs in here.
assert jax.default_backend() != "cpu" or len(jax.local_devices()) == 1


@pytest.fixture(autouse=True)
def _no_leftovers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test has its own working directory."""
    monkeypatch.chdir(tmp_path)


FIRST = ("launch/slurm/test_cluster", "engines/test_lanes")
LONG = (*FIRST, "launch/", "training/", "engines/", "report/")
"""Beginnings of the paths of long files below tests/, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by the length of files, otherwise keeping the order."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((n for n, begin in enumerate(LONG) if f"/tests/{begin}" in path), len(LONG))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Collect the garbage of tests only, and rarely: modules stay, and there are many."""
    gc.collect()
    gc.freeze()
    startup.collect_garbage_rarely()


KEPT = 2 * 2**30
"""Bytes of a process up to which it keeps compiled programs for the next file."""


def memory() -> float:
    """Return how many bytes of memory this process has; infinite where no system tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return math.inf


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """Compiled programs of all files are gigabytes together."""
    yield
    if memory() > KEPT:
        jax.clear_caches()
