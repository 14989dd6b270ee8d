"""Extremes of pre-activations as training may compute them, with a margin that belongs to a point.

At a point x the pre-activations z(x) of a layer are computed with an error of at most E(x):

    E(x) = units eps (|h(x)| |W| + |b|) + (1 + eps) e(x) |W|,

h the inputs of the layer and e their errors; units counts the operations of one sum. Where z stays
in a flat interval by more than E, the computed value of the activation is exact, so e = 0 there;
beyond that e is at most how far z + E (z - E) leaves the interval, and elsewhere lipschitz E.

With zero biases everything vanishes at x = 0, the margin too: a margin for the whole support would
never let a supremum of 0 pass, which is what inactive neurons of such networks have.

Finitely many points: the extremes of z - E and z + E over them. One input, piecewise linear
activation: z is affine and E convex between neighbouring kinks of the network (e and |h| are convex
functions of convex ones there), so that z + E is largest, and z - E least, at the kinks.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.network.activations import Activation
from jaxsim.network.forward_passes import over_layers
from jaxsim.network.network import Network

_CHUNK = 512
"""Points of which pre-activations are kept at once."""

CertainRange = tuple[tuple[Array, Array], ...]
"""Per hidden layer, the least z - E and the largest z + E over the points, of each neuron."""


def rounded_by(end: float, dtype: jnp.dtype) -> float:
    """Return by how much the end of a flat interval changes when it is rounded."""
    if end in (jnp.inf, -jnp.inf):
        return 0.0
    return abs(float(jnp.finfo(dtype).dtype.type(end)) - end)


def make_certain_range(
    network: Network, dtype: jnp.dtype, unit: float, draw_units: float
) -> Callable[[Array, Array], CertainRange]:
    """Return (theta [P], points [n, inputs]) -> extremes with their margins, all float64.

    Args:
        network: fully connected, with a piecewise linear activation of finite Lipschitz constant.
        dtype: the training precision.
        unit: relative error of its products.
        draw_units: relative error of the inputs, in units of it.
    """
    activation = network.activation
    assert activation is not None

    def step(carry: tuple[Array, Array, Array], layer: tuple[Array, Array]) -> tuple:
        h, error, units = carry
        weights, biases = layer
        units += weights.shape[0]
        size = jnp.abs(weights)
        z = h @ weights + biases
        rounded = jnp.abs(h) * units + error * (1 + 1 / unit)
        margin = unit * (rounded @ size + units * jnp.abs(biases))
        ends = (z - margin).min(0), (z + margin).max(0)
        values = activation.function(z)
        after = _spread(activation, z, values, margin, dtype, unit)
        return (values, after, jnp.asarray(2.0, z.dtype)), ends

    def every(theta: Array, x: Array) -> tuple[list[Array], list[Array]]:
        start = (x, jnp.zeros_like(x), jnp.asarray(1.5 + draw_units, x.dtype))
        _, per_layer = over_layers(step, start, network.layers(theta)[:-1])
        return [low for low, _ in per_layer], [high for _, high in per_layer]

    def certain_range(theta: Array, x: Array) -> CertainRange:
        chunks = -(-x.shape[0] // _CHUNK)
        if chunks == 1:
            return tuple(zip(*every(theta, x), strict=True))
        # Repeating the last point fills the last chunk without changing an extremum.
        padding = jnp.repeat(x[-1:], chunks * _CHUNK - x.shape[0], axis=0)
        parts = jnp.concatenate([x, padding]).reshape(chunks, _CHUNK, -1)
        lows, highs = jax.lax.map(lambda part: every(theta, part), parts)
        return tuple((a.min(0), b.max(0)) for a, b in zip(lows, highs, strict=True))

    return certain_range


def _spread(
    activation: Activation, z: Array, values: Array, margin: Array, dtype: jnp.dtype, unit: float
) -> Array:
    """Return a bound on the error of A(z) as computed from a z that is wrong by `margin`."""
    moved = margin
    for low, high in activation.flat:
        above = z + margin - (high - rounded_by(high, dtype))
        below = (low + rounded_by(low, dtype)) - (z - margin)
        outside = jax.nn.relu(jnp.maximum(above, below))
        moved = jnp.where((low <= z) & (z <= high), jnp.minimum(outside, margin), moved)
    error = activation.lipschitz * moved
    if activation.rounding:
        reach = activation.lipschitz * (jnp.abs(z) + margin)
        error += activation.rounding * unit * (jnp.abs(values) + reach)
    return error
