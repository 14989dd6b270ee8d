"""The lower bound for one hidden layer of ReLU: both families of the slope condition, refined.

    R*(N) >= min( one constant piece,  three coupled slopes or more )

Every family has its own grid of cells, its own regions of paths and their multipliers (see
`path_program`). They are refined until the bound reaches a goal, a share of a level that a network
attains: a low one first, which makes narrow windows for the knots, then a higher one. The level is
no assumption: the bound is cut off at the goal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from jaxsim.evidence import Bound, Evidence
from jaxsim.optimum.line.branching import Tree
from jaxsim.optimum.line.free_knots import refine_free_knots, split
from jaxsim.optimum.line.masses import Masses
from jaxsim.optimum.line.pieces import Pieces
from jaxsim.optimum.line.regions import splits_of
from jaxsim.optimum.line.segments import segment_costs
from jaxsim.optimum.line.slope_families import FAMILIES, Family
from jaxsim.optimum.strategy import Budget, CertificateError

GOALS = (0.8, 0.9, 0.95, 0.975)
"""Shares of the level, one after the other."""
MOST_CELLS = 2000
MOST_READ = 2001
"""Ends of cells of a certificate that is read."""
_CELLS_EACH = 60
_TURNS = 40
_PARTS = 3
_LEAST_ROOM = 20
"""Cells that are split at once if so many can be."""
_PIECES = ("grid", "splits", "multipliers", "goal")
_OPEN = "open_"

MassesOn = Callable[[np.ndarray], Masses]


@dataclass
class _State:
    """A grid and a tree, and the bound that they show below a goal."""

    grid: np.ndarray
    tree: Tree
    goal: float = 0.0
    bound: float = 0.0

    def copy(self) -> _State:
        tree = Tree(self.tree.family, self.tree.knots, self.tree.splits, self.tree.multipliers)
        return _State(self.grid, tree, self.goal, self.bound)

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        prefix += self.tree.family.name + "_"
        rows = np.array(self.tree.splits, float).reshape(-1, 4)
        values = self.grid, rows, self.tree.multipliers, np.array([self.goal])
        return {prefix + name: value for name, value in zip(_PIECES, values, strict=True)}


class _Search:
    """One family's best state, and the one that is refined."""

    def __init__(
        self,
        masses_on: MassesOn,
        grid: np.ndarray,
        knots: int,
        family: Family,
        begin: Mapping[str, np.ndarray],
        budget: Budget,
    ) -> None:
        self.masses_on, self.family = masses_on, family
        self.finite = len(masses_on(grid).weight) == len(grid)
        self.exhausted = False
        self.turns = 0
        self.best = _State(grid, Tree(family, knots))
        read = _read(begin, family, knots, "")
        if read is not None:
            self.best = read
            self.best.bound = _evaluated(masses_on(read.grid), read)
        self.state = _read(begin, family, knots, _OPEN) or self.best.copy()
        if read is None and not self.finite:
            cells = min(_CELLS_EACH * (knots + 1), MOST_CELLS // 2)
            self.state.grid = refine_free_knots(
                masses_on, segment_costs, grid, knots, budget, cells
            )[0]

    def turn(self, goal: float, budget: Budget) -> None:
        """Raise the bound on the grid that there is, and refine it if that is not enough."""
        self.turns += 1
        state = self.state
        state.goal = goal
        try:
            pieces = Pieces(self.masses_on(state.grid), state.tree.knots, goal)
        except MemoryError:
            self.exhausted = True
            return
        if not pieces.moments:
            state.bound = goal
        else:
            splits = len(state.tree.splits)
            finer = not self.finite and len(state.grid) - 1 + _PARTS <= MOST_CELLS
            cut = state.tree.raised(pieces, goal, budget, finer)
            state.bound = max(0.0, min(goal, state.tree.bound))
            self._keep(state)
            if not cut and state.bound < goal:
                same = len(state.tree.splits) == splits
                self.exhausted = not self._refined(pieces, goal) and same
            return
        self._keep(state)

    def _keep(self, state: _State) -> None:
        if state.bound > self.best.bound:
            self.best = state.copy()

    def _refined(self, pieces: Pieces, goal: float) -> bool:
        """Split the cells through which paths below a goal lead; return whether there were any."""
        state = self.state
        cells = len(state.grid) - 1
        room = 0 if self.finite else max(0, MOST_CELLS - cells) // (_PARTS - 1)
        # Half of it at a time: better multipliers will say better where cells should be small.
        room = min(room, max(room // 2, _LEAST_ROOM))
        through = state.tree.through(pieces, pieces.places, goal)
        active = np.flatnonzero(through <= goal)
        if len(active) > room:
            active = active[np.argsort(through[active], kind="stable")[:room]]
        if active.size:
            state.grid = split(state.grid, active, _PARTS)
        return len(state.grid) - 1 > cells

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the best state, and the one to go on from if it is another."""
        sizes = [(len(s.grid), len(s.tree.splits), s.bound) for s in (self.best, self.state)]
        found = self.best.arrays("")
        if sizes[0] != sizes[1] and not self.exhausted:
            found |= self.state.arrays(_OPEN)
        return found


def _read(
    arrays: Mapping[str, np.ndarray], family: Family, knots: int, prefix: str
) -> _State | None:
    """Return a state from arrays, None if it is not there.

    Raises:
        ValueError: for arrays that describe none.
    """
    names = [f"{prefix}{family.name}_{name}" for name in _PIECES]
    if any(name not in arrays for name in names):
        return None
    grid, rows, multipliers, goal = (np.asarray(arrays[name], float) for name in names)
    right = grid.ndim == 1 and 2 <= len(grid) <= MOST_READ and np.isfinite(grid).all()
    if not right or not (np.diff(grid) > 0).all():
        raise ValueError("its cells are no partition")
    if goal.shape != (1,) or not 0 <= goal[0] < np.inf:
        raise ValueError("its goal is none")
    return _State(grid, Tree(family, knots, splits_of(rows), multipliers), float(goal[0]))


def _evaluated(masses: Masses, state: _State) -> float:
    """Return the bound that a state shows."""
    pieces = Pieces(masses, state.tree.knots, state.goal)
    if not pieces.moments:
        return state.goal
    return max(0.0, min(state.goal, state.tree.evaluate(pieces)))


def search_slope_condition(
    masses_on: MassesOn,
    grid: np.ndarray,
    neurons: int,
    level: float,
    budget: Budget,
    begin: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], float, bool]:
    """Refine both families until the bound is near a level.

    Args:
        masses_on: grid -> masses; the same points for any grid.
        grid: with the target's breakpoints, from one end of the inputs to the other; the points.
        neurons: N >= 1.
        level: least squares that a network attains, about.
        budget: looked at often.
        begin: an earlier search's arrays, to go on from.

    Returns:
        (arrays, bound, whether it ended by itself).
    """
    searches = [_Search(masses_on, grid, neurons, f, begin, budget) for f in FAMILIES]
    for goal in GOALS:
        for _ in range(_TURNS):
            below = [s for s in searches if s.best.bound < goal * level and not s.exhausted]
            if not below or budget.spent:
                break
            first = min(below, key=lambda s: (s.turns, s.best.bound))
            # A family whose turn has not come must not find the budget spent.
            waiting = any(s.turns == 0 for s in below if s is not first)
            first.turn(goal * level, budget.share(0.5) if waiting else budget)
    arrays: dict[str, np.ndarray] = {}
    for search in searches:
        arrays |= search.arrays()
    return arrays, min(search.best.bound for search in searches), not budget.spent


def slope_condition_bound(
    masses_on: MassesOn, neurons: int, arrays: Mapping[str, np.ndarray]
) -> tuple[float, Evidence] | None:
    """Return the bound that arrays of a search show, None if they are not there.

    Args:
        masses_on: grid -> masses; the same points for any grid. It refuses what is no grid.
        neurons: N >= 1.
        arrays: of `search_slope_condition`.

    Returns:
        (lower bound of the least squares, rounding and doubt of the masses included; evidence).

    Raises:
        CertificateError: for arrays that describe no regions.
    """
    bounds: list[Bound] = []
    for family in FAMILIES:
        try:
            state = _read(arrays, family, neurons, "")
            if state is None:
                return None
            masses = masses_on(state.grid)
            value = masses.excess(_evaluated(masses, state))
        except (ValueError, MemoryError) as error:
            raise CertificateError(str(error)) from error
        bounds.append(Bound(value, masses.evidence))
    least = min(bounds, key=lambda bound: bound.value)
    return least.value, least.evidence
