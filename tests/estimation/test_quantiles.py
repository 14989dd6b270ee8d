"""Order-statistic intervals: exact coverage, tightness, and atoms by enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation import quantile, quantile_interval, quantile_ranks


def tails(n: int, q: float) -> tuple[np.ndarray, np.ndarray]:
    """P(Bin < k) and P(Bin >= k) for k = 0, ..., n + 1, by plain sums."""
    pmf = stats.binom.pmf(np.arange(n + 1), n, q)
    below = np.concatenate([[0.0], np.cumsum(pmf)])
    above = np.concatenate([np.cumsum(pmf[::-1])[::-1], [0.0]])
    return below, above


@settings(deadline=None, max_examples=200)
@given(n=st.integers(1, 400), q=st.floats(0.001, 0.999), confidence=st.floats(0.5, 0.999))
def test_ranks_cover_and_are_the_closest_that_do(n, q, confidence):
    low, high = quantile_ranks(n, q, confidence)
    below, above = tails(n, q)
    tail, slack = (1 - confidence) / 2, 1e-12
    assert 0 <= low <= n
    assert 1 <= high <= n + 1
    assert below[low] <= tail + slack
    assert above[high] <= tail + slack
    # The next closer rank would leave too much outside on its side.
    assert low == n or below[low + 1] > tail - slack
    assert high == 1 or above[high - 1] > tail - slack


@pytest.mark.parametrize("law", [(0.2, 0.5, 0.3), (0.5, 0.5, 0.0), (0.05, 0.9, 0.05)])
@pytest.mark.parametrize("q", [0.05, 0.5, 0.7, 0.95])
def test_covers_with_atoms(law, q):
    # All samples of 14 draws from three values, by their multinomial counts.
    n, confidence = 14, 0.8
    truth = float(np.searchsorted(np.cumsum(law), q - 1e-12))
    covered = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            sample = np.repeat([0.0, 1.0, 2.0], [a, b, n - a - b])
            lower, upper = quantile_interval(sample, q, confidence)
            if lower <= truth <= upper:
                covered += stats.multinomial.pmf([a, b, n - a - b], n, law)
    assert covered >= confidence - 1e-12


def test_agrees_with_scipy_one_side_at_a_time():
    x = np.random.default_rng(0).normal(size=83)
    for q in (0.1, 0.5, 0.9):
        lower, upper = quantile_interval(x, q, 0.9)
        less = stats.quantile_test(x, p=q, alternative="less").confidence_interval(0.95)
        greater = stats.quantile_test(x, p=q, alternative="greater").confidence_interval(0.95)
        assert upper == less.high
        assert lower == greater.low


def test_the_sample_quantile_is_the_inverse_distribution_function():
    x = np.random.default_rng(1).permutation(np.arange(1.0, 101.0))
    q = np.array([0.01, 0.07, 0.29, 0.5, 0.58, 0.995])
    np.testing.assert_array_equal(quantile(x, q), [1, 7, 29, 50, 58, 100])
    for level in np.random.default_rng(2).uniform(0.01, 0.99, 50):
        assert quantile(x, level) == np.quantile(x, level, method="inverted_cdf")


def test_too_few_values_leave_an_end_open_and_diverged_runs_are_infinite():
    lower, upper = quantile_interval([1.0, 2.0, np.nan], [0.01, 0.5, 0.99], 0.95)
    np.testing.assert_array_equal(lower, [-np.inf, -np.inf, 2.0])
    np.testing.assert_array_equal(upper, [2.0, np.inf, np.inf])
    assert quantile([1.0, np.nan, -np.inf], 0.5) == np.inf
    assert quantile_ranks(0, 0.5, 0.95) == (0, 1)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="quantile"):
        quantile([], 0.5)
    with pytest.raises(InputError, match="level"):
        quantile([1.0], 1.0)
    with pytest.raises(InputError, match="confidence"):
        quantile_interval([1.0], 0.5, 95)
