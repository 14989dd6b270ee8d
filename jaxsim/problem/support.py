"""Supports of input laws, and the exact range of an affine function on each of them.

A neuron is inactive if its pre-activation stays in a flat piece of the activation on the whole
support of X, so all that theory and simulation ask of a support is the range of w.x + b on it, and
what bounds the rounding errors of w.x + b in training. `draw_units` is the relative error of the
coordinates of a draw, in units of the training precision's eps.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True)
class Box:
    """The box [low_1, high_1] x ... x [low_d, high_d]."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    bounded = True
    draw_units = 0.5

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return len(self.low)

    def affine_range(self, weights: Array, biases: Array) -> tuple[Array, Array]:
        """Return (inf, sup) of x -> x @ weights + biases: [d, units], [units] -> [units] each."""
        low, high = (jnp.asarray(v, weights.dtype)[:, None] for v in (self.low, self.high))
        a, b = weights * low, weights * high
        return jnp.minimum(a, b).sum(0) + biases, jnp.maximum(a, b).sum(0) + biases

    def magnitude(self, weights: Array) -> Array:
        """Return sup of sum_j |w_j x_j| per unit, the scale of rounding errors in w.x."""
        size = jnp.maximum(jnp.abs(jnp.asarray(self.low)), jnp.abs(jnp.asarray(self.high)))
        return (jnp.abs(weights) * size.astype(weights.dtype)[:, None]).sum(0)

    def extent(self) -> Array:
        """Return the supremum of |x_j| [d]."""
        return jnp.maximum(jnp.abs(jnp.asarray(self.low)), jnp.abs(jnp.asarray(self.high)))

    def positive_part(self, weights: Array) -> Array:
        """Return a bound of sum_j max(w_j x_j, 0) per unit."""
        return _positive_terms(weights, jnp.asarray(self.low), jnp.asarray(self.high))


@dataclass(frozen=True)
class Ball:
    """The closed ball of a radius around 0; a sphere has the same affine ranges for d >= 2."""

    radius: float
    dimension: int
    bounded = True

    @property
    def draw_units(self) -> float:
        """Relative error of a draw r u^(1/d) g_j / |g|: a norm of d squares, a power, products."""
        return self.dimension / 4 + 3

    def affine_range(self, weights: Array, biases: Array) -> tuple[Array, Array]:
        """Return (inf, sup) of x -> x @ weights + biases, which are biases -+ radius |w|."""
        reach = self.radius * jnp.sqrt((weights**2).sum(0))
        return biases - reach, biases + reach

    def magnitude(self, weights: Array) -> Array:
        """Return a bound of sum_j |w_j x_j| per unit."""
        return self.radius * jnp.abs(weights).sum(0)

    def extent(self) -> Array:
        """Return the supremum of |x_j| [d]."""
        return jnp.full(self.dimension, self.radius)

    def positive_part(self, weights: Array) -> Array:
        """Return a bound of sum_j max(w_j x_j, 0) per unit."""
        return self.magnitude(weights)


@dataclass(frozen=True, eq=False)
class Points:
    """Finitely many points, an array [n, d]."""

    points: np.ndarray
    bounded = True
    draw_units = 0.5

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return self.points.shape[1]

    def affine_range(self, weights: Array, biases: Array) -> tuple[Array, Array]:
        """Return (min, max) over the points of x @ weights + biases."""
        values = jnp.asarray(self.points, weights.dtype) @ weights + biases
        return values.min(0), values.max(0)

    def magnitude(self, weights: Array) -> Array:
        """Return max over the points of sum_j |w_j x_j| per unit."""
        return (jnp.abs(jnp.asarray(self.points, weights.dtype)) @ jnp.abs(weights)).max(0)

    def extent(self) -> Array:
        """Return the supremum of |x_j| [d]."""
        return jnp.abs(jnp.asarray(self.points)).max(0)

    def positive_part(self, weights: Array) -> Array:
        """Return a bound of sum_j max(w_j x_j, 0) per unit."""
        low, high = self.points.min(0), self.points.max(0)
        return _positive_terms(weights, jnp.asarray(low), jnp.asarray(high))


@dataclass(frozen=True)
class Everything:
    """All of R^d."""

    dimension: int
    bounded = False
    draw_units = 0.5

    def affine_range(self, weights: Array, biases: Array) -> tuple[Array, Array]:
        """Return (inf, sup): infinite unless all weights of the unit vanish."""
        constant = jnp.all(weights == 0, axis=0)
        inf = jnp.asarray(jnp.inf, weights.dtype)
        return jnp.where(constant, biases, -inf), jnp.where(constant, biases, inf)

    def magnitude(self, weights: Array) -> Array:
        """Return infinity, but 0 for units without weights."""
        return jnp.where(jnp.all(weights == 0, axis=0), 0.0, jnp.inf).astype(weights.dtype)

    def extent(self) -> Array:
        """Return the supremum of |x_j| [d]."""
        return jnp.full(self.dimension, jnp.inf)

    def positive_part(self, weights: Array) -> Array:
        """Return a bound of sum_j max(w_j x_j, 0) per unit."""
        return self.magnitude(weights)


def _positive_terms(weights: Array, low: Array, high: Array) -> Array:
    a, b = weights * low[:, None], weights * high[:, None]
    return jnp.maximum(jnp.maximum(a, b), 0).sum(0)


Support = Box | Ball | Points | Everything
