"""Inactive neurons of a trained network, certified on the whole support of X.

A neuron is counted only if its pre-activation provably stays in a flat interval of the
activation for every x in the support, in the arithmetic of the training: the exact range of
the pre-activation must clear the interval's end by a bound on the rounding errors. What the range
rests on:

    first layer      boxes, balls, finite points: exact
    deeper layers    finite points and one-dimensional inputs: exact (the extrema of a piecewise
                     linear function lie at its kinks); otherwise interval bounds, so that the count
                     is a lower bound
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim import runtime
from jaxsim.network.activations import Activation
from jaxsim.network.forward_passes import ForwardPasses, PreactivationRange, plain_forward_passes
from jaxsim.network.kinks import network_kinks
from jaxsim.network.network import Network
from jaxsim.problem.support import Box, Points, Support


class LayerRange(NamedTuple):
    """Ranges over the support of one hidden layer, per neuron.

    Attributes:
        low: infimum of the pre-activation, or a lower bound.
        high: supremum of the pre-activation, or an upper bound.
        margin: bound on the rounding error of the pre-activation in training.
        non_positive: every term of the pre-activation is <= 0, so that no rounding can make the
            sum positive.
        weights: effective weights [in, units].
        size: bound on |inputs of the layer| [in].
    """

    low: Array
    high: Array
    margin: Array
    non_positive: Array
    weights: Array
    size: Array

    def clears(self, activation: Activation, slack: Array | float = 0.0) -> Array:
        """Return which neurons stay flat even if pre-activations move by up to `slack`."""
        inactive = jnp.zeros(self.high.shape, bool)
        room = self.margin + slack
        for low, high in activation.flat:
            below = (self.high <= high - room) | (
                (high == 0.0) & self.non_positive & (jnp.asarray(slack) == 0)
            )
            above = self.low >= low + room
            if low == -jnp.inf:
                inactive |= below
            elif high == jnp.inf:
                inactive |= above
            else:
                inactive |= below & above
        return inactive


Ranges = Callable[[Array], tuple[LayerRange, ...]]


def make_ranges(
    network: Network,
    support: Support,
    dtype: jnp.dtype,
    pieces: int | None = None,
    forward_passes: ForwardPasses | None = None,
) -> Ranges:
    """Return theta [P] (float64) -> ranges of all hidden layers.

    Args:
        network: a fully-connected network with an activation that has flat intervals.
        support: of the input law.
        dtype: the training precision, whose rounding errors the margins cover.
        pieces: capacity for the linear pieces of one-dimensional networks.
        forward_passes: of the network over points; None for the plain ones.
    """
    unit = runtime.product_precision(dtype)
    activation = network.activation
    assert activation is not None
    depth = len(network.hidden)
    forward_passes = plain_forward_passes(network) if forward_passes is None else forward_passes

    def sampled_extremes(theta: Array) -> tuple[PreactivationRange, Array] | None:
        """Return exact (low, high) per layer where finitely many points decide, and validity."""
        if depth == 1 or not activation.piecewise_linear:
            return None
        if isinstance(support, Points):
            points, complete = jnp.asarray(support.points), jnp.asarray(True)
        elif isinstance(support, Box) and support.dimension == 1:
            kinks, complete = network_kinks(network, theta, support.low[0], support.high[0], pieces)
            points = kinks[:, None]
        else:
            return None
        return forward_passes.preactivation_range(theta, points), complete

    def ranges(theta: Array) -> tuple[LayerRange, ...]:
        layers = network.layers(theta)[:-1]
        exact = sampled_extremes(theta)
        found: list[LayerRange] = []
        error = None
        for number, (weights, biases) in enumerate(layers):
            if number == 0:
                low, high = support.affine_range(weights, biases)
                magnitude = support.magnitude(weights)
                positive = support.positive_part(weights) + jax.nn.relu(biases)
                size = support.extent()
            else:
                below, above = _image(activation, found[-1])
                size = jnp.maximum(jnp.abs(below), jnp.abs(above))
                low, high = _interval_product(below, above, weights, biases)
                magnitude = _times(size, jnp.abs(weights))
                terms = jnp.maximum(_safe(below, weights), _safe(above, weights))
                positive = jax.nn.relu(terms).sum(0) + jax.nn.relu(biases)
                if exact is not None:
                    (extremes, complete) = exact
                    low = jnp.where(complete, extremes[number][0], low)
                    high = jnp.where(complete, extremes[number][1], high)
                if not activation.piecewise_linear:
                    error = jnp.full(size.shape, jnp.inf)  # slopes above 1 are not bounded here
            fan_in = weights.shape[0]
            rounding = (fan_in + 2) * unit * (magnitude + jnp.abs(biases))
            inherited = 0.0 if error is None else _times(error, jnp.abs(weights)) * (1 + unit)
            error = rounding + inherited
            found.append(LayerRange(low, high, error, positive == 0, weights, size))
        return tuple(found)

    return ranges


def make_inactive(
    network: Network,
    support: Support,
    dtype: jnp.dtype,
    pieces: int | None = None,
    forward_passes: ForwardPasses | None = None,
) -> Callable[[Array], Array]:
    """Return theta [P] (float64) -> number of certified inactive neurons per hidden layer [L]."""
    depth = len(network.hidden)
    activation = network.activation
    if activation is None or not activation.flat or not depth:
        return lambda theta: jnp.zeros(depth, jnp.int32)
    ranges = make_ranges(network, support, dtype, pieces, forward_passes)

    def count(theta: Array) -> Array:
        dead = [layer.clears(activation).sum() for layer in ranges(theta)]
        return jnp.stack(dead).astype(jnp.int32)

    return count


def _image(activation: Activation, layer: LayerRange) -> tuple[Array, Array]:
    """Return the range of the activations: A is non-decreasing wherever it has a flat interval."""
    return activation.function(layer.low), activation.function(layer.high)


def _interval_product(
    low: Array, high: Array, weights: Array, biases: Array
) -> tuple[Array, Array]:
    """Return bounds of h @ weights + biases for low <= h <= high."""
    a, b = _safe(low, weights), _safe(high, weights)
    return jnp.minimum(a, b).sum(0) + biases, jnp.maximum(a, b).sum(0) + biases


def _safe(values: Array, weights: Array) -> Array:
    """Return values[:, None] * weights with 0 * inf = 0."""
    return jnp.where(weights == 0, 0.0, values[:, None] * weights)


def _times(values: Array, weights: Array) -> Array:
    """Return values @ weights with 0 * inf = 0."""
    return _safe(values, weights).sum(0)
