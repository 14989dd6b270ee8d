"""Where a target grows without bound: near poles, and far out.

Near a point where the enclosure of its values stays infinite however small the panel, a target's
growth is measured: |f| at distances d from the point is about d^-a. The p-th power of such a target
is integrable if p a < 1. An exponent of 0 stands for bounded targets, too, whose enclosure is
infinite for want of a better one: sin(x) / x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_OCTAVES = 14
"""Doublings of the distance over which growth is measured."""
_SKIPPED = 2


class Growth(NamedTuple):
    """How a function grows near a point.

    Attributes:
        point: about where.
        exponent: a of d^-a, not a number where values are not finite.
    """

    point: float
    exponent: float

    def power(self, p: float) -> float:
        """Return the exponent of |f|^p; the power is integrable if it is below 1."""
        return p * max(self.exponent, 0.0)


def growth_near(
    function: Callable[[np.ndarray], np.ndarray],
    point: float,
    width: float,
    low: float,
    high: float,
) -> Growth:
    """Return how |f| grows towards a point.

    Args:
        function: x [n] -> values [n], or [n, outputs].
        point: where its enclosure is infinite.
        width: how well the point is known.
        low: left end of the interval on which the function is defined.
        high: right end.

    Example:
        >>> growth = growth_near(lambda x: 1 / x, 0.0, 1e-9, -1.0, 1.0)
        >>> round(growth.exponent, 6)
        1.0
    """
    octaves = np.arange(_SKIPPED, _SKIPPED + _OCTAVES + 1)
    distances = width * 2.0**octaves
    exponents = []
    for side in (-1, 1):
        x = point + side * distances
        inside = (x >= low) & (x <= high)
        if inside.sum() < 3:
            continue
        with np.errstate(all="ignore"):
            values = np.abs(np.asarray(function(x[inside]), float)).reshape(inside.sum(), -1)
            size = np.log2(values.max(1))
        if np.isnan(size).any() or (size == np.inf).any():
            return Growth(point, np.nan)
        places = octaves[inside].astype(float)
        shown = np.isfinite(size)  # zeros do not grow
        if shown.sum() < 3:
            exponents.append(0.0)
            continue
        exponents.append(-float(np.polyfit(places[shown], size[shown], 1)[0]))
    return Growth(point, max(exponents, default=np.nan))
