"""Functions with N knots three or more of whose slopes the condition of ReLU couples, from below.

The nonzero coefficients of sum_k c_k s_k = 0 (see `constant_piece`) alternate, +1, -1, ..., +1, and
here they are three at least. The pieces need not meet. A state is the cell of a knot, the phase,

    IN         neurons so far face left, none has faced right
    OUT        the last faces right, those before it changed once
    IN_AGAIN   the last faces left, after some that face right
    OUT_AGAIN  the last faces right, after that

and the interval of the partial sum of c_k s_k. A piece with c_k = 0 costs what its best line costs;
else its slope is a difference of two sums, and lies in an interval. The sum ends at 0.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from jaxsim.optimum.line.box_program import Geometry, Steps, distance

IN, OUT, IN_AGAIN, OUT_AGAIN = range(4)
GROUPS = (-1 - IN, OUT, IN_AGAIN, OUT_AGAIN)
"""For `boxes.lattice`: the first phase has the sum 0."""
_NEXT = np.zeros((4, 4), bool)
for _pair in ((IN, IN), (IN, OUT), (OUT, OUT), (OUT, IN_AGAIN), (IN_AGAIN, IN_AGAIN),
              (IN_AGAIN, OUT_AGAIN), (OUT_AGAIN, OUT_AGAIN), (OUT_AGAIN, IN_AGAIN)):  # fmt: skip
    _NEXT[_pair] = True


class CoupledSlopes:
    """Functions with three coupled slopes or more, whether they are continuous or not."""

    steps: ClassVar[Steps] = {"piece": ((0, 0),)}

    def start(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies before the first knot [B]."""
        return [_start(geometry)]

    def end(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies behind the last knot [B]."""
        return [_end(geometry)]

    def cost(self, name: str, geometry: Geometry, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the least costs of what lies between boxes a and b; infinite if nothing can."""
        return _piece(geometry, a, b)


def _piece(g: Geometry, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    result = np.full(len(a), np.inf)
    same = g.group[a] == g.group[b]
    meets = np.maximum(g.least[a], g.least[b]) < np.minimum(g.most[a], g.most[b])
    follows = _NEXT[g.group[a], g.group[b]] & (~same | meets | (g.group[a] == IN))
    a, b = a[follows], b[follows]
    start = g.after[a]
    _, _, spread, _, slope, cost = g.moments(start, np.maximum(g.before[b], start))
    changes = g.group[a] != g.group[b]
    # OUT to IN_AGAIN and OUT_AGAIN to IN_AGAIN subtract the slope, the others add it.
    subtracts = g.group[b] == IN_AGAIN
    least = np.where(subtracts, g.least[a] - g.most[b], g.least[b] - g.most[a])
    most = np.where(subtracts, g.most[a] - g.least[b], g.most[b] - g.least[a])
    off = np.where(changes, distance(slope, least, most), 0.0)
    result[follows] = cost + spread * off**2
    return result


def _start(g: Geometry) -> np.ndarray:
    """Return the least costs of the masses before the first knot."""
    _, _, spread, _, slope, cost = g.moments(np.zeros_like(g.before), g.before)
    first = cost + spread * distance(slope, g.least, g.most) ** 2
    return np.where(g.group == IN, cost, np.where(g.group == OUT, first, np.inf))


def _end(g: Geometry) -> np.ndarray:
    """Return the least costs of the masses behind the last knot."""
    stop = np.full(len(g.after), g.count)
    _, _, spread, _, slope, cost = g.moments(g.after, np.maximum(stop, g.after))
    last = cost + spread * distance(slope, -g.most, -g.least) ** 2
    zero = (g.least <= 0) & (g.most >= 0)
    settled = np.where(zero, cost, np.inf)
    return np.where(g.group == IN_AGAIN, last, np.where(g.group == OUT_AGAIN, settled, np.inf))
