"""The target and the law of one input as a row of small masses, with moments instead of points.

A knot of a piecewise linear function lies in one of the cells between grid points (or, of a law of
finitely many points, in a gap between them). What the squared loss of an affine function on some
cells depends on are the moments of each cell,

    w = int rho,  x = mean,  S = int (x - mean)^2 rho,  f = mean,  b = slope,  c = int (f - line)^2,

for the law's density rho and the cell's best line. They are sums over NODES Gauss-Legendre nodes.

On a cell let p be a polynomial with |f - p| <= t. The sums are exact for p and a uniform density
if p has degree NODES - 1; for a normal density if both p and a polynomial q with
|rho / q - 1| <= d have degree NORMAL_ORDER - 1. Hence, with the norms of L2(rho), for every g that
is affine on cells,

    |f - g| >= |p - g| - tau >= (1 - d) (|p - g| over the nodes) - tau
            >= (1 - d) (|f - g| over the nodes) - 2 tau,   tau^2 = sum w t^2,

and the errors of the computed values at the nodes are one more such term. Coordinates are scaled to
[-1, 1], so that differences of neighbours keep their digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.evidence import PROVED, Evidence, estimated
from jaxsim.problem.expression import evaluate
from jaxsim.problem.intervals import enclose
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import ExpressionTarget
from jaxsim.risk.line import NORMAL_REACH
from jaxsim.risk.target_error import expression_error
from jaxsim.risk.teacher import TeacherTarget

NODES = 12
NORMAL_ORDER = 8
"""Of the polynomials for target and normal density: 2 (8 - 1) + 8 - 1 < 2 NODES."""
ROUNDING = estimated("rounding of double precision")
_UNIT = 2.0**-53
_DROPPED = 1e-11
"""Cells narrower than this share of the line, on which nothing is known, count as empty."""


@dataclass(frozen=True)
class Masses:
    """A row of masses with the places where knots can lie.

    Attributes:
        knots: lower and upper ends of the cells of knots, scaled to [-1, 1] [2, K].
        before: number of masses left of a knot in each cell [K].
        after: index of the first mass right of it [K].
        weight: [n].
        x: means [n].
        spread: S [n].
        f: means of the target [n, outputs].
        slope: of the best lines [n, outputs].
        cost: of the best lines [n, outputs].
        centre: of the line: x = centre + half * scaled.
        half: its half length.
        doubt: 2 tau and the errors at nodes, in the norm of L2.
        density_error: d.
        evidence: of doubt and density error, and of rounding.
        exactness: of doubt and density error alone.
        nodes: inputs in every cell [n, NODES]; empty for points.
        shares: their weights [n, NODES].
        targets: [n, NODES, outputs].
        dropped: probability of cells that count as empty, since nothing is known on them.
    """

    knots: np.ndarray
    before: np.ndarray
    after: np.ndarray
    weight: np.ndarray
    x: np.ndarray
    spread: np.ndarray
    f: np.ndarray
    slope: np.ndarray
    cost: np.ndarray
    centre: float
    half: float
    doubt: float
    density_error: float
    evidence: Evidence
    exactness: Evidence
    nodes: np.ndarray
    shares: np.ndarray
    targets: np.ndarray
    dropped: float = 0.0

    @property
    def negligible(self) -> float:
        """A square that rounding and doubt hide."""
        return (64 * len(self.weight) * _UNIT * self.norm + self.doubt) ** 2

    @property
    def norm(self) -> float:
        """The norm of the target in L2."""
        square = (self.weight[:, None] * self.f**2 + self.spread[:, None] * self.slope**2).sum()
        return math.sqrt(float(square + self.cost.sum()))

    @property
    def variance(self) -> float:
        """The least square of constants."""
        total = self.weight.sum()
        off = self.f - (self.weight @ self.f) / (total if total > 0 else 1.0)
        square = (self.weight[:, None] * off**2 + self.spread[:, None] * self.slope**2).sum()
        return float(square + self.cost.sum())

    def excess(self, square: float) -> float:
        """Return the lower bound of inf |f - g|^2 that a minimum over the masses shows.

        Rounding: 64 n u |f| in the norm, where n is the number of masses.
        """
        count = len(self.weight)
        slack = 64 * count * _UNIT
        root = math.sqrt(max(square, 0.0)) - slack * self.norm - self.doubt
        return max(0.0, (1 - self.density_error) * root) ** 2 * (1 - slack)


def line_ends(problem: Problem) -> tuple[float, float] | None:
    """Return the ends of the line that holds the inputs, None for laws of other kinds."""
    if problem.law.dimension != 1:
        return None
    if problem.law.finite is not None:
        points = problem.law.finite[0][:, 0]
        return float(points.min()), float(points.max())
    if problem.law.density_1d is None:
        return None
    kind, first, second = problem.law.density_1d
    if kind == "uniform":
        return first, second
    return first - NORMAL_REACH * second, first + NORMAL_REACH * second


def first_grid(problem: Problem, cells: int) -> np.ndarray:
    """Return grid points to begin with: breakpoints of the target, and where it is not smooth."""
    low, high = _ends(problem)
    density = problem.law.density_1d
    assert density is not None
    pieces = problem.target.pieces(low, high)
    if density[0] == "uniform":
        grid = np.linspace(low, high, cells + 1)
    else:
        _, mean, std = density
        inner = max(24, int(0.7 * cells))
        units = [np.linspace(-4.5, 4.5, inner + 1)]
        for side in (-1, 1):
            units.append(side * np.linspace(4.5, NORMAL_REACH, max(24, cells - inner) // 2 + 1))
        grid = np.unique(np.clip(mean + std * np.unique(np.concatenate(units)), low, high))
    grid = with_points(grid, np.asarray(pieces.breakpoints))
    return _resolved(problem, grid)


def with_points(grid: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a grid with more points; old inner points next to them make room."""
    points = np.unique(points[(points > grid[0]) & (points < grid[-1])])
    if not points.size:
        return grid
    least = 1e-9 * (grid[-1] - grid[0])
    inner = grid[1:-1]
    place = np.clip(np.searchsorted(points, inner), 1, len(points)) - 1
    near = np.abs(inner - points[place])
    near = np.minimum(near, np.abs(inner - points[np.minimum(place + 1, len(points) - 1)]))
    return np.unique(np.concatenate([grid[:1], inner[near > least], points, grid[-1:]]))


@lru_cache(maxsize=16)
def _values_at(problem: Problem):
    """Return x [n] -> noise-free targets [n, outputs] in NumPy."""
    target = problem.target
    if isinstance(target, ExpressionTarget):
        nodes = target.expression.nodes

        def values(x: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                columns = [np.broadcast_to(evaluate(n, [x], np), x.shape) for n in nodes]
            return np.stack(columns, -1).astype(float)

        return values

    def traced(x: np.ndarray) -> np.ndarray:
        length = 1 << max(8, (len(x) - 1).bit_length())
        padded = np.concatenate([x, np.repeat(x[-1:], length - len(x))])
        with jax.ensure_compile_time_eval():
            return np.array(target(jnp.asarray(padded)[:, None]), float)[: len(x)]  # writable

    return traced


def target_values(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Return the noise-free targets [n, outputs] at x [n]."""
    x = np.asarray(x, float)
    return _values_at(problem)(x.ravel()).reshape(*x.shape, -1)


def masses_of(problem: Problem, grid: np.ndarray | None) -> Masses:
    """Return the masses of a problem with one input.

    Args:
        problem: its target and the law of its input.
        grid: increasing ends of the cells; None for a law of finitely many points.
    """
    return _of_points(problem) if grid is None else _of_cells(problem, grid)


def _ends(problem: Problem) -> tuple[float, float]:
    ends = line_ends(problem)
    assert ends is not None
    return ends


def _of_points(problem: Problem) -> Masses:
    assert problem.law.finite is not None
    points, weights = problem.law.finite
    y = np.asarray(problem.targets_at_points(), float).reshape(len(points), -1)
    x, group = np.unique(points[:, 0], return_inverse=True)
    weight = np.bincount(group, weights)
    f = np.stack([np.bincount(group, weights * column) for column in y.T], -1) / weight[:, None]
    low, high = float(x[0]), float(x[-1])
    half = max((high - low) / 2, np.finfo(float).tiny)
    scaled = np.clip((x - (low + high) / 2) / half, -1.0, 1.0)
    gaps = np.arange(len(x) - 1)
    zero = np.zeros_like(f)
    error = np.zeros_like(f)
    if isinstance(problem.target, ExpressionTarget):
        with np.errstate(all="ignore"):
            error = expression_error(problem.target, x[:, None], np.zeros((len(x), 1)), np)
    doubt = math.sqrt(float((weight[:, None] * error**2).sum()))
    return Masses(
        np.stack([scaled[:-1], scaled[1:]]), gaps + 1, gaps + 1, weight, scaled,
        np.zeros(len(x)), f, zero, zero, (low + high) / 2, half, doubt, 0.0, ROUNDING,
        PROVED, zero, zero, zero,
    )  # fmt: skip


def _of_cells(problem: Problem, grid: np.ndarray) -> Masses:
    kind, first, second = problem.law.density_1d or ("", 0.0, 0.0)
    s, gauss = np.polynomial.legendre.leggauss(NODES)
    low, high = grid[:-1], grid[1:]
    x = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * s
    mass = (high - low)[:, None] / 2 * gauss
    density_error = 0.0
    if kind == "uniform":
        mass = mass / (second - first)
    else:
        z = (x - first) / second
        mass = mass * np.exp(-(z**2) / 2) / (second * math.sqrt(2 * math.pi))
        density_error = min(1.0, float(_normal_errors((grid - first) / second).max()))
    f = target_values(problem, x)
    t, error, evidence = _doubts(problem, low, high, x, f)
    empty = ~np.isfinite(t + error).all(1) | ~np.isfinite(f).all((1, 2))
    narrow = high - low <= _DROPPED * (grid[-1] - grid[0])
    empty |= narrow & (t > 1e-12 * (1 + np.abs(f).max((1, 2)))[:, None]).any(1)
    dropped = float(mass[empty].sum())
    mass[empty], f[empty], t[empty], error[empty] = 0.0, 0.0, 0.0, 0.0
    centre, half = (grid[0] + grid[-1]) / 2, (grid[-1] - grid[0]) / 2
    u = (x - centre) / half
    weight = mass.sum(1)
    share = mass / np.where(weight > 0, weight, 1.0)[:, None]
    middle = np.where(weight > 0, (share * u).sum(1), (u[:, 0] + u[:, -1]) / 2)
    du = u - middle[:, None]
    spread = (mass * du**2).sum(1)
    mean = (share[:, :, None] * f).sum(1)
    df = f - mean[:, None]
    moment = (mass[:, :, None] * du[:, :, None] * df).sum(1)
    slope = moment / np.where(spread > 0, spread, 1.0)[:, None]
    residual = df - slope[:, None] * du[:, :, None]
    cost = (mass[:, :, None] * residual**2).sum(1)
    doubt = 2 * math.sqrt(float((weight[:, None] * t**2).sum()))
    doubt += math.sqrt(float((weight[:, None] * error**2).sum()))
    cells = np.arange(len(low))
    scaled = np.clip((grid - centre) / half, -1.0, 1.0)
    return Masses(
        np.stack([scaled[:-1], scaled[1:]]), cells, cells + 1, weight, middle, spread,
        mean, slope, cost, float(centre), float(half), doubt, density_error, evidence & ROUNDING,
        evidence, x, mass, f, dropped,
    )  # fmt: skip


def _normal_errors(z: np.ndarray) -> np.ndarray:
    """Return bounds of |phi / q - 1| for polynomials q of degree NORMAL_ORDER - 1 on the cells.

    The n-th derivative of phi is (-1)^n He_n phi.
    """
    coefficients = np.abs(np.polynomial.hermite_e.herme2poly([0.0] * NORMAL_ORDER + [1.0]))
    size = np.maximum(np.abs(z[:-1]), np.abs(z[1:]))
    h = np.diff(z)
    largest = np.polynomial.polynomial.polyval(size, coefficients) * np.exp(h * size)
    return 4 * (h / 4) ** NORMAL_ORDER * largest / math.factorial(NORMAL_ORDER)


def _doubts(
    problem: Problem, low: np.ndarray, high: np.ndarray, x: np.ndarray, f: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Evidence]:
    """Return (t, largest errors at the nodes) of the cells [n, outputs] and their evidence."""
    target = problem.target
    order = NODES if problem.law.density_1d and problem.law.density_1d[0] == "uniform" else 0
    order = order or NORMAL_ORDER
    pieces = target.pieces(*_ends(problem))
    exact = pieces.complete and pieces.degree is not None and pieces.degree < order
    t, error, evidence = np.zeros((len(low), f.shape[-1])), 0.0 * f.max(1), PROVED
    if isinstance(target, ExpressionTarget):
        with np.errstate(all="ignore"):
            if not exact:
                decided = pieces.complete
                nodes = target.expression.nodes
                t = np.stack([_enclosed(n, low, high, order, decided) for n in nodes], -1)
            flat = x.reshape(-1, 1)
            bound = expression_error(target, flat, 2 * _UNIT * np.abs(flat), np)
            error = np.asarray(bound).reshape(*x.shape, -1).max(1)
    elif not exact:
        evidence = estimated("the target is known by its values only")
        t = _sampled(problem, low, high, order)
    elif isinstance(target, TeacherTarget):
        error = np.full_like(error, 64 * _UNIT) * (1 + np.abs(f).max(1))
    return t, error, evidence


def _enclosed(node, low: np.ndarray, high: np.ndarray, order: int, decided: bool) -> np.ndarray:
    """Return bounds on the distance to polynomials of degree order - 1 (see `risk.panels`)."""
    enclosure = enclose(node, low[None], high[None], order, decided)
    orders = np.arange(1, order + 1)[:, None]
    bounds = 2 * ((high - low) / 4) ** orders * enclosure.size[1:]
    best = np.fmin.reduce([*bounds, enclosure.high[0] - enclosure.low[0]])
    return np.where(np.isnan(best), np.inf, best)


def _sampled(problem: Problem, low: np.ndarray, high: np.ndarray, order: int) -> np.ndarray:
    """Return estimates of the same from samples."""
    count = 4 * order
    s = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    basis = np.polynomial.chebyshev.chebvander(s, order - 1)
    residue = np.eye(count) - basis @ np.linalg.pinv(basis)
    y = target_values(problem, (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * s)
    off = np.abs(np.einsum("st,pto->pso", residue, y)).max(1)
    off = np.where(off <= 64 * 2 * _UNIT * np.abs(y).max(1), 0.0, 2 * off)
    return np.where(np.isnan(off), np.inf, off)


def _resolved(problem: Problem, grid: np.ndarray, most: int = 200) -> np.ndarray:
    """Halve the cells on which the target is far from polynomials, as long as that helps."""
    s, _ = np.polynomial.legendre.leggauss(NODES)
    law = problem.law.density_1d
    assert law is not None
    for _ in range(48):
        low, high = grid[:-1], grid[1:]
        x = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * s
        f = target_values(problem, x)
        t, _, _ = _doubts(problem, low, high, x, f)
        scale = np.nanmax(np.where(np.isfinite(f), np.abs(f), np.nan)) + 1e-300
        share = (high - low) / (grid[-1] - grid[0])
        wrong = (share * (t.max(1) / scale) ** 2 > 1e-18) & (share > _DROPPED)
        if law[0] == "normal":
            coarse = _normal_errors((grid - law[1]) / law[2]) > 1e-8
            grid = np.unique(np.concatenate([grid, (low + high)[coarse] / 2]))
            if coarse.any():
                continue
        if not wrong.any() or most <= 0:
            break
        chosen = np.flatnonzero(wrong)
        if len(chosen) > most:
            weight = share * t.max(1) ** 2
            chosen = chosen[np.argsort(-weight[chosen], kind="stable")[:most]]
        most -= len(chosen)
        grid = np.unique(np.concatenate([grid, (low + high)[chosen] / 2]))
    return grid
