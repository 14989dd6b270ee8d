"""The least squares of all functions that are affine between M free knots, from below.

Let c(s, e) be the least square over the masses s, ..., e - 1 of one line; it grows with the run. If
the k-th knot lies in cell i, the piece left of it has the masses before i at least, the one right
of it those behind i, so that

    F_0(j) = c(0, before j),   F_k(j) = min_{i <= j} F_{k-1}(i) + c(after i, before j)

are lower bounds of the part left of the k + 1-st knot in cell j, and F_M at the right end is one of
the whole, whether the pieces meet or not. Two knots of one cell have nothing between them, at the
cost 0. No property of the target is needed: divide-and-conquer schemes would need the quadrangle
inequality, which fails for most targets. Cells through which a cheap path leads are split until the
bound comes close to what knots at grid points attain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxsim.optimum.line.masses import Masses
from jaxsim.optimum.strategy import Budget

MOST_CELLS = 1600
_PARTS = 3
_ROUNDS = 12
_GOOD = 0.997


@dataclass(frozen=True)
class KnotBound:
    """What the dynamic program shows on one grid.

    Attributes:
        square: lower bound of the least squares over the masses.
        through: least cost of a path with a knot in each cell [K].
        attained: least squares of knots at grid points.
        knots: these knots, indices of masses [M].
    """

    square: float
    through: np.ndarray
    attained: float
    knots: np.ndarray


def knot_bound(masses: Masses, cost: np.ndarray, kinks: int) -> KnotBound:
    """Return the bound for at most `kinks` knots from the costs of all runs."""
    n = len(masses.weight)
    places = len(masses.before)
    kinks = min(kinks, places)
    if kinks == 0:
        return KnotBound(float(cost[0, n]), np.zeros(0), float(cost[0, n]), np.zeros(0, int))
    between = cost[np.ix_(masses.after, masses.before)]
    between[np.tril_indices(places, -1)] = np.inf
    forward = [cost[0, masses.before]]
    backward = [cost[masses.after, n]]
    for _ in range(kinks - 1):
        if not forward[-1].any() and not backward[-1].any():
            break
        forward.append((forward[-1][:, None] + between).min(0))
        backward.append((between + backward[-1][None, :]).min(1))
    k = len(forward)
    through = np.min([forward[i] + backward[k - 1 - i] for i in range(k)], axis=0)
    attained, knots = _attained(cost, kinks)
    return KnotBound(float(through.min()), through, attained, knots)


def _attained(cost: np.ndarray, kinks: int) -> tuple[float, np.ndarray]:
    """Return the least squares of knots between masses, and the knots."""
    n = len(cost) - 1
    best, choices = cost[0], []
    upper = np.where(np.tri(n + 1, k=-1, dtype=bool), np.inf, cost)
    for _ in range(min(kinks, n - 1)):
        total = best[:, None] + upper
        choice = total.argmin(0)
        choices.append(choice)
        best = total[choice, np.arange(n + 1)]
    knots, place = [], n
    for choice in reversed(choices):
        place = int(choice[place])
        knots.append(place)
    return float(best[n]), np.array(knots[::-1], int)


def refine_free_knots(
    masses_on: Callable[[np.ndarray], Masses],
    costs: Callable[[Masses], np.ndarray],
    grid: np.ndarray,
    kinks: int,
    budget: Budget,
    most: int = MOST_CELLS,
) -> tuple[np.ndarray, KnotBound, bool]:
    """Split cells of a grid where knots may lie.

    Args:
        masses_on: grid -> its masses.
        costs: masses -> costs of all runs.
        grid: to begin with.
        kinks: at most so many knots.
        budget: looked at between rounds.
        most: cells.

    Returns:
        (grid, its bound, whether it ended by itself).
    """
    masses = masses_on(grid)
    bound = knot_bound(masses, costs(masses), kinks)
    for _ in range(_ROUNDS):
        cells = len(grid) - 1
        close = bound.square >= _GOOD * bound.attained or bound.attained <= masses.negligible
        if close or kinks < 1 or cells + _PARTS > most:
            return grid, bound, True
        # The next round takes about nine times as long if all cells are split.
        if budget.spent:
            return grid, bound, False
        threshold = max(bound.attained, bound.square)
        active = np.flatnonzero(bound.through <= threshold)
        room = (most - cells) // (_PARTS - 1)
        if len(active) > room:
            active = active[np.argsort(bound.through[active], kind="stable")[:room]]
        grid = split(grid, active, _PARTS)
        masses = masses_on(grid)
        new = knot_bound(masses, costs(masses), kinks)
        if new.square <= bound.square and len(grid) - 1 == cells:
            return grid, bound, True
        bound = new
    return grid, bound, True


def split(grid: np.ndarray, cells: np.ndarray, parts: int) -> np.ndarray:
    """Return a grid with some of its cells cut into equal parts."""
    low, width = grid[cells], np.diff(grid)[cells]
    width = np.where(width > 1e-12 * (grid[-1] - grid[0]), width, 0.0)
    inner = low[:, None] + width[:, None] * np.arange(1, parts) / parts
    return np.unique(np.concatenate([grid, inner.ravel()]))
