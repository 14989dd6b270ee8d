"""Quantiles of the risk with intervals that need no assumption on its distribution.

For sorted values x_(1) <= ... <= x_(n) and the quantile xi_q = inf{x : F(x) >= q}, the number of
values <= xi_q is binomial with a probability F(xi_q) >= q, that of values < xi_q with one <= q.
With x_(0) = -inf and x_(n+1) = inf therefore, for every F, atoms included,

    P(x_(l) <= xi_q <= x_(u)) >= 1 - P(Bin(n, q) < l) - P(Bin(n, q) >= u),

with equality for continuous F (David and Nagaraja, Order Statistics, 2003, section 7.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.checks import checked_level


def quantile(values: ArrayLike, q: ArrayLike) -> Any:
    """Return the sample quantile x_(ceil(n q)); a value that is not finite counts as infinity.

    Args:
        values: a sample [n], in any order.
        q: levels in (0, 1), any shape.

    Raises:
        InputError: for an empty sample or a level outside (0, 1).

    Example:
        >>> float(quantile([3.0, 1.0, 2.0], 0.5))
        2.0
    """
    x = _sorted(values)
    if not len(x):
        raise InputError("a sample without values has no quantile")
    return x[sample_rank(len(x), q) - 1]


def quantile_interval(values: ArrayLike, q: ArrayLike, confidence: float) -> tuple[Any, Any]:
    """Return [x_(l), x_(u)], an interval for the quantile with coverage >= confidence.

    An end is infinite where the sample is too small to bound the quantile.

    Args:
        values: a sample [n], in any order; a value that is not finite counts as infinity.
        q: levels in (0, 1), any shape.
        confidence: 1 - alpha.

    Raises:
        InputError: for a level or confidence outside (0, 1).

    Example:
        >>> lower, upper = quantile_interval(np.arange(1.0, 101.0), 0.5, 0.95)
        >>> float(lower), float(upper)
        (40.0, 61.0)
    """
    x = np.concatenate([[-np.inf], _sorted(values), [np.inf]])
    first, last = quantile_ranks(len(x) - 2, q, confidence)
    return x[first], x[last]


def quantile_ranks(n: int, q: ArrayLike, confidence: float) -> tuple[Any, Any]:
    """Return the ranks (l, u) of the interval's ends; l = 0 and u = n + 1 stand for infinite ends.

    l is the largest rank with P(Bin(n, q) < l) <= alpha / 2, and u the smallest with
    P(Bin(n, q) >= u) <= alpha / 2.

    Raises:
        InputError: for a level or confidence outside (0, 1).
    """
    level, tail = _levels(q), (1 - checked_level(confidence, "confidence")) / 2
    if n == 0:
        return np.zeros(level.shape, np.int64)[()], np.ones(level.shape, np.int64)[()]
    law = scipy.stats.binom(n, level)
    first = np.asarray(law.ppf(tail), np.int64)
    last = np.asarray(law.isf(tail), np.int64) + 1
    # Rounding in the inversion must not cost coverage, nor leave an end needlessly far out.
    first = np.where(law.cdf(first) <= tail, first + 1, first)
    first = np.where(law.cdf(first - 1) > tail, first - 1, first)
    last = np.where(law.sf(last - 2) <= tail, last - 1, last)
    last = np.where(law.sf(last - 1) > tail, last + 1, last)
    return np.clip(first, 0, n)[()], np.clip(last, 1, n + 1)[()]


def sample_rank(n: int, q: ArrayLike) -> Any:
    """Return ceil(n q) within 1..n, the rank of the sample quantile.

    Raises:
        InputError: for a level outside (0, 1).
    """
    # In binary 0.07 * 100 is 7.000000000000001: such rounding must not move the rank.
    rank = np.ceil(n * _levels(q) * (1 - 4e-16))
    return np.clip(rank.astype(np.int64), 1, max(n, 1))[()]


def _levels(q: ArrayLike) -> np.ndarray:
    level = np.asarray(q, np.float64)
    if not ((level > 0) & (level < 1)).all():
        raise InputError(f"quantile level q = {level.tolist()} is not accepted: in (0, 1) is")
    return level


def _sorted(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, np.float64).ravel()
    return np.sort(np.where(np.isfinite(x), x, np.inf))
