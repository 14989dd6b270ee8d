"""Where between its computed kinks a network with one input is provably affine.

A network may change within less than one unit in the last place of x: with weights near 1e8 a
clipped neuron has passed from one flat piece to the other within 1e-8, one of the next layer within
1e-16. Its value at a kink, rounded, then says nothing, though such kinks carry next to no mass. So
pieces are entered from two inner points. Let z^ +- e be the pre-activations of a layer there, with
running error analysis (see `forward`). If both intervals lie in one affine piece of the activation,
neuron by neuron and layer by layer, the network is affine between the two points, and as far beyond
as no pre-activation, continued by its least favourable line, leaves that piece. What remains at
the ends of a piece is enclosed by intervals of x. Nothing here rests on the kinks being right.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.network import Network
from jaxsim.risk.forward import pointwise

_INNER = 0.5
"""Local coordinate of the inner points."""
_LEAST_WIDTH = 64
"""Units in the last place of x below which a piece has no inner points."""


class AffinePieces(NamedTuple):
    """A network on pieces of [low, high], in local coordinates s in [-1, 1].

    On [first, last] it is constant + slope s up to `error`; before and after it is `margins` up to
    `margin_errors`.

    Attributes:
        constant: [C, outputs].
        slope: [C, outputs].
        error: [C, outputs].
        first: [C].
        last: [C], at least `first`.
        margins: values before and after [2, C, outputs].
        margin_errors: [2, C, outputs].
    """

    constant: Array
    slope: Array
    error: Array
    first: Array
    last: Array
    margins: Array
    margin_errors: Array

    @property
    def cuts(self) -> Array:
        """Local coordinates that cut the pieces where what is known of them changes [C, 4]."""
        ends = jnp.ones_like(self.first)
        return jnp.stack([-ends, self.first, self.last, ends], axis=1)

    def values(self, x: Array, s: Array) -> Array:
        """Return N_theta [C, S, q, outputs] at local coordinates s [C, S, q], between cuts."""
        line = self.constant[:, None, None] + self.slope[:, None, None] * s[..., None]
        return self._choose(s, self.margins, line)

    def errors(self, s: Array) -> Array:
        """Return the bounds on the errors of the values [C, S, q, outputs]."""
        return self._choose(s, self.margin_errors, self.error[:, None, None])

    def _choose(self, s: Array, margins: Array, between: Array) -> Array:
        first, last, s = (
            self.first[:, None, None, None],
            self.last[:, None, None, None],
            s[..., None],
        )
        before, after = margins[0][:, None, None], margins[1][:, None, None]
        return jnp.where(s < first, before, jnp.where(s > last, after, between))


def saturates(network: Network) -> bool:
    """Tell whether an activation's bends may lie so close that values at kinks say little.

    With one bend, as relu has, large slopes make large values, beside which errors at kinks are
    small unless weights are chosen to cancel. The analysis would hold there, too, but doubles the
    time to compile.
    """
    activation = network.activation
    if not network.fully_connected or activation is None or not activation.piecewise_linear:
        return False
    return bool(activation.flat) and len(activation.breakpoints) > 1


def affine_pieces(network: Network, theta: Array, grid: Array) -> AffinePieces:
    """Return what is certain of the network between the points of a grid [C + 1], increasing."""
    unit = jnp.finfo(grid.dtype).eps
    left, right = grid[:-1], grid[1:]
    half, middle = (right - left) / 2, (right + left) / 2
    size = jnp.maximum(jnp.abs(left), jnp.abs(right))
    wide = right - left > _LEAST_WIDTH * unit * size
    length = jnp.where(wide, right - left, 1.0)
    inner = jnp.stack([middle - _INNER * half, middle + _INNER * half])
    # Where the rounded points lie: differences of neighbouring numbers lose nothing.
    places = jnp.where(wide, ((inner - left) - (right - inner)) / length, inner * 0)
    apart = jnp.where(wide, places[1] - places[0], 1.0)
    values, errors, before, after = _continued(network, theta, inner)
    inside = wide & (before >= 0) & (after >= 0)
    first = jnp.clip(places[0] - before * apart + 16 * unit, -1.0, 1.0)
    last = jnp.clip(places[1] + after * apart - 16 * unit, -1.0, 1.0)
    # A piece that is affine up to its end, as far as rounding lets it be said, still has margins.
    first, last = jnp.where(inside, first, 0.0), jnp.where(inside, last, 0.0)
    slope = (values[1] - values[0]) / apart[:, None]
    constant = values[0] - slope * places[0][:, None]
    error = 2 * errors.max(0) + 16 * unit * (jnp.abs(values[0]) + jnp.abs(slope))

    ends = jnp.stack([(first - 1) / 2, (last + 1) / 2])
    centres = middle + half * ends
    reach = jnp.stack([half * (first + 1) / 2, half * (1 - last) / 2]) + 4 * unit * size
    margins, margin_errors = pointwise(network, theta, centres.reshape(-1, 1), reach.reshape(-1, 1))
    shape = (2, len(middle), -1)
    return AffinePieces(
        constant, slope, error, first, last, margins.reshape(shape), margin_errors.reshape(shape)
    )


def _continued(network: Network, theta: Array, inner: Array) -> tuple[Array, Array, Array, Array]:
    """Return (values [2, C, outputs], errors, how far the pieces go on before and after [C]).

    Lengths are in units of the distance of the two points inner [2, C]; negative where the network
    is not known to be affine between them.
    """
    activation = network.activation
    assert activation is not None
    unit = jnp.finfo(inner.dtype).eps
    bends = jnp.asarray(activation.breakpoints, inner.dtype)
    flat = jnp.asarray(_flat(network))
    h = inner[..., None]
    error = jnp.zeros_like(h)
    before = after = jnp.full(inner.shape[1], jnp.inf, inner.dtype)
    layers = network.layers(theta)
    for weights, biases in layers[:-1]:
        z, error = _affine(h, error, weights, biases, unit)
        error = error + 8 * unit * (jnp.abs(z) + jnp.abs(bends).max())
        region = (z[0, ..., None] > bends).sum(-1)
        for number, bend in enumerate(bends):
            # Distances from the breakpoint on the side of the first point, at least and at most.
            above = jnp.where(region > number, z - bend, bend - z)
            least = above - error
            ahead = _until_zero(least[1], least[0] + 2 * error[0])
            behind = _until_zero(least[0], least[1] + 2 * error[1])
            fits = (least[0] >= 0) & (least[1] >= 0)
            after = jnp.minimum(after, jnp.where(fits, ahead, -1.0).min(-1))
            before = jnp.minimum(before, jnp.where(fits, behind, -1.0).min(-1))
        h = activation.function(z)
        rounding = activation.rounding * unit * (jnp.abs(h) + activation.lipschitz * jnp.abs(z))
        error = jnp.where(flat[region], 0.0, activation.lipschitz * error + rounding)
    values, error = _affine(h, error, *layers[-1], unit)
    known = jnp.isfinite(values).all((0, 2)) & jnp.isfinite(error).all((0, 2))
    return values, error, jnp.where(known, before, -1.0), jnp.where(known, after, -1.0)


def _affine(
    h: Array, error: Array, weights: Array, biases: Array, unit: Any
) -> tuple[Array, Array]:
    moduli = jnp.abs(weights)
    size = jnp.abs(h) @ moduli + jnp.abs(biases)
    return h @ weights + biases, error @ moduli + (len(weights) + 3) * unit * size


def _until_zero(near: Array, far: Array) -> Array:
    """Return when a line that falls from `far` to `near` in a unit step is zero after it."""
    fall = far - near
    return jnp.where(fall > 0, near / jnp.where(fall > 0, fall, 1.0), jnp.inf)


def _flat(network: Network) -> np.ndarray:
    """Tell of each affine piece of the activation whether it is constant."""
    activation = network.activation
    assert activation is not None
    ends = [-np.inf, *activation.breakpoints, np.inf]
    return np.asarray(
        [any(low <= a and b <= high for low, high in activation.flat) for a, b in pairwise(ends)]
    )
