"""Arithmetic of intervals of Taylor coefficients, with rounding outwards.

An operation gives, for all orders k = 0, ..., K at once, intervals that hold the Taylor
coefficients of the result wherever those of the arguments lie in theirs (recurrences: Griewank and
Walther 2008, "Evaluating derivatives", table 13.2). What is not known is [-inf, inf].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_EPS = float(np.finfo(float).eps)
_LEAST = 5e-324
_LARGEST = float(np.finfo(float).max)
_ULPS = 4
"""Units in the last place by which functions of NumPy and of JAX may err."""


@dataclass(frozen=True)
class Enclosure:
    """Intervals of the orders 0 to K for n panels.

    Attributes:
        low: [K + 1, n].
        high: [K + 1, n].
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def order(self) -> int:
        """The highest order K."""
        return len(self.low) - 1

    def part(self, key: slice | int) -> Enclosure:
        """Return some of the orders."""
        key = slice(key, key + 1) if isinstance(key, int) else key
        return Enclosure(self.low[key], self.high[key])

    @property
    def size(self) -> np.ndarray:
        """Largest modulus per order and panel [K + 1, n]."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def with_range(self, low: np.ndarray, high: np.ndarray) -> Enclosure:
        """Return the same with another interval of order 0."""
        return Enclosure(
            np.concatenate([low[None], self.low[1:]]), np.concatenate([high[None], self.high[1:]])
        )


def _wide(low: np.ndarray, high: np.ndarray, ulps: float = 1) -> Enclosure:
    """Return intervals a few units in the last place wider; exact zeros stay, unknowns are all.

    A lower end that overflows is at least the largest float, an upper one at most minus that.
    """
    low, high = np.where(low == np.inf, _LARGEST, low), np.where(high == -np.inf, -_LARGEST, high)
    down = np.where(low == 0, 0.0, low - (ulps * _EPS * np.abs(low) + _LEAST))
    up = np.where(high == 0, 0.0, high + (ulps * _EPS * np.abs(high) + _LEAST))
    lost = np.isnan(down) | np.isnan(up)
    return Enclosure(np.where(lost, -np.inf, down), np.where(lost, np.inf, up))


def _products(a: Enclosure, b: Enclosure) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the products of intervals, where 0 times anything is 0."""
    ends = [s * t for s in (a.low, a.high) for t in (b.low, b.high)]
    ends = [np.where(np.isnan(e), 0.0, e) for e in ends]
    return np.minimum.reduce(ends), np.maximum.reduce(ends)


def _add(a: Enclosure, b: Enclosure) -> Enclosure:
    return _wide(a.low + b.low, a.high + b.high)


def _negative(a: Enclosure) -> Enclosure:
    return Enclosure(-a.high, -a.low)


def _subtract(a: Enclosure, b: Enclosure) -> Enclosure:
    return _add(a, _negative(b))


def _scaled(a: Enclosure, factors: np.ndarray) -> Enclosure:
    """Return the orders of a times numbers [K + 1]."""
    return _wide(*_products(a, Enclosure(factors[:, None], factors[:, None])), 4)


def _inner(a: Enclosure, b: Enclosure) -> Enclosure:
    """Return sum_j a_j b_j over the orders, as one order."""
    low, high = _products(a, b)
    size = np.maximum(np.abs(low), np.abs(high)).sum(0, keepdims=True)
    margin = 2 * len(low) * _EPS * size
    return _wide(low.sum(0, keepdims=True) - margin, high.sum(0, keepdims=True) + margin)


def _stack(parts: Sequence[Enclosure]) -> Enclosure:
    return Enclosure(
        np.concatenate([p.low for p in parts]), np.concatenate([p.high for p in parts])
    )


def multiply(a: Enclosure, b: Enclosure) -> Enclosure:
    """Return the product."""
    first = _wide(*_products(a.part(0), b.part(0)))
    rest = [_inner(a.part(slice(0, k + 1)), _reversed(b, 0, k)) for k in range(1, a.order + 1)]
    return _stack([first, *rest])


def _reversed(a: Enclosure, first: int, last: int) -> Enclosure:
    """Return the orders last, last - 1, ..., first."""
    orders = np.arange(last, first - 1, -1)
    return Enclosure(a.low[orders], a.high[orders])


def square(a: Enclosure) -> Enclosure:
    """Return the product with itself, which is not negative."""
    return _even(multiply(a, a), a, 2)


def _even(product: Enclosure, a: Enclosure, exponent: int) -> Enclosure:
    """Return an even power with its exact range."""
    low, high = np.abs(a.low[0]), np.abs(a.high[0])
    inside = (a.low[0] <= 0) & (a.high[0] >= 0)
    least = np.where(inside, 0.0, np.minimum(low, high))
    ends = _wide(least**exponent, np.maximum(low, high) ** exponent, 2 + exponent)
    return product.with_range(ends.low, ends.high)


def _divide(a: Enclosure, b: Enclosure) -> Enclosure:
    inverse = _reciprocal(b.part(0))
    quotients = [_wide(*_products(a.part(0), inverse))]
    for k in range(1, a.order + 1):
        done = _stack(quotients)
        total = _inner(b.part(slice(1, k + 1)), _reversed(done, 0, k - 1))
        rest = _subtract(a.part(k), total)
        quotients.append(_wide(*_products(rest, inverse), 2))
    return _stack(quotients)


def _reciprocal(b: Enclosure) -> Enclosure:
    """Return 1 / b, all numbers where b may be 0."""
    low, high = 1 / b.high, 1 / b.low
    # One-sided: from 1 / high to infinity.
    low = np.where((b.low <= 0) & (b.high >= 0), np.where(b.low == 0, low, -np.inf), low)
    high = np.where((b.low <= 0) & (b.high >= 0), np.where(b.high == 0, 1 / b.low, np.inf), high)
    low = np.where((b.low == 0) & (b.high == 0), -np.inf, low)
    high = np.where((b.low == 0) & (b.high == 0), np.inf, high)
    return _wide(low, high)


def whole_power(a: Enclosure, exponent: int) -> Enclosure:
    """Return a power with an exponent ..., -1, 0, 1, ..."""
    if exponent == 0:
        unity = np.zeros_like(a.low)
        unity[0] = 1.0
        return Enclosure(unity, unity.copy())
    if exponent < 0:
        unity = np.zeros_like(a.low)
        unity[0] = 1.0
        return _divide(Enclosure(unity, unity.copy()), whole_power(a, -exponent))
    result, base, left = None, a, exponent
    while left:
        if left % 2:
            result = base if result is None else multiply(result, base)
        left //= 2
        if left:
            base = square(base)
    assert result is not None
    if exponent % 2 == 0:
        return _even(result, a, exponent)
    ends = _wide(a.low[0] ** exponent, a.high[0] ** exponent, 2 + exponent)
    return result.with_range(ends.low, ends.high)


def real_power(a: Enclosure, exponent: float) -> Enclosure:
    """Return a^exponent for a >= 0 and an exponent that is not a whole number."""
    base = a.with_range(np.maximum(a.low[0], 0.0), np.maximum(a.high[0], 0.0))
    ends = base.low[0] ** exponent, base.high[0] ** exponent
    first = _wide(np.minimum(*ends)[None], np.maximum(*ends)[None], _ULPS)
    powers = [first]
    inverse = _reciprocal(base.part(0))
    for k in range(1, a.order + 1):
        factors = np.array([j * (exponent + 1) - k for j in range(1, k + 1)]) / k
        terms = _scaled(a.part(slice(1, k + 1)), factors)
        total = _inner(terms, _reversed(_stack(powers), 0, k - 1))
        powers.append(_wide(*_products(total, inverse)))
    return _stack(powers)


def _monotone(a: Enclosure, function: Callable, decreasing: bool = False) -> Enclosure:
    low, high = function(a.low[0])[None], function(a.high[0])[None]
    return _wide(high, low, _ULPS) if decreasing else _wide(low, high, _ULPS)


def _from_derivative(first: Enclosure, derivative: Callable[[Enclosure], Enclosure], a: Enclosure):
    """Return w with w' = D a', where `derivative` gives D from the orders of w known so far."""
    orders = [first]
    for k in range(1, a.order + 1):
        slope = derivative(_stack(orders))
        inner = _scaled(a.part(slice(1, k + 1)), np.arange(1.0, k + 1) / k)
        orders.append(_inner(inner, _reversed(slope, 0, k - 1)))
    return _stack(orders)


def exp(a: Enclosure) -> Enclosure:
    """Return the exponential."""
    first = _monotone(a, np.exp)
    first = Enclosure(np.maximum(first.low, 0.0), np.maximum(first.high, _LEAST))
    return _from_derivative(first, lambda w: w, a)


def log(a: Enclosure) -> Enclosure:
    """Return the logarithm, of the part of a that is not negative."""
    base = a.with_range(np.maximum(a.low[0], 0.0), a.high[0])
    first = _monotone(base, np.log)
    slope = _divide(whole_power(base, 0), base)
    return _from_derivative(first, lambda w: slope, a)


def _sine_range(low: np.ndarray, high: np.ndarray, shift: float) -> Enclosure:
    """Return the range of sin(x + shift) with shift 0 or pi / 2."""
    turns_low, turns_high = (low + shift) / (2 * math.pi), (high + shift) / (2 * math.pi)
    slack = 8 * _EPS * (1 + np.maximum(np.abs(turns_low), np.abs(turns_high)))

    def holds(at: float) -> np.ndarray:
        return np.floor(turns_high - at + slack) >= np.ceil(turns_low - at - slack)

    # The cosine by itself: a shifted argument would be rounded.
    function = np.cos if shift else np.sin
    ends = function(low), function(high)
    inner = _wide(np.minimum(*ends), np.maximum(*ends), _ULPS)
    least = np.where(holds(0.75), -1.0, inner.low)
    most = np.where(holds(0.25), 1.0, inner.high)
    vague = ~(slack < 0.1)
    least, most = np.where(vague, -1.0, least), np.where(vague, 1.0, most)
    return Enclosure(np.maximum(least, -1.0)[None], np.minimum(most, 1.0)[None])


def _sine_cosine(a: Enclosure) -> tuple[Enclosure, Enclosure]:
    sines = [_sine_range(a.low[0], a.high[0], 0.0)]
    cosines = [_sine_range(a.low[0], a.high[0], math.pi / 2)]
    for k in range(1, a.order + 1):
        inner = _scaled(a.part(slice(1, k + 1)), np.arange(1.0, k + 1) / k)
        next_sine = _inner(inner, _reversed(_stack(cosines), 0, k - 1))
        next_cosine = _negative(_inner(inner, _reversed(_stack(sines), 0, k - 1)))
        sines.append(next_sine)
        cosines.append(next_cosine)
    return _stack(sines), _stack(cosines)


def _hyperbolic(a: Enclosure) -> tuple[Enclosure, Enclosure]:
    sinh = [_monotone(a, np.sinh)]
    inside = (a.low[0] <= 0) & (a.high[0] >= 0)
    ends = np.cosh(a.low[0]), np.cosh(a.high[0])
    least = np.where(inside, 1.0, np.minimum(*ends))
    cosh = [_wide(least[None], np.maximum(*ends)[None], _ULPS)]
    for k in range(1, a.order + 1):
        inner = _scaled(a.part(slice(1, k + 1)), np.arange(1.0, k + 1) / k)
        next_sinh = _inner(inner, _reversed(_stack(cosh), 0, k - 1))
        next_cosh = _inner(inner, _reversed(_stack(sinh), 0, k - 1))
        sinh.append(next_sinh)
        cosh.append(next_cosh)
    return _stack(sinh), _stack(cosh)


def _tan(a: Enclosure) -> Enclosure:
    half_turns = a.low[0] / math.pi - 0.5, a.high[0] / math.pi - 0.5
    slack = 8 * _EPS * (1 + np.maximum(np.abs(half_turns[0]), np.abs(half_turns[1])))
    pole = ~(np.floor(half_turns[1] + slack) < np.ceil(half_turns[0] - slack))
    first = _monotone(a, np.tan)
    first = Enclosure(np.where(pole, -np.inf, first.low), np.where(pole, np.inf, first.high))

    def slope(w: Enclosure) -> Enclosure:
        return _add(square(w), whole_power(w, 0))

    return _from_derivative(first, slope, a)


def _tanh(a: Enclosure) -> Enclosure:
    first = _monotone(a, np.tanh)
    first = Enclosure(np.maximum(first.low, -1.0), np.minimum(first.high, 1.0))
    # 1 - tanh^2 = 1 / cosh^2, whose range is sharp far out.
    inside = (a.low[0] <= 0) & (a.high[0] >= 0)
    ends = np.cosh(a.low[0]) ** -2.0, np.cosh(a.high[0]) ** -2.0
    bell = _wide(np.minimum(*ends), np.where(inside, 1.0, np.maximum(*ends)), 2 * _ULPS)

    def slope(w: Enclosure) -> Enclosure:
        return _subtract(whole_power(w, 0), square(w)).with_range(bell.low, bell.high)

    return _from_derivative(first, slope, a)


def _arctan(a: Enclosure) -> Enclosure:
    unity = whole_power(a, 0)
    slope = _divide(unity, _add(unity, square(a)))
    return _from_derivative(_monotone(a, np.arctan), lambda w: slope, a)


def _logical_or(a: Enclosure, b: Enclosure) -> Enclosure:
    enclosure = _subtract(_add(a, b), multiply(a, b))
    low, high = np.maximum(a.low, b.low)[0], np.maximum(a.high, b.high)[0]
    return enclosure.with_range(low, high)


def _logical_not(a: Enclosure) -> Enclosure:
    return _subtract(whole_power(a, 0), a).with_range(1 - a.high[0], 1 - a.low[0])


ARITHMETIC: dict[str, Callable[..., Enclosure]] = {
    "+": _add,
    "-": _subtract,
    "*": multiply,
    "/": _divide,
    "negative": _negative,
    "and": multiply,
    "or": _logical_or,
    "not": _logical_not,
    "arctan": _arctan,
    "cos": lambda a: _sine_cosine(a)[1],
    "cosh": lambda a: _hyperbolic(a)[1],
    "exp": exp,
    "log": log,
    "sin": lambda a: _sine_cosine(a)[0],
    "sinh": lambda a: _hyperbolic(a)[0],
    "sqrt": lambda a: real_power(a, 0.5),
    "tan": _tan,
    "tanh": _tanh,
}
"""The operations and functions without branches, by their names in formulas."""
