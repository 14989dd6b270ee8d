"""Which of two experiments fails more often, from pairs of runs in strata.

In stratum k, of probability pi_k, n_k pairs of runs share initialization and mini-batches; in b_k
of them the first alone fails, in c_k the second alone. The difference of the failure probabilities

    D = sum_k pi_k [P(first only | k) - P(second only | k)]

is estimated by sum_k pi_k (b_k - c_k) / n_k, and two null hypotheses are worth a P value:

    overall       D = 0: both fail equally often under the design's weights. P is the least alpha at
                  which the interval of D leaves out 0: the two never disagree. For statements on D.
    exchangeable  in every stratum a discordant pair is as likely to be the first's as the second's.
                  The sum of the b_k is then binomial given the discordant pairs, whatever strata
                  they are from: McNemar's exact test on the pooled table. More powerful, and it may
                  reject where strata differ in opposite ways and D = 0.

With one stratum the interval and McNemar's test are those of `jaxsim.estimation.compare`. Adjust P
values of many comparisons with `jaxsim.estimation.holm`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError, unknown
from jaxsim.estimation.anytime import sequence_lower, sequence_upper
from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.intervals import lower_limit, upper_limit
from jaxsim.estimation.paired import mcnemar
from jaxsim.estimation.roots import decreasing_root
from jaxsim.estimation.stratified import (
    FEWEST_SUMMED,
    fixed_shares,
    one_end,
    shares,
    stratified,
)
from jaxsim.estimation.stratified_counts import OPEN, PASSES, StratifiedCounts

GUARANTEED = ("clopper-pearson", "sequence")
"""Limits of the cells that cover by a theorem."""
_CLOSE = 1e-3  # of the logarithm of a P value by sums
_LEAST_P = 1e-55  # where SciPy still finds the quantiles; a lesser P is given as this one


@dataclass(frozen=True)
class StratifiedComparison:
    """The difference of two failure probabilities, first minus second, from paired runs in strata.

    Attributes:
        difference: sum pi_k (b_k - c_k) / n_k over the sampled strata, float64 [...].
        lower: lower end of the interval of the difference, [...].
        upper: upper end, [...].
        unsampled: mass of the strata without pairs, which both ends allow for, [...].
        confidence: of the interval.
        method: how the interval is made.
        p_overall: P value of D = 0, by inversion of the interval, at least 1e-55, [...].
        p_exact: exact McNemar test that discordant pairs are exchangeable in every stratum, [...].
        p_mid: its mid-P version, [...].
    """

    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    unsampled: np.ndarray
    confidence: float
    method: str
    p_overall: np.ndarray
    p_exact: np.ndarray
    p_mid: np.ndarray


def stratified_paired(
    weights: ArrayLike,
    first_only: ArrayLike,
    second_only: ArrayLike,
    runs: ArrayLike,
    confidence: float,
    *,
    errors: ArrayLike = 0.0,
    maybe_first: ArrayLike = 0,
    maybe_second: ArrayLike = 0,
    equal: ArrayLike = False,
    method: str = "clopper-pearson",
    tests: bool = True,
) -> StratifiedComparison:
    """Return the difference of the failure probabilities with an interval and tests.

    The interval is [lower(b) - upper(c), upper(b) - lower(c)] with stratified Clopper-Pearson
    limits of the two discordant cells at half of alpha each: guaranteed and conservative. Undecided
    pairs widen it, and go to the rarer cell in McNemar's test.

    Args:
        weights: probabilities of the strata, [S].
        first_only: b_k, [S, ...].
        second_only: c_k, [S, ...].
        runs: pairs, [S]; 0 where there are none.
        confidence: of each two-sided interval.
        errors: absolute bounds on the errors of the weights, [S].
        maybe_first: undecided pairs that may be `first_only`, [S, ...].
        maybe_second: undecided pairs that may be `second_only`, [S, ...].
        equal: strata in which both certainly have the same fate, bool [S, ...].
        method: of the limits of each cell, of `GUARANTEED`; "sequence" where runs go on until
            something is seen, with which McNemar's test does not go: `p_exact` and `p_mid` are for
            a fixed number.
        tests: whether P values are computed; `p_overall` is nan otherwise.

    Raises:
        InputError: for shapes that do not fit, counts above the pairs, weights that do not add up
            to 1, a confidence outside (0, 1), or an unknown method.

    Example: nearly all of the difference is in the rare stratum
        >>> c = stratified_paired([0.99, 0.01], [3, 80], [2, 20], [1000, 400], 0.95)
        >>> f"{c.difference:.5f} {c.lower:.4f} {c.upper:.4f} {c.p_overall:.2g} {c.p_exact:.1g}"
        '0.00249 -0.0072 0.0121 1 2e-09'
    """
    alpha = 1.0 - checked_level(confidence, "confidence")
    if method not in GUARANTEED:
        raise unknown("method", method, GUARANTEED)
    w, n = np.asarray(weights, np.float64), np.asarray(runs, np.int64)
    e = np.broadcast_to(np.asarray(errors, np.float64), w.shape)
    try:
        b, c, maybe_b, maybe_c, same = np.broadcast_arrays(
            first_only, second_only, maybe_first, maybe_second, equal
        )
    except ValueError:
        raise InputError("discordant pairs of different shapes do not fit") from None
    fate = np.where(same, PASSES, OPEN).astype(np.int8)
    first = StratifiedCounts(w, e, b, b + maybe_b, n, fate)
    second = StratifiedCounts(w, e, c, c + maybe_c, n, fate)
    half = 1.0 - alpha / 2.0
    one, two = stratified(first, half, method), stratified(second, half, method)
    # The mass without pairs is in both upper ends: the difference in it is between -1 and 1.
    most_b, most_c = first.possible.sum(0), second.possible.sum(0)
    sum_b, sum_c = b.sum(0), c.sum(0)
    worst = (
        np.where(sum_b <= sum_c, np.minimum(most_b, sum_c), sum_b),
        np.where(sum_b <= sum_c, sum_c, np.minimum(most_c, sum_b)),
    )
    p_exact = mcnemar(*worst)
    return StratifiedComparison(
        difference=one.resolved - two.resolved,
        lower=one.lower - two.upper,
        upper=one.upper - two.lower,
        unsampled=one.unsampled,
        confidence=float(confidence),
        method=f"{one.description}, both discordant cells at half of alpha",
        p_overall=p_overall(first, second, method) if tests else np.full(b.shape[1:], np.nan)[()],
        p_exact=p_exact,
        p_mid=mcnemar(*worst, "mid-p"),
    )


def p_overall(
    first: StratifiedCounts, second: StratifiedCounts, method: str = "clopper-pearson"
) -> np.ndarray:
    """Return the least alpha at which the interval of the difference leaves out 0, [...].

    The limits are those of the interval itself, which move outwards as alpha falls.

    Args:
        first: pairs of which the first alone fails, strata open or of one fate for both.
        second: the same pairs, of which the second alone fails.
        method: of the limits of each.
    """
    if method != "sequence" and (np.asarray(first.runs) > 0).sum() >= FEWEST_SUMMED:
        shape = first.failures.shape[1:]
        places = range(int(np.prod(shape)))
        columns = [(_column(first, c), _column(second, c)) for c in places]
        found = [_p_of_sums(one, two, method) for one, two in columns]
        return np.array(found).reshape(shape)[()]
    return _p_of_limits(first, second, method)


def _p_of_sums(first: StratifiedCounts, second: StratifiedCounts, method: str) -> float:
    """Return the P value of one difference, where the strata are judged as one sum."""
    open_ = np.where(first.decided[:, 0] == OPEN, first.weights, 0.0)[:, None]
    weight = open_ / np.maximum(first.runs, 1)[:, None]
    ahead = [
        (one, other)
        for one, other in ((first, second), (second, first))
        if (weight * one.failures).sum() > (weight * other.possible).sum()
    ]
    if not ahead:
        return 1.0  # each limit is on its side of the estimate
    ((one, other),) = ahead

    def height(u: np.ndarray) -> np.ndarray:
        alpha = float(np.exp(-u[0])) / 2
        low = one_end(one, alpha, method, upper=False)
        return low - one_end(other, alpha, method, upper=True)

    start, end = np.zeros(1), np.full(1, -np.log(_LEAST_P))
    u = end if height(end)[0] >= 0 else decreasing_root(height, start, end, _CLOSE)
    return float(np.exp(-u[0]))


def _column(counts: StratifiedCounts, c: int) -> StratifiedCounts:
    """Return the counts at one place, [S, 1]."""
    parts = (counts.failures, counts.possible, counts.decided)
    failures, possible, decided = (a.reshape(len(a), -1)[:, [c]] for a in parts)
    return replace(counts, failures=failures, possible=possible, decided=decided)


def _p_of_limits(first: StratifiedCounts, second: StratifiedCounts, method: str) -> np.ndarray:
    """Return the P values where limits of each stratum are added (Bonferroni's correction)."""
    strata, shape = len(first.weights), first.failures.shape[1:]
    w, e = (a[:, None] for a in (first.weights, first.errors))
    least, most = np.maximum(w - e, 0.0), np.minimum(w + e, 1.0)
    runs = np.asarray(first.runs, np.float64)
    undecided = first.decided.reshape(strata, -1) == OPEN
    active = undecided & (runs > 0)[:, None]
    unsampled = np.where(undecided & ~active, most, 0.0).sum(0)
    n = np.broadcast_to(runs[:, None], active.shape)
    low_share, high_share = (shares(first.weights, runs, upper=u)[:, None] for u in (False, True))
    lower_of, upper_of, part = lower_limit, upper_limit, 4.0
    if method == "sequence":
        low_share = high_share = fixed_shares(first.weights)[:, None]
        lower_of, upper_of, part = sequence_lower, sequence_upper, 2.0

    def gap(table: StratifiedCounts, other: StratifiedCounts, u: np.ndarray) -> np.ndarray:
        """Return lower(table) - upper(other) at alpha = exp(-u)."""
        tail = np.exp(-u) / part
        low = lower_of(table.failures.reshape(strata, -1), n, tail * low_share)
        high = upper_of(other.possible.reshape(strata, -1), n, tail * high_share)
        lower = np.where(active, least * low, 0.0).sum(0)
        return lower - np.where(active, most * high, 0.0).sum(0) - unsampled

    def height(u: np.ndarray) -> np.ndarray:
        return np.maximum(gap(first, second, u), gap(second, first, u))

    start = np.zeros(active.shape[1])
    end = np.full(active.shape[1], -np.log(_LEAST_P))
    u = np.where(height(end) >= 0, end, decreasing_root(height, start, end))
    return np.exp(-u).reshape(shape)[()]
