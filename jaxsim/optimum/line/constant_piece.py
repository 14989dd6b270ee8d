"""Continuous functions with N knots, from below: one of whose pieces is constant, or any.

A network of N ReLU neurons has the slopes s_0, ..., s_N between its kinks and, if the neurons with
indices in S face left,

    s_0 + sum_{j in S} (s_j - s_{j-1}) = sum_k c_k s_k = 0,   c_k = [k in S] - [k + 1 in S],

with 0 in S and N + 1 not. If S is the first p kinks, this says that piece p is constant; else it
couples the slopes of three pieces or more (see `coupled_slopes`). A state is the box of a knot's
place t and the function's value there. From box to box the slope lies in an interval, the line's
values at the inner ends of both cells in two more, and the masses between cost at least the minimum
of a quadratic function on a rectangle.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from jaxsim.optimum.line.box_program import Geometry, Steps, distance


class ConstantPiece:
    """Continuous functions one of whose pieces is constant; the flag says whether it has come."""

    steps: ClassVar[Steps] = {"line": ((0, 0), (1, 1)), "constant": ((0, 1),)}

    def start(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies before the first knot, by flag [B]."""
        return list(_border(geometry, False))

    def end(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies behind the last knot, by flag [B]."""
        line, constant = _border(geometry, True)
        return [constant, line]

    def cost(self, name: str, geometry: Geometry, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the least costs of what lies between boxes a and b; infinite if nothing can."""
        return (_line if name == "line" else _constant)(geometry, a, b)


class Continuous:
    """Continuous functions, whatever their slopes."""

    steps: ClassVar[Steps] = {"line": ((0, 0),)}

    def start(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies before the first knot [B]."""
        return [_border(geometry, False)[0]]

    def end(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies behind the last knot [B]."""
        return [_border(geometry, True)[0]]

    def cost(self, name: str, geometry: Geometry, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the least costs of what lies between boxes a and b."""
        return _line(geometry, a, b)


def _line(g: Geometry, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the least cost of the masses between boxes a and b for a line from a to b."""
    start, stop = g.after[a], g.before[b]
    apart = start < stop
    result = np.zeros(len(a))
    a, b, start, stop = a[apart], b[apart], start[apart], stop[apart]
    w, x, spread, f, slope, cost = g.moments(start, stop)
    left, right = g.high[a], g.low[b]
    length, longest = right - left, g.high[b] - g.low[a]
    rise_least, rise_most = g.least[b] - g.most[a], g.most[b] - g.least[a]
    steep_least = rise_least / np.where(rise_least < 0, length, longest)
    steep_most = rise_most / np.where(rise_most > 0, length, longest)
    down, up = np.minimum(steep_least, 0.0), np.maximum(steep_most, 0.0)
    width_a, width_b = g.high[a] - g.low[a], g.high[b] - g.low[b]
    # The line's values at both inner ends, without the best line's.
    at_left, at_right = f + slope * (left - x), f + slope * (right - x)
    p_least = g.least[a] + width_a * down - at_left
    p_most = g.most[a] + width_a * up - at_left
    q_least = g.least[b] - width_b * up - at_right
    q_most = g.most[b] - width_b * down - at_right
    share, bend = (x - left) / length, spread / length**2
    pp = w * (1 - share) ** 2 + bend
    qq = w * share**2 + bend
    pq = w * share * (1 - share) - bend
    p, q = np.clip(0.0, p_least, p_most), np.clip(0.0, q_least, q_most)
    q_best = np.clip(-pq * p / np.where(qq > 0, qq, 1.0), q_least, q_most)
    p_best = np.clip(-pq * q / np.where(pp > 0, pp, 1.0), p_least, p_most)
    one = w * (p + share * (q_best - p)) ** 2 + bend * (q_best - p) ** 2
    other = w * (p_best + share * (q - p_best)) ** 2 + bend * (q - p_best) ** 2
    result[apart] = cost + np.minimum(one, other)
    return result


def _constant(g: Geometry, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the least cost of the masses between boxes a and b for a constant in both."""
    start = g.after[a]
    w, _, spread, f, slope, cost = g.moments(start, np.maximum(g.before[b], start))
    least, most = np.maximum(g.least[a], g.least[b]), np.minimum(g.most[a], g.most[b])
    flat = cost + spread * slope**2 + w * distance(f, least, most) ** 2
    return np.where(least < most, flat, np.inf)


def _border(g: Geometry, end: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the least costs of a line and of a constant before the first or behind the last."""
    size = len(g.before)
    if end:
        start, stop = g.after, np.full(size, g.count)
    else:
        start, stop = np.zeros(size, int), g.before
    w, x, spread, f, slope, cost = g.moments(start, np.maximum(stop, start))
    ends = f + slope * (g.low - x), f + slope * (g.high - x)
    gap = np.maximum(g.least - np.maximum(*ends), np.minimum(*ends) - g.most)
    farthest = np.maximum(np.abs(g.low - x), np.abs(g.high - x))
    heavy = (w > 0) & (spread > 0)
    some, wide = np.where(heavy, w, 1.0), np.where(heavy, spread, 1.0)
    off = np.maximum(gap, 0.0) ** 2 / (1 / some + farthest**2 / wide)
    line = cost + np.where(heavy, off, 0.0)
    flat = cost + spread * slope**2 + w * distance(f, g.least, g.most) ** 2
    return line, flat
