"""N_theta at given points together with a bound on its rounding error.

Running error analysis (Higham 2002, section 3.3): a layer z = h W + b computed in arithmetic with
unit u has, with e the bound for h,

    |z^ - z| <= e |W| + (n + 3) u (|h| |W| + |b|),      |A(z^) - A(z)| <= Lip(A) |z^ - z|,

here with |h| and e maximal over the points, so that the bound costs one vector per layer.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.activations import Activation
from jaxsim.network.network import Network


def forward(network: Network, theta: Array, x: Array) -> tuple[Array, Array]:
    """Return (N_theta(x) [n, outputs], bound on its rounding error [outputs]) for x [n, inputs].

    For a user's own module the bound is 1024 units in the last place of the largest output.
    """
    unit = jnp.finfo(x.dtype).eps
    if not network.fully_connected:
        values = network.apply(theta, x)
        return values, 1024 * unit * jnp.abs(values).max(0)
    activation = network.activation
    layers = network.layers(theta)

    def affine(carry: Any, layer: Any) -> tuple[Array, Array]:
        (h, error), (weights, biases) = carry, layer
        size = jnp.abs(h).max(0) @ jnp.abs(weights) + jnp.abs(biases)
        bound = error @ jnp.abs(weights) + (weights.shape[0] + 3) * unit * size
        return h @ weights + biases, bound

    def hidden(carry: Any, layer: Any) -> tuple[Any, None]:
        assert activation is not None
        return _activate(activation, *affine(carry, layer), unit), None

    carry = (x, unit * jnp.abs(x).max(0))
    if network.hidden:
        carry, _ = hidden(carry, layers[0])
    inner = layers[1:-1]
    if len(inner) > 2 and all(w.shape == inner[0][0].shape for w, _ in inner):
        stacked = tuple(jnp.stack(arrays) for arrays in zip(*inner, strict=True))
        carry, _ = jax.lax.scan(hidden, carry, stacked)  # compiles as one layer
    else:
        for layer in inner:
            carry, _ = hidden(carry, layer)
    return affine(carry, layers[-1])


def _activate(activation: Activation, z: Array, error: Array, unit: Any) -> tuple[Array, Array]:
    if activation.piecewise_linear:
        h = activation.function(z)
        slope = largest_slope(activation)
        return h, slope * error + unit * jnp.abs(h).max(0)
    h, slope = jax.jvp(activation.function, (z,), (jnp.ones_like(z),))
    return h, 2 * jnp.abs(slope).max(0) * error + 16 * unit * jnp.abs(h).max(0)


def largest_slope(activation: Activation) -> Array:
    """Return the Lipschitz constant of a piecewise linear activation.

    Example:
        >>> from jaxsim.network.activations import leaky_relu
        >>> float(largest_slope(leaky_relu(0.1)))
        1.0
    """
    points = np.asarray(sorted(activation.breakpoints) or [0.0])
    ends = np.concatenate([[points[0] - 1], points, [points[-1] + 1]])
    values = activation.function(jnp.asarray(ends))
    return jnp.max(jnp.abs(jnp.diff(values) / np.diff(ends)))
