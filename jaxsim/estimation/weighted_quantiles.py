"""Quantiles of the risk from runs in strata, with intervals that assume nothing of its law.

F(x) = sum_k pi_k P(L <= x | stratum k) is a probability as any other: its stratified limits at all
x invert to an interval for the quantile xi_q = inf{x : F(x) >= q},

    [ sup{x : upper limit of F(x) < q},  inf{x : lower limit of F(x) >= q} ].

Counts of values below x grow with x, so do the limits, and the interval misses only if a limit does
at xi_q itself: no allowance for the many x is needed. Strata without runs may have all their values
below x or above it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.bins import bin_edges
from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.histogram import LEAST, MOST, VALUE, RiskHistogram
from jaxsim.estimation.intervals import Interval
from jaxsim.estimation.stratified import one_end
from jaxsim.estimation.stratified_counts import StratifiedCounts, checked_weights


def weighted_quantile(weights: ArrayLike, histograms: Sequence[RiskHistogram], q: ArrayLike) -> Any:
    """Return the sample quantile of the weighted distribution, up to the width of a bin.

    Strata without values are left out, and the weights of the others scaled up.

    Args:
        weights: probabilities of the strata, [S].
        histograms: of the risks in each stratum, S of them.
        q: levels in (0, 1), any shape.

    Raises:
        InputError: for a level outside (0, 1), weights that do not fit, or no values at all.

    Example:
        >>> common, rare = RiskHistogram([1.0, 1.0, 2.0, 2.0]), RiskHistogram([100.0] * 50)
        >>> round(float(weighted_quantile([0.9, 0.1], [common, rare], 0.8)))
        2
    """
    w, level = _checked(weights, histograms, q)
    total = np.array([h.total for h in histograms])
    used = w * (total > 0)
    if not used.sum():
        raise InputError("strata without values have no quantile")
    if sum(w > 0) == 1:
        return histograms[int(np.argmax(w))].quantile(level)
    keys = _all_keys(histograms, VALUE)
    below = np.stack([h.cumulative(keys, VALUE) for h in histograms])
    share = (used[:, None] * below / np.maximum(total, 1)[:, None]).sum(0) / used.sum()
    # Sums of weights round: a level that is reached exactly must not move on to the next bin.
    place = np.searchsorted(share, level * (1 - 1e-14), side="left")
    lower, upper = bin_edges(keys[np.minimum(place, len(keys) - 1)])
    low = min(h.min for h in histograms if h.total)
    high = max(h.max for h in histograms if h.total)
    lower, upper = np.maximum(lower, low), np.minimum(upper, high)
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isfinite(upper), lower + (upper - lower) / 2, lower)
    return np.where((lower <= 0) & (upper >= 0), 0.0, middle)[()]


def weighted_quantile_interval(
    weights: ArrayLike,
    histograms: Sequence[RiskHistogram],
    q: ArrayLike,
    confidence: float,
    *,
    errors: ArrayLike = 0.0,
    method: str | Interval = "clopper-pearson",
) -> tuple[Any, Any]:
    """Return an interval for the quantile of the true risk over all strata.

    Its coverage is at least `confidence` if the method's is. Ends are rounded outward to bin edges
    and by the errors of the risks; they are infinite where the runs do not bound the quantile.

    Args:
        weights: probabilities of the strata, [S].
        histograms: of the risks in each stratum, S of them; one without values was not sampled.
        q: levels in (0, 1), any shape.
        confidence: of each two-sided interval.
        errors: absolute bounds on the errors of the weights, [S].
        method: a name of `INTERVALS`.

    Raises:
        InputError: for a level or confidence outside (0, 1), or weights that do not fit.

    Example:
        >>> h = RiskHistogram(np.arange(1.0, 101.0))
        >>> lower, upper = weighted_quantile_interval([1.0], [h], 0.5, 0.95)
        >>> round(float(lower)), round(float(upper))
        (40, 61)
    """
    w, level = _checked(weights, histograms, q)
    e = np.broadcast_to(np.asarray(errors, np.float64), w.shape)
    runs = np.array([h.total for h in histograms])
    alpha = 1 - checked_level(confidence, "confidence")

    def limits(keys: np.ndarray, column: int, upper: bool) -> Callable[[np.ndarray], np.ndarray]:
        below = np.stack([np.append(h.cumulative(keys, column), 0) for h in histograms])

        def at(places: np.ndarray) -> np.ndarray:
            x = below[:, places]  # the place -1 is below all values
            table = StratifiedCounts(w, e, x, x, runs, np.zeros(x.shape, np.int8))
            return one_end(table, alpha, method, upper=upper)

        return at

    flat = level.ravel()
    # Risks as small as they may be: as many as possible are below x.
    keys = _all_keys(histograms, LEAST)
    at = limits(keys, LEAST, upper=True)
    first = _first(lambda i: ~(at(i) < flat), len(keys), len(flat))
    lower = _edge(keys, first, 0, min((h.least for h in histograms if h.total), default=np.inf))
    nothing = at(np.full(len(flat), -1))
    lower = np.where(nothing < flat, lower, -np.inf)
    keys = _all_keys(histograms, MOST)
    at = limits(keys, MOST, upper=False)
    first = _first(lambda i: at(i) >= flat, len(keys), len(flat))
    upper = _edge(keys, first, 1, max((h.most for h in histograms if h.total), default=-np.inf))
    return lower.reshape(level.shape)[()], upper.reshape(level.shape)[()]


def _edge(keys: np.ndarray, place: np.ndarray, side: int, limit: float) -> np.ndarray:
    """Return the edge of the bin at each place, no further out than all values; +inf past them."""
    if not len(keys):
        return np.full(place.shape, np.inf)
    edge = bin_edges(keys[np.minimum(place, len(keys) - 1)])[side]
    edge = np.minimum(edge, limit) if side else np.maximum(edge, limit)
    return np.where(place < len(keys), edge, np.inf)


def _first(true: Callable[[np.ndarray], np.ndarray], size: int, count: int) -> np.ndarray:
    """Return from which place on it is true, for each of `count` questions; `size` if nowhere."""
    low, high = np.full(count, -1), np.full(count, size)
    while (high - low > 1).any():
        middle = (low + high) // 2
        now = true(middle)
        open_ = high - low > 1
        high = np.where(open_ & now, middle, high)
        low = np.where(open_ & ~now, middle, low)
    return high


def _all_keys(histograms: Sequence[RiskHistogram], column: int) -> np.ndarray:
    return np.unique(np.concatenate([h.occupied(column) for h in histograms]))


def _checked(
    weights: ArrayLike, histograms: Sequence[RiskHistogram], q: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    w, level = np.asarray(weights, np.float64), np.asarray(q, np.float64)
    if w.shape != (len(histograms),):
        raise InputError(f"weights of shape {w.shape} do not fit {len(histograms)} histograms")
    checked_weights(w, np.zeros_like(w))
    if not ((level > 0) & (level < 1)).all():
        raise InputError(f"quantile level q = {level.tolist()} is not accepted: in (0, 1) is")
    return w, level
