"""Roots of decreasing functions, for arrays element by element; ends of a region, by halving."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_STEPS = 150


def decreasing_root(
    height: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    end: np.ndarray,
    close: float = 0.0,
) -> np.ndarray:
    """Return where a decreasing function changes its sign, from the side where it is positive.

    Two secants and a halving by turns. An element that has converged is left alone, so that its
    result does not depend on what is computed beside it.

    Args:
        height: elementwise decreasing; infinite values are fine.
        start: where it is positive; returned if it is not.
        end: where it is negative; if it is not, the result is `start`.
        close: distance of the two from which on it is enough, if that is more than rounding.
    """
    high, low = height(start), height(end)
    for step in range(_STEPS):
        width = end - start
        busy = (width > np.maximum(4e-15 * np.abs(start) + 1e-14, close)) & (high > 0) & (low < 0)
        if not busy.any():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(busy & np.isfinite(high - low), high / (high - low), 0.5)
        # A secant stays a little inside, so that both ends move.
        share = np.clip(share, 1e-3, 1 - 1e-3) if step % 3 else np.full_like(share, 0.5)
        middle = start + share * width
        value = height(middle)
        above = value >= 0  # a zero is the root, and ends the search
        start = np.where(busy & above, middle, start)
        high = np.where(busy & above, value, high)
        end = np.where(busy & ~above, middle, end)
        low = np.where(busy & ~above, value, low)
    return start


def region_end(
    is_inside: Callable[[float], bool], inside: float, outside: float, halvings: int
) -> tuple[float, float]:
    """Return the points inside and outside next to the end of a region, by halving.

    Args:
        is_inside: whether a point is in the region, which has one end between the two points.
        inside: a point of it, which is not looked at.
        outside: a point beyond its end, which is not looked at.
        halvings: of the distance of the two.
    """
    for _ in range(halvings):
        middle = (inside + outside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return inside, outside
