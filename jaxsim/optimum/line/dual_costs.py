"""Costs of segments for other convex losses, from below: weak duality.

Let phi be convex with the conjugate phi*. For every q with sum w q = sum w q x = 0 and any line l,

    sum w phi(l(x) - f)  >=  - sum w q f - sum w phi*(q)

(Rockafellar 1970, "Convex analysis", section 31). q = phi'(l - f) at an approximate minimizer, made
orthogonal to lines and scaled into the domain of phi*, gives a bound that holds whatever the
minimizer is worth. By Jensen's inequality a cell of masses costs at least what its mean costs. Of
the logistic loss, q = p - y for probabilities p, and the bound is the entropy sum w H(p).

    absolute   |q| <= 1, 0           quantile   -level <= q <= 1 - level, 0
    huber      |q| <= delta, q^2/2   log cosh   |q| < 1, ((1+q) log(1+q) + (1-q) log(1-q)) / 2

With noise the bound is that of the loss without it (Jensen once more).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsim.optimum.line.masses import Masses
from jaxsim.problem.losses import Loss

LOSSES = ("absolute", "quantile", "huber", "log_cosh", "logistic")
CELLS = 100
_STEPS = 32
_SMOOTH = 0.05


class _Dual(NamedTuple):
    """A loss of the residual for the search of q, and its conjugate.

    Attributes:
        weight: (residual, scale) -> the slope of the even part over the residual.
        shift: slope of the linear part.
        low: least q.
        high: largest q.
        conjugate: of q.
        steepest: Lipschitz constant of the loss.
    """

    weight: Callable[[np.ndarray, np.ndarray], np.ndarray]
    shift: float
    low: float
    high: float
    conjugate: Callable[[np.ndarray], np.ndarray]
    steepest: float


def _dual(loss: Loss) -> _Dual:
    def near(residual: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return 1 / np.maximum(np.abs(residual), np.maximum(scale, 1e-300))

    if loss.name == "absolute":
        return _Dual(near, 0.0, -1.0, 1.0, np.zeros_like, 1.0)
    assert loss.residual is not None
    if loss.name == "quantile":
        up, down = (abs(float(v)) / 4 for v in loss.residual(jnp.asarray([4.0, -4.0])))
        middle = (up - down) / 2
        half = (up + down) / 2
        return _Dual(
            lambda r, s: half * near(r, s), middle, -down, up, np.zeros_like, max(up, down)
        )
    if loss.name == "huber":
        delta = loss.kinks[1]
        return _Dual(
            lambda r, s: delta / np.maximum(np.abs(r), delta),
            0.0, -delta, delta, lambda q: q**2 / 2, delta,
        )  # fmt: skip
    assert loss.name == "log_cosh"

    def tanh_over(r: np.ndarray, scale: np.ndarray) -> np.ndarray:
        small = np.abs(r) < 1e-8
        return np.where(small, 1.0, np.tanh(r) / np.where(small, 1.0, r))

    return _Dual(tanh_over, 0.0, -1.0, 1.0, _binary_negentropy, 1.0)


def _binary_negentropy(q: np.ndarray) -> np.ndarray:
    up, down = np.maximum(1 + q, 1e-300), np.maximum(1 - q, 1e-300)
    return ((1 + q) * np.log(up) + (1 - q) * np.log(down)) / 2


def steepest(loss: Loss) -> float:
    """Return the Lipschitz constant of a loss in the target, per output."""
    return 1.0 if loss.name == "logistic" else _dual(loss).steepest


def dual_costs(loss: Loss, masses: Masses) -> np.ndarray:
    """Return lower bounds of the costs of the best lines of all runs of masses [n + 1, n + 1]."""
    n = len(masses.weight)
    cost = np.zeros((n + 1, n + 1))
    dual = None if loss.name == "logistic" else _dual(loss)
    # Separable runs and very short ones end in infinities: what is not finite costs nothing.
    with np.errstate(all="ignore"):
        for column in masses.f.T:
            for start in range(n):
                part = slice(start, n)
                w, x, f = masses.weight[part], masses.x[part], column[part]
                if dual is None:
                    costs = _logistic_runs(w, x, f, masses.cost[part, 0])
                else:
                    costs = _runs(dual, w, x, f)
                cost[start, start + 1 :] += costs
    # A longer run costs no less.
    cost = np.maximum.accumulate(cost, axis=1)
    return np.maximum.accumulate(cost[::-1], axis=0)[::-1]


def _lines(w: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (weights of each run [m, m], its mean of x, centred x) for runs that begin at 0."""
    inside = np.tri(len(w)) * w
    total = inside.sum(1)
    centre = inside @ x / np.where(total > 0, total, 1.0)
    return inside, centre, x - centre[:, None]


def _solved(
    inside: np.ndarray, dx: np.ndarray, weight: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Return the lines' values with sum inside (weight line - right) (1, dx) = 0, by run."""
    mass = inside * weight
    a, b, c = mass.sum(1), (mass * dx).sum(1), (mass * dx**2).sum(1)
    p, q = (inside * right).sum(1), (inside * right * dx).sum(1)
    determinant = a * c - b**2
    single = determinant <= 1e-13 * a * c
    safe = np.where(single, 1.0, determinant)
    level = np.where(single, p / np.where(a > 0, a, 1.0), (c * p - b * q) / safe)
    slope = np.where(single, 0.0, (a * q - b * p) / safe)
    return level[:, None] + slope[:, None] * dx


def _runs(dual: _Dual, w: np.ndarray, x: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Return the bounds of the runs 0..0, 0..1, ... by reweighted least squares [m]."""
    inside, _, dx = _lines(w, x)
    ones = np.ones_like(dx)
    line = _solved(inside, dx, ones, ones * f)
    total = np.maximum(inside.sum(1), 1e-300)
    scale = _SMOOTH * np.sqrt((inside * (line - f) ** 2).sum(1) / total)[:, None]
    for step in range(_STEPS):
        # Smooth at first, so that far starts come near.
        weight = dual.weight(line - f, scale * max(1.0, 16 * 0.8**step))
        line = _solved(inside, dx, weight, weight * f - dual.shift)
    q = dual.weight(line - f, scale) * (line - f) + dual.shift
    for _ in range(2):
        q = q - _solved(inside, dx, ones, q)
    present = inside > 0
    above = np.where(present, q / dual.high, 0.0).max(1)
    below = np.where(present, q / dual.low, 0.0).max(1)
    q = q / np.maximum(1.0, np.maximum(above, below))[:, None]
    mean = (inside @ f / total)[:, None]
    value = -(inside * q * (f - mean)).sum(1) - (inside * dual.conjugate(q)).sum(1)
    return np.maximum(np.where(np.isfinite(value), value, 0.0), 0.0)


def _logistic_runs(w: np.ndarray, x: np.ndarray, y: np.ndarray, mixed: np.ndarray) -> np.ndarray:
    """Return the bounds of runs for labels 0 and 1; cells with both labels count as empty."""
    pure = (mixed <= 1e-15) & ((np.abs(y) < 1e-9) | (np.abs(y - 1) < 1e-9))
    w, y = np.where(pure, w, 0.0), np.round(y)
    inside, _, dx = _lines(w, x)
    ones = np.ones_like(dx)
    line = np.zeros_like(dx)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-line))
        bend = np.maximum(p * (1 - p), 1e-9)
        step = _solved(inside, dx, bend, y - p)
        # Steps of a separable run have no end.
        line = np.clip(line + np.clip(step, -2.0, 2.0), -30.0, 30.0)
    p = 1 / (1 + np.exp(-line))
    for _ in range(6):
        bend = p * (1 - p)
        p = p + bend * _solved(inside, dx, np.maximum(bend, 1e-300), ones * (y - p))
    feasible = (np.where(inside > 0, np.abs(p - 0.5), 0.0) <= 0.5).all(1)
    moments = np.abs((inside * (p - y)).sum(1)) + np.abs((inside * (p - y) * dx).sum(1))
    inner = np.clip(p, 1e-300, 1 - 1e-16)
    entropy = -inner * np.log(inner) - (1 - inner) * np.log1p(-inner)
    value = np.where(feasible & (moments <= 1e-14), (inside * entropy).sum(1), 0.0)
    return np.where(np.isfinite(value), value, 0.0)
