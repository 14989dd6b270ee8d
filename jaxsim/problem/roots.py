"""Where a function of one variable changes its sign.

Roots of polynomials are isolated in exact arithmetic by Descartes' rule of signs on ever smaller
intervals (Vincent, Collins and Akritas 1976; Rouillier and Zimmermann 2004, "Efficient isolation
of polynomial's real roots"): no variation of signs proves that an interval has no root, one proves
that it has exactly one. What is left when an interval is narrower than the spacing of floats
counts as one place, at which the polynomial changes its sign or does not. So every change of sign
that floats can tell from its neighbours is found, and that is certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.problem.polynomials import Polynomial, polynomial

GRID = 2048
"""Intervals between whose ends a function that is no polynomial is searched for changes of sign."""
MOST_STEPS = 4096
"""Intervals that are looked at for the roots of one polynomial."""

_EPS = float(np.finfo(float).eps)


def sign_changes(p: Polynomial, low: float, high: float) -> list[float] | None:
    """Return the points inside (low, high) where a polynomial changes its sign, as nearest floats.

    Returns:
        All of them, increasing, with those whose nearest float is an end of the interval; None if
        there are too many intervals to look at.

    Example:
        >>> sign_changes(polynomial((-0.25, 0.0, 1.0)), 0.0, 1.0)  # x^2 - 1/4
        [0.5]
    """
    numerators = list(p.numerators)
    zeros = next((k for k, n in enumerate(numerators) if n), None)
    if zeros is None or p.degree == 0:
        return []
    # The root 0 is split off: near it floats have no least distance that would end the search.
    p = Polynomial(tuple(numerators[zeros:]), p.denominator)
    roots = [0.0] if zeros % 2 and low < 0 < high else []
    left, right = Fraction(low), Fraction(high)
    steps = 0
    stack = [(_on_unit_interval(p, left, right), left, right)]
    while stack:
        steps += 1
        if steps > MOST_STEPS:
            return None
        q, a, b = stack.pop()
        while q[0] == 0:  # a root at the left end: no part of the open interval
            q = q[1:]
        variations = _variations(_mirrored(q))
        if variations == 0:
            continue
        if variations == 1:
            roots.append(_bisect(p, a, b, 1 if q[0] > 0 else -1))
            continue
        if b - a < _spacing(a, b) / 4:
            roots += [float((a + b) / 2)] if _changes(q) else []
            continue
        middle = (a + b) / 2
        first = _halved(q)
        second = _shifted(first)
        if second[0] == 0:
            multiplicity = next(k for k, c in enumerate(second) if c)
            roots += [float(middle)] if multiplicity % 2 else []
        stack += [(first, a, middle), (second, middle, b)]
    return sorted(roots)


def real_roots(coefficients: tuple[float, ...], low: float, high: float) -> list[float]:
    """Return the points inside (low, high) where a polynomial changes its sign.

    Example:
        >>> real_roots((-0.25, 0.0, 1.0), 0.0, 1.0)  # x^2 - 1/4
        [0.5]
    """
    found = sign_changes(polynomial(coefficients), low, high) or []
    return [t for t in found if low < t < high]


def _on_unit_interval(p: Polynomial, low: Fraction, high: Fraction) -> list[int]:
    """Return multiples of the coefficients of t -> p(low + (high - low) t)."""
    n = p.degree
    # With low = a / d and high - low = b / d: p times d^n is a form in a + b t and d.
    d = math.lcm(low.denominator, high.denominator)
    a, b = int(low * d), int((high - low) * d)
    result = [p.numerators[-1]]
    scale = 1
    for coefficient in p.numerators[-2::-1]:
        scale *= d
        longer = [a * c for c in result] + [0]
        for k, c in enumerate(result):
            longer[k + 1] += b * c
        longer[0] += coefficient * scale
        result = longer
    assert len(result) == n + 1
    return _primitive(result)


def _primitive(q: list[int]) -> list[int]:
    """Return the coefficients without their common power of two."""
    zeros = min(((c & -c).bit_length() - 1 for c in q if c), default=0)
    return [c >> zeros for c in q] if zeros else q


def _shifted(q: list[int]) -> list[int]:
    """Return the coefficients of t -> q(t + 1)."""
    q = list(q)
    for start in range(len(q) - 1):
        for k in range(len(q) - 2, start - 1, -1):
            q[k] += q[k + 1]
    return q


def _halved(q: list[int]) -> list[int]:
    """Return multiples of the coefficients of t -> q(t / 2)."""
    n = len(q) - 1
    return _primitive([c << (n - k) for k, c in enumerate(q)])


def _mirrored(q: list[int]) -> list[int]:
    """Return the coefficients of (1 + t)^n q(1 / (1 + t)): (0, 1) becomes (0, infinity)."""
    return _shifted(q[::-1])


def _variations(q: list[int]) -> int:
    """Return the number of changes of sign among coefficients, zeros left out."""
    signs = [c > 0 for c in q if c]
    return sum(s != t for s, t in pairwise(signs))


def _spacing(a: Fraction, b: Fraction) -> Fraction:
    """Return the distance of neighbouring floats in an interval."""
    return Fraction(float(np.spacing(max(abs(float(a)), abs(float(b))))))


def _changes(q: list[int]) -> bool:
    """Return whether q has different signs next to 0 and next to 1, inside of (0, 1)."""
    end = _shifted(q)
    place = next(k for k, c in enumerate(end) if c)
    return (q[0] > 0) != ((end[place] > 0) == (place % 2 == 0))


def _bisect(p: Polynomial, a: Fraction, b: Fraction, left: int) -> float:
    """Return the float nearest to the only root in (a, b), left of which p has the given sign."""
    while b - a >= _spacing(a, b) / 4:
        middle = _short_between(a, b)
        sign = p.sign_at(middle)
        if sign == 0:
            return float(middle)
        a, b = (middle, b) if sign == left else (a, middle)
    return float((a + b) / 2)


def _short_between(a: Fraction, b: Fraction) -> Fraction:
    """Return a point near the middle of an interval with as few digits as possible."""
    digits = max(0, 2 - math.frexp(float(b - a))[1])
    middle = Fraction(round((a + b) / 2 * 2**digits), 2**digits)
    return middle if a < middle < b else (a + b) / 2


def bracketed_root(function: Callable[[Any], Any], low: float, high: float) -> float:
    """Return the root between two points at which a function has different signs."""
    if low == high:
        return low
    tolerance = _EPS * max(abs(low), abs(high)) / 8
    root = scipy.optimize.brentq(
        lambda x: float(function(x)), low, high, xtol=tolerance, maxiter=1000
    )
    return float(root)  # pyright: ignore[reportArgumentType]  # a pair only if asked for


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
