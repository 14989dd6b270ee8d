"""N_theta at given points together with a bound on its rounding error.

Running error analysis (Higham 2002, section 3.3): a layer z = h W + b computed in arithmetic with
unit u has, with e the bound for h,

    |z^ - z| <= e |W| + (n + 3) u (|h| |W| + |b|),      |A(z^) - A(z)| <= Lip(A) |z^ - z|,

here with |h| and e maximal over the points, so that the bound costs one vector per layer. Where
weights are huge such a bound can lose all meaning: neurons that are saturated, or never active,
have no error however large their pre-activations are. Then the analysis is repeated for each point
and with the values that the activation takes within the error of its argument.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.activations import Activation
from jaxsim.network.forward_passes import ForwardPasses, Values, over_layers, plain_forward_passes
from jaxsim.network.network import Network
from jaxsim.risk.rare import computed_where_needed

_USELESS = 1e-6
"""Share of a network's largest value at which its bound is looked at again."""
_MOST_CAREFUL = 2**14
"""Pre-activations of a layer for which that is affordable."""


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
    outputs = forward_passes.outputs(theta, x)
    error = _rounding(network, theta, outputs, unit)
    activation = network.activation
    assert activation is not None
    if not network.hidden or not (activation.monotone or activation.piecewise_linear):
        return outputs.values, error
    if len(x) * max(network.hidden) > _MOST_CAREFUL:
        return outputs.values, error
    # Only where the bound is useless, so that no other error changes.
    useless = ~(error < _USELESS * jnp.abs(outputs.values).max(0))

    def pointwise_bound(theta: Array, x: Array) -> Array:
        _, bounds = pointwise(network, theta, x, unit * jnp.abs(x))
        return bounds.max(0).astype(error.dtype)

    careful = computed_where_needed(pointwise_bound, together=True)(useless.any(), error, theta, x)
    return outputs.values, jnp.where(useless, jnp.fmin(error, careful), error)


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


def pointwise(network: Network, theta: Array, x: Array, reach: Array) -> tuple[Array, Array]:
    """Return (N_theta(x), bound on how far N_theta is from it within reach of x) [n, outputs].

    Args:
        network: fully connected; its activation is monotone or piecewise linear.
        theta: parameters [P].
        x: points [n, inputs].
        reach: how far each input may be from x [n, inputs].
    """
    activation = network.activation
    assert activation is not None
    unit = jnp.finfo(x.dtype).eps
    layers = network.layers(theta)

    def affine(h: Array, error: Array, layer: Any) -> tuple[Array, Array]:
        weights, biases = layer
        size = jnp.abs(h) @ jnp.abs(weights) + jnp.abs(biases)
        return (
            h @ weights + biases,
            error @ jnp.abs(weights) + (weights.shape[0] + 3) * unit * size,
        )

    def hidden(carry: tuple[Array, Array], layer: Any) -> tuple[tuple[Array, Array], None]:
        z, error = affine(*carry, layer)
        h = activation.function(z)
        # The values within the error are extreme at its ends or at breakpoints in between.
        places = [z - error, z + error]
        if not activation.monotone:
            places += [jnp.clip(b, z - error, z + error) for b in activation.breakpoints]
        moved = jnp.stack([jnp.abs(activation.function(p) - h) for p in places]).max(0)
        rounded = activation.rounding * unit * jnp.abs(h)
        # A saturated value is as wrong as the activation makes it, not as its argument is.
        rounded = (
            rounded + jnp.where(moved > 0, activation.rounding * unit * jnp.abs(z), 0.0) * slope
        )
        return (h, moved + rounded + 4 * unit * jnp.abs(h)), None

    slope = activation.lipschitz if np.isfinite(activation.lipschitz) else 0.0
    (h, error), _ = over_layers(hidden, (x, reach), layers[:-1])
    return affine(h, error, layers[-1])


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
