"""The compiled generator draws the bits of `jax.random`, whatever is drawn and however many."""

import jax
import numpy as np
import pytest

from jaxsim.engines.native import library
from jaxsim.engines.native.threefry import compiled

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")

DRAWS = {
    **{
        f"{n} of {width} bits": (lambda key, n=n, width=width: jax.random.bits(key, (n,), width))
        for width in ("uint8", "uint32", "uint64")
        for n in (1, 15, 16, 37)
    },
    "folded": lambda key: jax.random.normal(jax.random.fold_in(key, 3), (2, 5)),
    "split": lambda key: jax.random.key_data(jax.random.split(key, 3)),
    "permuted": lambda key: jax.random.permutation(key, 13),
    "indices": lambda key: jax.random.randint(key, (9,), 0, 5),
    "none": lambda key: jax.random.bits(key, (0,)),
}


@pytest.mark.parametrize("keys", [(), (7,), (3, 5)], ids=str)
def test_bits_are_those_of_jax_random(keys):
    def all_draws(key):
        return {name: draw(key) for name, draw in DRAWS.items()}

    for _ in keys:
        all_draws = jax.vmap(all_draws)
    key = jax.random.split(jax.random.key(11, impl="threefry2x32"), keys)
    expected = jax.jit(all_draws)(key)
    found = jax.jit(lambda key: all_draws(compiled(key)))(key)
    for name in DRAWS:
        np.testing.assert_array_equal(found[name], expected[name], name)
