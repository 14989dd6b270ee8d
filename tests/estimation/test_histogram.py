"""The histogram of risks against the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxsim.errors import InputError
from jaxsim.estimation import RiskHistogram, quantile, quantile_interval
from jaxsim.estimation.histogram import LEAST, MOST, VALUE

ANY = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, 5e-324, -5e-324, -1e-17, 1.5e308])
VALUES = hnp.arrays(np.float64, st.integers(0, 60), elements=ANY)


def cleaned(x: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(x), x, np.inf)


def same(a: RiskHistogram, b: RiskHistogram) -> bool:
    bins = all(np.array_equal(x, y) for x, y in zip(a.bins(), b.bins(), strict=True))
    return bins and (a.total, a.min, a.max) == (b.total, b.min, b.max)


@settings(deadline=None, max_examples=200)
@given(values=VALUES)
def test_bins_hold_their_values_and_are_disjoint(values):
    h = RiskHistogram(values)
    x = cleaned(values)
    lower, upper, counts = h.bins()
    assert h.total == len(x) == counts.sum()
    assert (counts > 0).all()
    assert (lower <= upper).all()
    assert (upper[:-1] <= lower[1:]).all()
    for low, high, count in zip(lower, upper, counts, strict=True):
        if low == high == np.inf:
            inside = np.isinf(x)
        elif low >= 0 and not np.signbit(low):
            inside = (low <= x) & (x < high)
        else:
            inside = (low < x) & (x <= high) & ((x < 0) | (high < 0))
        assert inside.sum() == count
    if len(x):
        assert (h.min, h.max) == (x.min(), x.max())


@settings(deadline=None, max_examples=150)
@given(values=VALUES, cut=st.integers(0, 60))
def test_merged_shards_equal_all_values_at_once_in_any_order(values, cut):
    first, second = RiskHistogram(values[:cut]), RiskHistogram(values[cut:])
    whole = RiskHistogram(values)
    assert same(first + second, whole)
    assert same(second + first, whole)
    assert first.total == len(values[:cut])  # a sum leaves its terms alone
    assert same(first.merge(second), whole)
    grown = RiskHistogram()
    for v in values:
        grown.add(v)
    assert same(grown, whole)


@settings(deadline=None, max_examples=150)
@given(values=VALUES, q=st.floats(0.01, 0.99), confidence=st.floats(0.5, 0.99))
def test_the_interval_contains_that_of_the_values(values, q, confidence):
    lower, upper = RiskHistogram(values).quantile_interval(q, confidence)
    exact_lower, exact_upper = quantile_interval(values, q, confidence)
    assert lower <= exact_lower
    assert exact_upper <= upper


@settings(deadline=None, max_examples=150)
@given(values=VALUES, threshold=st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0]))
def test_counts_above_a_threshold_bracket_the_true_count(values, threshold):
    certain, possible = RiskHistogram(values).count_above(threshold)
    truly = int((cleaned(values) > threshold).sum())
    assert certain <= truly <= possible
    if threshold in (0.0, 1.0) and len(values):
        # Powers of two are bin edges: there is nothing to doubt but values equal to the edge.
        doubtful = (cleaned(values) >= threshold) & (cleaned(values) < threshold * 1.001 + 1e-300)
        assert possible - certain <= doubtful.sum()


def test_is_sharp_to_a_relative_4096th():
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(-8, 4, size=20_000))
    x[::7] *= -1
    h = RiskHistogram(x)
    levels = np.array([0.001, 0.05, 0.3, 0.5, 0.9, 0.999])
    exact = quantile(x, levels)
    assert (np.abs(h.quantile(levels) / exact - 1) <= 2**-12).all()
    lower, upper = h.quantile_interval(levels, 0.95)
    exact_lower, exact_upper = quantile_interval(x, levels, 0.95)
    assert (np.abs(lower / exact_lower - 1) <= 2**-12).all()
    assert (np.abs(upper / exact_upper - 1) <= 2**-12).all()
    edges_lower, edges_upper, _ = h.bins()
    np.testing.assert_array_less(
        edges_upper - edges_lower, 2**-11.9 * np.maximum(abs(edges_lower), abs(edges_upper))
    )


def test_memory_is_bounded_by_the_decades_not_by_the_values():
    rng = np.random.default_rng(1)
    h = RiskHistogram()
    for _ in range(10):
        h.add(rng.uniform(0.5, 1.0, size=50_000))
    assert h.total == 500_000
    assert len(h.bins()[0]) <= 4096


def test_diverged_runs_are_at_infinity():
    h = RiskHistogram([1.0, np.nan, -np.inf, np.inf])
    lower, upper, counts = h.bins()
    assert (lower[-1], upper[-1], counts[-1]) == (np.inf, np.inf, 3)
    assert h.max == np.inf
    assert h.quantile(0.9) == np.inf
    assert h.count_above(1e308) == (3, 3)


def test_a_value_on_an_atom_is_returned_exactly():
    h = RiskHistogram(np.full(100, 0.123456789))
    assert h.quantile(0.5) == 0.123456789
    assert h.quantile_interval(0.5, 0.95) == (0.123456789, 0.123456789)
    assert RiskHistogram([0.0, 0.0, 1.0]).quantile(0.5) == 0.0


@settings(deadline=None, max_examples=100)
@given(
    data=st.data(),
    x=hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3)),
    q=st.floats(0.05, 0.95),
)
def test_numerical_errors_widen_the_interval_to_hold_all_possible_risks(data, x, q):
    size = len(x)
    error = data.draw(hnp.arrays(np.float64, size, elements=st.floats(0, 10)))
    shift = data.draw(hnp.arrays(np.float64, size, elements=st.floats(-1, 1)))
    truth = x + shift * error
    cut = size // 2
    h = RiskHistogram(x[:cut], error[:cut]) + RiskHistogram(x[cut:], error[cut:])
    lower, upper = h.quantile_interval(q, 0.8)
    exact_lower, exact_upper = quantile_interval(truth, q, 0.8)
    slack = 1e-9  # of computing the shifted risks
    assert lower <= exact_lower + slack
    assert exact_upper <= upper + slack
    certain, possible = h.count_above(0.5)
    assert certain <= (truth > 0.5 + slack).sum() + (abs(truth - 0.5) <= slack).sum()
    assert (truth > 0.5 + slack).sum() <= possible
    assert h.quantile(q) == RiskHistogram(x).quantile(q)


def test_an_unknown_error_leaves_the_risk_anywhere():
    h = RiskHistogram([1.0] * 50, [np.nan] + [0.0] * 49)
    assert h.count_above(0.5) == (49, 50)
    assert h.count_above(2.0) == (0, 1)
    every = RiskHistogram([1.0] * 50, np.inf)
    assert every.quantile_interval(0.5, 0.9) == (-np.inf, np.inf)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="error"):
        RiskHistogram([1.0, 2.0], [0.1, -0.1])
    with pytest.raises(InputError, match="shape"):
        RiskHistogram([1.0, 2.0], [0.1, 0.1, 0.1])
    with pytest.raises(InputError, match="without values"):
        RiskHistogram().quantile(0.5)
    with pytest.raises(InputError, match="level"):
        RiskHistogram([1.0]).quantile(0.0)
    assert RiskHistogram().quantile_interval(0.5, 0.9) == (-np.inf, np.inf)
    assert RiskHistogram().count_above(0.0) == (0, 0)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), values=VALUES, cut=st.integers(0, 60))
def test_values_with_errors_are_filed_at_least_and_at_most(data, values, cut):
    sizes = st.sampled_from([0.0, 1e-15, 1e-3, 1.0, np.inf, np.nan])
    error = data.draw(hnp.arrays(np.float64, values.shape, elements=sizes))
    h = RiskHistogram(values[:cut], error[:cut]).add(values[cut:], error[cut:])
    x = cleaned(values)
    slack = np.where(np.isinf(x), 0.0, np.where(np.isnan(error), np.inf, error))
    with np.errstate(over="ignore"):
        sides = {LEAST: x - slack, VALUE: x, MOST: x + slack}
    for column, of in sides.items():
        # Without an error all three columns are those of the values.
        if np.isneginf(of).any():
            continue
        alone, keys = RiskHistogram(of), h.occupied(column)
        np.testing.assert_array_equal(keys, alone.occupied(VALUE))
        expected = alone.cumulative(keys, VALUE)
        np.testing.assert_array_equal(h.cumulative(keys, column), expected)
    if len(x):
        assert (h.least, h.most) == (sides[LEAST].min(), sides[MOST].max())
