"""Two CPU devices, so that sharing work is always exercised, and one compilation cache for all."""

import os
import tempfile
from pathlib import Path

import jax
import pytest

_CACHE = tempfile.TemporaryDirectory(prefix="jaxsim-test-cache-")
os.environ.setdefault("JAXSIM_CACHE_DIR", _CACHE.name)
jax.config.update("jax_num_cpu_devices", 2)

from jaxsim import runtime  # noqa: E402

runtime.configure(2)


@pytest.fixture(autouse=True)
def _no_leftovers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test has its own working directory."""
    monkeypatch.chdir(tmp_path)
