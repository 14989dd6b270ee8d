"""Second computations that hardly any member of a batch needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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


def computed_where_needed(
    compute: Callable[..., Any], together: bool = False
) -> Callable[..., Any]:
    """Return (needed, otherwise, *arguments) -> compute(*arguments) for who needs it in a batch.

    Everybody else has `otherwise`, of the same structure, or what would have been computed: no
    caller may tell them apart. On accelerators everything is computed for everybody.

    Args:
        compute: (*arguments) -> arrays.
        together: compute for all of a batch as soon as one of its members needs it, by which bits
            are those of a batch that always does; else for one member after the other.
    """

    def one(needed: Array, otherwise: Any, *arguments: Any) -> Any:
        return jax.lax.cond(needed, lambda: compute(*arguments), lambda: otherwise)

    chosen = jax.custom_batching.custom_vmap(one)

    @chosen.def_vmap
    def _batch(size: int, batched: Any, needed: Array, otherwise: Any, *arguments: Any) -> Any:
        has_needed, has_known, *has = batched
        known = jax.tree.map(
            lambda array, has: array if has else jnp.broadcast_to(array, (size, *jnp.shape(array))),
            otherwise,
            has_known,
        )
        axes = tuple(jax.tree.map(lambda has: 0 if has else None, has))
        every = partial(jax.vmap(compute, axes, axis_size=size), *arguments)
        if jax.default_backend() != "cpu":
            results = every()
        elif together or not has_needed:
            results = jax.lax.cond(needed.any(), every, lambda: known)
        else:
            (places,) = jnp.nonzero(needed, size=size)

            def next_one(number: Array, known: Any) -> Any:
                place = places[number]
                own = jax.tree.map(lambda a, has: a[place] if has else a, arguments, tuple(has))
                return jax.tree.map(lambda a, b: a.at[place].set(b), known, compute(*own))

            results = jax.lax.fori_loop(0, needed.sum(), next_one, known)
        return results, jax.tree.map(lambda _: True, results)

    return chosen
