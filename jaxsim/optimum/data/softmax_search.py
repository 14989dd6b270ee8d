"""Minimization of the softmax cross-entropy of a linear model, and a dual point.

Newton's method with line search on W [p, K], whose Hessian is the sum of p_i (diag P_i - P_i P_i')
times x_i x_i', regularized, for the infimum may lie at infinity; L-BFGS where it is too large. The
dual point is P at the last W, moved to feasibility by P += (diag P - P P') V x: after Newton steps
its gap is of the order of the squared gradient. Tiny shares, which the infimum at infinity makes 0,
are set to 0.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.optimum.data.scaling import scaled_columns
from jaxsim.optimum.data.softmax_bounds import softmax_below
from jaxsim.optimum.strategy import Budget

_STEPS = 120
LARGEST_HESSIAN = 1500
"""Coefficients up to which Newton's method is used."""
_GAP = 5e-10
"""Relative gap that is small enough, once a step no longer halves it."""
_CUTS = (0.0, 1e-13, 1e-11, 1e-9, 1e-8, 1e-7)


def minimize_softmax(
    x: np.ndarray,
    weights: np.ndarray,
    labels: np.ndarray,
    classes: int,
    budget: Budget,
    begin: np.ndarray | None = None,
    dual: bool = True,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return (coefficients [p, K], shares [n, K], whether the search is over).

    Args:
        x: inputs [n, p].
        weights: [n].
        labels: classes [n].
        classes: K.
        budget: of the search.
        begin: coefficients of an earlier search.
        dual: whether the shares should be a good dual point.
    """
    columns = scaled_columns(x)
    scaled = columns.x
    if not scaled.size:
        shares = np.full((len(x), classes), 1 / classes)
        return np.zeros((x.shape[1], classes)), shares, True
    w = np.zeros((scaled.shape[1], classes)) if begin is None else columns.scaled(begin)
    small = w.size <= LARGEST_HESSIAN
    minimize = _newton if small else _quasi_newton
    w, over = minimize(scaled, weights, labels, w, budget)
    shares = _shares(scaled @ w)
    if small and dual:
        least = _risk(scaled, weights, labels, w)[0]
        shares, also = _best_shares(scaled, weights, labels, shares, least, budget)
        over = over and also
    return columns.unscaled(w), shares, over


def _shares(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _risk(
    x: np.ndarray, weights: np.ndarray, labels: np.ndarray, w: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the risk and its gradient [p, K]."""
    z = x @ w
    rows = np.arange(len(x))
    shifted = z - z[rows, labels][:, None]
    shifted[rows, labels] = -np.inf
    value = float(weights @ np.logaddexp(0.0, scipy.special.logsumexp(shifted, axis=1)))
    d = _shares(z)
    d[rows, labels] = 0.0
    d[rows, labels] = -d.sum(1)
    return value, x.T @ (weights[:, None] * d)


def _hessian(x: np.ndarray, weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return sum_i p_i (diag P_i - P_i P_i') (x) x_i x_i' as [p K, p K], features first."""
    p, classes = x.shape[1], shares.shape[1]
    hessian = np.zeros((p, classes, p, classes))
    for k in range(classes):
        for m in range(k, classes):
            c = -shares[:, k] * shares[:, m]
            if k == m:
                c = shares[:, k] * (1 - shares[:, k])
            block = x.T @ ((weights * c)[:, None] * x)
            hessian[:, k, :, m] = hessian[:, m, :, k] = block
    return hessian.reshape(p * classes, p * classes)


def _newton(
    x: np.ndarray, weights: np.ndarray, labels: np.ndarray, w: np.ndarray, budget: Budget
) -> tuple[np.ndarray, bool]:
    value, gradient = _risk(x, weights, labels, w)
    idle = 0
    for _ in range(_STEPS):
        if budget.spent:
            return w, False
        hessian = _hessian(x, weights, _shares(x @ w))
        ridge = 1e-15 * float(np.diag(hessian).max())
        step = _regularized(hessian, gradient.ravel(), ridge).reshape(w.shape)
        fresh = value
        for halving in range(40):
            trial = w - step / 2**halving
            fresh, slope = _risk(x, weights, labels, trial)
            if fresh < value:
                w, gradient = trial, slope
                break
        else:
            return w, True
        idle = idle + 1 if value - fresh <= 1e-14 * value else 0
        value = fresh
        if idle >= 3 or value < 1e-300:
            break
    return w, True


def _regularized(hessian: np.ndarray, gradient: np.ndarray, ridge: float) -> np.ndarray:
    """Return (H + ridge)^-1 g with as small a ridge as rounding allows."""
    for _ in range(40):
        try:
            factor = scipy.linalg.cho_factor(hessian + ridge * np.eye(len(gradient)))
        except np.linalg.LinAlgError:
            ridge *= 10
            continue
        return scipy.linalg.cho_solve(factor, gradient)
    return gradient


def _quasi_newton(
    x: np.ndarray, weights: np.ndarray, labels: np.ndarray, w: np.ndarray, budget: Budget
) -> tuple[np.ndarray, bool]:
    last = [w.ravel()]

    def keep(flat: np.ndarray) -> None:
        last[0] = flat.copy()
        if budget.spent:
            raise StopIteration

    def flat_risk(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _risk(x, weights, labels, flat.reshape(w.shape))
        return value, gradient.ravel()

    options = {"maxiter": 5000, "maxfun": 10_000, "maxcor": 30, "ftol": 0, "gtol": 1e-12}
    scipy.optimize.minimize(
        flat_risk, w.ravel(), jac=True, method="L-BFGS-B", callback=keep, options=options
    )
    return last[0].reshape(w.shape), not budget.spent


def _best_shares(
    x: np.ndarray,
    weights: np.ndarray,
    labels: np.ndarray,
    shares: np.ndarray,
    least: float,
    budget: Budget,
) -> tuple[np.ndarray, bool]:
    """Return shares with the best proved bound among several near the given ones.

    Args:
        x: inputs [n, p].
        weights: [n].
        labels: classes [n].
        shares: at the last coefficients [n, K].
        least: the risk there; a bound that comes close to it ends the search.
        budget: of the search.

    Returns:
        The shares, and whether the search was not cut short.
    """
    best, rank = shares, (False, -np.inf)
    rows = np.arange(len(x))
    for cut in _CUTS:
        p = np.where(shares < cut, 0.0, shares)
        before = np.inf
        for _ in range(5):
            if budget.spent:
                return best, False
            p = p / p.sum(1, keepdims=True)
            below = softmax_below(x, weights, labels, p)
            if (below.proved, below.value) > rank:
                best, rank = p, (below.proved, below.value)
            gap = least - below.value if below.proved else np.inf
            if gap <= _GAP * least and gap > before / 2:
                return best, True
            if budget.spent:  # with hundreds of coefficients either half takes seconds
                return best, False
            before = gap
            d = p.copy()
            d[rows, labels] = 0.0
            d[rows, labels] = -d.sum(1)
            gradient = x.T @ (weights[:, None] * d)
            hessian = _hessian(x, weights, p)
            v = np.linalg.lstsq(hessian, gradient.ravel(), rcond=1e-15)[0].reshape(gradient.shape)
            z = x @ v
            p = np.maximum(p - p * (z - (p * z).sum(1, keepdims=True)), 0.0)
    return best, True
