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

from jaxsim.training.threefry import rolled, unrolled

_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
}
"""Primitives that call a function, and their parameter that holds it."""

_ON_KEYS = ("random_bits", "random_fold_in", "random_split")
"""Primitives whose first operand is a key that they hash."""

OnBits = Callable[[Any, Sequence[Any]], Array]
"""(primitive with its parameters, keys) -> random bits."""


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

        def record(equation: Any, operands: Sequence[Any]) -> Array:
            bits.append(_bind(equation, operands)[0])
            return bits[-1]

        _evaluate(closed.jaxpr, closed.consts, leaves, record)
        return bits

    def never() -> list[Array]:
        return [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]

    bits = iter(jax.lax.cond(n >= 0, drawn, never))
    made = _evaluate(closed.jaxpr, closed.consts, leaves, lambda equation, operands: next(bits))
    return jax.tree.unflatten(jax.tree.structure(result), made)


def _bits(jaxpr: Any) -> list[Any]:
    """Return the shapes of the random bits that a function and what it calls draw, in order.

    Those drawn in branches and loops are not among them.
    """
    shapes = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "random_bits":
            shapes.append(equation.outvars[0].aval)
        elif (called := _called(equation)) is not None:
            shapes += _bits(called[0])
    return shapes


def _called(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    """Return the function that an equation calls, and its constants."""
    parameter = _CALLS.get(equation.primitive.name)
    if parameter is None:
        return None
    closed = equation.params[parameter]
    return closed.jaxpr, closed.consts


def _evaluate(
    jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any], on_bits: OnBits
) -> list[Any]:
    known = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        called = _called(equation)
        if called is not None:
            results = _evaluate(*called, operands, on_bits)
        elif equation.primitive.name == "random_bits":
            results = [on_bits(equation, operands)]
        else:
            results = _bind(equation, operands)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _bind(equation: Any, operands: Sequence[Any]) -> list[Any]:
    primitive = equation.primitive
    hashes = primitive.name in _ON_KEYS and str(jax.random.key_impl(operands[0])) == "threefry2x32"
    if hashes:
        operands = [unrolled(operands[0]), *operands[1:]]
    results = primitive.bind(*operands, **primitive.get_bind_params(equation.params))
    if hashes and primitive.name != "random_bits":
        results = rolled(results)
    return list(results) if primitive.multiple_results else [results]
