"""A second computation that hardly any member of a batch needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Numbers = tuple[Array, Array]


def recomputed_where(
    doubtful: Callable[..., Array], compute: Callable[..., Numbers]
) -> Callable[..., Numbers]:
    """Return (numbers, *arguments) -> numbers, computed again where they are doubtful.

    In a batch the members that need it are computed one by one: `vmap` alone would compute all of
    them twice and choose afterwards.

    Args:
        doubtful: (*numbers) -> whether to compute again; elementwise.
        compute: (numbers, *arguments) -> numbers.
    """

    def one(numbers: Numbers, *arguments: Array) -> Numbers:
        return jax.lax.cond(
            doubtful(*numbers), lambda: compute(numbers, *arguments), lambda: numbers
        )

    chosen = jax.custom_batching.custom_vmap(one)

    @chosen.def_vmap
    def _batch(size: int, batched: Any, *operands: Any) -> tuple[Numbers, tuple[bool, bool]]:
        numbers, *arguments = jax.tree.map(
            lambda array, has: array if has else jnp.broadcast_to(array, (size, *array.shape)),
            operands,
            tuple(batched),
        )
        every = (numbers, *arguments)
        results = jax.lax.cond(
            doubtful(*numbers).any(),
            lambda: jax.lax.map(lambda operands: one(*operands), every),
            lambda: numbers,
        )
        return results, (True, True)

    return chosen
