"""Images of the support under the first layers of sampled networks, and which neurons they miss.

For R networks at once: the outputs h of a layer at points that decide which neurons of the next are
inactive, with bounds e of the error of training's own values there; or, where no finite set of
points decides, bounds of the outputs per neuron.

On rays, errors are followed more closely: those of a point are sums of K terms that are each at
most 1 in size times a vector; the layers move these vectors by their weights, signs included, and
with C the sum of the vectors' squares an error along w is at most sqrt(K w.C w) (Cauchy-Schwarz).
Bounds per neuron alone would grow from layer to layer.

On a line the points are the ends and the kinks: between neighbours h is affine and e convex, so
that a chord bounds e from above where a new kink divides a piece.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.activations import Activation
from jaxsim.problem.support import Ball, Box, Points, Support
from jaxsim.theory.rounding import Rounding

_MOST_POINTS = 256


@dataclass(frozen=True)
class PointImage:
    """Outputs of a layer at points.

    Attributes:
        h: outputs, [R, P, N].
        e: bounds of their errors in training, [R, P, N].
        scale: error of a sum in units of the sizes of its terms.
        absolute: error of results near the smallest number.
        activation: of the next layer.
        rounding: of the training.
        squares: C, [R, P, N, N]; None where errors are not followed so.
        terms: K.
        grid: where on a line the points are, [R, P]; None for points that decide by themselves.
        signed: whether outputs may be negative, as inputs may.
    """

    h: np.ndarray
    e: np.ndarray
    scale: float
    absolute: float
    activation: Activation
    rounding: Rounding
    squares: np.ndarray | None = None
    terms: int = 0
    grid: np.ndarray | None = None
    signed: bool = True

    @property
    def draws(self) -> int:
        """Number of networks R."""
        return len(self.h)

    def rows(self, index: np.ndarray) -> PointImage:
        """Return the image of some of the networks."""
        grid, squares = (None if a is None else a[index] for a in (self.grid, self.squares))
        return replace(self, h=self.h[index], e=self.e[index], grid=grid, squares=squares)

    def margin(self, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
        """Return bounds of the errors of pre-activations, [R, P, M]."""
        return self._own(weights, biases) + self._inherited(weights)

    def _own(self, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
        sizes = (np.abs(self.h) + self.e) @ np.abs(weights) + np.abs(biases)[:, None]
        return self.scale * sizes + self.absolute

    def _inherited(self, weights: np.ndarray) -> np.ndarray:
        inherited = self.e @ np.abs(weights)
        if self.squares is not None:
            along = ((self.squares @ weights[:, None]) * weights[:, None]).sum(2)
            inherited = np.minimum(inherited, np.sqrt(self.terms * np.maximum(along, 0)))
        return inherited * (1 + 1e-12)

    def inactive(self, weights: np.ndarray, biases: np.ndarray, exact: bool = False) -> np.ndarray:
        """Return which neurons stay in a flat piece on the support, [R, M].

        Args:
            weights: [R, N, M].
            biases: [R, M].
            exact: in real numbers, else in the arithmetic of the training.
        """
        z = self.h @ weights + biases[:, None]
        if exact:
            ranges, end = (z.min(1), z.max(1)), float
        else:
            margin = self.margin(weights, biases)
            ranges, end = ((z - margin).min(1), (z + margin).max(1)), self.rounding.end
        flat = _flat(self.activation, *ranges, end)
        if any(piece == (-math.inf, 0.0) for piece in self.activation.flat):
            # A sum without a positive term is not positive in any arithmetic.
            up = np.maximum(self.h + self.e, 0).max(1)[:, None] @ np.maximum(weights, 0)
            up = up[:, 0] + np.maximum(biases, 0)
            if self.signed:
                down = np.maximum(self.e - self.h, 0).max(1)[:, None] @ np.maximum(-weights, 0)
                up = up + down[:, 0]
            flat |= up == 0
        return flat

    def next(self, weights: np.ndarray, biases: np.ndarray) -> PointImage:
        """Return the image under one more layer, with its kinks as further points."""
        image = self if self.grid is None else self._with_kinks(weights, biases)
        z = image.h @ weights + biases[:, None]
        h = _values(self.activation, z)
        own_margin = image._own(weights, biases)
        margin = own_margin + image._inherited(weights)
        e = _spread(self.activation, z, h, margin, self.rounding)
        scale = self.rounding.unit * (weights.shape[2] + 2)
        after = replace(image, h=h, e=e, scale=scale, absolute=0.0)
        after = replace(after, signed=not self.activation.non_negative)
        if image.squares is None:
            return after
        # A neuron that is surely on passes the vectors on, one that is surely off none, and any
        # other begins with an error of its own.
        on = np.where(z > margin, self.activation.lipschitz, 0.0)
        squares = weights.transpose(0, 2, 1)[:, None] @ image.squares @ weights[:, None]
        squares = squares * on[..., None] * on[..., None, :]
        alone = np.where(on > 0, on * own_margin, e) ** 2
        squares[..., np.arange(h.shape[2]), np.arange(h.shape[2])] += alone
        terms = image.terms + h.shape[2]
        every = np.sqrt(terms * np.diagonal(squares, axis1=2, axis2=3)) * (1 + 1e-12)
        return replace(after, e=np.minimum(e, every), squares=squares, terms=terms)

    def angle_probability(self) -> np.ndarray:
        """Return a lower bound of P(a ReLU neuron with Gaussian weights is inactive), [R].

        For one or two rays; an error of at most |w| m follows from w.u <= -|w| m.
        """
        assert self.squares is not None
        u = self.h
        size = np.linalg.norm(u, axis=2)
        inherited = np.linalg.norm(self.e, axis=2)
        trace = np.trace(self.squares, axis1=2, axis2=3)
        inherited = np.minimum(inherited, np.sqrt(self.terms * trace)) * (1 + 1e-12)
        margin = self.scale * np.linalg.norm(u + self.e, axis=2) + inherited
        positive = margin > 0  # outputs that are 0 in any arithmetic are no condition
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(size > 0, margin / size, 1.0)
            unit = u / size[..., None]
        lost = np.where(positive, strip(ratio, u.shape[2]), 0.0).sum(1)
        if u.shape[1] == 1:
            q = np.where(positive[:, 0], 0.5, 1.0)
        else:
            first, second = np.nan_to_num(unit[:, 0]), np.nan_to_num(unit[:, 1])
            angle = 2 * np.arctan2(
                np.linalg.norm(first - second, axis=1), np.linalg.norm(first + second, axis=1)
            )
            both = (math.pi - angle) / (2 * math.pi)
            q = np.where(positive.all(1), both, np.where(positive.any(1), 0.5, 1.0))
        return np.maximum(q - lost, 0.0)

    def _with_kinks(self, weights: np.ndarray, biases: np.ndarray) -> PointImage:
        assert self.grid is not None
        z = self.h @ weights + biases[:, None]
        draws, points, _ = z.shape
        below = z[..., None] - np.array(self.activation.breakpoints)
        left, right = below[:, :-1], below[:, 1:]
        crosses = left * right < 0
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(crosses, left / (left - right), 1.0)
        # What crosses nothing is the right end once more.
        piece = np.where(crosses, np.arange(points - 1)[:, None, None], points - 2)
        crosses, share, piece = (a.reshape(draws, -1) for a in (crosses, share, piece))
        most = int(crosses.sum(1).max())
        first = np.argsort(~crosses, axis=1, kind="stable")[:, :most]
        share, piece = (np.take_along_axis(a, first, 1) for a in (share, piece))

        def at(values: np.ndarray) -> np.ndarray:
            wide = values if values.ndim == 3 else values[..., None]
            a, b = (np.take_along_axis(wide, (piece + k)[..., None], 1) for k in (0, 1))
            both = np.concatenate([wide, a + share[..., None] * (b - a)], 1)
            return both.reshape(both.shape[: values.ndim])

        grid = at(self.grid)
        order = np.argsort(grid, axis=1, kind="stable")
        h, e = (np.take_along_axis(at(v), order[..., None], 1) for v in (self.h, self.e))
        return replace(self, h=h, e=e, grid=np.take_along_axis(grid, order, 1))


@dataclass(frozen=True)
class RangeImage:
    """Bounds of the outputs of a layer as training computes them, per neuron.

    Attributes:
        low: lower bounds, [R, N].
        high: upper bounds, [R, N].
        scale: error of a sum in units of the sizes of its terms.
        absolute: error of results near the smallest number.
        activation: of the next layer.
        rounding: of the training.
        radius: of the ball whose image it is; None for a box.
    """

    low: np.ndarray
    high: np.ndarray
    scale: float
    absolute: float
    activation: Activation
    rounding: Rounding
    radius: float | None = None

    @property
    def draws(self) -> int:
        """Number of networks R."""
        return len(self.low)

    def rows(self, index: np.ndarray) -> RangeImage:
        """Return the image of some of the networks."""
        return replace(self, low=self.low[index], high=self.high[index])

    def range(
        self, weights: np.ndarray, biases: np.ndarray, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return bounds of pre-activations, with margins unless `exact`, [R, M] each."""
        up, down = np.maximum(weights, 0), np.minimum(weights, 0)
        low, high = self.low[:, None], self.high[:, None]
        if self.radius is None:
            top, bottom = (high @ up + low @ down)[:, 0], (low @ up + high @ down)[:, 0]
        else:
            top = self.radius * np.linalg.norm(weights, axis=1)
            bottom = -top
        if exact:
            return bottom + biases, top + biases
        size = (np.maximum(np.abs(low), np.abs(high)) @ np.abs(weights))[:, 0] + np.abs(biases)
        margin = self.scale * size + self.absolute
        return bottom + biases - margin, top + biases + margin

    def inactive(self, weights: np.ndarray, biases: np.ndarray, exact: bool = False) -> np.ndarray:
        """Return which neurons certainly stay in a flat piece on the support, [R, M]."""
        ranges = self.range(weights, biases, exact)
        end = float if exact else self.rounding.end
        flat = _flat(self.activation, *ranges, end)
        if any(piece == (-math.inf, 0.0) for piece in self.activation.flat):
            up = np.maximum(self.high, 0)[:, None] @ np.maximum(weights, 0)
            down = np.maximum(-self.low, 0)[:, None] @ np.maximum(-weights, 0)
            flat |= (up + down)[:, 0] + np.maximum(biases, 0) == 0
        return flat

    def next(self, weights: np.ndarray, biases: np.ndarray) -> RangeImage:
        """Return the image under one more layer."""
        low, high = (
            _values(self.activation, end) for end in self.range(weights, biases)
        )  # monotone
        still = self.inactive(weights, biases)
        for piece in self.activation.flat:
            if piece == (-math.inf, 0.0):
                value = _values(self.activation, np.zeros(1))[0]
                high = np.where(still & (low == value), value, high)
        wrong = 0.0
        if self.activation.rounding:
            size = np.maximum(np.abs(low), np.abs(high))
            wrong = 4 * self.activation.rounding * self.rounding.unit * (1 + size)
        scale = self.rounding.unit * (weights.shape[2] + 2)
        return replace(
            self, low=low - wrong, high=high + wrong, scale=scale, absolute=0.0, radius=None
        )


Image = PointImage | RangeImage


def first_image(
    support: Support,
    rays: tuple[float, ...] | None,
    activation: Activation,
    rounding: Rounding,
    draws: int,
) -> Image:
    """Return the support itself, as what the first layer sees, for R = draws networks.

    Args:
        support: of the input law, bounded unless rays decide.
        rays: points that decide by homogeneity, of one input; else None.
        activation: of the hidden layers.
        rounding: of the training.
        draws: R.
    """
    points = grid = None
    if rays is not None:
        points = np.array(rays)[:, None]
    elif isinstance(support, Points) and len(support.points) <= _MOST_POINTS:
        points = np.asarray(support.points, float)
    elif support.dimension == 1:
        low, high = _hull(support)
        points = np.concatenate([low, high])[:, None]
        grid = np.broadcast_to(points[:, 0], (draws, 2))
    scale, absolute = rounding.relative, 0.0 if rays is not None else rounding.absolute
    if points is not None:
        h = np.broadcast_to(points, (draws, *points.shape))
        squares = None if rays is None else np.zeros((*h.shape, 1))
        zero = np.zeros_like(h)
        return PointImage(h, zero, scale, absolute, activation, rounding, squares, 0, grid)
    low, high = (np.broadcast_to(end, (draws, len(end))) for end in _hull(support))
    radius = support.radius if isinstance(support, Ball) else None
    return RangeImage(low, high, scale, absolute, activation, rounding, radius)


def next_image(image: Image, weights: np.ndarray, biases: np.ndarray) -> Image:
    """Return the image under one more layer."""
    return image.next(weights, biases)


def _hull(support: Support) -> tuple[np.ndarray, np.ndarray]:
    match support:
        case Box(low, high):
            return np.array(low, float), np.array(high, float)
        case Points():
            x = np.asarray(support.points, float)
            return x.min(0), x.max(0)
        case Ball():
            end = np.full(support.dimension, support.radius)
            return -end, end
    raise TypeError(support)


def _values(activation: Activation, z: np.ndarray) -> np.ndarray:
    return np.asarray(activation.function(jnp.asarray(z)))


def _flat(activation: Activation, low: np.ndarray, high: np.ndarray, end) -> np.ndarray:
    flat = np.zeros(low.shape, bool)
    for start, stop in activation.flat:
        flat |= (low >= -end(-start)) & (high <= end(stop))
    return flat


def _spread(
    activation: Activation, z: np.ndarray, values: np.ndarray, margin: np.ndarray, r: Rounding
) -> np.ndarray:
    """Return bounds of the errors of A(z), as `jaxsim.training.pointwise` has them."""
    moved = margin
    for start, stop in activation.flat:
        above, below = z + margin - r.end(stop), -r.end(-start) - (z - margin)
        outside = np.maximum(np.maximum(above, below), 0)
        moved = np.where((start <= z) & (z <= stop), np.minimum(outside, margin), moved)
    error = activation.lipschitz * moved
    if activation.rounding:
        reach = activation.lipschitz * (np.abs(z) + margin)
        error = error + activation.rounding * r.unit * (np.abs(values) + reach)
    return error


def strip(ratio: np.ndarray, dimension: int) -> np.ndarray:
    """Return a bound of P(-ratio <= cos <= 0), cos between a vector and a uniform direction."""
    if dimension == 1:
        return np.where(ratio < 1, 0.0, 0.5)
    if dimension == 2:
        return np.arcsin(np.minimum(ratio, 1.0)) / math.pi
    peak = math.exp(
        scipy.special.gammaln(dimension / 2) - scipy.special.gammaln((dimension - 1) / 2)
    )
    return np.where(ratio < 1, np.minimum(ratio * peak / math.sqrt(math.pi), 0.5), 0.5)
