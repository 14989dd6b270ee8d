"""What a method does to parameters whose gradients are all zero, measured.

On the gradients that a network with inactive neurons has, in the training precision: some neurons
of its hidden layer inactive, all of them, and no gradient at all. Such parameters must not move by
one bit if neurons are to stay inactive, and must not become not-a-number, as 0/0 does where an eps
is 0 in the precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


class Response(NamedTuple):
    """The response to zero gradients.

    Attributes:
        keeps: parameters without gradients stay bitwise unchanged.
        defined: none of them becomes not-a-number.
    """

    keeps: bool
    defined: bool


def zero_gradient_response(
    make: Callable[[Any], optax.GradientTransformation],
    precision: str = "float32",
    widths: tuple[int, int, int] = (3, 6, 2),
    steps: int = 40,
    compiled: bool = True,
) -> Response:
    """Return what a method does to the parameters of inactive neurons over some steps.

    Args:
        make: learning rate -> gradient transformation.
        precision: of parameters and gradients.
        widths: of the input, hidden and output layer.
        steps: how many.
        compiled: as one program, which costs its compilation; else operation by operation, which
            many hyperparameters of one method share, on the biases alone.

    Example:
        >>> zero_gradient_response(optax.sgd)
        Response(keeps=True, defined=True)
        >>> zero_gradient_response(lambda rate: optax.adamw(rate, eps=1e-45)).defined
        False
    """
    inputs, hidden, outputs = widths
    shapes = {"w1": (inputs, hidden), "b1": (hidden,), "w2": (hidden, outputs), "b2": (outputs,)}
    if not compiled:
        shapes = {"b1": (hidden,)}
    rng = np.random.default_rng(0)
    # Values of many magnitudes: what moves a parameter by rounding alone shows on some of them.
    start = {
        k: (rng.normal(size=s) * 10 ** rng.uniform(-2, 2, s)).astype(precision)
        for k, s in shapes.items()
    }
    noise = {k: rng.normal(size=(steps, *s)).astype(precision) for k, s in shapes.items()}

    def step(carry: Any, gradient: Any) -> Any:
        parameters, state = carry
        updates, state = make(0.1).update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    @jax.jit
    def program(parameters: Any, gradients: Any) -> Any:
        return jax.lax.scan(step, (parameters, make(0.1).init(parameters)), gradients)[0][0]

    def run(parameters: Any, gradients: Any) -> Any:
        if compiled:
            return program(parameters, gradients)
        carry = jax.tree.map(jnp.asarray, parameters)
        carry = carry, make(0.1).init(carry)
        for n in range(steps):
            carry, _ = step(carry, {k: jnp.asarray(v[n]) for k, v in gradients.items()})
        return carry[0]

    half, none = np.arange(hidden) % 2, np.zeros(hidden)
    keeps = defined = True
    for active, outer in ((half, 1.0), (none, 1.0), (none, 0.0)):
        live = {"w1": active[None, :], "b1": active, "w2": active[:, None], "b2": outer}
        live = {k: np.broadcast_to(live[k], s).astype(precision) for k, s in shapes.items()}
        end = run(start, {k: noise[k] * live[k] for k in shapes})
        for k in shapes:
            silent = live[k] == 0
            values = np.asarray(end[k])[silent]
            keeps &= np.array_equal(values, start[k][silent])
            defined &= not np.isnan(values).any()
    return Response(keeps, defined)
