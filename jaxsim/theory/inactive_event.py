"""The event that a neuron is certainly inactive in training, of which the probability is known.

A neuron with weights w and bias b belongs to it, for a flat (-inf, c], if

    b + sup_D w.x + relative (|b| + sup_D sum_j |w_j x_j|) + absolute <= c,

the margins of `rounding`, with one supremum of both where the support allows, or, if c = 0 or w is
not random, if no term of the pre-activation is positive anywhere. For [c, inf) the same with -w, -b
and -c.
The probability is `theory.inactive.event_probability`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Box, Points, Support
from jaxsim.theory.inactive_formulas import as_box
from jaxsim.theory.rounding import Rounding, training_rounding


@dataclass(frozen=True)
class InactiveEvent:
    """The event, as a function of the effective weights and the bias.

    Attributes:
        pieces: flat intervals, each of them unbounded on one side.
        support: of the input law, bounded; finite points that decide like a box are that box.
        rounding: of the training.
        fixed: whether w.x is the same for all neurons, so that the bias alone decides.
    """

    pieces: tuple[tuple[float, float], ...]
    support: Support
    rounding: Rounding
    fixed: bool = False

    @classmethod
    def of(
        cls,
        layer: Layer,
        support: Support,
        pieces: tuple[tuple[float, float], ...],
        precision: str,
    ) -> InactiveEvent:
        """Return the event whose probability `event_probability` has for the same arguments."""
        rounding = training_rounding(support, precision)
        if isinstance(support, Points):
            box = as_box(support)
            support = Points(np.unique(support.points, axis=0)) if box is None else box
        if isinstance(support, Ball) and support.dimension == 1:
            support = Box((-support.radius,), (support.radius,))
        extent = float(np.max(np.asarray(support.extent())))
        constant = layer.weights.constant is not None or layer.multiplier == 0
        return cls(pieces, support, rounding, fixed=constant or extent == 0)

    @property
    def text(self) -> str:
        """What tells it from other events."""
        support: object = self.support
        if isinstance(support, Points):
            support = hashlib.sha256(np.ascontiguousarray(support.points).tobytes()).hexdigest()
        return f"{self.pieces} {support} {self.rounding}"

    def holds(self, weights: Array, biases: Array) -> Array:
        """Return bool [units] for effective weights [d, units] and biases [units]."""
        inside = jnp.zeros(biases.shape, bool)
        for low, high in self.pieces:
            if low == -math.inf:
                inside |= self._below(weights, biases, high)
            else:
                inside |= self._below(-weights, -biases, -low)
        return inside

    def _below(self, weights: Array, biases: Array, c: float) -> Array:
        relative = self.rounding.relative
        end = self.rounding.end(c)
        # From c the smallest numbers are taken off already, unless it is 0.
        absolute = 0.0 if c and isinstance(self.support, Box) else self.rounding.absolute
        largest, none_positive = self._largest(weights)
        below = largest + biases + relative * jnp.abs(biases) + absolute <= end
        if c == 0 or self.fixed:
            below |= none_positive & (biases <= end)
        return below

    def _largest(self, weights: Array) -> tuple[Array, Array]:
        """Return (sup of w.x with margin, whether no term w_j x_j is ever positive), [units]."""
        relative = self.rounding.relative
        match self.support:
            case Ball(radius=radius):
                norm = jnp.sqrt((weights**2).sum(0))
                return radius * (1 + relative) * norm, norm == 0
            case Box(low=low, high=high):
                ends = jnp.asarray([low, high])[:, :, None] * weights
                terms = (ends + relative * jnp.abs(ends)).max(0)
                return terms.sum(0), (ends <= 0).all((0, 1))
            case Points(points=points):
                x = jnp.asarray(points)
                sums = x @ weights + relative * (jnp.abs(x) @ jnp.abs(weights))
                terms = x[:, :, None] * weights
                return sums.max(0), (terms <= 0).all((0, 1))
        raise TypeError(self.support)
