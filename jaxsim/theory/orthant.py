"""P(z_1 <= 0, ..., z_N <= 0) for centred Gaussian pre-activations on finitely many data points.

With augmented points v_i = (s_w x_i, s_b) and a standard Gaussian vector g the pre-activations
are z_i = g.v_i, and the probability is the share of the unit sphere in the polar cone of the v_i:

    N = 1           1/2
    N = 2           (pi - phi_12) / (2 pi)
    N = 3           (2 pi - phi_12 - phi_13 - phi_23) / (4 pi)
    two-dimensional x, s_b > 0, any N
                    (2 pi - perimeter of the spherical convex hull of the v_i) / (4 pi)

with phi_ij the angle between v_i and v_j (Girard's theorem; the hull is the planar convex hull of
the x_i seen from the origin). Two-dimensional x without bias: (largest gap between the directions
of the x_i - pi) / (2 pi), if positive.
"""

from __future__ import annotations

import math

import numpy as np


def gaussian_orthant(points: np.ndarray, weight_std: float, bias_std: float) -> float | None:
    """Return P(w.x_i + b <= 0 for all i), w_j ~ N(0, weight_std^2), b ~ N(0, bias_std^2).

    Args:
        points: x [N, d], no point twice.
        weight_std: standard deviation of the weights.
        bias_std: standard deviation of the bias; 0 for no bias.

    Returns:
        The probability, or None where there is no closed form.

    Example:
        >>> round(gaussian_orthant(np.array([[0., 0.], [1., 0.], [0., 1.], [1., 1.]]), 1., 1.), 6)
        0.277043
    """
    if bias_std == 0:
        # A point at the origin has pre-activation 0 whatever the weights are.
        points = points[np.any(points != 0, axis=1)]
        if len(points) == 0:
            return 1.0
    number, dimension = points.shape
    rays = np.hstack([weight_std * points, np.full((number, 1), bias_std)])
    if dimension == 2 and bias_std > 0:
        hull = _hull(points)
        corners = np.hstack([weight_std * hull, np.full((len(hull), 1), bias_std)])
        perimeter = sum(
            _angle(u, v) for u, v in zip(corners, np.roll(corners, -1, axis=0), strict=True)
        )
        return (2 * math.pi - perimeter) / (4 * math.pi)
    if dimension == 2:
        directions = np.sort(np.arctan2(points[:, 1], points[:, 0]))
        gaps = np.diff(directions, append=directions[0] + 2 * math.pi)
        return max(float(gaps.max()) - math.pi, 0.0) / (2 * math.pi)
    if number == 1:
        return 0.5
    if number == 2:
        return (math.pi - _angle(*rays)) / (2 * math.pi)
    if number == 3:
        a, b, c = rays
        angles = _angle(a, b) + _angle(b, c) + _angle(c, a)
        return max(2 * math.pi - angles, 0.0) / (4 * math.pi)
    return None


def polar_cone_strip(
    points: np.ndarray, weight_std: float, bias_std: float, relative: float, absolute: float
) -> float:
    """Return a bound of P(all z_i <= 0, but some z_i > -relative |v_i| |g| - absolute).

    On the unit sphere of R^D the relative part is a strip of width asin(relative) inside a convex
    body within a half-sphere: its inner parallel bodies have no larger boundary than the
    half-sphere, so its share is at most asin(relative) |S^(D-2)| / |S^(D-1)|. The absolute part is
    a window of the normal density of each z_i.

    Args:
        points: x [N, d].
        weight_std: standard deviation of the weights.
        bias_std: standard deviation of the bias; 0 for no bias.
        relative: in units of |v_i| |g|.
        absolute: the same for all points.

    Example:
        >>> round(polar_cone_strip(np.array([[1.0], [2.0]]), 1.0, 1.0, 1e-6, 0.0) * math.pi, 12)
        1e-06
    """
    points = points[np.any(points != 0, axis=1)] if bias_std == 0 else points
    if len(points) == 0:
        return 0.0
    norms = np.sqrt((weight_std * points) ** 2 @ np.ones(points.shape[1]) + bias_std**2)
    size = points.shape[1] + (bias_std > 0)
    if size == 1:
        share = 0.0
    else:
        share = math.exp(math.lgamma(size / 2) - math.lgamma((size - 1) / 2)) / math.sqrt(math.pi)
    windows = float((absolute / np.maximum(norms, 1e-300)).sum()) / math.sqrt(2 * math.pi)
    return math.asin(min(relative, 1.0)) * share * (1 + 1e-12) + windows


def _angle(u: np.ndarray, v: np.ndarray) -> float:
    """Return the angle between two vectors, accurate for small angles too."""
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return 2 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v)))


def _hull(points: np.ndarray) -> np.ndarray:
    """Return the corners of the planar convex hull in order (Andrew's monotone chain)."""
    ordered = sorted(map(tuple, points))

    def chain(sequence: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
        corners: list[tuple[float, ...]] = []
        for p in sequence:
            while len(corners) > 1 and _turn(corners[-2], corners[-1], p) <= 0:
                corners.pop()
            corners.append(p)
        return corners[:-1]

    hull = chain(ordered) + chain(ordered[::-1])
    return np.array(hull or ordered)


def _turn(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
