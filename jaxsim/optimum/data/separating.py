"""Linear functions that put every point strictly on its right side, found by linear programs.

For classes the functions z_k(x) = x.w_k (x with a 1 appended where a constant is allowed) should
satisfy z_y(x_i) - z_k(x_i) > 0 for all i and k != y_i. The program

    max t   s.t.   z_y(x_i) - z_k(x_i) >= t,   -1 <= w <= 1,   t <= 1

has a positive value iff there are such functions. Two classes need one function, w = w_1 - w_0.
Large programs grow from the constraints that are violated, after a smooth minimization that often
separates by itself. A search is not believed: see `separable`.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.optimum.data.rounding import product
from jaxsim.optimum.data.scaling import scaled_columns
from jaxsim.optimum.strategy import Budget

_SMALL = 60_000
"""Nonzero coefficients up to which the whole program is solved at once."""
_LARGEST = 3_000_000
_ROUNDS = 40


def least_margin(x: np.ndarray, labels: np.ndarray, functions: np.ndarray) -> float:
    """Return a lower bound of the least margin of all points.

    Args:
        x: inputs [n, p], with a column of ones where there is a constant.
        labels: classes [n]; 0 and 1 if there is one function.
        functions: coefficients [p, K], or [p, 1] for two classes.

    Example:
        >>> least_margin(np.array([[-1.0], [2.0]]), np.array([0, 1]), np.array([[1.0]])) > 0.999
        True
    """
    values, errors = product(x, functions)
    if functions.shape[1] == 1:
        return float((np.where(labels == 1, values[:, 0], -values[:, 0]) - errors[:, 0]).min())
    rows = np.arange(len(x))
    right, right_error = values[rows, labels], errors[rows, labels]
    others = values + errors
    others[rows, labels] = -np.inf
    # One subtraction rounds once more.
    slack = 1e-15 * (np.abs(right) + np.abs(values).max(1))
    return float((right - right_error - others.max(1) - slack).min())


def separating_functions(
    x: np.ndarray, labels: np.ndarray, classes: int, budget: Budget
) -> tuple[np.ndarray | None, bool]:
    """Return coefficients with a positive margin, None for none, and whether the search is over.

    Args:
        x: inputs [n, p].
        labels: classes [n] below `classes`; 0 and 1 for classes = 2.
        classes: K.
        budget: of the search.
    """
    columns = scaled_columns(x)
    scaled = columns.x
    if not scaled.size:
        return None, True
    outputs = 1 if classes == 2 else classes
    entries = len(x) * max(1, classes - 1) * scaled.shape[1] * (1 if classes == 2 else 2)
    over = True
    separation = None
    if entries > _SMALL:
        separation = _smooth_separation(scaled, labels, outputs, budget)
    if separation is None:
        separation, over = _program(scaled, labels, outputs, entries <= _SMALL, budget)
    if separation is None:
        return None, over
    functions = columns.unscaled(separation)
    functions /= np.abs(functions).max()
    return (functions, True) if least_margin(x, labels, functions) > 0 else (None, over)


def _smooth_separation(
    x: np.ndarray, labels: np.ndarray, outputs: int, budget: Budget
) -> np.ndarray | None:
    """Minimize the squared multiclass hinge loss until all margins are positive."""
    n, p = x.shape
    rows = np.arange(n)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ flat.reshape(p, outputs)
        if outputs == 1:
            signs = 2.0 * labels - 1
            gaps = np.maximum(1 - signs * z[:, 0], 0)
            return float(gaps @ gaps), x.T @ (-2 * signs * gaps)
        gaps = np.maximum(1 + z - z[rows, labels][:, None], 0)
        gaps[rows, labels] = 0
        slopes = 2 * gaps
        slopes[rows, labels] = -slopes.sum(1)
        return float((gaps**2).sum()), (x.T @ slopes).ravel()

    best: list[np.ndarray] = []

    def stop_when_separated(flat: np.ndarray) -> None:
        functions = flat.reshape(p, outputs)
        if budget.spent:
            raise StopIteration
        if least_margin(x, labels, functions) > 1e-6 * np.abs(functions).max():
            best.append(functions.copy())
            raise StopIteration

    scipy.optimize.minimize(
        loss,
        np.zeros(p * outputs),
        jac=True,
        method="L-BFGS-B",
        callback=stop_when_separated,
        # It is given up where it stalls: then the program decides.
        options={"maxiter": 1000, "maxfun": 2000, "maxcor": 20, "ftol": 1e-9, "gtol": 1e-12},
    )
    return best[0] if best else None


def _program(
    x: np.ndarray, labels: np.ndarray, outputs: int, whole: bool, budget: Budget
) -> tuple[np.ndarray | None, bool]:
    """Solve the linear program, from violated constraints only if it is large."""
    pairs = _pairs(labels, outputs)
    chosen = np.arange(len(pairs[0])) if whole else np.arange(0)
    functions = np.zeros((x.shape[1], outputs))
    for _ in range(_ROUNDS):
        if budget.spent:
            return None, False
        if not whole:
            margins = _margins(x, functions, *pairs)
            worst = np.argsort(margins, kind="stable")[: max(200, 4 * x.shape[1] * outputs)]
            fresh = np.setdiff1d(worst[margins[worst] <= 1e-9], chosen)
            if not len(fresh):
                return functions, True
            chosen = np.union1d(chosen, fresh)
            if len(chosen) * x.shape[1] * (1 + (outputs > 1)) > _LARGEST:
                return None, False
        solution, over = _solve(x, *(part[chosen] for part in pairs), outputs, budget)
        if solution is None or whole:
            return solution, over
        functions = solution
    return None, False


def _pairs(labels: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (point, class that should win, class that should lose) of all constraints."""
    n = len(labels)
    if outputs == 1:
        return np.arange(n), labels.astype(int), 1 - labels.astype(int)
    points = np.repeat(np.arange(n), outputs)
    others = np.tile(np.arange(outputs), n)
    kept = others != labels[points]
    return points[kept], labels[points][kept].astype(int), others[kept]


def _margins(
    x: np.ndarray, functions: np.ndarray, point: np.ndarray, wins: np.ndarray, loses: np.ndarray
) -> np.ndarray:
    values = x @ functions
    if functions.shape[1] == 1:
        return np.where(wins == 1, 1.0, -1.0) * values[point, 0]
    return values[point, wins] - values[point, loses]


def _solve(
    x: np.ndarray,
    point: np.ndarray,
    wins: np.ndarray,
    loses: np.ndarray,
    outputs: int,
    budget: Budget,
) -> tuple[np.ndarray | None, bool]:
    m, p = len(point), x.shape[1]
    rows = x[point]
    if outputs == 1:
        table = scipy.sparse.csr_array(-np.where(wins == 1, 1.0, -1.0)[:, None] * rows)
    else:
        at = np.arange(p)
        columns = np.concatenate(
            [at[None] * outputs + wins[:, None], at[None] * outputs + loses[:, None]], 1
        )
        entries = np.concatenate([-rows, rows], 1)
        index = np.repeat(np.arange(m), 2 * p)
        table = scipy.sparse.csr_array(
            (entries.ravel(), (index, columns.ravel())), shape=(m, p * outputs)
        )
    table = scipy.sparse.hstack([table, np.ones((m, 1))], format="csr")
    cost = np.zeros(p * outputs + 1)
    cost[-1] = -1.0
    solved = scipy.optimize.linprog(
        cost,
        A_ub=table,
        b_ub=np.zeros(m),
        bounds=[*[(-1.0, 1.0)] * (p * outputs), (None, 1.0)],
        method="highs",
        options={"time_limit": max(budget.left, 0.01)} if np.isfinite(budget.left) else {},
    )
    if solved.x is None or solved.status not in (0,):
        return None, solved.status not in (1, 4)
    return (solved.x[:-1].reshape(p, outputs), True) if solved.x[-1] > 0 else (None, True)
