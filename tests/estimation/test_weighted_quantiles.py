"""Quantiles over strata: the definition by hand, plain ones, and exact coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation import (
    RiskHistogram,
    StratifiedCounts,
    stratified,
    weighted_quantile,
    weighted_quantile_interval,
)

LEVELS = np.array([0.01, 0.25, 0.5, 0.9, 0.999])


def test_one_stratum_is_the_histogram_itself():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.lognormal(size=500), [np.nan, np.inf], -rng.lognormal(size=20), [0.0]])
    h = RiskHistogram(x, np.where(np.isfinite(x), 1e-3, 0.0))
    np.testing.assert_array_equal(weighted_quantile([1.0], [h], LEVELS), h.quantile(LEVELS))
    np.testing.assert_array_equal(
        weighted_quantile_interval([1.0], [h], LEVELS, 0.95), h.quantile_interval(LEVELS, 0.95)
    )


def test_the_sample_quantile_is_that_of_the_weighted_sample():
    rng = np.random.default_rng(1)
    weights, samples = [0.7, 0.25, 0.05], [rng.normal(size=n) for n in (200, 31, 57)]
    values = np.concatenate(samples)
    mass = np.concatenate(
        [np.full(len(x), w / len(x)) for w, x in zip(weights, samples, strict=True)]
    )
    order = np.argsort(values)
    for q in (0.03, 0.2, 0.5, 0.77, 0.99):
        exact = values[order][np.searchsorted(np.cumsum(mass[order]), q)]
        found = weighted_quantile(weights, [RiskHistogram(x) for x in samples], q)
        assert found == pytest.approx(exact, rel=3e-4)
    # A stratum without values is left out.
    two = [RiskHistogram(samples[0]), RiskHistogram()]
    assert weighted_quantile([0.7, 0.3], two, 0.5) == RiskHistogram(samples[0]).quantile(0.5)


def test_the_interval_inverts_limits_at_every_value():
    rng = np.random.default_rng(2)
    weights = np.array([0.6, 0.3, 0.1])
    samples = [np.round(rng.normal(size=n), 1) for n in (80, 40, 25)]
    runs = np.array([len(x) for x in samples])
    histograms = [RiskHistogram(x) for x in samples]
    values = np.unique(np.concatenate(samples))
    below = np.array([[np.sum(x <= v) for v in values] for x in samples])
    table = StratifiedCounts(
        weights, np.zeros(3), below, below, runs, np.zeros(below.shape, np.int8)
    )
    for method in ("clopper-pearson", "mover", "sequence"):
        s = stratified(table, 0.9, method)
        for q in (0.1, 0.5, 0.8):
            lower, upper = weighted_quantile_interval(weights, histograms, q, 0.9, method=method)
            at_least = values[np.argmax(s.upper >= q)]
            at_most = values[np.argmax(s.lower >= q)]
            if s.upper[0] >= q:
                # Whether even no value below has the level within its limits.
                assert lower == -np.inf or lower == pytest.approx(at_least, rel=3e-4)
            else:
                assert lower == pytest.approx(at_least, rel=3e-4)
                assert lower <= at_least
            assert upper == pytest.approx(at_most, rel=3e-4)
            assert upper >= at_most


def test_the_interval_covers_the_quantile_of_laws_with_atoms():
    # Two strata on the values 1, 2, 3: all samples are enumerated.
    weights, runs = np.array([0.7, 0.3]), (6, 3)
    laws = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    tables = [[(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)] for n in runs]
    q = np.array([0.3, 0.38, 0.6, 0.62, 0.9])
    truth = 1 + np.searchsorted(np.cumsum((weights[:, None] * laws).sum(0)), q)
    missed = np.zeros(len(q))
    for one, two in itertools.product(*tables):
        h = [RiskHistogram(np.repeat([1.0, 2.0, 3.0], c)) for c in (one, two)]
        lower, upper = weighted_quantile_interval(weights, h, q, 0.6)
        law = stats.multinomial.pmf(one, runs[0], laws[0]) * stats.multinomial.pmf(
            two, runs[1], laws[1]
        )
        missed += law * ~((lower <= truth) & (truth <= upper))
    assert (missed <= 0.4).all()
    assert missed.max() > 0.01


def test_what_is_not_sampled_or_not_known_widens_the_interval():
    rng = np.random.default_rng(3)
    x = [rng.lognormal(size=n) for n in (2000, 500)]
    exact = [RiskHistogram(a) for a in x]
    lower, upper = weighted_quantile_interval([0.9, 0.1], exact, 0.5, 0.95)
    blurred = [RiskHistogram(a, 0.05) for a in x]
    low, high = weighted_quantile_interval([0.9, 0.1], blurred, 0.5, 0.95)
    assert low == pytest.approx(lower - 0.05, rel=1e-3)
    assert high == pytest.approx(upper + 0.05, rel=1e-3)
    missing = [exact[0], RiskHistogram()]
    low, high = weighted_quantile_interval([0.9, 0.1], missing, [0.05, 0.5, 0.95], 0.95)
    assert low[0] == -np.inf
    assert high[2] == np.inf
    assert low[1] < lower < upper < high[1] < np.inf
    assert weighted_quantile_interval([0.9, 0.1], [RiskHistogram()] * 2, 0.5, 0.9) == (
        -np.inf,
        np.inf,
    )


def test_bad_input_is_refused():
    h = RiskHistogram([1.0])
    with pytest.raises(InputError, match="do not fit 1 histograms"):
        weighted_quantile([0.5, 0.5], [h], 0.5)
    with pytest.raises(InputError, match="add up to"):
        weighted_quantile([0.5], [h], 0.5)
    with pytest.raises(InputError, match="level"):
        weighted_quantile_interval([1.0], [h], 1.0, 0.9)
    with pytest.raises(InputError, match="without values"):
        weighted_quantile([1.0], [RiskHistogram()], 0.5)
