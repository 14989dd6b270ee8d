"""Points and weights at which searches for networks look at the risk, and losses in NumPy.

Searches need no certified number: what they find is evaluated exactly afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxsim.optimum.line.masses import first_grid, line_ends, target_values, with_points
from jaxsim.problem.losses import Loss
from jaxsim.problem.problem import Problem

_NODES = 5
_MASS = 1e-14


@dataclass(frozen=True)
class Nodes:
    """Weighted points of a line.

    Attributes:
        x: increasing [n].
        weight: [n].
        y: targets [n, outputs]; labels 0 and 1 of binary losses.
    """

    x: np.ndarray
    weight: np.ndarray
    y: np.ndarray


def search_grid(problem: Problem, cells: int = 48) -> np.ndarray | None:
    """Return the cells between whose ends nodes are put; None for finitely many points."""
    if problem.law.finite is not None:
        return None
    grid = first_grid(problem, cells)
    law = problem.law.density_1d
    if law is not None and law[0] == "normal":
        ends = law[1] + 7.5 * law[2] * np.array([-1.0, 1.0])
        grid = np.unique(np.clip(grid, *ends))
    return grid


def nodes_of(problem: Problem, grid: np.ndarray | None, knots: np.ndarray | None = None) -> Nodes:
    """Return Gauss nodes of the cells of a grid, which are cut at some knots besides."""
    if grid is None:
        assert problem.law.finite is not None
        points, weights = problem.law.finite
        y = np.asarray(problem.targets_at_points(), float).reshape(len(points), -1)
        order = np.argsort(points[:, 0], kind="stable")
        return Nodes(points[order, 0], weights[order], y[order])
    if knots is not None:
        grid = with_points(grid, knots)
    s, gauss = np.polynomial.legendre.leggauss(_NODES)
    half, middle = np.diff(grid)[:, None] / 2, (grid[1:] + grid[:-1])[:, None] / 2
    x = (middle + half * s).ravel()
    weight = (half * gauss).ravel()
    kind, first, second = problem.law.density_1d or ("", 0.0, 1.0)
    if kind == "uniform":
        weight = weight / (second - first)
    else:
        weight = weight * np.exp(-(((x - first) / second) ** 2) / 2) / (second * (2 * np.pi) ** 0.5)
    y = target_values(problem, x)
    kept = np.isfinite(y).all(1)
    return Nodes(x[kept], weight[kept], y[kept])


def scale_of(problem: Problem) -> tuple[float, float]:
    """Return centre and half length of the part of the line that matters to a search."""
    law = problem.law.density_1d
    if law is not None and law[0] == "normal":
        return law[1], 3 * law[2]
    low, high = line_ends(problem) or (-1.0, 1.0)
    return (low + high) / 2, max((high - low) / 2, 1e-300)


def loss_with_slope(problem: Problem) -> Callable[[np.ndarray, np.ndarray], tuple]:
    """Return (prediction, y) -> (losses summed over the outputs, derivatives) in NumPy.

    Noise is averaged over a few Gauss nodes.
    """
    plain = _noise_free(problem.loss)
    if problem.noise.variance == 0 or (problem.loss.degree == 2 and not problem.loss.kinks):
        return plain
    shifts, shares = problem.noise.quadrature(8)

    def averaged(p: np.ndarray, y: np.ndarray) -> tuple:
        parts = [plain(p, y + shift) for shift in shifts]
        return tuple(
            sum(s * part[k] for s, part in zip(shares, parts, strict=True)) for k in range(2)
        )

    return averaged


def _noise_free(loss: Loss) -> Callable[[np.ndarray, np.ndarray], tuple]:
    if loss.name == "logistic":

        def logistic(p: np.ndarray, y: np.ndarray) -> tuple:
            value = np.logaddexp(0.0, p) - y * p
            return value.sum(-1), 1 / (1 + np.exp(-np.clip(p, -700, 700))) - y

        return logistic
    if loss.name == "hinge":

        def hinge(p: np.ndarray, y: np.ndarray) -> tuple:
            sign = 2 * y - 1
            gap = 1 - sign * p
            return np.maximum(gap, 0).sum(-1), np.where(gap > 0, -sign, 0.0)

        return hinge
    rho = residual_of(loss)
    return lambda p, y: (lambda found: (found[0].sum(-1), found[1]))(rho(p - y))


def residual_of(loss: Loss) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return residual -> (rho, rho') of a loss that is additive, in NumPy."""
    name = loss.name
    if name == "squared":
        return lambda r: (r**2, 2 * r)
    if name == "absolute":
        return lambda r: (np.abs(r), np.sign(r))
    if name == "log_cosh":
        return lambda r: (np.logaddexp(r, -r) - np.log(2), np.tanh(r))
    assert loss.residual is not None
    # Parameters of the others are read off their values: slopes far out, or a power.
    plus, minus = (float(v) for v in loss.residual(jnp.asarray([1e8, -1e8])))
    if name == "quantile":
        up, down = plus / 1e8, minus / 1e8
        return lambda r: (np.where(r > 0, up * r, -down * r), np.where(r > 0, up, -down))
    if name == "huber":
        delta = loss.kinks[1]

        def huber(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            near = np.clip(r, -delta, delta)
            return near * (r - near / 2), near

        return huber
    assert name == "power"
    power = float(np.log2(float(loss.residual(jnp.asarray(2.0)))))

    def powered(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = np.abs(r)
        return size**power, power * np.sign(r) * size ** (power - 1)

    return powered


RESIDUAL_LOSSES = ("squared", "absolute", "log_cosh", "quantile", "huber", "power")
"""Losses of regression of which values and derivatives are known here."""
BINARY_LOSSES = ("logistic", "hinge")
"""The same for labels 0 and 1."""
