"""Random draws whose bits are computed once, whatever is made of them.

XLA fuses the hashes of a generator with everything made of them, and computes them once for each:
a mini-batch that appears in a forward pass, a loss and two gradients is hashed four times. Here the
bits are computed apart, and stay in memory until the step has used them. What is made of the bits
(numbers, labels) is left to the compiler, as it was: how it rounds those does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.traces import called
from jaxsim.training.rewriting import WRITTEN_OUT, bind, evaluate
from jaxsim.training.threefry import rolled, unrolled

_ON_KEYS = ("random_bits", "random_fold_in", "random_split")
"""Primitives whose first operand is a key that they hash."""


def with_bits_apart(function: Callable[..., Any], n: Array, *arguments: Any) -> Any:
    """Return function(*arguments), its random bits computed by a program of their own.

    Args:
        function: draws from keys among its arguments. Their hashes are written out for CPUs.
        n: a number that is never negative, which the compiler does not know: what depends on it is
            not merged with anything. Under `jax.vmap`, the same for all.
        arguments: arrays, keys, and trees of them.
    """
    closed, result = jax.make_jaxpr(function, return_shape=True)(*arguments)
    leaves = jax.tree.leaves(arguments)
    shapes = _bits(closed.jaxpr)
    if not shapes or closed.effects:
        return function(*arguments)

    def drawn() -> list[Array]:
        bits: list[Array] = []

        def record(equation: Any, operands: Sequence[Any]) -> list[Any]:
            results = _written_out(equation, operands)
            if equation.primitive.name == "random_bits":
                bits.extend(results)
            return results

        evaluate(closed.jaxpr, closed.consts, leaves, record)
        return bits

    def never() -> list[Array]:
        return [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]

    bits = iter(jax.lax.cond(n >= 0, drawn, never))

    def replay(equation: Any, operands: Sequence[Any]) -> list[Any] | None:
        return [next(bits)] if equation.primitive.name == "random_bits" else None

    made = evaluate(closed.jaxpr, closed.consts, leaves, replay)
    return jax.tree.unflatten(jax.tree.structure(result), made)


def _bits(jaxpr: Any) -> list[Any]:
    """Return the shapes of the random bits that a function and what it calls draw, in order.

    Those drawn in branches and loops are not among them.
    """
    shapes = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "random_bits":
            shapes.append(equation.outvars[0].aval)
        elif (inner := called(equation, WRITTEN_OUT)) is not None:
            shapes += _bits(inner[0])
    return shapes


def _written_out(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """Return the results of an operation; JAX's default generator is written out."""
    name = equation.primitive.name
    if name not in _ON_KEYS or str(jax.random.key_impl(operands[0])) != "threefry2x32":
        return bind(equation, operands)
    (result,) = bind(equation, [unrolled(operands[0]), *operands[1:]])
    return [result if name == "random_bits" else rolled(result)]
