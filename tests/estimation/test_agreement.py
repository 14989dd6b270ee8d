"""Tests of agreement with published counts, against enumeration and SciPy."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation import clopper_pearson
from jaxsim.estimation.agreement import binomial, fisher


def enumerated(k, n, m, other):
    """Two-sided P of Fisher's test from exact integers."""
    total = k + m
    counts = range(max(0, total - other), min(n, total) + 1)
    ways = {c: math.comb(n, c) * math.comb(other, total - c) for c in counts}
    return sum(w for w in ways.values() if w <= ways[k]) / sum(ways.values())


@pytest.mark.parametrize(
    ("k", "n", "m", "other"), [(3, 10, 7, 12), (0, 20, 5, 30), (338, 500, 730, 1000), (0, 9, 0, 7)]
)
def test_two_counts_are_compared_as_by_enumeration_and_by_scipy(k, n, m, other):
    p = fisher((k, k), n, (m, m), other)
    assert p == pytest.approx(enumerated(k, n, m, other), rel=1e-9)
    table = [[k, n - k], [m, other - m]]
    assert p == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-12)


def test_the_test_of_boschloo_says_nearly_the_same_of_small_counts():
    table = [[8, 32], [20, 40]]
    assert fisher((8, 8), 40, (20, 20), 60) >= stats.boschloo_exact(table).pvalue - 1e-9


def test_ranges_have_the_greatest_p_value_of_all_counts_in_them():
    first, runs, second, other = (5, 9), 40, (20, 23), 60
    every = [
        enumerated(k, runs, m, other)
        for k in range(first[0], first[1] + 1)
        for m in range(second[0], second[1] + 1)
    ]
    assert fisher(first, runs, second, other) == pytest.approx(max(every), rel=1e-9)
    assert fisher((5, 20), 40, (20, 30), 60) == pytest.approx(1.0)


@pytest.mark.parametrize("k", [0, 3, 40, 97, 100])
def test_a_probability_is_rejected_exactly_where_its_interval_excludes_it(k):
    lower, upper = clopper_pearson(k, 100, 0.95)
    for p in np.linspace(0.005, 0.995, 199):
        inside = lower <= p <= upper
        assert (binomial((k, k), 100, float(p), float(p)) > 0.05) == inside


def test_rounding_and_undecided_runs_never_make_a_difference():
    assert binomial((40, 60), 100, 0.495, 0.505) == 1.0
    one = binomial((65, 65), 100, 0.5, 0.5)
    assert one < binomial((65, 65), 100, 0.45, 0.55) < binomial((60, 70), 100, 0.45, 0.55)
    # A bound from above that is not exceeded, and one that is.
    assert binomial((10, 10), 100, 0.0, 0.2) == 1.0
    assert binomial((40, 40), 100, 0.0, 0.2) == pytest.approx(2 * stats.binom.sf(39, 100, 0.2))


def test_false_alarms_are_as_rare_as_they_should_be():
    n, m = 30, 20
    rejected = np.array(
        [[fisher((k, k), n, (j, j), m) <= 0.05 for j in range(m + 1)] for k in range(n + 1)]
    )
    for p in (0.05, 0.3, 0.5):
        of_n, of_m = stats.binom.pmf(range(n + 1), n, p), stats.binom.pmf(range(m + 1), m, p)
        assert of_n @ rejected @ of_m <= 0.05


def test_counts_outside_the_runs_are_refused():
    with pytest.raises(InputError, match="0 <= count <= runs"):
        fisher((3, 12), 10, (0, 0), 5)
    with pytest.raises(InputError, match="lower <= upper"):
        binomial((1, 1), 2, 0.6, 0.4)
