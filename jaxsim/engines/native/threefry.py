"""Random bits of JAX's default generator, drawn by a compiled program.

The same keys and the same bits as `jax.random` with the implementation "threefry2x32"
(`jaxsim.training.threefry`), a vector of counters at a time. XLA writes the twenty rounds out once
more for everything that is made of the bits, such as the y of a sample besides its x; what a
compiled program has drawn is there.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxsim.engines.native import library
from jaxsim.engines.native.program import BEGIN, END, Source, preamble
from jaxsim.training import threefry

WORD = np.dtype(np.uint32)
AT_A_TIME = 4
"""Vectors of hashes."""


def compiled(keys: Array) -> Array:
    """Return the same keys for the compiled implementation.

    Example:
        >>> key = jax.random.key(7, impl="threefry2x32")
        >>> float(jax.random.uniform(key)) == float(jax.random.uniform(compiled(key)))
        True
    """
    return jax.random.wrap_key_data(jax.random.key_data(keys), impl=_compiled())


@lru_cache(maxsize=2)
def bits_source(halves: bool) -> Source:
    """Return the program that hashes the counters 0, 1, 2, ... under each of many keys.

    Its argument are the keys uint32 [..., 2], its result the exclusive or of both words of each
    hash, uint32 [..., counters], or with `halves` the first and the second words as two results.
    """
    width = library.target().vector_bytes // WORD.itemsize
    results = ["high", "low"] if halves else ["bits"]
    values = dict(zip(results, ["a[j]", "b[j]"] if halves else ["a[j] ^ b[j]"], strict=True))
    lines = [
        *preamble(np.dtype(np.float32), width, width),
        "typedef uint32_t words __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));",
        # Rounds wait for each other, those of several hashes do not.
        f"#define EACH for (int j = 0; j < {AT_A_TIME}; j++)",
        "#define TURN(r) EACH \\",
        "{ a[j] += b[j]; b[j] = (b[j] << r) | (b[j] >> (32 - r)); b[j] ^= a[j]; }",
        *BEGIN,
        "const uint32_t *const key = argument(frame, 0);",
        *(f"uint32_t *const {name} = result(frame, {n});" for n, name in enumerate(results)),
        "const size_t keys = count(frame->args.args[0]) / 2;",
        "const size_t size = keys ? count(frame->rets.rets[0]) / keys : 0;",
        "words first;",
        "for (int l = 0; l < V; l++) first[l] = l;",
        "int ended = 0;",
        "for (size_t k = 0, i = 0; size && k < keys;) {",
        f"words a[{AT_A_TIME}], b[{AT_A_TIME}];",
        f"uint32_t k0[{AT_A_TIME}], k1[{AT_A_TIME}], k2[{AT_A_TIME}];",
        f"size_t place[{AT_A_TIME}], rest[{AT_A_TIME}];",
        "EACH {",
        "k0[j] = key[2 * k]; k1[j] = key[2 * k + 1];",
        f"k2[j] = k0[j] ^ k1[j] ^ {threefry.PARITY}u;",
        "a[j] = k0[j] - (words){0}; b[j] = first + (uint32_t)i + k1[j];",
        "place[j] = k * size + i; rest[j] = size - i;",
        # Behind the last one it is done again.
        "if ((i += V) >= size) { i = 0; if (++k == keys) { k--; ended = 1; } }",
        "}",
        *_rounds(),
        "EACH {",
        *(
            f"if (rest[j] >= V) *(words *)({name} + place[j]) = {text}; "
            f"else {{ const words part = {text}; "
            f"memcpy({name} + place[j], &part, 4 * rest[j]); }}"
            for name, text in values.items()
        ),
        "} if (ended) break; }",
        *END,
        "",
    ]
    return Source("\n".join(lines), 0)


def _rounds() -> list[str]:
    """Return the twenty rounds of Threefry-2x32, as in `jaxsim.training.threefry.hash_pair`."""
    lines = []
    for block in range(5):
        lines += [f"TURN({r})" for r in threefry.ROTATIONS[block % 2]]
        words = f"a[j] += k{(block + 1) % 3}[j]; b[j] += k{(block + 2) % 3}[j] + {block + 1}u;"
        lines.append(f"EACH {{ {words} }}")
    return lines


def _hashes(key: Array, size: int, halves: bool) -> list[Array]:
    shapes = [jax.ShapeDtypeStruct((size,), WORD)] * (1 + halves)
    name = library.load(bits_source(halves))
    return list(jax.ffi.ffi_call(name, shapes, vmap_method="expand_dims")(key))


def _random_bits(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    size = math.prod(shape)
    if bit_width == 64:
        high, low = (word.astype(np.uint64) for word in _hashes(key, size, True))
        return ((high << np.uint64(32)) | low).reshape(shape)
    (bits,) = _hashes(key, size, False)
    return bits.astype(np.dtype(f"uint{bit_width}")).reshape(shape)


@lru_cache(maxsize=1)
def _compiled() -> Any:
    def hashes(key: Array, size: int) -> list[Array]:
        return _hashes(key, size, True)

    return threefry.implementation("threefry2x32_compiled", "frc", hashes, _random_bits)
