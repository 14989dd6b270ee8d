"""Intervals for one probability p from X = k failures in n independent runs, X ~ Bin(n, p).

Clopper and Pearson (Biometrika 26, 1934) invert the exact one-sided tests,

    P_lower(X >= k) = alpha / 2,    P_upper(X <= k) = alpha / 2,

so that their coverage is at least 1 - alpha for every n and p; the tails are incomplete beta
functions, P_p(X >= k) = I_p(k, n - k + 1). Wilson (JASA 22, 1927) inverts the normal score test and
mid-P (Lancaster, JASA 56, 1961) counts half the probability of the outcome itself: both are shorter
and approximate, their coverage falls below the nominal one for some p (Brown, Cai and DasGupta,
Statistical Science 16, 2001). Wald's interval is not offered: it is empty at k = 0.

All three are for one n fixed beforehand; `jaxsim.estimation.confidence_sequence` holds for all n.
Every method has a counterpart for strata, `jaxsim.estimation.stratified`, which is the interval
itself where there is one stratum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike

from jaxsim.arguments import text
from jaxsim.errors import unknown
from jaxsim.estimation.anytime import confidence_sequence
from jaxsim.estimation.checks import checked_counts, checked_level
from jaxsim.estimation.profile import likelihood_ratio

Ends = tuple[Any, Any]
"""Lower and upper end: float64 arrays of the broadcast shape, scalars for scalars."""
Tail = float | np.ndarray
"""Probability of a miss on one side; an array broadcasts against the counts."""


def clopper_pearson(failures: ArrayLike, runs: ArrayLike, confidence: float) -> Ends:
    """Return the exact two-sided interval: coverage >= confidence for every n and p.

    Args:
        failures: k, integers.
        runs: n >= k, integers that broadcast against k; n = 0 gives [0, 1].
        confidence: 1 - alpha, each side misses with probability alpha / 2 at most.

    Raises:
        InputError: for counts that are not 0 <= k <= n, or a confidence outside (0, 1).

    Example:
        >>> lower, upper = clopper_pearson(0, 1_000_000, 0.95)
        >>> float(lower), f"{upper:.4g}"
        (0.0, '3.689e-06')
    """
    tail = (1 - checked_level(confidence, "confidence")) / 2
    return lower_limit(failures, runs, tail), upper_limit(failures, runs, tail)


def lower_bound(failures: ArrayLike, runs: ArrayLike, confidence: float) -> Any:
    """Return the exact one-sided lower bound: P(bound <= p) >= confidence for every n and p."""
    return lower_limit(failures, runs, 1 - checked_level(confidence, "confidence"))


def upper_bound(failures: ArrayLike, runs: ArrayLike, confidence: float) -> Any:
    """Return the exact one-sided upper bound: P(p <= bound) >= confidence for every n and p.

    Example: "the rule of three"
        >>> f"{upper_bound(0, 3000, 0.95):.3g}"
        '0.000998'
    """
    return upper_limit(failures, runs, 1 - checked_level(confidence, "confidence"))


def lower_limit(failures: ArrayLike, runs: ArrayLike, tail: Tail) -> Any:
    """Return the p with P_p(X >= k) = tail, 0 if k = 0; `tail` may be as small as 1e-60."""
    k, n = checked_counts(failures, runs)
    inside = k > 0
    a, b = np.where(inside, k, 1.0), np.where(inside, n - k + 1, 1.0)
    p = _polished(scipy.stats.beta.ppf(tail, a, b), a, b, tail, lower_tail=True)
    return np.where(inside, p, 0.0)[()]


def upper_limit(failures: ArrayLike, runs: ArrayLike, tail: Tail) -> Any:
    """Return the p with P_p(X <= k) = tail, 1 if k = n; `tail` may be as small as 1e-60."""
    k, n = checked_counts(failures, runs)
    inside = k < n
    a, b = np.where(inside, k + 1, 1.0), np.where(inside, n - k, 1.0)
    p = _polished(scipy.stats.beta.isf(tail, a, b), a, b, tail, lower_tail=False)
    return np.where(inside, p, 1.0)[()]


def _polished(
    p: np.ndarray, a: np.ndarray, b: np.ndarray, tail: Tail, *, lower_tail: bool
) -> np.ndarray:
    """Return beta quantiles after Newton steps in log p; SciPy's own are off by 1e-8 at n = 1e9."""
    with np.errstate(all="ignore"):
        for _ in range(2):
            mass = scipy.special.betainc(a, b, p) if lower_tail else scipy.special.betaincc(a, b, p)
            log_density = (
                (a - 1) * np.log(p) + scipy.special.xlog1py(b - 1, -p) - scipy.special.betaln(a, b)
            )
            slope = np.exp(log_density + np.log(p)) / mass
            step = np.log(mass / tail) / (slope if lower_tail else -slope)
            # A quantile that is off by more would be a failure, not a rounding error.
            good = np.isfinite(step) & (np.abs(step) < 1e-4)
            p = np.where(good, np.minimum(p * np.exp(-np.where(good, step, 0.0)), 1.0), p)
    return p


def wilson(failures: ArrayLike, runs: ArrayLike, confidence: float) -> Ends:
    """Return Wilson's score interval (approximate): all p with |k/n - p| <= z sqrt(p (1-p) / n).

    Raises:
        InputError: as `clopper_pearson`.

    Example:
        >>> lower, upper = wilson(10, 100, 0.95)
        >>> f"{lower:.4f} {upper:.4f}"
        '0.0552 0.1744'
    """
    z2 = float(scipy.stats.norm.isf((1 - checked_level(confidence, "confidence")) / 2)) ** 2
    k, n = checked_counts(failures, runs)
    m = np.where(n > 0, n, 1.0)
    half = np.sqrt(z2 * (k * (m - k) / m + z2 / 4))
    # Both ends by sums of non-negative terms: the lower as the product of the roots over the upper.
    upper = (k + z2 / 2 + half) / (m + z2)
    lower = (k / m) * k / ((m + z2) * upper)
    lower = np.where(n > 0, lower, 0.0)
    upper = np.where((n > 0) & (k < n), np.minimum(upper, 1.0), 1.0)
    return lower[()], upper[()]


def mid_p(failures: ArrayLike, runs: ArrayLike, confidence: float) -> Ends:
    """Return the mid-P interval (approximate): half of P(X = k) counts.

    P(X > k) + P(X = k) / 2 = alpha / 2 at the lower end, P(X < k) + P(X = k) / 2 = alpha / 2 at the
    upper one.

    Raises:
        InputError: as `clopper_pearson`.

    Example:
        >>> lower, upper = mid_p(0, 1000, 0.95)
        >>> float(lower), f"{upper:.4g}"
        (0.0, '0.002991')
    """
    tail = (1 - checked_level(confidence, "confidence")) / 2
    k, n = checked_counts(failures, runs)
    lower = np.where(k > 0, _mid_p_lower(np.maximum(k, 1.0), np.maximum(n, 1.0), tail), 0.0)
    upper = np.where(k < n, _mid_p_upper(np.minimum(k, np.maximum(n - 1, 0.0)), n, tail), 1.0)
    return lower[()], upper[()]


def _mid_p_lower(k: np.ndarray, n: np.ndarray, tail: float) -> np.ndarray:
    """Return the root of P(X >= k) + P(X > k) = 2 tail for k >= 1."""

    def excess(t: np.ndarray) -> np.ndarray:
        p = scipy.special.expit(t)
        above = np.where(k < n, scipy.special.betainc(k + 1, np.where(k < n, n - k, 1.0), p), 0.0)
        return scipy.special.betainc(k, n - k + 1, p) + above - 2 * tail

    return scipy.special.expit(
        _bisect(excess, scipy.special.logit(lower_limit(k, n, tail)), _far(k))
    )


def _mid_p_upper(k: np.ndarray, n: np.ndarray, tail: float) -> np.ndarray:
    """Return the root of P(X <= k) + P(X < k) = 2 tail for k < n (n = 0 gives 1)."""
    n = np.maximum(n, k + 1)

    def excess(t: np.ndarray) -> np.ndarray:
        p = scipy.special.expit(t)
        less = np.where(k > 0, scipy.special.betaincc(np.maximum(k, 1.0), n - k + 1, p), 0.0)
        return scipy.special.betaincc(k + 1, n - k, p) + less - 2 * tail

    return scipy.special.expit(
        _bisect(excess, scipy.special.logit(upper_limit(k, n, tail)), -_far(k))
    )


_FAR = 700.0  # logit of 1e-304


def _far(like: np.ndarray) -> np.ndarray:
    return np.full(np.shape(like), _FAR)


def _bisect(f: Callable[[np.ndarray], np.ndarray], start: Any, end: Any) -> np.ndarray:
    """Return the sign change of f between two logits, from the side of `end` (the outer one)."""
    start, end = np.clip(start, -_FAR, _FAR), np.clip(end, -_FAR, _FAR)
    sign = np.sign(f(end))
    for _ in range(75):
        middle = 0.5 * (start + end)
        outer = np.sign(f(middle)) == sign
        start, end = np.where(outer, start, middle), np.where(outer, middle, end)
    return end


@dataclass(frozen=True)
class Interval:
    """A method for one binomial proportion.

    Attributes:
        name: as a study names it.
        function: (failures, runs, confidence) -> (lower, upper).
        rigorous: whether the coverage is at least the confidence for every n and p, of a sum over
            several strata too.
        description: one sentence for a table.
    """

    name: str
    function: Callable[[ArrayLike, ArrayLike, float], Ends]
    rigorous: bool
    description: str


INTERVALS: dict[str, Interval] = {
    i.name: i
    for i in (
        Interval(
            "clopper-pearson", clopper_pearson, True,
            "exact: coverage at least the confidence level for every probability and sample size",
        ),
        Interval(
            "wilson", wilson, False,
            "approximate: inverts the score test; too short for some small probabilities",
        ),
        Interval(
            "mid-p", mid_p, False,
            "approximate: exact tails with half the outcome's own probability; close on average",
        ),
        Interval(
            "mover", clopper_pearson, False,
            "Clopper-Pearson of every stratum, joined by the sum of squares of the distances to "
            "the estimates: approximate for several strata, exact for one",
        ),
        Interval(
            "profile-likelihood", likelihood_ratio, False,
            "approximate: likelihood ratio against the chi-square law; sharp for several strata",
        ),
        Interval(
            "sequence", confidence_sequence, True,
            "confidence sequence: guaranteed however often one looks and whenever one stops; "
            "two to three times as wide",
        ),
    )
}  # fmt: skip


def interval_of(name: str) -> Interval:
    """Return the interval method of a name.

    Raises:
        InputError: for a name that is not in `INTERVALS`.
    """
    if text("interval", name) not in INTERVALS:
        raise unknown("interval", name, INTERVALS)
    return INTERVALS[name]
