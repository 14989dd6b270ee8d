"""The probability that a neuron of the first hidden layer is inactive at initialization.

A neuron with weights w and bias b is inactive if w.x + b stays in a flat interval of the
activation for all x in the support D of X:

    P( b + sup_D w.x <= c )  for a flat (-inf, c],        P( b + inf_D w.x >= c )  for [c, inf),

two disjoint events where the activation is clipped on both sides; the second is the first for -w,
-b and -c. How the first is found, for weights with a symmetric law:

    box, interval   sup = sum_j max(low_j w_j, high_j w_j): independent terms, `sums`; in
                    one dimension Gaussian (pi - phi) / (2 pi), phi the angle between
                    (s_w low, s_b) and (s_w high, s_b)
    ball, Gaussian  sup = r |w|, so the Student distribution function T_d(-r (s_w / s_b) sqrt d)
                    for c = 0, a one-dimensional integral for other biases
    finite points   one-dimensional or all corners of a box: the box; Gaussian: `orthant`
    anything else   a lower bound by simulation, labelled

Gradients of an inactive neuron are exactly zero, so an optimizer that leaves parameters with zero
gradients alone keeps it inactive for ever: the mechanism of Do, Jentzen and Riekert
(arXiv:2503.01660); Shin and Karniadakis (arXiv:1907.09696) bound the success of training by it.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from scipy import special, stats

from jaxsim.errors import InputError
from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Box, Everything, Points, Support
from jaxsim.theory.laws import Entry, entry_law
from jaxsim.theory.orthant import gaussian_orthant
from jaxsim.theory.probability import Probability
from jaxsim.theory.simulated import simulated_probability
from jaxsim.theory.sum_distribution import Summand, integrate, probability_below, symmetric_term

Found = tuple[float, float, str]
_MOST_CORNERS = 1 << 14


def inactive_probability(
    layer: Layer,
    activation: Activation,
    support: Support,
    pieces: tuple[tuple[float, float], ...] | None = None,
) -> Probability:
    """Return the probability that a neuron of the first hidden layer is inactive at initialization.

    Args:
        layer: the first hidden layer; the multiplier of its parametrization counts.
        activation: of the hidden layers.
        support: of the input law.
        pieces: the flat intervals to consider; None for all of the activation.

    Raises:
        InputError: if the layer and the support have different dimensions.

    Example:
        >>> from jaxsim.network.activations import relu
        >>> from jaxsim.network.initializers import normal
        >>> layer = Layer(1, 8, normal(), normal())
        >>> round(inactive_probability(layer, relu(), Box((-1.0,), (1.0,))).value, 12)
        0.25
    """
    if layer.fan_in != support.dimension:
        raise InputError(
            f"layer.fan_in = {layer.fan_in} differs from the dimension {support.dimension} of the "
            f"support; accepted: {support.dimension}"
        )
    pieces = activation.flat if pieces is None else pieces
    if not pieces:
        return Probability(0.0, 0.0, True, f"{activation.name} has no flat interval")
    shape = (layer.fan_in, layer.fan_out)
    weights = entry_law(layer.weights, *shape, layer.multiplier)
    biases = entry_law(layer.biases, *shape)
    if isinstance(support, Everything):
        return _everywhere(weights, biases, pieces)
    if weights is None or biases is None or layer.weights.draw_joint is not None:
        return simulated_probability(layer, pieces, support, "no formula for these laws")
    value = error = 0.0
    methods: list[str] = []
    for low, high in pieces:
        if low == -math.inf:
            found = _below(weights, biases, support, high)
        elif high == math.inf:
            found = _below(weights.reflected(), biases.reflected(), support, -low)
        else:
            found = None
        if found is None:
            return simulated_probability(layer, pieces, support, "no formula for this support")
        value, error = value + found[0], error + found[1]
        methods.append(found[2])
    return Probability(value, error, True, "; ".join(dict.fromkeys(methods)))


def _everywhere(
    weights: Entry | None, biases: Entry | None, pieces: tuple[tuple[float, float], ...]
) -> Probability:
    """Return the probability on an unbounded support: only constant pre-activations stay flat."""
    if weights is None or weights.half is not None or weights.constant != 0:
        return Probability(0.0, 0.0, True, "the support is unbounded")
    if biases is None:
        return Probability(0.0, 0.0, False, "the support is unbounded, no formula for the biases")
    value = sum(
        biases.below(high) if low == -math.inf else biases.reflected().below(-low)
        for low, high in pieces
        if math.inf in (-low, high)
    )
    return Probability(value, 1e-15, True, "zero weights: law of the bias")


def _below(weights: Entry, biases: Entry, support: Support, c: float) -> Found | None:
    """Return (P(b + sup_D w.x <= c), error, method), or None where there is no formula."""
    if isinstance(support, Points):
        box = _as_box(support)
        if box is None:
            return _on_points(weights, biases, np.unique(support.points, axis=0), c)
        support = box
    if isinstance(support, Ball):
        if support.dimension > 1:
            return _on_ball(weights, biases, support, c)
        support = Box((-support.radius,), (support.radius,))
    assert isinstance(support, Box)
    low, high = np.array(support.low, float), np.array(support.high, float)
    if weights.half is None:
        v = weights.constant
        return _bias_below(biases, c - float(np.maximum(v * low, v * high).sum()))
    if len(low) == 1 and c == 0 and weights.normal and biases.normal:
        return _interval(low[0] * weights.scale, high[0] * weights.scale, biases.scale)
    scales = Counter(
        (max(u, -lower), min(u, -lower))
        for lower, u in zip(low * weights.scale, high * weights.scale, strict=True)
    )
    terms = [Summand(weights.half, first, second, n) for (first, second), n in scales.items()]
    if biases.half is not None:
        terms.append(symmetric_term(biases))
    found = probability_below(terms, c - biases.constant)
    return None if found is None else (*found, "sum of independent terms")


def _bias_below(biases: Entry, t: float) -> Found:
    """Return P(b <= t)."""
    value = biases.below(t)
    return value, 4e-16 * value, "law of the bias"


def _interval(low: float, high: float, bias_std: float) -> Found:
    """Return (pi - phi) / (2 pi) for the interval [low, high], in units of the weight's std."""
    # pi - phi is the angle between (low, s_b) and -(high, s_b): no cancellation where it is small.
    opposite = math.atan2(bias_std * (high - low), -(low * high + bias_std**2))
    value = opposite / (2 * math.pi)
    return value, 1e-15 * value, "angle of two Gaussian pre-activations"


def _on_ball(weights: Entry, biases: Entry, ball: Ball, c: float) -> Found | None:
    """Return the probability for sup = radius |w|."""
    dimension, radius = ball.dimension, ball.radius
    if weights.half is None:
        reach = radius * abs(weights.constant) * math.sqrt(dimension)
        return _bias_below(biases, c - reach)
    if radius == 0:
        return _bias_below(biases, c)
    if not weights.normal:
        return None
    reach = radius * weights.scale
    chi: Any = stats.chi(dimension)
    if biases.half is None:
        value = float(chi.cdf((c - biases.constant) / reach))
        return value, 1e-14 * value, "chi distribution of |w|"
    if biases.normal and c == 0:
        t = reach / biases.scale * math.sqrt(dimension)
        value = float(special.stdtr(dimension, -t))
        return value, 1e-13 * value, "Student distribution"
    # Density of |w| times P(b <= c - reach |w|), with panels as fine as either varies.
    stop = math.sqrt(dimension) + 38.0
    last = min(biases.half.end, 38.0)
    turns = [
        (c + sign * biases.scale * x) / reach
        for sign in (-1, 1)
        for x in np.append(np.arange(0, last, 0.5), last)
    ]

    def integrand(x: np.ndarray) -> np.ndarray:
        term = symmetric_term(biases)
        t = c - reach * x
        below = (term.half.cdf(t / term.first) + 1 - term.half.cdf(t / term.second)) / 2
        if biases.normal:
            below = special.ndtr(t / biases.scale)
        return chi.pdf(x) * below

    value, error = integrate(integrand, stop, [*np.arange(0, stop, 0.5), *turns])
    return value, error, "integral over |w|"


def _as_box(points: Points) -> Box | None:
    """Return the box with the same affine ranges as the points, if there is one.

    In one dimension, for a single point, and for points that include all corners of their box.
    """
    x = np.asarray(points.points, float)
    low, high = x.min(0), x.max(0)
    box = Box(tuple(map(float, low)), tuple(map(float, high)))
    wide = int((low < high).sum())
    if wide <= 1:
        return box
    if 2.0**wide > min(len(x), _MOST_CORNERS):
        return None
    corners = x[((x == low) | (x == high)).all(1)]
    return box if len(np.unique(corners, axis=0)) == 2**wide else None


def _on_points(weights: Entry, biases: Entry, x: np.ndarray, c: float) -> Found | None:
    """Return the probability for finitely many points that are no box."""
    if weights.half is None:
        return _bias_below(biases, c - float((x.sum(1) * weights.constant).max()))
    bias_std = biases.scale if biases.normal else 0.0
    constant = biases.half is None and biases.constant == c
    centred = constant or (biases.normal and c == 0)
    if not (weights.normal and centred):
        return None
    value = gaussian_orthant(x, weights.scale, bias_std)
    return None if value is None else (value, 1e-14, "Gaussian orthant")
