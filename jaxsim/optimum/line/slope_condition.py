"""The lower bound for one hidden layer of ReLU: the families of the slope condition, refined.

    R*(N) >= min( one constant piece,  max( three coupled slopes or more, continuity alone ) )

Every family has its own boxes. Those that paths below a threshold pass are halved, in the family
that holds the bound down and in the direction that lately gained more for each new box; the
threshold lies between the bound and a level that a network attains. The level is no assumption: the
bound is cut off at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from jaxsim.optimum.line.box_program import Family, Geometry, Paths, solve
from jaxsim.optimum.line.boxes import PLACE, VALUE, Boxes, lattice, rounds
from jaxsim.optimum.line.constant_piece import ConstantPiece, Continuous
from jaxsim.optimum.line.coupled_slopes import GROUPS, CoupledSlopes
from jaxsim.optimum.line.masses import Masses
from jaxsim.optimum.strategy import Budget, CertificateError

FAMILIES: dict[str, tuple[Family, tuple[int, ...]]] = {
    "constant": (ConstantPiece(), (0,)),
    "coupled": (CoupledSlopes(), GROUPS),
    "continuous": (Continuous(), (0,)),
}
"""By name, with the groups of their boxes."""
MOST = {"constant": 10_000, "coupled": 24_000, "continuous": 4_000}
"""Boxes."""
GOAL = 0.975
BOX_ARRAYS = ("box_cells", "values", "slopes", *FAMILIES, "level")
_FIRST_CELLS, _FIRST_LEVELS = 24, 9
_FRACTION = 0.55
_ROUNDS = 120
_GROWTH = 1.5
_STALE = 6


class _Search:
    """One family's boxes, and what they show below a threshold."""

    def __init__(self, name: str, root: Boxes, condition: _Condition) -> None:
        self.name, self.boxes, self.condition = name, root, condition
        self.family = FAMILIES[name][0]
        self.halvings: list[np.ndarray] = []
        self.paths: Paths | None = None
        self.threshold = 0.0
        self.evaluated = 0
        # Gain per new box of the last round in either direction, and rounds since then.
        self.gains = {PLACE: np.inf, VALUE: np.inf}
        self.ages = {PLACE: 0, VALUE: 0}
        self.recent = [np.inf, np.inf]

    @property
    def square(self) -> float:
        return 0.0 if self.paths is None else self.paths.square

    @property
    def promise(self) -> float:
        """What the last two rounds gained."""
        return sum(self.recent[-2:])

    def evaluate(self, threshold: float) -> None:
        """Compute the costs of paths below a threshold, which does not decrease."""
        geometry = self.condition.geometry(self.boxes)
        self.threshold = threshold
        self.paths = solve(self.family, geometry, self.condition.neurons, threshold, self.paths)
        self.evaluated = len(self.boxes)

    def halve(self, chosen: np.ndarray, kind: int) -> None:
        """Halve boxes, which inherit what is known of the whole ones."""
        number = len(self.halvings)
        rows = np.column_stack([np.full(len(chosen), number), chosen, np.full(len(chosen), kind)])
        self.halvings.append(rows)
        self.boxes, parents = self.boxes.halved(chosen, kind)
        self.paths = None if self.paths is None else self.paths.inherited(parents)

    def refine(self, goal: float) -> bool:
        """Halve the boxes of good paths in one direction; return whether that was possible."""
        aim = goal
        if len(self.boxes) > MOST[self.name] / 2:
            # What is left of the boxes goes where the bound is held down.
            aim = self.square + _FRACTION * (goal - self.square)
        if self.paths is None or aim > self.threshold:
            self.evaluate(aim)
        self.threshold = aim
        assert self.paths is not None
        before, size = self.square, len(self.boxes)
        kind = max((PLACE, VALUE), key=lambda k: (self.ages[k] >= _STALE, self.gains[k]))
        active = np.flatnonzero(self.paths.through < self.threshold)
        room = MOST[self.name] - size
        if room < 1:
            return False
        if active.size:
            if len(active) > room:
                order = np.argsort(self.paths.through[active], kind="stable")
                active = active[order[:room]]
            self.halve(active, kind)
            self.evaluate(self.threshold)
        other = PLACE + VALUE - kind
        gain = self.square - before
        self.gains[kind] = gain / max(len(self.boxes) - size, 1)
        self.ages[kind], self.ages[other] = 0, self.ages[other] + 1
        self.recent.append(gain)
        return True


class _Condition:
    """A problem's masses, N neurons and a level."""

    def __init__(
        self,
        masses_on: Callable[[np.ndarray], Masses],
        grid: np.ndarray,
        neurons: int,
        level: float,
    ) -> None:
        self.masses_on, self.grid = masses_on, grid
        self.finite = len(masses_on(grid).weight) == len(grid)
        self.neurons, self.level = neurons, level

    def geometry(self, boxes: Boxes) -> Geometry:
        """Return boxes on masses whose edges hold those of the boxes, or on points."""
        if self.finite:
            return Geometry(self.masses_on(self.grid), self.grid, boxes)
        edges = np.unique(np.concatenate([self.grid, boxes.low, boxes.high]))
        return Geometry(self.masses_on(edges), edges, boxes)

    def searches(self, arrays: Mapping[str, np.ndarray]) -> dict[str, _Search]:
        """Return the families' boxes as arrays describe them, evaluated below the level.

        Raises:
            ValueError: for arrays that describe none.
        """
        found = {}
        for name, (_, groups) in FAMILIES.items():
            levels = np.asarray(arrays["slopes" if name == "coupled" else "values"], float)
            search = _Search(name, lattice(arrays["box_cells"], levels, groups), self)
            for chosen, kind in rounds(arrays.get(name, np.zeros((0, 3)))):
                if chosen.max() >= len(search.boxes):
                    raise ValueError("its list of halvings names boxes that are not there")
                if len(search.boxes) > _GROWTH * search.evaluated:
                    search.evaluate(self.level)
                search.halve(chosen, kind)
            if len(search.boxes) > search.evaluated:
                search.evaluate(self.level)
            found[name] = search
        return found


def _together(searches: Mapping[str, _Search]) -> float:
    return min(
        searches["constant"].square,
        max(searches["coupled"].square, searches["continuous"].square),
    )


def roots(masses: Masses, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Return the lattices from which the boxes of all families come."""
    size = masses.weight > 0
    f, slope = masses.f[size, 0], masses.slope[size, 0]
    if not masses.spread.any():
        slope = np.diff(f) / np.diff(masses.x[size])
    span = max(float(np.ptp(f)), 1e-300)
    inner = np.abs(slope) <= 8 * max(float(np.median(np.abs(slope))), span / 2)
    steep = max(float(np.abs(slope[inner]).max(initial=0.0)), span / 2)
    # Beyond what the target does, intervals become wider.
    beyond = np.array([0.125, 0.25, 0.5, 1.0, 2.0, 4.0])
    values = np.linspace(f.min(), f.max(), _FIRST_LEVELS)
    values = np.concatenate([f.min() - span * beyond[::-1], values, f.max() + span * beyond])
    slopes = 1.5 * steep * np.linspace(-1, 1, 2 * _FIRST_LEVELS - 3)
    outer = 1.5 * steep * (1 + beyond[2:])
    slopes = np.concatenate([-outer[::-1], slopes, outer])
    step = max(1, (len(grid) - 1) // _FIRST_CELLS)
    cells = np.unique(np.append(grid[::step], grid[-1]))
    return {"box_cells": cells, "values": values, "slopes": slopes}


def search_slope_condition(
    masses_on: Callable[[np.ndarray], Masses],
    grid: np.ndarray,
    neurons: int,
    level: float,
    budget: Budget,
    begin: Mapping[str, np.ndarray],
    goal: float = GOAL,
) -> tuple[dict[str, np.ndarray], float, bool]:
    """Halve boxes until the bound is near a level.

    Args:
        masses_on: grid -> masses; the same points for any grid.
        grid: with the target's breakpoints, from one end of the inputs to the other; the points.
        neurons: N >= 1.
        level: least squares that a network attains, about.
        budget: looked at between rounds.
        begin: an earlier search's arrays, to go on from.
        goal: share of the level at which the search ends.

    Returns:
        (arrays, bound, whether it ended by itself).
    """
    condition = _Condition(masses_on, grid, neurons, float(begin.get("level", [0.0])[0]))
    names = ("box_cells", "values", "slopes")
    arrays = {k: np.asarray(begin[k]) for k in (*names, *FAMILIES) if k in begin}
    if any(name not in arrays for name in names):
        arrays = roots(masses_on(grid), grid)
    searches = condition.searches(arrays)
    kept = {name: [arrays[name]] if name in arrays else [] for name in FAMILIES}
    first = {name: int(rows[0][-1, 0]) + 1 if len(rows) and len(rows[0]) else 0
             for name, rows in kept.items()}  # fmt: skip
    for search in searches.values():
        search.halvings, search.paths = [], None
    exhausted: set[str] = set()
    finished = False
    for _ in range(_ROUNDS):
        finished = _together(searches) >= goal * level * (1 - 1e-12)
        if finished or budget.spent:
            break
        name = _next(searches, exhausted, goal * level)
        if name and not searches[name].refine(goal * level):
            exhausted.add(name)
        if not name:
            break
    finished = finished or not budget.spent
    for name, search in searches.items():
        own = [rows + np.array([first[name], 0, 0]) for rows in search.halvings]
        arrays[name] = np.concatenate([np.zeros((0, 3), np.int64), *kept[name], *own])
    # All that has to be shown again: of two families either is enough.
    arrays["level"] = np.array([_together(searches)])
    less = min(("coupled", "continuous"), key=lambda name: searches[name].square)
    arrays[less] = np.zeros((0, 3), np.int64)
    return arrays, _together(searches), finished


def _next(searches: Mapping[str, _Search], exhausted: set[str], goal: float) -> str:
    """Return the family to refine, "" if no refinement could raise the bound."""
    constant, coupled, continuous = (searches[n] for n in FAMILIES)
    if constant.square <= max(coupled.square, continuous.square):
        return "" if "constant" in exhausted else "constant"
    open_ones = [s for s in (coupled, continuous) if s.name not in exhausted]
    # Either is enough: the one that gained more lately, for what it has left to gain.
    best = max(
        open_ones,
        key=lambda s: s.promise / max(goal - s.square, 1e-300),
        default=None,
    )
    return "" if best is None else best.name


def slope_condition_bound(
    masses_on: Callable[[np.ndarray], Masses],
    grid: np.ndarray,
    neurons: int,
    arrays: Mapping[str, np.ndarray],
) -> float | None:
    """Return the bound that arrays of a search show, None if they are not there.

    Raises:
        CertificateError: for arrays that describe no boxes.
    """
    names = ("box_cells", "values", "slopes", "level")
    if any(name not in arrays for name in names):
        return None
    rows = [np.asarray(arrays[name], float) for name in names]
    for row in rows[:3]:
        right = row.ndim == 1 and 2 <= len(row) <= 4096 and np.isfinite(row).all()
        if not right or not (np.diff(row) > 0).all():
            raise CertificateError("its boxes are no partition")
    cells, level = rows[0], float(rows[3].ravel()[0])
    if (cells[0], cells[-1]) != (grid[0], grid[-1]) or not 0 <= level < np.inf:
        raise CertificateError("its boxes do not cover the inputs' interval")
    try:
        searches = _Condition(masses_on, grid, neurons, level).searches(arrays)
    except ValueError as error:
        raise CertificateError(str(error)) from error
    return _together(searches)
