"""Random bits computed apart: the same numbers, hashed once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jaxsim.training.draws import with_bits_apart
from jaxsim.training.threefry import unrolled


def mixed(keys: Array, n: Array, scale: Array) -> dict[str, Array]:
    first, second = jax.random.split(jax.random.fold_in(keys, n))
    x = scale * jax.random.uniform(first, (5, 2), jnp.float32)
    noise = jax.jit(lambda key: jax.random.normal(key, (5,), jnp.float32))(second)
    return {"x": jax.nn.relu(x), "y": x.sum(1) ** 2 + noise, "rows": jax.random.bits(first, (3,))}


def shuffled(key: Array, n: Array, scale: Array) -> Array:
    order = jnp.arange(6)
    return jax.lax.cond(n == 0, lambda: order, lambda: jax.random.permutation(key, order))


def poisson(key: Array, n: Array, scale: Array) -> Array:
    """Draw from JAX's own generator only, and draw its bits in a loop."""
    return jax.random.poisson(key, scale, (4,)) + jax.random.bits(key, (4,)).astype(int)


def constant(key: Array, n: Array, scale: Array) -> Array:
    return scale * jnp.ones(3)


@pytest.mark.parametrize("function", [mixed, shuffled, poisson, constant])
def test_the_numbers_are_those_of_the_function(function):
    keys, scale = jax.random.split(jax.random.key(3), 2), jnp.asarray(1.5, jnp.float32)

    def apart(key: Array, n: Array, scale: Array) -> Any:
        return with_bits_apart(function, n, key, n, scale)

    for n in (0, 7):
        values = [
            jax.jit(jax.vmap(one, in_axes=(0, None, None)))(keys, n, scale)
            for one in (function, apart)
        ]
        for a, b in zip(*map(jax.tree.leaves, values), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="how CPUs compile it")
def test_bits_that_several_operations_use_are_hashed_once():
    def used(key: Array, n: Array) -> tuple[Array, Array]:
        x = jax.random.uniform(key, (16,))
        return jnp.sin(x).sum() * jnp.arange(4), jnp.cos(x) @ jnp.ones((16, 3))

    def rotations(function: Callable[..., Any]) -> int:
        keys = jax.random.split(jax.random.key(3), 8)
        many = jax.jit(jax.vmap(function, in_axes=(0, None)))
        return str(many.lower(keys, 0).compile().as_text()).count("shift-left(")

    # A hash has 20 rotations; one more shift takes a counter apart.
    assert rotations(lambda key, n: with_bits_apart(used, n, key, n)) < 25
    assert rotations(lambda key, n: used(unrolled(key), n)) >= 40
