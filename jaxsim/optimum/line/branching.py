"""Raising a family's bound: better multipliers for a region, and splits of regions.

A region whose bound does not reach the goal is split where two paths differ that hold its bound
down together: in the phases of a knot, in the length of a piece if it is short in one of them only,
in the place of a knot. If they hardly differ, or if it is one, only smaller cells help.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from jaxsim.optimum.line.multipliers import Best, best_of_all, best_of_slopes
from jaxsim.optimum.line.path_program import Evaluation, Path
from jaxsim.optimum.line.pieces import HUGE, Pieces
from jaxsim.optimum.line.regions import MOST_SPLITS, PHASE, PLACE, SHORT, Region, Split, leaves
from jaxsim.optimum.line.slope_families import Family
from jaxsim.optimum.strategy import Budget

_MOST_PATHS = 14
_SLOPE_STEPS, _ALL_STEPS = 6, 8
_EACH_TURN = 600
_SHORTEST = 1e12
"""1 / S of pieces that are not told from shorter ones."""


@dataclass
class Leaf:
    """A region that is not split.

    Attributes:
        region: its paths.
        z: multipliers [N + 1].
        bound: that they show; minus infinity if they have not been looked at.
        paths: known ones.
        split: where to split it; None if only smaller cells help.
    """

    region: Region
    z: np.ndarray
    bound: float = -np.inf
    paths: list[Path] = field(default_factory=list)
    split: tuple[int, int, float] | None = None

    def look(self, pieces: Pieces, family: Family, z: np.ndarray) -> float:
        """Return the bound for some multipliers, and learn a path."""
        evaluation = Evaluation(pieces, family, self.region, z)
        path = evaluation.path()
        if evaluation.bound > self.bound:
            self.bound, self.z = evaluation.bound, z
        if path is not None:
            others = [p for p in self.paths if p.key != path.key]
            self.paths = [*others, path][-_MOST_PATHS:]
        return evaluation.bound

    def improve(self, pieces: Pieces, family: Family, goal: float, finer: bool) -> None:
        """Look for multipliers that raise the bound to a goal, and say where to split if not.

        Its own multipliers have been looked at. If cells can be made finer, nothing is done that
        smaller cells do.
        """
        self.split = None
        if self.bound >= goal:
            return
        if family.coupled:
            # That of the slopes alone is found fast, and mostly enough.
            best = best_of_slopes(self.paths)
            for _ in range(_SLOPE_STEPS):
                if best.top <= self.bound + 0.02 * goal and self.bound > 0:
                    break
                if self.look(pieces, family, best.z) >= goal:
                    return
                best = best_of_slopes(self.paths)
            if self._limited(goal) or (finer and self._coarse(goal)):
                return
            self.split = self._split(pieces, best, goal, slopes=True)
            if self.split:
                return
        elif finer and self._coarse(goal):
            return
        best = best_of_all(self.paths)
        for step in range(_ALL_STEPS):
            if best.top <= self.bound + 1e-3 * goal:
                break
            hopeless = best.top < goal and best.top - self.bound < 0.2 * (goal - self.bound)
            if hopeless and step > 3:
                break
            if self.look(pieces, family, best.z) >= goal:
                return
            best = best_of_all(self.paths)
        if self._limited(goal):
            return
        self.split = self._split(pieces, best, goal, slopes=False)
        self.split = self.split or self._apart(pieces, self.paths[int(best.weights.argmax())])

    def _coarse(self, goal: float) -> bool:
        """Return whether the masses in the knots' cells are what is lacking."""
        if self.bound <= 0:
            return False
        lowest = min(self.paths, key=lambda path: path.value(self.z))
        return self.bound + lowest.left_out >= goal

    def _limited(self, goal: float) -> bool:
        """Return whether a path holds the bound down that no multipliers raise to the goal."""
        most = min(path.most for path in self.paths)
        return most < goal and self.bound >= most - 0.25 * (goal - most)

    def _split(
        self, pieces: Pieces, best: Best, goal: float, slopes: bool
    ) -> tuple[int, int, float] | None:
        """Return where to split; with one multiplier for the slopes alone, not at places."""
        order = np.argsort(-best.weights, kind="stable")
        heaviest = self.paths[order[0]]
        enough = 1e-2 * best.weights[order[0]]
        active = [self.paths[i] for i in order if best.weights[i] >= enough]
        others = [path for path in active if path.key != heaviest.key]
        for other in others:
            for k, (a, b) in enumerate(zip(heaviest.phases, other.phases, strict=True)):
                if a != b:
                    return PHASE, k, float(a)
        for path in active:
            if path.loose or (path.weak and not slopes):
                k = int(path.by_spread.argmax())
                if self.region.least[k] < 1 / pieces.unit < self.region.most[k]:
                    return SHORT, k, 1 / pieces.unit
        for other in others:
            large = np.maximum(heaviest.by_spread, other.by_spread)
            small = np.minimum(heaviest.by_spread, other.by_spread)
            longer = heaviest.by_spread < other.by_spread
            paid = np.where(longer, other.paid(best.z), heaviest.paid(best.z))
            ratio = np.where((paid > 0.05 * goal) & (small < HUGE), large / small, 0.0)
            k = int(ratio.argmax())
            if ratio[k] > 4:
                return SHORT, k, float(np.sqrt(min(large[k], 100 * small[k]) * small[k]))
        if slopes or not best.z.any() or not others:
            return None
        cells = [np.abs(heaviest.middle - p.middle) / (heaviest.half + p.half) for p in others]
        other = others[int(np.max(cells, axis=1).argmax())]
        apart = np.abs(heaviest.middle - other.middle)
        k = int(apart.argmax())
        if apart[k] <= 1.5 * (heaviest.half[k] + other.half[k]):
            return None
        return PLACE, k, float((heaviest.middle[k] + other.middle[k]) / 2)

    def _apart(self, pieces: Pieces, one: Path) -> tuple[int, int, float] | None:
        """Return a split that takes paths with very short pieces from the others.

        They forbid multipliers that may be what the other paths lack.
        """
        region = self.region
        weak = sorted((p for p in self.paths if p.weak), key=lambda p: p.constant)
        for path in weak:
            for k, (a, b) in enumerate(zip(one.phases, path.phases, strict=True)):
                if a != b:
                    return PHASE, k, float(a)
            for k in np.flatnonzero(path.by_spread >= HUGE).tolist():
                finite = [p.by_spread[k] for p in self.paths if p.by_spread[k] < HUGE]
                value = max(1 / pieces.unit, 64 * region.least[k], 8 * max(finite, default=0.0))
                if value < min(region.most[k], _SHORTEST):
                    return SHORT, k, float(value)
        return None


class Tree:
    """A family's regions.

    Attributes:
        family: of paths.
        knots: N.
        splits: that made the regions.
        leaves: what they left, by number.
    """

    def __init__(
        self,
        family: Family,
        knots: int,
        splits: list[Split] | None = None,
        z: np.ndarray | None = None,
    ) -> None:
        """Take splits and the multipliers [regions, N + 1] of the regions in order.

        Raises:
            ValueError: if they do not fit each other.
        """
        self.family, self.knots = family, knots
        self.splits = list(splits or [])
        regions = leaves(knots, self.splits)
        z = np.zeros((len(regions), knots + 1)) if z is None else np.asarray(z, float)
        if z.shape != (len(regions), knots + 1) or not np.isfinite(z).all():
            raise ValueError("its multipliers are not those of its regions")
        self.leaves = {
            number: Leaf(regions[number], row)
            for number, row in zip(sorted(regions), z, strict=True)
        }

    @property
    def multipliers(self) -> np.ndarray:
        """Multipliers of the regions in order [regions, N + 1]."""
        return np.stack([self.leaves[number].z for number in sorted(self.leaves)])

    @property
    def bound(self) -> float:
        """Lower bound of the least squares below the level; infinite if none is below."""
        return min(leaf.bound for leaf in self.leaves.values())

    def evaluate(self, pieces: Pieces) -> float:
        """Return the bound that the multipliers of all regions show."""
        for leaf in self.leaves.values():
            leaf.bound = Evaluation(pieces, self.family, leaf.region, leaf.z).bound
        return self.bound

    def raised(self, pieces: Pieces, goal: float, budget: Budget, finer: bool = False) -> bool:
        """Raise the bound by multipliers and splits; return whether it was cut short.

        Args:
            pieces: on a grid.
            goal: for the bound.
            budget: looked at for every region.
            finer: whether the cells of the grid will be made smaller where that helps.
        """
        heap: list[tuple[float, int]] = []
        for leaf in self.leaves.values():
            # A bound for all of them first, whatever the budget.
            leaf.bound, leaf.paths = -np.inf, []
            leaf.look(pieces, self.family, leaf.z)
        for number in list(self.leaves):
            self._improve(pieces, number, goal, heap, finer)
            if budget.spent:
                return True
        # Where only smaller cells help, regions that are hardly better need not be split now.
        enough, turns = np.inf, 0
        while heap:
            bound, number = heapq.heappop(heap)
            leaf = self.leaves[number]
            if bound >= enough:
                break
            if leaf.split is None:
                enough = bound + 0.2 * (goal - bound)
                continue
            if budget.spent:
                return True
            if turns >= _EACH_TURN or len(self.splits) >= MOST_SPLITS:
                break
            turns += 1
            kind, place, value = leaf.split
            split = Split(number, kind, place, value)
            count = 2 * len(self.splits)
            self.splits.append(split)
            del self.leaves[number]
            for i, region in enumerate(leaf.region.parts(split), 1):
                paths = [path for path in leaf.paths if path.lies_in(region)]
                child = self.leaves[count + i] = Leaf(region, leaf.z, -np.inf, paths)
                child.look(pieces, self.family, leaf.z)
                self._improve(pieces, count + i, goal, heap, finer)
        return False

    def _improve(
        self,
        pieces: Pieces,
        number: int,
        goal: float,
        heap: list[tuple[float, int]],
        finer: bool,
    ) -> None:
        leaf = self.leaves[number]
        leaf.improve(pieces, self.family, goal, finer)
        if leaf.bound < goal:
            heapq.heappush(heap, (leaf.bound, number))

    def through(self, pieces: Pieces, count: int, goal: float) -> np.ndarray:
        """Return the least sums of paths through every cell [count], of regions below a goal."""
        least = np.full(count, np.inf)
        for leaf in self.leaves.values():
            if leaf.bound < goal:
                rows = Evaluation(pieces, self.family, leaf.region, leaf.z).through()
                for cells, row in zip(pieces.cells, rows, strict=True):
                    np.minimum.at(least, cells, row)
        return least
