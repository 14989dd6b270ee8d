"""The moments of ReLU neurons and their derivatives in C, traced from those of `risk`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.engines.native.expressions import Statements
from jaxsim.engines.native.values import inputs, vector
from jaxsim.risk.relu_moments import centred_parts, moment, positive_mean


def moment_functions(centred: bool, degree_one: float, real: np.dtype) -> list[str]:
    """Return the C functions of vectors `pair`, `alone` and `first_moment`.

    With means m, variances v and the covariance of two neurons A and B, the last argument r gets

        pair          E[A+ B+] and its derivatives by m, v of A, m, v of B and the covariance
        alone         E[A+^2] and its derivatives by m and v
        first_moment  E[A+] and its derivatives by m and v

    Where all means are zero (`centred`), they have no part in arguments and results, and `pair`
    gives v times the derivative by v, which is the same for both neurons.

    Args:
        centred: whether all means are zero.
        degree_one: factor of E[A+].
        real: dtype of everything.
    """

    def first(m: Array, v: Array) -> Array:
        return positive_mean(m, v) * degree_one

    own, both = ["m", "v"], ["m", "v", "m_other", "v_other", "covariance"]
    if centred:
        return [
            *_function("pair", centred_parts, both[1::2] + both[4:], real),
            *_function("alone", _with_derivatives(lambda v: v / 2, 1), ["v"], real),
            *_function(
                "first_moment",
                _with_derivatives(lambda v: first(jnp.zeros_like(v), v), 1),
                ["v"],
                real,
            ),
        ]
    return [
        *_function("pair", _with_derivatives(_moment, 5), both, real),
        *_function("alone", _with_derivatives(lambda m, v: moment(m, m, v, v, v), 2), own, real),
        *_function("first_moment", _with_derivatives(first, 2), own, real),
    ]


def _moment(m: Array, v: Array, m_other: Array, v_other: Array, covariance: Array) -> Array:
    return moment(m, m_other, v, v_other, covariance)


def _with_derivatives(function: Callable, arguments: int) -> Callable:
    return jax.value_and_grad(function, argnums=tuple(range(arguments)))


def _function(name: str, function: Callable, arguments: Sequence[str], real: np.dtype) -> list[str]:
    """Return the C function name(arguments, r) of scalars; r[0], ... are its results."""
    body = Statements(real)
    given = [inputs(argument, (), real, True) for argument in arguments]
    results = body.trace(function, [jnp.ones((), real)] * len(arguments), given)
    parameters = ", ".join(f"vec {argument}_0" for argument in arguments)
    return [
        f"INLINE void {name}({parameters}, vec *r) {{",
        *body.uniform,
        *body.varying,
        *(f"r[{number}] = {vector(result[()])};" for number, result in enumerate(results)),
        "}",
    ]
