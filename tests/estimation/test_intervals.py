"""Binomial intervals against multiprecision sums, statsmodels and exact coverage by enumeration."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from jaxsim.errors import InputError
from jaxsim.estimation import (
    INTERVALS,
    clopper_pearson,
    coverage,
    interval_of,
    lower_bound,
    mid_p,
    upper_bound,
    wilson,
)
from jaxsim.estimation.intervals import lower_limit, upper_limit

DIGITS = 40


def binomial_cdf(k: int, n: int, p: mpmath.mpf) -> mpmath.mpf:
    """Sum P(X = 0) + ... + P(X = k) in multiprecision."""
    term = mpmath.exp(n * mpmath.log1p(-p))
    total = mpmath.mpf(0)
    for i in range(k + 1):
        total += term
        term = term * (n - i) / (i + 1) * p / (1 - p)
    return total


def multiprecision_root(tail_of, tail: float, start: float) -> mpmath.mpf:
    log_tail = mpmath.log(mpmath.mpf(tail))
    y = mpmath.log(mpmath.mpf(start))
    root = mpmath.findroot(
        lambda y: mpmath.log(tail_of(mpmath.e**y)) - log_tail,
        (y, y + mpmath.mpf("1e-4")),
        verify=False,
    )
    assert abs(tail_of(mpmath.e**root) / mpmath.mpf(tail) - 1) < mpmath.mpf("1e-20")
    return mpmath.e**root


@pytest.mark.parametrize("confidence", [0.95, 0.999])
@pytest.mark.parametrize(
    ("k", "n"),
    [(0, 10**9), (1, 10**9), (3, 10**12), (100, 10**9), (1, 10**6), (7, 20), (300, 1000)],
)
def test_clopper_pearson_agrees_with_multiprecision_to_1e_10(k, n, confidence):
    lower, upper = clopper_pearson(k, n, confidence)
    tail = (1 - confidence) / 2
    with mpmath.workdps(DIGITS):
        exact = multiprecision_root(lambda p: binomial_cdf(k, n, p), tail, 1.01 * upper)
        assert abs(upper / exact - 1) < 1e-10
        if k == 0:
            assert lower == 0
        else:
            exact = multiprecision_root(lambda p: 1 - binomial_cdf(k - 1, n, p), tail, 0.99 * lower)
            assert abs(lower / exact - 1) < 1e-10


def test_limits_for_the_tiny_tails_of_a_band_solve_their_equation():
    for tail in (1e-6, 1e-12, 1e-60):
        with mpmath.workdps(DIGITS + 60):
            p = mpmath.mpf(float(upper_limit(2, 1000, tail)))
            assert abs(binomial_cdf(2, 1000, p) / mpmath.mpf(tail) - 1) < 1e-10
            p = mpmath.mpf(float(lower_limit(9, 1000, tail)))
            assert abs((1 - binomial_cdf(8, 1000, p)) / mpmath.mpf(tail) - 1) < 1e-10


def test_no_failure_at_all_has_the_closed_form():
    n = np.array([1, 10, 1000, 10**6, 10**12])
    lower, upper = clopper_pearson(0, n, 0.9)
    np.testing.assert_array_equal(lower, 0)
    np.testing.assert_allclose(upper, -np.expm1(np.log(0.05) / n), rtol=1e-13)
    np.testing.assert_allclose(upper_bound(0, n, 0.9), -np.expm1(np.log(0.1) / n), rtol=1e-13)
    np.testing.assert_allclose(lower_bound(n[:4], n[:4], 0.9), 0.1 ** (1 / n[:4]), rtol=1e-13)


@pytest.mark.parametrize(
    ("method", "name"), [(clopper_pearson, "beta"), (wilson, "wilson")], ids=["beta", "wilson"]
)
@pytest.mark.parametrize("n", [1, 7, 50, 1000])
def test_agrees_with_statsmodels(method, name, n):
    k = np.arange(n + 1)
    lower, upper = method(k, n, 0.9)
    with np.errstate(all="ignore"):
        other_lower, other_upper = proportion_confint(k, n, alpha=0.1, method=name)
    np.testing.assert_allclose(lower, other_lower, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(upper, other_upper, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (1, 5), (5, 5), (3, 400), (399, 400), (20, 10**7)])
def test_mid_p_solves_its_equations(k, n):
    lower, upper = mid_p(k, n, 0.95)

    def more(p):
        return stats.binom.sf(k, n, p) + 0.5 * stats.binom.pmf(k, n, p)

    def less(p):
        return stats.binom.cdf(k - 1, n, p) + 0.5 * stats.binom.pmf(k, n, p)

    if k == 0:
        assert lower == 0
    else:
        root = optimize.brentq(lambda p: more(p) - 0.025, 1e-12, 1 - 1e-12, xtol=1e-18)
        assert lower == pytest.approx(root, rel=1e-9)
    if k == n:
        assert upper == 1
    else:
        root = optimize.brentq(lambda p: less(p) - 0.025, 1e-12, 1 - 1e-12, xtol=1e-18)
        assert upper == pytest.approx(root, rel=1e-9)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("n", [1, 2, 5, 17, 100, 400])
def test_clopper_pearson_covers_for_every_probability(n, confidence):
    # Coverage is least next to the intervals' ends: look just inside and outside each of them.
    lower, upper = clopper_pearson(np.arange(n + 1), n, confidence)
    ends = np.concatenate([lower, upper])
    p = np.concatenate([np.linspace(0, 1, 501), ends * (1 - 1e-9), ends * (1 + 1e-9)])
    cover = coverage("clopper-pearson", n, p[(p >= 0) & (p <= 1)], confidence)
    assert cover.min() >= confidence - 1e-12


def test_the_approximate_intervals_fall_short_as_documented():
    p = np.geomspace(2e-4, 0.5, 4000)
    wilson_cover, mid_cover = coverage("wilson", 100, p, 0.95), coverage("mid-p", 100, p, 0.95)
    # Wilson's coverage has its known trough of about .83 where n p is small.
    assert 0.82 < wilson_cover.min() < 0.86
    assert 0.90 < mid_cover.min() < 0.95
    assert 0.945 < wilson_cover[p > 0.05].mean() < 0.96
    assert 0.95 < mid_cover[p > 0.05].mean() < 0.965
    assert {name for name, i in INTERVALS.items() if i.rigorous} == {"clopper-pearson", "sequence"}


@pytest.mark.parametrize("name", INTERVALS)
@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 10**9), share=st.floats(0, 1), confidence=st.floats(0.5, 0.9999))
def test_contains_the_estimate_and_is_symmetric_and_monotone(name, n, share, confidence):
    k = round(share * n)
    method = INTERVALS[name].function
    lower, upper = method(k, n, confidence)
    slack = 1e-9
    assert 0 <= lower <= k / n * (1 + slack)
    assert k / n <= upper * (1 + slack)
    assert upper <= 1
    mirrored_lower, mirrored_upper = method(n - k, n, confidence)
    assert lower == pytest.approx(1 - mirrored_upper, abs=1e-9)
    assert upper == pytest.approx(1 - mirrored_lower, abs=1e-9)
    if k < n:
        next_lower, next_upper = method(k + 1, n, confidence)
        assert next_lower >= lower
        assert next_upper >= upper * (1 - slack)


@pytest.mark.parametrize("name", INTERVALS)
def test_arrays_broadcast_and_no_runs_say_nothing(name):
    method = INTERVALS[name].function
    k = np.array([[0, 3], [7, 10]])
    lower, upper = method(k, np.array([10, 20]), 0.95)
    assert lower.shape == upper.shape == (2, 2)
    assert lower.dtype == upper.dtype == np.float64
    for (i, j), count in np.ndenumerate(k):
        assert (lower[i, j], upper[i, j]) == method(count, (10, 20)[j], 0.95)
    assert tuple(map(float, method(0, 0, 0.95))) == (0.0, 1.0)


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize(
    ("k", "n", "confidence"),
    [(-1, 5, 0.9), (6, 5, 0.9), (0.5, 5, 0.9), (np.nan, 5, 0.9), (1, 5, 1.0), (1, 5, 95)],
)
def test_bad_input_is_named(name, k, n, confidence):
    with pytest.raises(InputError, match=r"failures|confidence"):
        INTERVALS[name].function(k, n, confidence)


def test_an_unknown_method_is_answered_with_the_known_ones():
    assert interval_of("mid-p").function is mid_p
    with pytest.raises(InputError, match=r"did you mean 'wilson'.*clopper-pearson"):
        interval_of("wilsen")
