"""Boxes of states of a knot: a cell for its place, an interval for a value that goes with it.

A dynamic program over boxes bounds all functions from below if the boxes cover all states. They
come from a lattice by halving boxes one after the other, so that they cover whatever the list of
halvings says: this list is what a certificate keeps. Boxes that no good path passes stay large.
The outermost intervals reach to infinity and are never halved in that direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_BOXES = 60_000
"""Of a certificate that is read."""
PLACE, VALUE = 0, 1


@dataclass(frozen=True)
class Boxes:
    """States of knots.

    Attributes:
        low: ends of the cells for the place, in the units of the input [B].
        high: [B].
        least: ends of the intervals of the value [B].
        most: [B].
        group: what kind of state it is [B].
    """

    low: np.ndarray
    high: np.ndarray
    least: np.ndarray
    most: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.low)

    def halved(self, chosen: np.ndarray, kind: int) -> tuple[Boxes, np.ndarray]:
        """Return the boxes with some halved, and the old box that holds each new one.

        One half takes the box's place, the other comes at the end.

        Args:
            chosen: distinct indices.
            kind: PLACE or VALUE; infinite intervals and single values stay whole, twice.
        """
        low, high, least, most = (a.copy() for a in (self.low, self.high, self.least, self.most))
        ends = (low, high) if kind == PLACE else (least, most)
        first, last = ends[0][chosen], ends[1][chosen]
        with np.errstate(invalid="ignore"):
            middle = (first + last) / 2
        whole = ~np.isfinite(middle) | ~((first < middle) & (middle < last))
        rest = [a[chosen] for a in (low, high, least, most, self.group)]
        rest[2 * kind] = np.where(whole, first, middle)
        ends[1][chosen] = np.where(whole, last, middle)
        parts = zip((low, high, least, most, self.group), rest, strict=True)
        joined = [np.concatenate([a, b[~whole]]) for a, b in parts]
        return Boxes(*joined), np.concatenate([np.arange(len(self)), chosen[~whole]])


def lattice(edges: np.ndarray, levels: np.ndarray, groups: tuple[int, ...]) -> Boxes:
    """Return all boxes of cells and intervals, and of groups.

    Args:
        edges: of the cells, increasing.
        levels: between which the intervals lie, increasing; two more reach to infinity.
        groups: each with all cells and intervals; the negative ones (-1 - group) without intervals,
            whose only value is 0.
    """
    least, most = np.append(-np.inf, levels), np.append(levels, np.inf)
    parts = []
    for group in groups:
        one, other = (least, most) if group >= 0 else (np.zeros(1), np.zeros(1))
        cell, place = np.meshgrid(np.arange(len(edges) - 1), np.arange(len(one)), indexing="ij")
        cell, place = cell.ravel(), place.ravel()
        name = np.full(len(cell), group if group >= 0 else -1 - group)
        parts.append((edges[cell], edges[cell + 1], one[place], other[place], name))
    return Boxes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def rounds(halvings: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Return a list of halvings [K, 3] of (round, box, kind) as (boxes, kind) by round.

    Raises:
        ValueError: for rounds that name a box twice, or two kinds.
    """
    halvings = np.asarray(halvings, np.int64)
    if halvings.ndim != 2 or halvings.shape[1:] != (3,) or len(halvings) > MOST_BOXES:
        raise ValueError("its list of halvings has another shape")
    starts = np.flatnonzero(np.diff(halvings[:, 0], prepend=-1))
    found = []
    for start, stop in zip(starts, np.append(starts, len(halvings))[1:], strict=True):
        chosen, kinds = halvings[start:stop, 1], halvings[start:stop, 2]
        distinct = len(np.unique(chosen)) == len(chosen) and len(set(kinds.tolist())) == 1
        if not distinct or kinds[0] not in (PLACE, VALUE) or chosen.min() < 0:
            raise ValueError("its list of halvings is no list of rounds")
        found.append((chosen, int(kinds[0])))
    return found
