"""JAX's default random numbers, written so that CPUs draw them fast.

Threefry-2x32 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") hashes a counter
by twenty rounds of additions, rotations and exclusive ors. On a CPU, JAX compiles the rounds as a
loop over whole arrays, through memory; written out, XLA fuses them with what is made of the bits.
The bits are those of `jax.random` with the implementation "threefry2x32" (partitionable, its
default), so that keys may change over at any point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def unrolled(keys: Array) -> Array:
    """Return the same keys for the written-out implementation.

    Example:
        >>> key = jax.random.key(7, impl="threefry2x32")
        >>> float(jax.random.uniform(key)) == float(jax.random.uniform(unrolled(key)))
        True
    """
    return jax.random.wrap_key_data(jax.random.key_data(keys), impl=_unrolled())


def rolled(keys: Array) -> Array:
    """Return the same keys for JAX's own implementation."""
    return jax.random.wrap_key_data(jax.random.key_data(keys), impl="threefry2x32")


def hash_pair(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return Threefry-2x32 of a counter under a key, all uint32 of one shape or broadcast."""
    words = (*key, key[0] ^ key[1] ^ PARITY)
    a, b = counter[0] + words[0], counter[1] + words[1]
    for block in range(5):
        for rotation in ROTATIONS[block % 2]:
            a = a + b
            b = (b << np.uint32(rotation)) | (b >> np.uint32(32 - rotation))
            b = a ^ b
        a = a + words[(block + 1) % 3]
        b = b + words[(block + 2) % 3] + np.uint32(block + 1)
    return a, b


_hash_pair = jax.jit(hash_pair)
"""All programs of a process trace it once for each shape."""


def _hashes(key: Array, size: int) -> tuple[Array, Array]:
    """Return the hashes of 0, 1, 2, ..., in memory: long loops, and none of them done twice."""
    if size > 1 << 32:
        raise NotImplementedError(f"more than 2**32 numbers in one draw: {size}")
    low = jax.lax.iota(np.uint32, size)
    return _hash_pair((key[0], key[1]), (jnp.zeros_like(low), low))


def _seed(number: Array) -> Array:
    """Return the words of the key of a seed, [2]."""
    number = number.astype(np.uint64)
    return jnp.stack([(number >> np.uint64(32)), number & np.uint64(0xFFFFFFFF)]).astype(np.uint32)


def _fold_in(key: Array, data: ArrayLike) -> Array:
    """Return the words of the key that a number leads to, [2]."""
    data = jnp.asarray(data).astype(np.uint32)
    (folded,) = jax.lax.optimization_barrier(
        (jnp.stack(_hash_pair((key[0], key[1]), (jnp.zeros_like(data), data))),)
    )
    return folded


def _random_bits(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    high, low = _hashes(key, math.prod(shape))
    if bit_width == 64:
        bits = (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    else:
        bits = (high ^ low).astype(np.dtype(f"uint{bit_width}"))
    (bits,) = jax.lax.optimization_barrier((bits,))
    return bits.reshape(shape)


def implementation(
    name: str,
    tag: str,
    hashes: Callable[[Array, int], Sequence[Array]],
    random_bits: Callable[[Array, int, tuple[int, ...]], Array],
) -> Any:
    """Return JAX's default generator with hashes and bits that are computed in some way.

    Args:
        name: of the implementation of keys.
        tag: three letters for it.
        hashes: (key, size) -> both words of the hashes of 0, 1, 2, ..., uint32 [size] each.
        random_bits: (key, width of a number, shape) -> random bits.
    """

    def split(key: Array, shape: tuple[int, ...]) -> Array:
        return jnp.stack(hashes(key, math.prod(shape)), axis=-1).reshape(*shape, 2)

    return jax.extend.random.define_prng_impl(
        key_shape=(2,),
        seed=_seed,
        split=split,
        random_bits=random_bits,
        fold_in=_fold_in,
        name=name,
        tag=tag,
    )


@lru_cache(maxsize=1)
def _unrolled() -> Any:
    return implementation("threefry2x32_unrolled", "fru", _hashes, _random_bits)
