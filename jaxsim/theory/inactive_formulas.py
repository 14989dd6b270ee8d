"""Formulas for the probability that b + sup_D w.x stays in a flat interval of the activation.

    P( b + sup_D w.x <= c )  for a flat (-inf, c],        P( b + inf_D w.x >= c )  for [c, inf),

two disjoint events where the activation is clipped on both sides; the second is the first for -w,
-b and -c. How the first is found, for weights with a symmetric law:

    box, interval   sup = sum_j max(low_j w_j, high_j w_j): independent terms,
                    `sum_distribution`; in one dimension Gaussian (pi - phi) / (2 pi), phi the
                    angle between (s_w low, s_b) and (s_w high, s_b)
    ball, Gaussian  sup = r |w|, so the Student distribution function T_d(-r (s_w / s_b) sqrt d)
                    for c = 0, a one-dimensional integral for other biases
    finite points   one-dimensional or all corners of a box: the box; Gaussian: `orthant`
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.problem.support import Ball, Box, Points, Support
from jaxsim.theory.laws import Entry
from jaxsim.theory.orthant import gaussian_orthant, polar_cone_strip
from jaxsim.theory.probability import Probability
from jaxsim.theory.rounding import EXACT, Rounding
from jaxsim.theory.sum_distribution import (
    Summand,
    integral_over_norm,
    probability_below,
    window_probability,
)

Found = tuple[float, float, str]
"""Value, bound on its error, and how it is known."""
_MOST_CORNERS = 1 << 14


def in_pieces(
    weights: Entry,
    biases: Entry,
    support: Support,
    pieces: tuple[tuple[float, float], ...],
    rounding: Rounding,
    two_sided: bool = False,
) -> Found | None:
    """Return the sum over flat pieces, which are disjoint events.

    Args:
        weights: law of an effective weight.
        biases: law of a bias.
        support: of the input law.
        pieces: flat intervals.
        rounding: of the training.
        two_sided: whether the error must hold on both sides for the event of `InactiveEvent`; else
            value - error is the best lower bound known.
    """
    value = error = 0.0
    methods: list[str] = []
    for low, high in pieces:
        if low == -math.inf:
            laws, end = (weights, biases), high
        elif high == math.inf:
            laws, end = (weights.reflected(), biases.reflected()), -low
        else:
            return None
        probability = _below(*laws, support, end, rounding, two_sided)
        if probability is None:
            return None
        value, error = value + probability[0], error + probability[1]
        methods.append(probability[2])
    return value, error, "; ".join(dict.fromkeys(methods))


def everywhere(
    weights: Entry | None,
    biases: Entry | None,
    pieces: tuple[tuple[float, float], ...],
    rounding: Rounding,
) -> Probability:
    """Return the probability on an unbounded support: only constant pre-activations stay flat."""
    if weights is None or weights.half is not None or weights.constant != 0:
        return Probability(0.0, 0.0, True, "the support is unbounded")
    if biases is None:
        return Probability(0.0, 0.0, False, "the support is unbounded, no formula for the biases")
    value, lower = (
        sum(
            biases.below(r.end(high)) if low == -math.inf else biases.reflected().below(r.end(-low))
            for low, high in pieces
            if math.inf in (-low, high)
        )
        for r in (EXACT, rounding)
    )
    return Probability(
        value, 1e-15, True, "zero weights: law of the bias", in_training=lower - 1e-15
    )


def _below(
    weights: Entry,
    biases: Entry,
    support: Support,
    c: float,
    rounding: Rounding,
    two_sided: bool,
) -> Found | None:
    """Return (P(b + sup_D w.x <= c), error, method), or None where there is no formula.

    With the margins of a rounding: of the event that implies it in training.
    """
    if isinstance(support, Points):
        box = as_box(support)
        if box is None:
            x = np.unique(support.points, axis=0)
            return _on_points(weights, biases, x, c, rounding, two_sided)
        support = box
    if isinstance(support, Ball):
        if support.dimension > 1:
            return _on_ball(weights, biases, support, c, rounding)
        support = Box((-support.radius,), (support.radius,))
    assert isinstance(support, Box)
    low, high = np.array(support.low, float), np.array(support.high, float)
    corners = np.stack([low, high])
    if weights.half is None:
        return _constant_weights(weights.constant, biases, corners, c, rounding)
    if rounding.exact and len(low) == 1 and c == 0 and weights.normal and biases.normal:
        return _interval(low[0] * weights.scale, high[0] * weights.scale, biases.scale)
    # sup of w_j x_j + relative |w_j x_j|, in units of |w_j|, for w_j > 0 and w_j < 0.
    up, down = (weights.scale * rounding.supremum(sign * corners) for sign in (1, -1))
    scales = Counter((max(a, b), min(a, b)) for a, b in zip(up, down, strict=True))
    terms = [Summand(weights.half, first, second, n) for (first, second), n in scales.items()]
    t = rounding.end(c)
    if biases.half is None:
        t -= rounding.largest(biases.constant)
    else:
        r = rounding.relative
        terms.append(Summand(biases.half, biases.scale * (1 + r), -biases.scale * (1 - r)))
    probability = probability_below(terms, t)
    if probability is None:
        return None
    value, error = probability
    if rounding.exact:
        return value, error, "sum of independent terms"
    if c == 0:
        # Results near the smallest number; where no term is positive, they do not matter.
        error += window_probability(terms, abs(rounding.absolute))
    none_positive = math.prod(((high <= 0) / 2 + (low >= 0) / 2).tolist())
    none_positive *= biases.below(rounding.end(c)) * (1 - 1e-15)
    if none_positive > value - error and two_sided:
        # That no term is positive implies that the sum is not, if c = 0.
        return (none_positive, 2 * error, "signs of independent terms") if c == 0 else None
    if rounding.relative > 0 and none_positive > value - error:
        value, error = none_positive, 0.0
    return value, error, "sum of independent terms"


def _constant_weights(
    value: float, biases: Entry, corners: np.ndarray, c: float, rounding: Rounding
) -> Found:
    """Return the probability for weights that all have one value, on a box."""
    terms = value * corners
    sup = float(terms.max(0).sum())
    none_positive = bool((terms <= 0).all())
    if not rounding.exact:
        sup = float(rounding.supremum(terms).sum())
    return _bias_below(biases, c, sup, none_positive, rounding)


def _bias_below(
    biases: Entry, c: float, sup: float, none_positive: bool, rounding: Rounding
) -> Found:
    """Return P(b + sup <= c) with the margins of the bias.

    Args:
        biases: law of the bias.
        c: end of the flat piece.
        sup: of w.x, its own margin included.
        none_positive: whether no term of w.x can be positive, so that b <= c is enough.
        rounding: of the training.
    """
    if rounding.exact:
        value = biases.below(c - sup)
    else:
        t = rounding.end(c) - rounding.absolute - sup
        value = biases.below(t / (1 + rounding.relative * math.copysign(1.0, t)))
        if none_positive:
            value = max(value, biases.below(rounding.end(c)))
    return value, 4e-16 * value, "law of the bias"


def _interval(low: float, high: float, bias_std: float) -> Found:
    """Return (pi - phi) / (2 pi) for the interval [low, high], in units of the weight's std."""
    # pi - phi is the angle between (low, s_b) and -(high, s_b): no cancellation where it is small.
    opposite = math.atan2(bias_std * (high - low), -(low * high + bias_std**2))
    value = opposite / (2 * math.pi)
    return value, 1e-15 * value, "angle of two Gaussian pre-activations"


def _on_ball(
    weights: Entry, biases: Entry, ball: Ball, c: float, rounding: Rounding
) -> Found | None:
    """Return the probability for sup = radius |w|.

    With margins, sum_j |w_j x_j| <= radius |w| too.
    """
    dimension, radius = ball.dimension, ball.radius * (1 + rounding.relative)
    if weights.half is None:
        reach = radius * abs(weights.constant) * math.sqrt(dimension)
        return _bias_below(biases, c, reach, reach == 0, rounding)
    if radius == 0:
        return _bias_below(biases, c, 0.0, True, rounding)
    if not weights.normal:
        return None
    reach = radius * weights.scale
    t = rounding.end(c) - rounding.absolute
    chi: Any = scipy.stats.chi(dimension)
    if biases.half is None:
        value = float(chi.cdf((t - rounding.largest(biases.constant)) / reach))
        return value, 1e-14 * value, "chi distribution of |w|"
    bias_down = biases.scale * (1 - rounding.relative)
    if biases.normal and c == 0:
        ratio = reach / bias_down * math.sqrt(dimension)
        value = float(scipy.special.stdtr(dimension, -ratio))
        margin = abs(rounding.absolute) / bias_down
        return value, 1e-13 * value + margin, "Student distribution"
    bias = Summand(biases.half, biases.scale * (1 + rounding.relative), -bias_down)
    return *integral_over_norm(dimension, reach, bias, t), "integral over |w|"


def as_box(points: Points) -> Box | None:
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


def _on_points(
    weights: Entry,
    biases: Entry,
    x: np.ndarray,
    c: float,
    rounding: Rounding,
    two_sided: bool,
) -> Found | None:
    """Return the probability for finitely many points that are no box."""
    if weights.half is None:
        terms = x * weights.constant
        sup = float((terms + rounding.relative * np.abs(terms)).sum(1).max())
        return _bias_below(biases, c, sup, bool((terms <= 0).all()), rounding)
    bias_std = biases.scale if biases.normal else 0.0
    constant = biases.half is None and biases.constant == c
    centred = constant or (biases.normal and c == 0)
    if not (weights.normal and centred):
        return None
    value = gaussian_orthant(x, weights.scale, bias_std)
    if value is None:
        return None
    if c != 0 and not rounding.exact:
        if two_sided:
            return None
        return 0.0, 0.0, "Gaussian orthant"  # c and the bias cancel, but not certainly in training
    strip = 0.0
    if not rounding.exact:
        strip = polar_cone_strip(x, weights.scale, bias_std, rounding.relative, rounding.absolute)
    if two_sided:
        return max(value - strip / 2, 0.0), 1e-14 + strip / 2, "Gaussian orthant"
    return max(value - strip, 0.0), 1e-14, "Gaussian orthant"
