"""Bounds of the softmax cross-entropy of linear models, from weights and from a dual point.

With z_i = W' x_i and weights p_i of the points,

    inf_W sum_i p_i (log sum_k e^(z_ik) - z_i,y_i)
        >= sum_i p_i H(P_i)     for P_i in the simplex with sum_i p_i (P_i - e_{y_i}) x_i' = 0,

H the entropy. A certificate has P without the largest entry of each row, which is 1 minus the
others. Shares that meet the equations up to rounding are changed into ones that meet them exactly
(see `equations`): every change of a share is taken from the largest of its row. Classes whose
shares are all 0 or 1 (points that are separated from all others) meet theirs without rounding.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.optimum.data.equations import exact_change, independent_columns
from jaxsim.optimum.data.rounding import UNIT, gamma, sum_above, sum_below
from jaxsim.optimum.data.scalar_bounds import VALUE_UNITS, DualBound, relative

_LARGEST_SYSTEM = 20_000_000
"""Entries of the table of equations."""
_ENOUGH = 12
"""Shares per equation that are tried first."""


def softmax_above(
    z: np.ndarray, slack: np.ndarray, weights: np.ndarray, labels: np.ndarray
) -> float:
    """Return an upper bound of the risk of logits z [n, K] with bounds of their errors."""
    rows = np.arange(len(z))
    # A sum of positive terms: log(1 + sum of the others) where the label's logit is largest.
    relative = z - z[rows, labels][:, None]
    relative[rows, labels] = -np.inf
    others = scipy.special.logsumexp(relative, axis=1)
    value = np.logaddexp(0.0, others)
    # The gradient in z has the 1-norm at most 2, and at most 2 e^others.
    steep = np.minimum(1.0, np.exp(np.minimum(others, 0.0)))
    largest = np.abs(z).max(1) + slack.max(1)
    error = 2.1 * steep * (slack.max(1) + 4 * UNIT * largest) + VALUE_UNITS * value
    return sum_above(weights, value + error)


def softmax_below(
    x: np.ndarray, weights: np.ndarray, labels: np.ndarray, shares: np.ndarray
) -> DualBound:
    """Return the lower bound that shares P [n, K] show; the largest of each row is recomputed."""
    n, classes = shares.shape
    rows = np.arange(n)
    largest = shares.argmax(1)
    p = np.clip(shares, 0.0, 1.0)
    p[rows, largest] = 0.0
    rest = p.sum(1)
    # d_ik = P_ik - [y_i = k], whose row sums are 0: the entry of the largest share is minus the
    # others' sum, where 1 - rest would cancel.
    d = p.copy()
    d[rows, labels] -= 1.0
    d[rows, largest] = 0.0
    size = np.abs(d).sum(1)
    d[rows, largest] = -d.sum(1)
    error = np.zeros((n, classes))
    error[rows, largest] = gamma(classes + 1) * size
    moving = (np.abs(d) + error) > 0
    if not moving.any():
        return DualBound(0.0, True, 0.0)
    residual = (weights[:, None] * d).T @ x
    bounds = (weights[:, None] * (gamma(n + 4) * np.abs(d) + 1.001 * error)).T @ np.abs(x)
    equations = _independent_equations(x, moving)
    change, proved = _changes(x, weights, p, largest, 1 - rest, equations, residual, bounds * 1.001)
    others = _entropy_below(p, change)
    others[rows, largest] = 0.0
    moved = 1.001 * change.sum(1) + gamma(classes) * rest
    ends = np.stack([np.clip(rest - moved, 0, None), np.minimum(rest + moved, 1.0)])
    main = (-scipy.special.xlog1py(1 - ends, -ends)).min(0) - VALUE_UNITS * (rest + moved)
    value = sum_below(weights, others.sum(1) * (1 - classes * UNIT) + main)
    scale = np.abs(d).max() * (weights @ np.abs(x))
    return DualBound(value, proved, relative(np.abs(residual) + bounds, scale))


def _entropy_below(p: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return lower bounds of -P log P for shares within their changes."""
    ends = np.stack([np.maximum(p - change, 0.0), np.minimum(p + change, 1.0)])
    entropy = -scipy.special.xlogy(ends, ends)
    return (entropy - VALUE_UNITS * (np.abs(entropy) + ends)).min(0)


def _independent_equations(x: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Return (class, column) of equations [E, 2] that imply all others exactly.

    The equation of class k and column j concerns the rows where k moves and x_ij is not 0. Left out
    are those without rows, those of a column that is a constant on the rows of the class, where
    there is another one, and one of each set of classes that move on common rows only: their
    equations add up to 0.
    """
    kept = np.zeros((moving.shape[1], x.shape[1]), bool)
    for k in np.flatnonzero(moving.any(0)):
        kept[k, independent_columns(x[moving[:, k]])] = True
    for j in range(x.shape[1]):
        rows = moving[x[:, j] != 0].astype(float)
        _, sets = scipy.sparse.csgraph.connected_components(rows.T @ rows, directed=False)
        often = rows.sum(0)
        for number in np.unique(sets):
            members = np.flatnonzero(sets == number)
            kept[members[np.argmax(often[members])], j] = False
    return np.argwhere(kept)


def _changes(
    x: np.ndarray,
    weights: np.ndarray,
    p: np.ndarray,
    largest: np.ndarray,
    main: np.ndarray,
    equations: np.ndarray,
    residual: np.ndarray,
    bounds: np.ndarray,
) -> tuple[np.ndarray, bool]:
    """Return bounds of changes of the shares after which all equations hold, and whether proved.

    Moving m from the largest share of row i to class k adds m p_i x_i to the equations of class k
    and subtracts it from those of the largest.
    """
    change = np.zeros(p.shape)
    points, classes = np.nonzero(p > 0)
    owner, column = equations.T
    size = residual[owner, column], bounds[owner, column]
    order = np.argsort(-p[points, classes], kind="stable")
    # The largest shares alone are enough, as a rule.
    for most in (_ENOUGH * len(equations), _LARGEST_SYSTEM // max(len(equations), 1)):
        some = order[:most]
        rows, into = points[some], classes[some]
        entry = weights[rows, None] * x[rows][:, column]
        sign = 1.0 * (into[:, None] == owner) - (largest[rows][:, None] == owner)
        correction = exact_change(entry * sign, p[rows, into], *size)
        if correction is not None:
            change[rows, into] = 1.001 * correction
            # A row's largest share gives what the others take.
            enough = (change <= p).all() and (1.001 * change.sum(1) < 0.5 * main).all()
            if enough:
                return change, True
            change[:] = 0.0
        if most >= len(order):
            break
    return change, False
