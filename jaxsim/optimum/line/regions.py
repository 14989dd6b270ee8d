"""Regions of the paths of a family, from splits: which cells, phases and short pieces they have.

    PLACE   the k-th knot lies left of x (by its cell's middle) | right of it
    PHASE   the k-th knot has a phase | another one
    SHORT   1 / S of piece k is at most a number | larger

Whatever the splits are, the regions that they leave hold every path: a list of splits is all that a
certificate has to say about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxsim.optimum.line.slope_families import PHASES

PLACE, PHASE, SHORT = range(3)
MOST_SPLITS = 4000
"""Of a certificate that is read."""


class Split(NamedTuple):
    """A region cut in two.

    Attributes:
        number: of the region; the i-th split leaves the regions 2 i + 1 and 2 i + 2.
        kind: PLACE, PHASE or SHORT.
        place: index of a knot or a piece.
        value: x, a phase, or 1 / S.
    """

    number: int
    kind: int
    place: int
    value: float


@dataclass
class Region:
    """Some of the paths with N knots.

    Attributes:
        low: least middles of the cells of knots [N].
        high: middles are below these [N].
        phases: bits of the phases of knots [N].
        least: 1 / S of pieces is above these [N + 1].
        most: and at most these [N + 1].
    """

    low: np.ndarray
    high: np.ndarray
    phases: np.ndarray
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def whole(cls, knots: int) -> Region:
        """Return the region of all paths."""
        return cls(
            np.full(knots, -np.inf),
            np.full(knots, np.inf),
            np.full(knots, (1 << PHASES) - 1),
            np.zeros(knots + 1),
            np.full(knots + 1, np.inf),
        )

    def parts(self, split: Split) -> tuple[Region, Region]:
        """Return the two regions that a split leaves.

        Raises:
            ValueError: for a split that is none.
        """
        kind, k, value = split.kind, split.place, split.value
        size = len(self.low) + (kind == SHORT)
        if kind not in (PLACE, PHASE, SHORT) or not 0 <= k < size or not np.isfinite(value):
            raise ValueError("its list of splits is none")
        first, second = self._copy(), self._copy()
        if kind == PLACE:
            first.high[k] = min(value, self.high[k])
            second.low[k] = max(value, self.low[k])
        elif kind == PHASE:
            if value not in range(PHASES):
                raise ValueError("its list of splits names a phase that is none")
            first.phases[k] &= 1 << int(value)
            second.phases[k] &= ~(1 << int(value))
        else:
            first.most[k] = min(value, self.most[k])
            second.least[k] = max(value, self.least[k])
        return first, second

    def _copy(self) -> Region:
        rows = self.low, self.high, self.phases, self.least, self.most
        return Region(*(row.copy() for row in rows))


def leaves(knots: int, splits: list[Split]) -> dict[int, Region]:
    """Return the regions that a list of splits leaves, by number.

    Raises:
        ValueError: for a list that splits what is not there.
    """
    regions = {0: Region.whole(knots)}
    for i, split in enumerate(splits):
        if split.number not in regions:
            raise ValueError("its list of splits names regions that are not there")
        regions[2 * i + 1], regions[2 * i + 2] = regions.pop(split.number).parts(split)
    return regions


def splits_of(rows: np.ndarray) -> list[Split]:
    """Return splits from rows [K, 4] of (number, kind, place, value).

    Raises:
        ValueError: for rows of another shape.
    """
    rows = np.asarray(rows, float)
    if rows.ndim != 2 or rows.shape[1:] != (4,) or len(rows) > MOST_SPLITS:
        raise ValueError("its list of splits has another shape")
    if not np.isfinite(rows).all():
        raise ValueError("its list of splits is not finite")
    return [Split(int(n), int(kind), int(k), float(value)) for n, kind, k, value in rows]
