"""Inactive neurons of a trained network, certified on the whole support of X; constant networks.

A neuron is counted only if its pre-activation provably stays in a flat interval of the
activation for every x in the support, in the arithmetic of the training: the exact range of
the pre-activation must clear the interval's end by a bound on the rounding errors, at every point
by the point's own (`pointwise`) where finitely many points decide. What the range rests on:

    first layer      boxes, balls, finite points: exact
    deeper layers    finite points and one-dimensional inputs: exact (the extrema of a piecewise
                     linear function lie at its kinks); otherwise interval bounds, so that the count
                     is a lower bound

What is assumed of the activation is what it declares: its Lipschitz constant carries errors from
layer to layer, and its image of an interval is that of the ends only if it is monotone.

A network is constant on the support if all that its output weights see is constant. A neuron is if
it is inactive, or if its pre-activation is constant: one value on the support, or no weight from a
neuron that is not. That is a statement on the function with these parameters, in real numbers up to
rounding in float64, and on no training.
"""

from __future__ import annotations

import math
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
from jaxsim.problem.support import Ball, Box, Everything, Points, Support
from jaxsim.risk.rare import computed_where_needed
from jaxsim.training.pointwise import CertainRange, make_certain_range, rounded_by


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
        dtype: the training precision, in which the ends of flat intervals are rounded too.
        certain_low: least pre-activation less the margin of its point; -inf where not known.
        certain_high: largest pre-activation plus the margin of its point; inf where not known.
        on_rays: whether a neuron is flat in real numbers by its values at x = 1 and x = -1.
    """

    low: Array
    high: Array
    margin: Array
    non_positive: Array
    weights: Array
    size: Array
    dtype: jnp.dtype
    certain_low: Array
    certain_high: Array
    on_rays: Array | bool = False

    def clears(self, activation: Activation, slack: Array | float = 0.0) -> Array:
        """Return which neurons stay flat even if pre-activations move by up to `slack`."""
        inactive = jnp.zeros(self.high.shape, bool)
        room = self.margin + slack
        for low, high in activation.flat:
            top = high - rounded_by(high, self.dtype)
            bottom = low + rounded_by(low, self.dtype)
            below = (self.high <= top - room) | (self.certain_high <= top - slack)
            below |= (high == 0.0) & self.non_positive & (jnp.asarray(slack) == 0)
            above = (self.low >= bottom + room) | (self.certain_low >= bottom + slack)
            if low == -jnp.inf:
                inactive |= below
            elif high == jnp.inf:
                inactive |= above
            else:
                inactive |= below & above
        return inactive

    def flat(self, activation: Activation) -> Array:
        """Return which neurons stay flat in real numbers."""
        inactive = jnp.zeros(self.high.shape, bool) | self.on_rays
        for low, high in activation.flat:
            inactive |= (self.low >= low) & (self.high <= high)
        return inactive


class Ranges(NamedTuple):
    """Ranges over the support of all hidden layers, as functions of theta [P] (float64).

    Attributes:
        of: theta -> ranges.
        first: theta -> range of the first layer.
        inactive: theta -> (ranges, which neurons are certified to be inactive, by layer), whose
            margins at points are left out where they decide nothing.
    """

    of: Callable[[Array], tuple[LayerRange, ...]]
    first: Callable[[Array], LayerRange]
    inactive: Callable[[Array], tuple[tuple[LayerRange, ...], tuple[Array, ...]]]


def make_ranges(
    network: Network,
    support: Support,
    dtype: jnp.dtype,
    pieces: int | None = None,
    forward_passes: ForwardPasses | None = None,
) -> Ranges:
    """Return the ranges of all hidden layers of a network.

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
    lipschitz = activation.lipschitz
    depth = len(network.hidden)
    forward_passes = plain_forward_passes(network) if forward_passes is None else forward_passes

    certain_range = make_certain_range(network, dtype, unit, support.draw_units)

    def sampled_extremes(theta: Array) -> tuple[PreactivationRange, Array, Array] | None:
        """Return exact (low, high) per layer where finitely many points decide; these; validity."""
        if depth == 1 or not (activation.piecewise_linear and math.isfinite(lipschitz)):
            return None
        if isinstance(support, Points):
            points, complete = jnp.asarray(support.points), jnp.asarray(True)
        elif isinstance(support, Box | Ball) and support.dimension == 1:
            if isinstance(support, Ball):
                low, high = -support.radius, support.radius
            else:
                low, high = support.low[0], support.high[0]
            kinks, complete = network_kinks(network, theta, low, high, pieces)
            points = kinks[:, None]
        else:
            return None
        extremes = forward_passes.preactivation_range(theta, points)
        return extremes, points, complete

    homogeneous = activation.piecewise_linear and activation.breakpoints == (0.0,)
    # Without biases such a network is x times its value at 1, or -x times that at -1.
    by_rays = isinstance(support, Everything) and support.dimension == 1 and homogeneous

    def ranges(
        theta: Array,
        exact: tuple[PreactivationRange, Array, Array] | None,
        certain: CertainRange | None,
    ) -> tuple[LayerRange, ...]:
        """Return the ranges; the margins at points are those that are given."""
        layers = network.layers(theta)[:-1]
        rays = jnp.array([[1.0], [-1.0]], theta.dtype)
        on_rays = forward_passes.preactivation_range(theta, rays) if by_rays else None
        surely_on_rays = certain_range(theta, rays) if by_rays else None
        unbiased = jnp.asarray(True)
        layers_so_far: list[LayerRange] = []
        error: Array | None = None
        for number, (weights, biases) in enumerate(layers):
            nowhere = jnp.full_like(biases, -jnp.inf), jnp.full_like(biases, jnp.inf)
            surely: tuple[Array, Array] = nowhere
            still = jnp.zeros(biases.shape, bool)
            unbiased &= (biases == 0).all()
            if on_rays is not None and surely_on_rays is not None:
                still = unbiased & (on_rays[number][1] <= 0)
                surely = _where(unbiased, surely_on_rays[number], nowhere)
            if error is None:
                low, high = support.affine_range(weights, biases)
                magnitude = support.magnitude(weights)
                positive = support.positive_part(weights) + jax.nn.relu(biases)
                size = support.extent()
            else:
                before = layers_so_far[-1]
                below, above = _image(activation, before.low, before.high)
                size = jnp.maximum(jnp.abs(below), jnp.abs(above))
                low, high = _interval_product(below, above, weights, biases)
                magnitude = _times(size, jnp.abs(weights))
                computed = _computed_image(activation, before, unit)
                terms = jnp.maximum(*(_safe(end, weights) for end in computed))
                positive = jax.nn.relu(terms).sum(0) + jax.nn.relu(biases)
                if exact is not None:
                    extremes, _, complete = exact
                    low = jnp.where(complete, extremes[number][0], low)
                    high = jnp.where(complete, extremes[number][1], high)
                    if certain is not None:
                        surely = _where(complete, certain[number], nowhere)
                error = _after_activation(activation, before, error, size, unit)
            fan_in = weights.shape[0]
            # Drawn inputs are wrong by half a unit, on balls by more.
            units = fan_in + 2 + (support.draw_units - 0.5 if number == 0 else 0)
            rounding = units * unit * (magnitude + jnp.abs(biases))
            inherited = 0.0 if error is None else _times(error, jnp.abs(weights)) * (1 + unit)
            error = rounding + inherited
            layers_so_far.append(
                LayerRange(low, high, error, positive == 0, weights, size, dtype, *surely, still)
            )
        return tuple(layers_so_far)

    def of(theta: Array) -> tuple[LayerRange, ...]:
        exact = sampled_extremes(theta)
        return ranges(theta, exact, None if exact is None else certain_range(theta, exact[1]))

    def with_margins(
        theta: Array, extremes: PreactivationRange, points: Array, complete: Array
    ) -> tuple[Array, ...]:
        exact = extremes, points, complete
        return _cleared(activation, ranges(theta, exact, certain_range(theta, points)))

    def inactive(theta: Array) -> tuple[tuple[LayerRange, ...], tuple[Array, ...]]:
        exact = sampled_extremes(theta)
        layers = ranges(theta, exact, None)
        cleared = _cleared(activation, layers)
        if exact is not None:
            doubtful = jnp.stack([_doubtful(activation, layer).any() for layer in layers[1:]])
            cleared = computed_where_needed(with_margins)(doubtful.any(), cleared, theta, *exact)
        return layers, cleared

    return Ranges(of, lambda theta: ranges(theta, None, None)[0], inactive)


def _cleared(activation: Activation, layers: tuple[LayerRange, ...]) -> tuple[Array, ...]:
    return tuple(layer.clears(activation) for layer in layers)


def _doubtful(activation: Activation, layer: LayerRange) -> Array:
    """Return which neurons margins of points could still show to be inactive.

    With them the extremes of a pre-activation lie further outside than without any. However they
    are computed, they err by less than the margin of the layer, which holds in the training's
    arithmetic.
    """
    least, most = layer.low + 2 * layer.margin, layer.high - 2 * layer.margin
    hoped = layer._replace(certain_low=least, certain_high=most).clears(activation)
    finite = jnp.isfinite(layer.low) & jnp.isfinite(layer.high) & jnp.isfinite(layer.margin)
    return ~finite | (hoped != layer.clears(activation))


class Inactivity(NamedTuple):
    """What of a network does nothing on the support.

    Attributes:
        inactive: certified inactive neurons per hidden layer, int32 [L].
        constant: 1 if the network is constant on the support, 0 if it is not known to be; -1 for a
            network whose layers are not known. int8.
    """

    inactive: Array
    constant: Array


def make_inactivity(
    network: Network,
    support: Support,
    dtype: jnp.dtype,
    pieces: int | None = None,
    forward_passes: ForwardPasses | None = None,
) -> Callable[[Array], Inactivity]:
    """Return theta [P] (float64) -> `Inactivity`; the arguments are those of `make_ranges`."""
    depth = len(network.hidden)
    activation = network.activation
    if not network.fully_connected or activation is None:
        unknown = jnp.full((), -1, jnp.int8)
        return lambda theta: Inactivity(jnp.zeros(depth, jnp.int32), unknown)
    ranges = None
    if activation.flat and depth:
        ranges = make_ranges(network, support, dtype, pieces, forward_passes)

    def inactivity(theta: Array) -> Inactivity:
        layers = network.layers(theta)
        layer_ranges, cleared = ranges.inactive(theta) if ranges else ((None,) * depth, ())
        counts = jnp.zeros(depth, jnp.int32)
        if ranges:
            counts = jnp.stack([neurons.sum() for neurons in cleared]).astype(jnp.int32)
        constant: Array | None = None
        for number, (weights, biases) in enumerate(layers):
            layer = layer_ranges[number] if number < depth else None
            if constant is None:
                low, high = support.affine_range(weights, biases)
                constant = low == high
            else:
                constant = (constant[:, None] | (weights == 0)).all(0)
                constant &= jnp.isfinite(biases)
            if layer is not None:
                constant |= cleared[number] | layer.flat(activation)
        assert constant is not None
        return Inactivity(counts, constant.all().astype(jnp.int8))

    return inactivity


def _image(activation: Activation, low: Array, high: Array) -> tuple[Array, Array]:
    """Return bounds of A on [low, high]."""
    ends = activation.function(low), activation.function(high)
    if activation.monotone:
        return ends
    least = jnp.full_like(low, 0.0 if activation.non_negative else -jnp.inf)
    largest = jnp.full_like(low, jnp.inf)
    if not (activation.piecewise_linear and math.isfinite(activation.lipschitz)):
        return least, largest
    below, above = jnp.minimum(*ends), jnp.maximum(*ends)
    for point in activation.breakpoints:
        value = activation.function(jnp.asarray(point, low.dtype))
        inside = (low < point) & (point < high)
        below = jnp.where(inside, jnp.minimum(below, value), below)
        above = jnp.where(inside, jnp.maximum(above, value), above)
    unknown = jnp.isnan(below) | jnp.isnan(above)
    return jnp.where(unknown, least, below), jnp.where(unknown, largest, above)


def _computed_image(activation: Activation, layer: LayerRange, unit: float) -> tuple[Array, Array]:
    """Return bounds of A as training computes it: exact only for neurons that certainly stay flat.

    A pre-activation whose supremum is 0 may be positive as computed, and so its activation.
    """
    below, above = _image(activation, layer.low - layer.margin, layer.high + layer.margin)
    if activation.rounding:
        size = jnp.maximum(jnp.abs(below), jnp.abs(above))
        wrong = _value_error(activation, layer, size, unit)
        below, above = below - wrong, above + wrong
        if activation.non_negative:
            below = jax.nn.relu(below)
    flat = layer.clears(activation)
    low, high = _image(activation, layer.low, layer.high)
    return jnp.where(flat, low, below), jnp.where(flat, high, above)


def _after_activation(
    activation: Activation, layer: LayerRange, error: Array, size: Array, unit: float
) -> Array:
    """Return a bound on the error of A(z) from one of z."""
    if not math.isfinite(activation.lipschitz):
        return jnp.full(size.shape, jnp.inf)
    return activation.lipschitz * error + _value_error(activation, layer, size, unit)


def _value_error(
    activation: Activation, layer: LayerRange, size: Array, unit: float
) -> Array | float:
    """Return a bound on the rounding error of computing A, whose values are at most `size`."""
    if not activation.rounding:
        return 0.0
    reach = jnp.maximum(jnp.abs(layer.low), jnp.abs(layer.high)) + layer.margin
    return activation.rounding * unit * (size + activation.lipschitz * reach)


def _where(
    known: Array, ends: tuple[Array, Array], unknown: tuple[Array, Array]
) -> tuple[Array, Array]:
    return jnp.where(known, ends[0], unknown[0]), jnp.where(known, ends[1], unknown[1])


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
