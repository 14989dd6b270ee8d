"""Chernoff's bound over a box: against every point of what is left, and its own formula."""

import itertools

import numpy as np
import pytest
from scipy import optimize, special, stats

from jaxsim.estimation.chernoff import _largest_factor, chernoff_limit

LEVEL = 3.0
CASES = {
    "moderate": ([0.6, 0.3, 0.1], [30, 20, 10], [3, 5, 4]),
    "zeros": ([0.5, 0.3, 0.2], [40, 40, 10], [0, 0, 0]),
    "all": ([0.2, 0.5, 0.3], [5, 9, 30], [5, 9, 30]),
    "rare": ([1e-30, 3e-31, 1e-33], [100, 50, 20], [0, 3, 20]),
}


def box_of(x, n, error=0.01):
    x, n = np.array(x), np.array(n)
    low = np.where(x > 0, stats.beta.ppf(error, x, n - x + 1), 0.0)
    high = np.where(x < n, stats.beta.isf(error, x + 1, n - x), 1.0)
    return low, high


def rate(f, w, n, s, upper):
    """sup over lambda > 0 of G, by a fine grid, in units in which the largest weight is 1."""
    lam = np.geomspace(1e-2, 1e4, 300)[:, None]
    step = lam * (w / w.max()) / n
    scaled = s / w.max()
    with np.errstate(over="ignore", divide="ignore"):
        if upper:
            g = -(n * np.log1p(f * np.expm1(-step))).sum(1) - lam[:, 0] * scaled
        else:
            g = lam[:, 0] * scaled - (n * np.logaddexp(np.log1p(-f), np.log(f) + step)).sum(1)
    return np.nanmax(g)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_nothing_that_is_left_lies_beyond_the_limit_and_the_limit_is_almost_reached(name, upper):
    w, n, x = (np.array(a, float) for a in CASES[name])
    low, high = box_of(x, n)
    limit = chernoff_limit(w, x[:, None], n, (low[:, None], high[:, None]), LEVEL, upper=upper)[0]
    s = np.dot(w, x / n)
    rng = np.random.default_rng(4)
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    points = low + (high - low) * np.concatenate([corners, rng.beta(0.6, 0.6, (40, 3))])
    # Along lines to random corners, as far as G <= L: the edge of what is left.
    estimate = np.clip(x / n, low, high)
    best = np.dot(w, estimate)
    for point in points:
        shares = np.linspace(0, 1, 30)
        for f in estimate + shares[:, None] * (point - estimate):
            if rate(f, w, n, s, upper) <= LEVEL:
                best = max(best, np.dot(w, f)) if upper else min(best, np.dot(w, f))
    gap = abs(limit - np.dot(w, estimate))
    assert best <= limit * (1 + 1e-6) if upper else best >= limit * (1 - 1e-6)
    assert abs(best - limit) <= 0.2 * gap + 1e-12 * abs(limit)


def test_one_stratum_without_a_failure_is_a_closed_form():
    # P(X = 0) = (1 - f)^n = e^-L
    box = np.zeros((1, 1)), np.ones((1, 1))
    limit = chernoff_limit(np.ones(1), np.zeros((1, 1)), np.array([50]), box, LEVEL, upper=True)
    assert limit[0] == pytest.approx(-np.expm1(-LEVEL / 50), rel=1e-3)


@pytest.mark.parametrize("upper", [True, False])
def test_one_stratum_solves_the_equation_of_relative_entropy(upper):
    n, x = 200, 30
    box = np.zeros((1, 1)), np.ones((1, 1))
    limit = chernoff_limit(np.ones(1), np.full((1, 1), x), np.array([n]), box, LEVEL, upper=upper)

    def excess(f):
        p = x / n
        return n * (special.rel_entr(p, f) + special.rel_entr(1 - p, 1 - f)) - LEVEL

    ends = (x / n, 1 - 1e-9) if upper else (1e-9, x / n)
    assert limit[0] == pytest.approx(optimize.brentq(excess, *ends), rel=1e-3)


def test_a_box_that_decides_is_the_limit():
    box = np.full((2, 1), 0.1), np.full((2, 1), 0.11)
    arguments = np.array([0.5, 0.5]), np.full((2, 1), 2), np.array([20, 20]), box, 40.0
    assert chernoff_limit(*arguments, upper=True)[0] == pytest.approx(0.11)
    assert chernoff_limit(*arguments, upper=False)[0] == pytest.approx(0.1)


def test_columns_do_not_depend_on_each_other():
    rng = np.random.default_rng(0)
    x, n, w = (
        rng.integers(0, 20, (4, 30)),
        np.array([20, 30, 40, 25]),
        np.array([0.4, 0.3, 0.2, 0.1]),
    )
    box = box_of(x, n[:, None])
    every = chernoff_limit(w, x, n, box, LEVEL, upper=True)
    alone = [
        chernoff_limit(w, x[:, [i]], n, (box[0][:, [i]], box[1][:, [i]]), LEVEL, upper=True)[0]
        for i in range(30)
    ]
    np.testing.assert_allclose(every, alone, rtol=1e-7)


def outcomes(n, f):
    """All counts of two strata, [2, C], and the probability of each."""
    x = np.stack([a.ravel() for a in np.meshgrid(*[np.arange(m + 1) for m in n], indexing="ij")])
    return x, np.prod([stats.binom.pmf(x[k], n[k], f[k]) for k in range(2)], axis=0)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("f", [(0.3, 0.1), (0.05, 0.9), (0.5, 0.02)])
def test_the_tail_is_below_chernoffs_bound_times_its_factor_by_enumeration(f, upper):
    w, n = np.array([0.7, 0.3]), np.array([400, 150])
    x, pmf = outcomes(n, f)
    s = (w / n) @ x
    order = np.argsort(s)
    below = np.cumsum(pmf[order])
    spread = np.sqrt((w**2 * np.array(f) * (1 - np.array(f)) / n).sum())
    gains = []
    for distance in (1.0, 2.0, 3.0):
        observed = w @ np.array(f) + (-1 if upper else 1) * distance * spread
        place = np.searchsorted(s[order], observed)
        tail = below[place - 1] if upper else 1 - below[place - 1]
        for lam in np.geomspace(0.3, 3, 7) * distance / spread:
            step, fs = lam * w / n, np.array(f)
            g = (-np.log1p(fs * np.expm1(-step if upper else step)) * n).sum()
            g += (-1 if upper else 1) * lam * observed
            arrays = (a[:, None, None] for a in (step, n, fs, fs))
            factor = _largest_factor(*arrays, upper)[0, 0]
            assert tail <= np.exp(-g) * factor
            gains.append((np.exp(-g) * factor / tail, factor))
    # It is worth having: the bound is within a factor, where Chernoff's alone is not.
    assert min(factor for _, factor in gains) < 0.4
    assert min(ratio for ratio, _ in gains) < 3


def test_the_factor_is_the_largest_of_the_box():
    rng = np.random.default_rng(5)
    n, step = np.array([400.0, 150.0, 900.0]), np.array([0.4, 1.3, 0.05])
    low, high = np.array([0.05, 0.0, 0.3]), np.array([0.2, 0.04, 0.7])
    shape = (3, 1, 1)
    largest = _largest_factor(*(a.reshape(shape) for a in (step, n, low, high)), True)[0, 0]
    f = low[:, None] + (high - low)[:, None] * rng.beta(0.3, 0.3, (3, 20_000))
    g = f * np.exp(-step)[:, None] / (1 - f + f * np.exp(-step)[:, None])
    q = g * (1 - g)
    v = (n * step**2) @ q
    third = (n * step**3) @ (q * (1 - 2 * q))
    factors = 1 / np.sqrt(2 * np.pi * v) + 2 * 0.56 * third / v**1.5
    assert factors.max() <= largest <= 1.3 * factors.max()


@pytest.mark.parametrize("f", [(0.3, 0.1), (0.02, 0.6)])
def test_each_end_misses_at_most_its_error_by_enumeration(f):
    w, n, level = np.array([0.7, 0.3]), np.array([120, 80]), np.log(40.0)
    x, pmf = outcomes(n, f)
    likely = pmf > 1e-9
    box = box_of(x[:, likely], n[:, None], error=1e-4)
    p = w @ np.array(f)
    for upper in (True, False):
        limits = chernoff_limit(w, x[:, likely], n, box, level, upper=upper)
        misses = pmf[likely][limits < p if upper else limits > p].sum()
        assert 5e-4 < misses <= 1 / 40 + 4e-4
