"""Minimization of inf_w sum_i p_i phi_i(x_i.w), and a dual point of nearly the same value.

Smooth losses by Newton's method with line search (the infimum may lie at infinity: then steps grow
as log n and the value falls geometrically); absolute, quantile and hinge by the dual linear
program, whose multipliers are the coefficients. Dual points come from the slopes at the
coefficients, moved to feasibility where D is free to move, and a little towards the inside of the
domain, which costs as little of the bound.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.optimum.data.duality import ScalarLoss, logistic_dual
from jaxsim.optimum.data.scalar_bounds import dual_below
from jaxsim.optimum.data.scaling import scaled_columns
from jaxsim.optimum.strategy import Budget

_STEPS = 200
_GAP = 5e-10
"""Relative gap that is small enough, once a step no longer halves it."""
_INWARD = (0.0, 1e-13, 1e-11, 1e-9, 1e-7)
"""How far a dual point is moved inside, or the size of multipliers that are set to 0."""


def minimize(
    loss: ScalarLoss,
    x: np.ndarray,
    weights: np.ndarray,
    y: np.ndarray,
    budget: Budget,
    begin: np.ndarray | None = None,
    dual: bool = True,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return (coefficients [p], slopes [n], whether the search is over).

    Args:
        loss: convex.
        x: inputs [n, p].
        weights: [n].
        y: labels or values [n].
        budget: of the search.
        begin: coefficients of an earlier search.
        dual: whether the slopes should be a good dual point.
    """
    columns = scaled_columns(x)
    scaled = columns.x
    if not scaled.size:
        return np.zeros(x.shape[1]), loss.slope(np.zeros(len(y)), y), True
    start = np.zeros(scaled.shape[1]) if begin is None else columns.scaled(begin)
    if loss.linear:
        coefficients, slopes, over = _linear(loss, scaled, weights, y, start, budget)
    else:
        coefficients, over = newton(loss, scaled, weights, y, start, budget)
        slopes = loss.slope(scaled @ coefficients, y)
    if dual:
        least = float(weights @ loss.value(scaled @ coefficients, y))
        slopes, also = _best_slopes(loss, scaled, weights, y, slopes, least, budget)
        over = over and also
    return columns.unscaled(coefficients), slopes, over


def newton(
    loss: ScalarLoss,
    x: np.ndarray,
    weights: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    budget: Budget,
) -> tuple[np.ndarray, bool]:
    """Return the last point of a damped Newton iteration, and whether it came to its end."""
    w = start
    if loss.interior and not w.any():
        w = np.linalg.lstsq(np.sqrt(weights)[:, None] * x, np.sqrt(weights) * y, rcond=None)[0]
    value = float(weights @ loss.value(x @ w, y))
    idle = 0
    for _ in range(_STEPS):
        if budget.spent:
            return w, False
        z = x @ w
        slope = loss.slope(z, y)
        gradient = x.T @ (weights * slope)
        curvatures = [np.maximum(loss.curvature(z, y), 0.0)]
        if loss.interior:
            # Far from the optimum curvature may vanish (Huber). The parabola with the same slope
            # that is least at y lies above a loss that grows slower than r^2: it always descends.
            away = np.abs(z - y)
            curvatures.append(np.abs(slope) / np.maximum(away, 1e-12 * (1 + np.abs(y))))
        fresh, trial = np.inf, w
        for curvature in curvatures:
            step = _solve(x.T @ ((weights * curvature)[:, None] * x), gradient)
            for halving in range(40):
                candidate = w - step / 2**halving
                reached = float(weights @ loss.value(x @ candidate, y))
                if reached < value:
                    if reached < fresh:
                        fresh, trial = reached, candidate
                    break
        if not fresh < value:
            break
        idle = idle + 1 if value - fresh <= 1e-14 * value else 0
        w, value = trial, fresh
        if idle >= 3 or value < 1e-300:
            break
    return w, True


def _solve(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the Newton step; directions that see no curvature take a regularized one."""
    diagonal = np.diag(hessian)
    ridge = 1e-14 * max(float(diagonal.max()), 1e-300)
    for _ in range(60):
        try:
            factor = scipy.linalg.cho_factor(hessian + ridge * np.eye(len(gradient)))
        except np.linalg.LinAlgError:
            ridge *= 100
            continue
        step = scipy.linalg.cho_solve(factor, gradient)
        if np.isfinite(step).all():
            return step
        ridge *= 100
    return gradient


def _linear(
    loss: ScalarLoss,
    x: np.ndarray,
    weights: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    budget: Budget,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Solve max sum_i p_i D_i(q_i) s.t. sum_i p_i q_i x_i = 0, a linear program."""
    low, high = loss.domain(y)
    ends = loss.dual(low, y)[0], loss.dual(high, y)[0]
    rate = (ends[1] - ends[0]) / (high - low)
    # The program's numbers should be of the size of 1.
    mean = 1 / len(weights)
    unit = float(np.abs(rate).max()) or 1.0
    options = {"time_limit": max(budget.left, 0.01)} if np.isfinite(budget.left) else {}
    solved = scipy.optimize.linprog(
        -(weights / mean) * (rate / unit),
        A_eq=((weights / mean)[:, None] * x).T,
        b_eq=np.zeros(x.shape[1]),
        bounds=np.column_stack([low, high]),
        method="highs-ds",
        options=options,
    )
    if solved.x is None or solved.status != 0:
        return start, loss.slope(x @ start, y), solved.status != 1
    q = np.clip(solved.x, low, high)
    inside = np.minimum(q - low, high - q) > 1e-7
    q = np.where(inside, q, np.where(q - low < high - q, low, high))
    multipliers = unit * np.asarray(solved.eqlin.marginals)
    candidates = [start, multipliers, -multipliers]
    if inside.any():
        # Where the slope is between the ends the residual is 0: phi'' is a point mass there.
        kink = np.where(loss.domain(y)[1] > 0, -1.0, 1.0) if not loss.interior else y
        exact = np.linalg.lstsq(x[inside], kink[inside], rcond=None)[0]
        candidates.append(exact)
        q = _feasible(loss, x, weights, y, q, inside.astype(float))
    risks = [float(weights @ loss.value(x @ w, y)) for w in candidates]
    return candidates[int(np.argmin(risks))], q, True


def _best_slopes(
    loss: ScalarLoss,
    x: np.ndarray,
    weights: np.ndarray,
    y: np.ndarray,
    slopes: np.ndarray,
    least: float,
    budget: Budget,
) -> tuple[np.ndarray, bool]:
    """Return the dual point with the best proved bound among several near the given slopes.

    Args:
        loss: convex.
        x: inputs [n, p].
        weights: [n].
        y: labels or values [n].
        slopes: at the last coefficients [n], or a solution of the dual program.
        least: the risk there; a bound that comes close to it ends the search.
        budget: of the search.

    Returns:
        The slopes, and whether the search was not cut short.
    """
    low, high = loss.domain(y)
    bounded = bool(np.isfinite(low).all())
    inner = _inner(loss, x, weights, y, budget) if bounded and loss.linear else 0.0 * slopes
    best, rank = slopes, (False, -np.inf)
    for inward in _INWARD if bounded else (0.0,):
        if loss.linear or loss.interior:
            q = (1 - inward) * slopes + inward * inner
        else:
            q = np.where(np.abs(slopes) < inward, 0.0, slopes)
        q = np.clip(q, low, high)
        before = np.inf
        for _ in range(6):
            if budget.spent:
                return best, False
            room = np.minimum(q - low, high - q) if bounded else np.ones(len(q))
            freedom = room if loss.linear else np.where(q == 0, 0.0, loss.freedom(q, y))
            if not bounded:
                freedom = np.ones(len(q))
            q = _feasible(loss, x, weights, y, q, freedom)
            below = dual_below(loss, x, weights, y, None, q)
            if (below.proved, below.value) > rank:
                best, rank = q, (below.proved, below.value)
            gap = least - below.value if below.proved else np.inf
            if gap <= _GAP * least and gap > before / 2:
                return best, True
            before = gap
    return best, True


def _inner(
    loss: ScalarLoss, x: np.ndarray, weights: np.ndarray, y: np.ndarray, budget: Budget
) -> np.ndarray:
    """Return slopes inside of the domain that are nearly feasible."""
    if loss.interior:
        return np.zeros(len(y))
    smooth = logistic_dual()
    coefficients, _ = newton(smooth, x, weights, y, np.zeros(x.shape[1]), budget)
    return smooth.slope(x @ coefficients, y)


def _feasible(
    loss: ScalarLoss,
    x: np.ndarray,
    weights: np.ndarray,
    y: np.ndarray,
    q: np.ndarray,
    freedom: np.ndarray,
) -> np.ndarray:
    """Return slopes moved towards sum_i p_i q_i x_i = 0, where they are free to."""
    residual = x.T @ (weights * q)
    moves = x.T @ ((weights * freedom)[:, None] * x)
    v = np.linalg.lstsq(moves, residual, rcond=1e-15)[0]
    low, high = loss.domain(y)
    return np.clip(q - freedom * (x @ v), low, high)
