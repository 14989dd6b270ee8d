"""The least squares of one ReLU neuron, from below: a minimum over its kink.

c + v relu(x - t) is a constant on the left of t and a line on the right, which meet. For t between
masses the least square R(t) follows from the moments of both sides in closed form. If R(t) < U for
a t between grid points, the slope v is bounded by the square of the masses right of both, and
moving the kink to a grid point at the distance d changes the function by |v| d at the most: in the
norm of L2,

    sqrt R(t) >= sqrt R(t_0) - |v| d sqrt(P(X > t_0)).

Cells whose bound is below what grid points attain are cut on. relu(t - x) is the mirror image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxsim.optimum.line.free_knots import split
from jaxsim.optimum.line.masses import Masses
from jaxsim.optimum.line.segments import appended
from jaxsim.optimum.strategy import Budget

MOST_CELLS = 2000
_ROUNDS = 16
_GOOD = 1 - 1e-6


class OneKink(NamedTuple):
    """Bounds for one neuron.

    Attributes:
        square: lower bound of the least squares.
        cells: lower bounds for a kink in each cell, either way [n].
        attained: least square of a kink at a grid point.
    """

    square: float
    cells: np.ndarray
    attained: float


class _Sides(NamedTuple):
    """At every grid point the risk of a kink there, and moments of the masses beside it.

    The constant's least square is that of the masses on the left; the line's, S, slopes and weight
    are those of the masses on the right.
    """

    risk: np.ndarray
    edges: np.ndarray
    constant: np.ndarray
    line: np.ndarray
    spread: np.ndarray
    slope: np.ndarray
    weight: np.ndarray


def one_kink_bound(masses: Masses) -> OneKink:
    """Return the bounds of one neuron for masses that are cells."""
    right_facing = _facing_right(masses, masses.knots, False)
    left_facing = _facing_right(masses, masses.knots, True)
    attained = min(right_facing.risk.min(), left_facing.risk.min())
    level = 1.01 * attained
    cells = np.minimum(_cells(right_facing, level), _cells(left_facing, level)[::-1])
    return OneKink(float(min(cells.min(), attained)), cells, float(attained))


def _facing_right(masses: Masses, knots: np.ndarray, mirror: bool) -> _Sides:
    """Return R at grid points and the moments left and right of them, perhaps mirrored."""
    order = slice(None, None, -1) if mirror else slice(None)
    sign = -1.0 if mirror else 1.0
    edges = sign * np.concatenate([knots[0], knots[1, -1:]])[order]
    rows = (
        masses.weight[order], sign * masses.x[order], masses.spread[order],
        masses.f[order], sign * masses.slope[order], masses.cost[order],
    )  # fmt: skip
    left = _running(rows)
    # Appended from the right end: the mirror image of the mirror image.
    flipped = (rows[0], -rows[1], rows[2], rows[3], -rows[4], rows[5])
    right = _running(tuple(row[::-1] for row in flipped))
    right = [row[::-1] for row in right]
    right[1], right[4] = -right[1], -right[4]
    wp, _, sp, fp, bp, cp = left
    wq, xq, sq, fq, bq, cq = right
    constant = (cp + sp[:, None] * bp**2).sum(1)
    line = cq.sum(1)
    d = xq - edges
    total = wp + wq
    g = wp * wq / np.where(total > 0, total, 1.0)
    e = fp - fq + bq * d[:, None]
    both = sq + g * d**2
    meets = (g * sq / np.where(both > 0, both, 1.0))[:, None] * e**2
    risk = constant + line + meets.sum(1)
    return _Sides(risk, edges, constant, line, sq, bq, wq)


def _running(rows: tuple) -> list[np.ndarray]:
    """Return the moments of the first 0, 1, ..., n masses."""
    outputs = rows[3].shape[1]
    zero = np.zeros(outputs)
    state: tuple = (0.0, 0.0, 0.0, zero, zero, zero)
    states = [state]
    for mass in zip(*rows, strict=True):
        state = appended(state, mass) if state[0] > 0 else mass
        states.append(state)
    return [np.array(column) for column in zip(*states, strict=True)]


def _cells(sides: _Sides, level: float) -> np.ndarray:
    """Return lower bounds min(R(t), level) for t in each cell."""
    risk, edges, constant, line, spread, slope, weight = sides
    apart = constant[:-1] + line[1:]
    left = np.maximum(level - apart, 0.0)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        # Of all outputs together: |v| <= |b| + sqrt(rest / S).
        steepest = np.sqrt((slope[1:] ** 2).sum(1)) + np.sqrt(left / spread[1:])
        move = steepest * np.diff(edges) * np.sqrt(weight[:-1])
    move = np.where(np.isnan(move), np.inf, move)
    roots = np.sqrt(risk)
    nearer = (roots[:-1] + roots[1:] - move) / 2
    nearer = np.maximum(nearer, np.maximum(roots[:-1], roots[1:]) - move)
    meeting = np.minimum(np.maximum(nearer, 0.0) ** 2, level)
    return np.maximum(apart, meeting)


def refine_one_kink(
    masses_on: Callable[[np.ndarray], Masses], grid: np.ndarray, budget: Budget
) -> tuple[np.ndarray, OneKink, bool]:
    """Split the cells of a grid in which a better kink may lie.

    Returns:
        (grid, bound, whether it ended by itself).
    """
    masses = masses_on(grid)
    bound = one_kink_bound(masses)
    for _ in range(_ROUNDS):
        if bound.square >= _GOOD * bound.attained or bound.attained <= masses.negligible:
            return grid, bound, True
        if budget.spent:
            return grid, bound, False
        active = np.flatnonzero(bound.cells < bound.attained)
        room = (MOST_CELLS - len(grid) + 1) // 3
        if room < 1:
            return grid, bound, True
        if len(active) > room:
            active = active[np.argsort(bound.cells[active], kind="stable")[:room]]
        grid = split(grid, active, 4)
        masses = masses_on(grid)
        bound = one_kink_bound(masses)
    return grid, bound, True
