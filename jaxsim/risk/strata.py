"""Where a formula takes rare large values: strata for quasi-Monte Carlo points.

E.g. where(x1 > 0.99996, 100, 0) on a square: 16,384 points hardly ever see 100, which is
all of the risk. The formula's enclosures by interval arithmetic (see `problem.intervals`) on
cells of the law find such places. Cells are split where that separates small losses from large ones
(bisection for the widest slab of a cell on which no loss exceeds 1/16 of the cell's largest), else
at the middle. With m_k the mass of a cell and u_k a bound of its loss against a typical constant c,
the standard error of N points is about

    sqrt(sum_k m_k u_k^2) / sqrt(N)  without strata,    sum_k m_k u_k / sqrt(N)  with all of them

(Neyman 1934). Strata are used where the ratio is large; other problems keep the plain points. What
no point has seen although the enclosures allow it becomes part of the error (`Unseen`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.problem.expression import Expression, Node
from jaxsim.problem.input_laws import InputLaw
from jaxsim.problem.intervals import enclose
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import ExpressionTarget
from jaxsim.risk.coordinates import Coordinates, Ends, coordinates_of

CELLS = 160
"""Cells in which the formula is enclosed."""
RARE = 6.0
"""Ratio of the standard errors from which strata are used."""
_BATCH = 8
_DROP = 1 / 16
_BISECTIONS = 20
_FRACTIONS = (0.5, 0.25, 0.75)
_NOTHING = 1e-13
"""Mass of a cell beside a pole that is not split further."""
_LOOK = 48
"""Cells after which formulas without rare places are left alone."""
_HUGE = 1e300


@dataclass(eq=False)
class Cell:
    """A cell of the law's coordinates.

    Attributes:
        low: lower ends [k].
        high: upper ends [k].
        mass: its probability.
        least: of the formula [outputs].
        most: of the formula [outputs].
        loss: upper bound of its loss against the constant.
        floor: lower bound of it.
        children: the two cells it was split into; empty for none.
    """

    low: np.ndarray
    high: np.ndarray
    mass: float
    least: np.ndarray
    most: np.ndarray
    loss: float
    floor: float
    children: tuple[Cell, ...] = ()

    def leaves(self) -> list[Cell]:
        """Return the cells below it that were not split."""
        cells: list[Cell] = []
        stack: list[Cell] = [self]
        while stack:
            cell = stack.pop()
            stack += cell.children
            if not cell.children:
                cells.append(cell)
        return cells


class Stratum(NamedTuple):
    """A cell from which points are drawn.

    Attributes:
        cell: the cell.
        points: how many per replicate.
    """

    cell: Cell
    points: int


@dataclass(frozen=True)
class Strata:
    """How the law is cut.

    Attributes:
        coordinates: of the law.
        root: all of it, with the cells below it.
        strata: empty if plain points serve.
        unbounded: whether the loss grows without bound somewhere, so that risks may be infinite.
        decided: (low [k, n], high [k, n]) -> enclosures [outputs, n] of the formula on cells, with
            every comparison decided as at the middle of the cell.
    """

    coordinates: Coordinates
    root: Cell
    strata: tuple[Stratum, ...]
    unbounded: bool
    decided: Callable[[np.ndarray, np.ndarray], Ends]


def stratify(problem: Problem, constant: np.ndarray, points: int) -> Strata | None:
    """Return how the law of a problem is cut for points of a formula; None if nothing is known.

    Args:
        problem: law of (X, Y) and loss.
        constant: a typical prediction [outputs].
        points: per replicate without strata.
    """
    if not isinstance(problem.target, ExpressionTarget) or coordinates_of(problem.law) is None:
        return None
    rho = jnp.abs if problem.loss.residual is None else problem.loss.residual
    return _stratified(
        problem.law, problem.target.expression, _Residual(rho), tuple(constant.tolist()), points
    )


class _Residual:
    """A function of the residual, equal to another of the same values at some points."""

    def __init__(self, rho: Callable[[Any], Any]) -> None:
        self.rho = rho
        probes = np.array([-1e3, -2.0, -1.0, -1e-3, -1e-9, 1e-9, 1e-3, 0.7, 1.0, 2.0, 1e3])
        self._values = tuple(self(probes).tolist())

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
            values = np.asarray(self.rho(jnp.asarray(residual)))
        return np.where(np.isnan(values), np.inf, np.abs(values))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Residual) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)


@lru_cache(maxsize=64)
def _stratified(
    law: InputLaw, expression: Expression, loss: _Residual, constant: tuple[float, ...], points: int
) -> Strata:
    coordinates = coordinates_of(law)
    assert coordinates is not None
    search = _Search(coordinates, expression.nodes, loss, np.array(constant))
    root = search.root()
    rest = search.refine([root], _LOOK)
    if _gain(root) > RARE / 4 or not all(np.isfinite(c.loss) for c in root.leaves()):
        search.refine(rest, CELLS - _LOOK)
    unbounded = _unbounded(root.leaves())
    return Strata(coordinates, root, _allocate(root, points), unbounded, search.decided)


class _Search:
    """Cells with enclosures of the formula and of its loss."""

    def __init__(
        self,
        coordinates: Coordinates,
        nodes: tuple[Node, ...],
        loss: Callable[[np.ndarray], np.ndarray],
        constant: np.ndarray,
    ) -> None:
        self.coordinates, self.nodes, self.loss = coordinates, nodes, loss
        self.constant = constant

    def bounds(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return (mass, least, most, loss, floor) of cells [k, n]; values are [outputs, n]."""
        box = self.coordinates.image(low, high)
        enclosures = [enclose(node, *box) for node in self.nodes]
        least, most = (
            np.stack([f.low[0] for f in enclosures]),
            np.stack([f.high[0] for f in enclosures]),
        )
        ends = [self.loss(self.constant[:, None] - y) for y in (least, most)]
        inside = (least <= self.constant[:, None]) & (self.constant[:, None] <= most)
        loss, floor = np.maximum(*ends).sum(0), np.where(inside, 0.0, np.minimum(*ends)).sum(0)
        return self.coordinates.mass(low, high), least, most, loss, floor

    def decided(self, low: np.ndarray, high: np.ndarray) -> Ends:
        """Return enclosures with every comparison decided as at the middle of the cell."""
        box = self.coordinates.image(low, high)
        enclosures = [enclose(node, *box, decided=True) for node in self.nodes]
        return np.stack([f.low[0] for f in enclosures]), np.stack([f.high[0] for f in enclosures])

    def cells(self, low: np.ndarray, high: np.ndarray) -> list[Cell]:
        """Return the cells with ends [k, n]."""
        mass, least, most, loss, floor = self.bounds(low, high)
        return [
            Cell(low[:, i], high[:, i], float(mass[i]), least[:, i], most[:, i],
                 float(loss[i]), float(floor[i]))
            for i in range(low.shape[1])
        ]  # fmt: skip

    def root(self) -> Cell:
        """Return the cell of everything."""
        return self.cells(self.coordinates.low[:, None], self.coordinates.high[:, None])[0]

    def refine(self, leaves: list[Cell], count: int) -> list[Cell]:
        """Split leaves, where mass times doubt is largest, some count of times; return the rest."""
        heap = [(-_doubt(c), i, c) for i, c in enumerate(leaves)]
        heapq.heapify(heap)
        serial = len(heap)
        while heap and count > 0:
            batch = [heapq.heappop(heap)[2] for _ in range(min(_BATCH, len(heap)))]
            for cell, children in zip(batch, self.split(batch), strict=True):
                cell.children = children
                for child in children:
                    if _doubt(child) > 0:
                        heapq.heappush(heap, (-_doubt(child), serial, child))
                        serial += 1
                count -= bool(children)
        return [entry[2] for entry in heap]

    def split(self, batch: list[Cell]) -> list[tuple[Cell, ...]]:
        """Return the two children of each cell, none where floating point has no room for them."""
        low, high = np.stack([c.low for c in batch], 1), np.stack([c.high for c in batch], 1)
        k, axis = len(low), np.arange(len(low))
        slabs = self.slabs(low, high, np.array([c.loss for c in batch]))
        inner = low + (high - low) * np.array(_FRACTIONS)[:, None, None]
        places = np.concatenate([slabs, inner])  # [ways, k, n]: slabs from below, from above, inner
        shape = (len(places), k, *low.shape)  # [ways, split coordinate, coordinate, cell]
        starts, stops = np.broadcast_to(low, shape).copy(), np.broadcast_to(high, shape).copy()
        starts[:, axis, axis] = stops[:, axis, axis] = places
        first = self.flat(np.broadcast_to(low, shape), stops)
        second = self.flat(starts, np.broadcast_to(high, shape))
        costs = first[0] * np.minimum(first[1], _HUGE) + second[0] * np.minimum(second[1], _HUGE)
        # A slab of less than a tenth of the cell separates little.
        least = 0.1 * np.array([c.mass for c in batch])
        costs[0] = np.where(first[0][0] < least, np.inf, costs[0])
        costs[1] = np.where(second[0][1] < least, np.inf, costs[1])
        children = []
        for i, cell in enumerate(batch):
            cost = costs[:, :, i]
            # Equal costs: the side that is the longest part of the law's own.
            side = (high[:, i] - low[:, i]) / (self.coordinates.high - self.coordinates.low)
            order = np.where(cost <= cost.min() * (1 + 1e-9), side, -np.inf)
            way, j = np.unravel_index(int(np.argmax(order)), order.shape)
            place = places[way, j, i]
            if not low[j, i] < place < high[j, i]:
                children.append(())
                continue
            lower, upper = cell.low.copy(), cell.high.copy()
            upper[j] = lower[j] = place
            children.append(
                tuple(self.cells(np.stack([cell.low, lower], 1), np.stack([upper, cell.high], 1)))
            )
        return children

    def flat(self, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (mass, loss) [..., n] of cells with ends [..., k, n]."""
        k, n = starts.shape[-2:]
        ends = [np.moveaxis(a, -2, 0).reshape(k, -1) for a in (starts, stops)]
        bounds = self.bounds(*ends)
        return bounds[0].reshape(*starts.shape[:-2], n), bounds[3].reshape(*starts.shape[:-2], n)

    def slabs(self, low: np.ndarray, high: np.ndarray, loss: np.ndarray) -> np.ndarray:
        """Return where the widest slabs with small losses end, from below and from above.

        Bisection, since enclosures of smaller boxes are smaller: [2, k, n].
        """
        k, n = low.shape
        axis = np.arange(k)
        small, large = np.stack([low, high]), np.stack([high, low])
        for _ in range(_BISECTIONS):
            middle = (small + large) / 2
            shape = (2, k, k, n)  # [side, split coordinate, coordinate, cell]
            starts, stops = np.broadcast_to(low, shape).copy(), np.broadcast_to(high, shape).copy()
            stops[0, axis, axis], starts[1, axis, axis] = middle
            values = self.flat(starts, stops)[1]
            fits = (values <= _DROP * np.minimum(loss, _HUGE)) & np.isfinite(values)
            small, large = np.where(fits, middle, small), np.where(fits, large, middle)
        return small


def _doubt(cell: Cell) -> float:
    """Return the mass of a cell times what is not known of its loss."""
    if not np.isfinite(cell.loss) and cell.mass < _NOTHING:
        return 0.0
    return cell.mass * (min(cell.loss, _HUGE) - min(cell.floor, _HUGE))


def _sums(root: Cell) -> dict[int, tuple[float, float]]:
    """Return (sum of m u^2, sum of m u) over the leaves below every cell, by its identity."""
    largest = max((c.loss for c in root.leaves() if np.isfinite(c.loss)), default=0.0)
    sums: dict[int, tuple[float, float]] = {}

    def measure(cell: Cell) -> tuple[float, float]:
        loss = min(cell.loss if np.isfinite(cell.loss) else largest, 1e150)
        parts = [measure(c) for c in cell.children] or [(cell.mass * loss**2, cell.mass * loss)]
        sums[id(cell)] = sum(p[0] for p in parts), sum(p[1] for p in parts)
        return sums[id(cell)]

    measure(root)
    return sums


def _gain(root: Cell) -> float:
    """Return the ratio of the standard errors without strata and with them."""
    square, mean = _sums(root)[id(root)]
    return float(np.sqrt(root.mass * square)) / mean if mean > 0 else 1.0


def _allocate(root: Cell, points: int) -> tuple[Stratum, ...]:
    """Return strata with their numbers of points, none where plain points serve."""
    sums = _sums(root)

    def deviation(cell: Cell) -> float:
        return float(np.sqrt(cell.mass * sums[id(cell)][0]))

    target = sums[id(root)][1]
    if not _gain(root) > RARE:
        return ()
    frontier, excess = [(target - deviation(root), 0, root)], deviation(root)
    most, serial, done = max(2, min(96, points // 4)), 1, []
    while frontier and len(frontier) + len(done) < most and excess > 1.5 * target:
        _, _, cell = heapq.heappop(frontier)
        if not cell.children:
            done.append(cell)
            continue
        excess -= deviation(cell)
        for child in cell.children:
            excess += deviation(child)
            gain = deviation(child) - sums[id(child)][1]
            heapq.heappush(frontier, (-gain, serial, child))
            serial += 1
    chosen = [*done, *(entry[2] for entry in frontier)]
    total = sum(deviation(c) for c in chosen)
    return tuple(
        Stratum(c, max(2, int(np.ceil(points * max(c.mass, deviation(c) / total)))))
        for c in chosen
        if c.mass > 0
    )


def _unbounded(leaves: list[Cell]) -> bool:
    """Return whether the loss seems to have no finite mean.

    Where it is unbounded, L P(loss >= L) decays for large L if the mean is finite, and does not if
    it is infinite. Lower bounds of the loss on the cells give lower bounds of the probabilities.
    """
    if all(np.isfinite(c.loss) for c in leaves):
        return False
    finite = sorted((c for c in leaves if np.isfinite(c.floor)), key=lambda c: -c.floor)
    floors, masses = np.array([c.floor for c in finite]), np.cumsum([c.mass for c in finite])
    usual = floors[np.searchsorted(masses, 0.5 * masses[-1])]
    tails, far = floors * masses, floors > 1e-3 * floors[0]
    return bool(floors[0] > 1e6 * usual and tails[far].max() > 0.2 * tails.max())
