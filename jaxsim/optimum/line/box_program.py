"""Dynamic programs over boxes of knots: what the families of the slope condition share.

A family says what the masses cost between two boxes, before the first and behind the last knot, for
flags that remember what the path has done. Costs of whole paths that are above a level need not be
known: the bound is cut off at it. So pairs of boxes are left out that no path below the level
passes, as the costs show that larger boxes, halved since, had up to a box and from it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from jaxsim.optimum.line.boxes import Boxes
from jaxsim.optimum.line.masses import Masses
from jaxsim.optimum.line.segments import Segments, appended, segments

Steps = Mapping[str, tuple[tuple[int, int], ...]]
_CHUNK = 400_000
_ROOM = 1e-12
"""Relative, by which sums of costs may be off when paths are compared with a level."""


class Geometry:
    """Boxes on the masses of a problem: which masses lie between them, and their moments."""

    def __init__(self, masses: Masses, edges: np.ndarray, boxes: Boxes) -> None:
        """Take masses whose cells have the given edges, or that are points there."""
        self.boxes = boxes
        if len(edges) == len(masses.weight):
            left = right = edges
            self.masses = masses
        else:
            wanted = np.unique(np.concatenate([edges[[0, -1]], boxes.low, boxes.high]))
            kept = np.flatnonzero(np.isin(edges, wanted))
            self.masses = merged(masses, kept)
            left, right = edges[kept[:-1]], edges[kept[1:]]
        self.count = len(self.masses.weight)
        self.before = np.searchsorted(right, boxes.low, side="right")
        self.after = np.searchsorted(left, boxes.high, side="left")
        self.low = np.clip((boxes.low - masses.centre) / masses.half, -1.0, 1.0)
        self.high = np.clip((boxes.high - masses.centre) / masses.half, -1.0, 1.0)
        self.least, self.most, self.group = boxes.least, boxes.most, boxes.group

    @cached_property
    def segments(self) -> Segments:
        """Moments of all runs of masses."""
        return segments(self.masses)

    def moments(self, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return (w, x, S, f, b, c) of the masses start, ..., stop - 1."""
        s = self.segments
        place = start, stop
        return (
            s.weight[place],
            s.x[place],
            s.spread[place],
            s.f[place],
            s.slope[place],
            s.cost[place],
        )

    def neighbours(
        self, combinations: list[tuple[list, list]], level: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs (a, b) of boxes of two neighbouring knots of a path below a level.

        Args:
            combinations: (forward, backward) lower bounds by knot, each [knots][B], whose paths
                pass from a to b.
            level: of the whole path.
        """
        level = level * (1 + _ROOM)
        columns = np.stack([self.before, self.after, self.low, self.high])
        cells, cell_of = np.unique(columns, axis=1, return_inverse=True)
        cell_of = cell_of.ravel()
        before, after = cells[0].astype(int), cells[1].astype(int)
        between = self.segments.cost[after[:, None], before[None, :]]
        between = np.where(cells[2][:, None] <= cells[3][None, :], between, np.inf)
        # Of all boxes of a cell together first.
        order = np.argsort(cell_of, kind="stable")
        starts = np.flatnonzero(np.diff(cell_of[order], prepend=-1))
        least = np.full(between.shape, np.inf)
        for forward, backward in combinations:
            for k in range(len(forward) - 1):
                one = np.minimum.reduceat(forward[k][order], starts)
                other = np.minimum.reduceat(backward[k + 1][order], starts)
                np.minimum(least, one[:, None] + other[None, :], out=least)
        near = least + between <= level
        stops = np.append(starts, len(order))[1:]
        sizes = stops - starts
        rows, others = [], []
        for cell in range(len(starts)):
            mine = order[starts[cell] : stops[cell]]
            reached = np.flatnonzero(near[cell])
            if not reached.size:
                continue
            theirs = order[np.concatenate([np.arange(starts[c], stops[c]) for c in reached])]
            cost = np.repeat(between[cell, reached], sizes[reached])
            total = np.full((len(mine), len(theirs)), np.inf)
            for forward, backward in combinations:
                for k in range(len(forward) - 1):
                    path = forward[k][mine][:, None] + backward[k + 1][theirs][None, :]
                    np.minimum(total, path, out=total)
            own, far = np.nonzero(total + cost <= level)
            rows.append(mine[own])
            others.append(theirs[far])
        empty = [np.zeros(0, int)]
        return np.concatenate(rows or empty), np.concatenate(others or empty)


class Family(Protocol):
    """Functions that a program bounds from below.

    Attributes:
        steps: by the name of a cost, the pairs (flag before, flag behind) of pieces that have it.
    """

    steps: ClassVar[Steps]

    def start(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies before the first knot, by flag [B]."""
        ...

    def end(self, geometry: Geometry) -> list[np.ndarray]:
        """Return the least costs of what lies behind the last knot, by flag [B]."""
        ...

    def cost(self, name: str, geometry: Geometry, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the least costs of what lies between boxes a and b; infinite if nothing can."""
        ...


class Paths(NamedTuple):
    """What a program shows.

    Attributes:
        square: lower bound of the least squares, at most the level.
        through: least cost of a path through each box [B].
        forward: least costs up to the k-th knot, by flag and knot [flags][knots][B].
        backward: least costs from there on.
    """

    square: float
    through: np.ndarray
    forward: list[list[np.ndarray]]
    backward: list[list[np.ndarray]]

    def inherited(self, parents: np.ndarray) -> Paths:
        """Return the same for smaller boxes, of which it is a bound."""
        forward, backward = (
            [[row[parents] for row in flag] for flag in part]
            for part in (self.forward, self.backward)
        )
        return Paths(self.square, self.through[parents], forward, backward)


def solve(
    family: Family, geometry: Geometry, knots: int, level: float, prior: Paths | None = None
) -> Paths:
    """Return the least costs of paths with N knots, as far as they are below a level."""
    start, end = family.start(geometry), family.end(geometry)
    flags = range(len(start))
    if prior is None:
        prior = _plain(geometry, knots, len(start))
    pairs = {}
    for name, steps in family.steps.items():
        combinations = [(prior.forward[i], prior.backward[j]) for i, j in steps]
        a, b = geometry.neighbours(combinations, level) if knots > 1 else (np.zeros(0, int),) * 2
        costs = [family.cost(name, geometry, a[part], b[part]) for part in chunks(len(a))]
        cost = np.concatenate(costs) if costs else np.zeros(0)
        near = cost <= level
        pairs[name] = Pairs(a[near], b[near], cost[near])
    forward = [[row] for row in start]
    backward = [[row] for row in end]
    for _ in range(knots - 1):
        ahead = [np.full(len(geometry.before), np.inf) for _ in flags]
        behind = [np.full(len(geometry.before), np.inf) for _ in flags]
        for name, steps in family.steps.items():
            for i, j in steps:
                np.minimum(ahead[j], pairs[name].forward(forward[i][-1]), out=ahead[j])
                np.minimum(behind[i], pairs[name].backward(backward[j][-1]), out=behind[i])
        for flag in flags:
            forward[flag].append(ahead[flag])
            backward[flag].append(behind[flag])
    backward = [row[::-1] for row in backward]
    # Pairs that were left out cost more than the level less the rest by the earlier bounds, and
    # those hold as well.
    for flag in flags:
        for k in range(knots):
            ahead, behind = prior.forward[flag][k], prior.backward[flag][k]
            if k > 0:
                np.minimum(forward[flag][k], level - behind, out=forward[flag][k])
            if k < knots - 1:
                np.minimum(backward[flag][k], level - ahead, out=backward[flag][k])
            np.maximum(forward[flag][k], ahead, out=forward[flag][k])
            np.maximum(backward[flag][k], behind, out=backward[flag][k])
    through = np.min(
        [forward[flag][k] + backward[flag][k] for flag in flags for k in range(knots)], axis=0
    )
    return Paths(min(level, float(through.min())), through, forward, backward)


def _plain(geometry: Geometry, knots: int, flags: int) -> Paths:
    """Return the costs of lines that need not meet, which bound those of every family."""
    columns = np.stack([geometry.before, geometry.after, geometry.low, geometry.high])
    cells, cell_of = np.unique(columns, axis=1, return_inverse=True)
    cell_of = cell_of.ravel()
    before, after = cells[0].astype(int), cells[1].astype(int)
    cost = geometry.segments.cost
    between = cost[after[:, None], before[None, :]]
    between = np.where(cells[2][:, None] <= cells[3][None, :], between, np.inf)
    forward, backward = [cost[0, before]], [cost[after, geometry.count]]
    for _ in range(knots - 1):
        forward.append((forward[-1][:, None] + between).min(0))
        backward.append((between + backward[-1]).min(1))
    ahead = [row[cell_of] for row in forward]
    behind = [row[cell_of] for row in backward[::-1]]
    return Paths(0.0, np.zeros(len(cell_of)), [ahead] * flags, [behind] * flags)


@dataclass(frozen=True)
class Pairs:
    """Costs of pieces between boxes.

    Attributes:
        a: left boxes [n], equal ones next to each other.
        b: right boxes [n].
        cost: [n].
    """

    a: np.ndarray
    b: np.ndarray
    cost: np.ndarray

    @cached_property
    def _by_b(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Of 16 bits NumPy sorts in linear time.
        short = self.b.max(initial=0) < 2**16
        order = np.argsort(self.b.astype(np.uint16) if short else self.b, kind="stable")
        ordered = self.b[order]
        starts = _changes(ordered)
        return order, starts, ordered[starts]

    @cached_property
    def _by_a(self) -> tuple[np.ndarray, np.ndarray]:
        starts = _changes(self.a)
        return starts, self.a[starts]

    def forward(self, costs: np.ndarray) -> np.ndarray:
        """Return min_a costs[a] + cost(a, b) for all boxes b."""
        result = np.full(len(costs), np.inf)
        if len(self.a):
            order, starts, boxes = self._by_b
            result[boxes] = np.minimum.reduceat((costs[self.a] + self.cost)[order], starts)
        return result

    def backward(self, costs: np.ndarray) -> np.ndarray:
        """Return min_b cost(a, b) + costs[b] for all boxes a."""
        result = np.full(len(costs), np.inf)
        if len(self.a):
            starts, boxes = self._by_a
            result[boxes] = np.minimum.reduceat(costs[self.b] + self.cost, starts)
        return result


def _changes(values: np.ndarray) -> np.ndarray:
    """Return where runs of equal values begin."""
    if not len(values):
        return np.zeros(0, int)
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])


def chunks(total: int) -> list[slice]:
    """Return slices of a length at which temporary arrays stay small."""
    return [slice(i, min(i + _CHUNK, total)) for i in range(0, total, _CHUNK)]


def distance(value: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return the distance of values to intervals."""
    return np.maximum(np.maximum(least - value, value - most), 0.0)


def merged(masses: Masses, kept: np.ndarray) -> Masses:
    """Return masses put together between some of their edges (with indices `kept`)."""
    rows = [masses.weight, masses.x, masses.spread]
    rows += [masses.f[:, 0], masses.slope[:, 0], masses.cost[:, 0]]
    first, size = kept[:-1], np.diff(kept)
    state = tuple(row[first] for row in rows)
    for step in range(1, int(size.max(initial=1))):
        more = size > step
        other = tuple(row[np.where(more, first + step, 0)] for row in rows)
        other = tuple(np.where(more, column, 0.0) for column in other)
        grown = appended(state, other)
        state = tuple(np.where(more, g, s) for g, s in zip(grown, state, strict=True))
    weight, x, spread, f, slope, cost = state
    knots = np.stack([masses.knots[0][first], masses.knots[1][kept[1:] - 1]])
    cells = np.arange(len(first))
    return Masses(
        knots, cells, cells + 1, weight, x, spread, f[:, None], slope[:, None], cost[:, None],
        masses.centre, masses.half, masses.doubt, masses.density_error, masses.evidence,
        masses.exactness, masses.nodes[:0], masses.shares[:0], masses.targets[:0], masses.dropped,
    )  # fmt: skip
