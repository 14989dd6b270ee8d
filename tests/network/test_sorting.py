"""Sorting by counting against NumPy's stable sort."""

import jax
import numpy as np
import pytest

from jaxsim.network.sorting import increasing, ranks

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("size", [1, 2, 17, 256, 257, 400])
@pytest.mark.parametrize("levels", [3, 10**9])
def test_a_stable_sort(size, levels):
    x = RNG.integers(0, levels, size) / levels
    x[RNG.random(size) < 0.2] = np.inf
    x[RNG.random(size) < 0.1] = -0.0
    other = np.arange(size, dtype=np.int32)
    order = np.argsort(x, kind="stable")
    found, followed = jax.jit(increasing)(x, other)
    assert np.array_equal(found, x[order])
    assert np.array_equal(followed, order)
    assert np.array_equal(
        jax.jit(ranks)(x[order[::-1]][None])[0],
        np.argsort(np.argsort(x[order[::-1]], kind="stable")),
    )


def test_rows_are_ranked_by_themselves():
    x = RNG.integers(0, 4, (5, 7, 9)) / 4.0
    wanted = np.argsort(np.argsort(x, axis=-1, kind="stable"), axis=-1)
    assert np.array_equal(jax.jit(ranks)(x), wanted)


@pytest.mark.parametrize("size", [40, 300])
def test_not_a_numbers_are_not_lost(size):
    x = RNG.random(size)
    x[[3, 17]] = np.nan
    (found,) = jax.jit(increasing)(x)
    assert np.array_equal(found, np.sort(x), equal_nan=True)
