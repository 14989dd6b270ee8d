"""Where a function of one variable changes its sign.

Roots of polynomials are isolated between those of the derivative, so that none with a change of
sign is missed. The expanded form of a polynomial may be ill conditioned: (x - 0.3)^3 knows its
root to 5 digits only. Hence roots are sharpened with the function as it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.polynomial import polynomial as algebra

GRID = 2048
"""Intervals between whose ends a function that is no polynomial is searched for changes of sign."""

_EPS = float(np.finfo(float).eps)


def real_roots(polynomial: tuple[float, ...], low: float, high: float) -> list[float]:
    """Return the points inside (low, high) where a polynomial changes its sign.

    Example:
        >>> real_roots((-0.25, 0.0, 1.0), 0.0, 1.0)  # x^2 - 1/4
        [0.5]
    """
    if len(polynomial) == 2:
        root = -polynomial[0] / polynomial[1]
        return [root] if low < root < high else []
    derivative = tuple(float(c) for c in algebra.polyder(polynomial))
    ends = [low, *real_roots(derivative, low, high), high]
    values = algebra.polyval(np.array(ends), polynomial)
    roots = [t for t, v in zip(ends[1:-1], values[1:-1], strict=True) if v == 0]
    for (s, t), (v, w) in zip(pairwise(ends), pairwise(np.sign(values)), strict=True):
        if v * w < 0:
            roots.append(bracketed_root(lambda x: algebra.polyval(x, polynomial), s, t))
    return sorted(roots)


def bracketed_root(function: Callable[[Any], Any], low: float, high: float) -> float:
    """Return the root between two points at which a function has different signs."""
    if low == high:
        return low
    tolerance = _EPS * max(abs(low), abs(high)) / 8
    root = scipy.optimize.brentq(
        lambda x: float(function(x)), low, high, xtol=tolerance, maxiter=1000
    )
    return float(root)  # pyright: ignore[reportArgumentType]  # a pair only if asked for


def sharpen(function: Callable[[Any], Any], root: float, low: float, high: float) -> float:
    """Return a root near an approximate one, to rounding of the function itself."""

    def at(x: float) -> float:
        return float(function(np.array([x]))[0])

    if at(root) == 0:
        return root
    scale = max(abs(low), abs(high), high - low)
    for reach in 10.0 ** np.arange(-15.0, -2.0):
        s, t = max(low, root - reach * scale), min(high, root + reach * scale)
        if np.sign(at(s)) * np.sign(at(t)) < 0:
            return bracketed_root(at, s, t)
    return root


def grid_brackets(
    function: Callable[[Any], Any], low: float, high: float
) -> list[tuple[float, float]]:
    """Return the neighbours on a fine grid between which a function changes its sign."""
    x = np.linspace(low, high, GRID + 1)
    x[[0, -1]] += np.array([1, -1]) * (x[1] - x[0]) * 1e-6  # ends may be singular
    signs = np.sign(function(x))
    known = np.flatnonzero(signs[1:-1] == 0) + 1
    changes = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    zeros = [(float(x[i]), float(x[i])) for i in known]
    return zeros + [(float(x[i]), float(x[i + 1])) for i in changes]
