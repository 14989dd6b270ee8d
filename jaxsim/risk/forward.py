"""N_theta at given points together with a bound on its rounding error.

Running error analysis (Higham 2002, section 3.3): a layer z = h W + b computed in arithmetic with
unit u has, with e the bound for h,

    |z^ - z| <= e |W| + (n + 3) u (|h| |W| + |b|),      |A(z^) - A(z)| <= Lip(A) |z^ - z|,

here with |h| and e maximal over the points, so that the bound costs one vector per layer.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.activations import Activation
from jaxsim.network.forward_passes import ForwardPasses, Values, over_layers, plain_forward_passes
from jaxsim.network.network import Network


def forward(
    network: Network, theta: Array, x: Array, forward_passes: ForwardPasses | None = None
) -> tuple[Array, Array]:
    """Return (N_theta(x) [n, outputs], bound on its rounding error [outputs]) for x [n, inputs].

    For a user's own module the bound is 1024 units in the last place of the largest output.

    Args:
        network: N_theta.
        theta: parameters [P].
        x: points.
        forward_passes: of a fully-connected network; None for the plain ones.
    """
    unit = jnp.finfo(x.dtype).eps
    if not network.fully_connected:
        values = network.apply(theta, x)
        return values, 1024 * unit * jnp.abs(values).max(0)
    forward_passes = plain_forward_passes(network) if forward_passes is None else forward_passes
    found = forward_passes.outputs(theta, x)
    return found.values, _rounding(network, theta, found, unit)


def _rounding(network: Network, theta: Array, found: Values, unit: Any) -> Array:
    """Return the bound for a network's outputs from how large everything on the way became."""
    activation = network.activation
    assert activation is not None
    layers = network.layers(theta)
    slope = largest_slope(activation) if activation.piecewise_linear else None

    def affine(error: Array, layer: Any, size: Array) -> Array:
        weights, biases = jnp.abs(layer[0]), jnp.abs(layer[1])
        return error @ weights + (weights.shape[0] + 3) * unit * (size @ weights + biases)

    def hidden(error: Array, parts: Any) -> tuple[Array, None]:
        layer, size, after, steepest = parts
        error = affine(error, layer, size)
        if slope is not None:
            return slope * error + unit * after, None
        return 2 * steepest * error + 16 * unit * after, None

    sizes = found.sizes
    slopes = found.slopes or (None,) * len(network.hidden)
    parts = list(zip(layers[:-1], sizes[:-1], sizes[1:], slopes, strict=True))
    error, _ = over_layers(hidden, unit * sizes[0], parts)
    return affine(error, layers[-1], sizes[-1])


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
