"""Sums over a mini-batch, written out in the order in which XLA's libraries for CPUs add them.

The gradient of a layer's weights is a sum of outer products over the mini-batch, that of its biases
a sum of rows. For many small networks at once XLA calls a library for each, which takes several
times as long as adding what is there. Written out they are compiled with the network. The numbers
are the same: a library adds

    products   s_k = fma(a_k, b_k, s_{k-1}) from s_0 = 0 on,
    rows       sixteen at a time, and of these four at a time, from the first to the last,

and so does the program. What it adds and the sums stay in memory, where no rounding is merged with
one that stands before or behind.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap

from jaxsim.training.rewriting import evaluate

MOST_TERMS = 32
"""Samples of a mini-batch up to which its sums are written out."""
MOST_WEIGHTS = 2048
"""Weights of a layer up to which adding takes less time than a call of the library."""
LIBRARY_SUMS = 4096
"""Numbers from which on XLA has a library add rows, and compute what follows if that is as long."""

Sum = Callable[..., Array]


def add_like_this() -> bool:
    """Return whether this processor's libraries are known to add in this order."""
    return jax.default_backend() == "cpu" and platform.machine().lower() in ("x86_64", "amd64")


def with_sums_written_out(function: Callable[..., Any], n: Array, *arguments: Any) -> Any:
    """Return function(*arguments); under `jax.vmap`, its sums over a mini-batch are written out.

    Args:
        function: of one member of a block.
        n: a number that is never negative, which the compiler does not know; the same for all
            members.
        arguments: arrays, and trees of them.
    """
    closed, result = jax.make_jaxpr(function, return_shape=True)(*arguments)
    longest = max(array.size for array in closed.out_avals)

    def rule(equation: Any, operands: Sequence[Any]) -> list[Any] | None:
        if _is_sum_of_rows(equation):
            (rows,) = operands

            def helps(width: int) -> bool:
                return width * rows.size >= LIBRARY_SUMS > width * longest

            return [_apart(lambda rows: rows.sum(0), sum_of_rows, helps)(n, rows)]
        if _is_readout(equation):
            a, b = operands
            return [_apart(jnp.matmul, _readout, lambda _: True)(n, a, b)]
        if _is_weight_gradient(equation):
            a, b = operands
            if a.shape[1] <= b.shape[1]:
                return [_apart(_library_products, sum_of_products, lambda _: True)(n, a, b)]
            # Long loops over what lies together in memory.
            return [_apart(_library_products, _swapped, lambda _: True, turned=True)(n, a, b)]
        return None

    made = evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments), rule)
    return jax.tree.unflatten(jax.tree.structure(result), made)


def _apart(
    library: Sum, written_out: Sum, helps: Callable[[int], bool], turned: bool = False
) -> Callable[..., Array]:
    """Return (n, arrays) -> their sum, written out for blocks whose members all have their own.

    Args:
        library: arrays -> their sum.
        written_out: (zero, arrays) -> their sum.
        helps: whether it is of use for a block of some width.
        turned: `written_out` returns the transpose.
    """

    @custom_vmap
    def total(n: Array, *arrays: Array) -> Array:
        return library(*arrays)

    @total.def_vmap
    def _(width: int, batched: Sequence[bool], n: Array, *arrays: Array) -> tuple[Array, bool]:
        axes = [0 if own else None for own in batched]
        if axes[0] is not None or None in axes[1:] or not helps(width):
            return jax.vmap(library, in_axes=axes[1:])(*arrays), any(batched[1:])
        # The compiler would drop a zero that it knows, and with it the sign of zeros.
        zero = jnp.where(n >= 0, 0, 1).astype(arrays[0].dtype)
        members = _members(written_out, len(arrays))
        shape = jax.eval_shape(members, zero, *arrays)

        def never(*_: Array) -> Array:
            return jnp.zeros(shape.shape, shape.dtype)

        sums = jax.lax.cond(n >= 0, members, never, zero, *arrays)
        return sums.mT if turned else sums, True

    return total


@lru_cache(maxsize=16)
def _members(written_out: Sum, arrays: int) -> Callable[..., Array]:
    """Return the sums of a block, which all programs of a process trace once for each shape."""
    return jax.jit(jax.vmap(written_out, in_axes=(None, *[0] * arrays)))


def sum_of_products(zero: Array, a: Array, b: Array) -> Array:
    """Return sum_k a_k b_k^T for a [K, m] and b [K, n]."""
    total = jnp.broadcast_to(zero, (a.shape[1], b.shape[1]))
    for k in range(a.shape[0]):
        left = jax.lax.slice_in_dim(a, k, k + 1).reshape(-1, 1)
        total = total + left * jax.lax.slice_in_dim(b, k, k + 1)
    return total


def sum_of_rows(zero: Array, rows: Array, sizes: Sequence[int] = (16, 4)) -> Array:
    """Return the sum of the rows [K, n], as many at a time as `sizes` say."""
    total = jnp.broadcast_to(zero, rows.shape[1:])
    if not sizes:
        for k in range(len(rows)):
            total = total + jax.lax.index_in_dim(rows, k, keepdims=False)
        return total
    for begin in range(0, len(rows), sizes[0]):
        end = min(begin + sizes[0], len(rows))
        total = total + sum_of_rows(zero, jax.lax.slice_in_dim(rows, begin, end), sizes[1:])
    return total


def _swapped(zero: Array, a: Array, b: Array) -> Array:
    return sum_of_products(zero, b, a)


def _readout(zero: Array, a: Array, b: Array) -> Array:
    return sum_of_products(zero, a.T, b)


def _library_products(a: Array, b: Array) -> Array:
    return jax.lax.dot_general(a, b, (((0,), (0,)), ((), ())))


def _is_weight_gradient(equation: Any) -> bool:
    """Return whether an equation adds products in the known order.

    In double precision, and at the end of vectors, the library adds in others.
    """
    if equation.primitive.name != "dot_general":
        return False
    (of_a, of_b), batch = equation.params["dimension_numbers"]
    if (tuple(of_a), tuple(of_b)) != ((0,), (0,)) or any(map(len, batch)):
        return False
    arrays = [atom.aval for atom in equation.invars]
    if not all(map(_is_batch, arrays)):
        return False
    if any(a.dtype != jnp.float32 for a in (*arrays, equation.outvars[0].aval)):
        return False
    short, long = sorted(array.shape[1] for array in arrays)
    if short == 1 and (long <= 2 or long % 8 == 1):
        return False
    return short * long <= MOST_WEIGHTS


def _is_readout(equation: Any) -> bool:
    """Return whether an equation is the product of a layer of few neurons with one output."""
    if equation.primitive.name != "dot_general":
        return False
    (of_a, of_b), batch = equation.params["dimension_numbers"]
    if (tuple(of_a), tuple(of_b)) != ((1,), (0,)) or any(map(len, batch)):
        return False
    a, b = (atom.aval for atom in equation.invars)
    known = _is_batch(a) and b.ndim == 2 and b.shape[1] == 1 and 2 <= b.shape[0] < 8
    return known and all(c.dtype == jnp.float32 for c in (a, b, equation.outvars[0].aval))


def _is_sum_of_rows(equation: Any) -> bool:
    if equation.primitive.name != "reduce_sum" or tuple(equation.params["axes"]) != (0,):
        return False
    rows = equation.invars[0].aval
    return _is_batch(rows) and rows.shape[1] > 1


def _is_batch(array: Any) -> bool:
    few = array.ndim == 2 and 2 <= array.shape[0] <= MOST_TERMS
    return few and array.dtype in (jnp.float32, jnp.float64)
