"""Tests that want a GPU: `JAX_PLATFORMS=cuda scripts/test -n 1 -m gpu`; skipped without one."""

from pathlib import Path

import jax
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if jax.default_backend() != "gpu":
                item.add_marker(pytest.mark.skip(reason="JAX_PLATFORMS names no GPU"))
