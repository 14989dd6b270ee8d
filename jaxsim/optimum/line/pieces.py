"""Pieces between the cells of neighbouring knots, as far as paths below a level have them.

Lines that need not meet bound every family from below: F_k(i) left of a k-th knot in cell i, G_k(i)
right of it. Where F_k(i) + G_k(i) is above the level no function below it has its k-th knot, and
where F_k(i) + c(i, j) + G_{k+1}(j) is, none has the knots k and k + 1 in cells i and j.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jaxsim.optimum.line.masses import Masses
from jaxsim.optimum.line.segments import Segments, segments

HUGE = 1e200
"""Stands for 1 / 0: products with what is not exactly zero stay finite."""
MOST_PAIRS = 3_000_000
"""Pairs of cells of all pieces together, six numbers each."""
_ROOM = 1e-12
"""Relative, by which sums of costs may be off when paths are compared with a level."""


@dataclass(frozen=True)
class Moments:
    """Moments of the masses between two knots by their cells, [cells before, cells behind].

    Attributes:
        cost: of the best line; infinite where no path below the level passes.
        f: mean of the target, less its mean over all masses.
        slope: of the best line.
        x: mean.
        by_spread: 1 / S.
        by_weight: 1 / w.
    """

    cost: np.ndarray
    f: np.ndarray
    slope: np.ndarray
    x: np.ndarray
    by_spread: np.ndarray
    by_weight: np.ndarray

    @property
    def rows(self) -> tuple[np.ndarray, ...]:
        """The arrays in this order."""
        return self.cost, self.f, self.slope, self.x, self.by_spread, self.by_weight


class Pieces:
    """All pieces of functions with a number of knots that may be below a level.

    Attributes:
        knots: N.
        level: least squares above which nothing is asked.
        places: number of all cells.
        cells: indices of those in which the k-th knot may lie [N][cells].
        middle: their middles, increasing [N][cells].
        half: their half widths [N][cells].
        contents: weight, x and mean of the target of the masses in them [N][3, cells].
        moments: of the pieces 0, ..., N; empty if no function is below the level.
        unit: spread of a piece that counts as short.
        slack: by which rounding may change a sum over a path whose value is not negative.
    """

    def __init__(self, masses: Masses, knots: int, level: float) -> None:
        """Find the pieces.

        Raises:
            MemoryError: for more than MOST_PAIRS pairs of cells.
        """
        self.knots, self.level = knots, level
        runs = segments(masses)
        count = len(masses.weight)
        before, after = masses.before, masses.after
        self.places = len(before)
        between = runs.cost[np.ix_(after, before)]
        between[np.tril_indices(self.places, -1)] = np.inf
        forward, backward = [runs.cost[0, before]], [runs.cost[after, count]]
        for _ in range(knots - 1):
            forward.append((forward[-1][:, None] + between).min(0))
            backward.append((between + backward[-1]).min(1))
        backward.reverse()
        most = level * (1 + _ROOM)
        pairs = list(zip(forward, backward, strict=True))
        self.cells = [np.flatnonzero(ahead + behind <= most) for ahead, behind in pairs]
        low, high = masses.knots
        self.middle = [(low[cells] + high[cells]) / 2 for cells in self.cells]
        self.half = [(high[cells] - low[cells]) / 2 for cells in self.cells]
        whole = runs.spread[0, count]
        self.unit = float(whole) / (knots + 1) ** 3 / 30
        mean = float(runs.f[0, count])
        norm = float(runs.cost[0, count] + whole * runs.slope[0, count] ** 2)
        self.slack = 64 * 2.0**-53 * (knots + 1) ** 2 * (norm + level)
        inside = after - before
        content = inside * runs.weight[before, after]
        rows = np.stack([content, runs.x[before, after], runs.f[before, after] - mean])
        self.contents = [rows[:, cells] for cells in self.cells]
        self.moments: list[Moments] = []
        sizes = [1, *(len(cells) for cells in self.cells), 1]
        if not all(sizes):
            return
        if sum(a * b for a, b in pairwise(sizes)) > MOST_PAIRS:
            raise MemoryError("too many pairs of cells")
        for k in range(knots + 1):
            start = after[self.cells[k - 1]] if k else np.zeros(1, int)
            stop = before[self.cells[k]] if k < knots else np.full(1, count)
            start, stop = np.broadcast_arrays(start[:, None], np.maximum(start[:, None], stop))
            cost = runs.cost[start, stop]
            if 0 < k < knots:
                a, b = self.cells[k - 1], self.cells[k]
                total = forward[k - 1][a][:, None] + cost + backward[k][b]
                cost = np.where((a[:, None] <= b) & (total <= most), cost, np.inf)
            self.moments.append(_moments(runs, start, stop, cost, mean))


def _moments(
    found: Segments, start: np.ndarray, stop: np.ndarray, cost: np.ndarray, mean: float
) -> Moments:
    place = start, stop
    with np.errstate(divide="ignore", over="ignore"):
        by_spread = np.minimum(1 / found.spread[place], HUGE)
        by_weight = np.minimum(1 / found.weight[place], HUGE)
    return Moments(
        cost, found.f[place] - mean, found.slope[place], found.x[place], by_spread, by_weight
    )
