"""Means of bounded numbers: coverage by enumeration, and against closed forms."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation.bounded_mean import (
    SEQUENCE_STAKES,
    BoundedSample,
    fixed_stakes,
    log_evidence,
    mean_interval,
    published_mean_interval,
)
from jaxsim.estimation.inversion import LEAST_P, inverted_p


def test_evidence_is_the_mean_of_products_of_bets():
    x, m, stakes = [0.0, 0.25, 0.25, 1.0], 0.4, np.array([0.5, 3.0])
    products = [math.prod(1 + min(s, 1 / m) * (v - m) for v in x) for s in stakes]
    found = log_evidence(BoundedSample.of(x), m, stakes)
    assert found == pytest.approx(math.log(sum(products) / 2), rel=1e-12)


@pytest.mark.parametrize("law", [(0.2, 0.5, 0.3), (0.02, 0.0, 0.98), (0.9, 0.1, 0.0)])
def test_misses_are_as_rare_as_promised_by_enumeration(law):
    """All samples of 12 runs on {0, 1/2, 1}, with their exact probabilities."""
    n, values, error = 12, np.array([0.0, 0.5, 1.0]), 0.2
    mean, missed = float(values @ law), np.zeros(2)
    for a, b in itertools.product(range(n + 1), repeat=2):
        if a + b > n:
            continue
        counts = np.array([a, b, n - a - b])
        sample = BoundedSample(values, counts)
        lower, upper = mean_interval(sample, sample, 1 - error)
        p = stats.multinomial.pmf(counts, n, law)
        missed += p * np.array([lower > mean + 1e-12, upper < mean - 1e-12])
    assert (missed <= error / 2).all()


def test_the_interval_adapts_to_the_variance():
    """Narrower than Hoeffding's, and within twice that of the normal law."""
    counts = np.array([300, 400, 300])
    sample = BoundedSample(np.array([0.4, 0.5, 0.6]), counts)
    lower, upper = mean_interval(sample, sample, 0.95)
    normal = 1.96 * math.sqrt(0.006 / 1000)
    assert lower < 0.5 < upper
    assert normal < (upper - lower) / 2 < 2 * normal
    assert (upper - lower) / 2 < math.sqrt(math.log(40) / 2000)


def test_the_order_of_runs_and_the_side_make_no_difference():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 5, 200) / 4
    whole = BoundedSample.of(x)
    parts = BoundedSample.of(x[:70]).joined(BoundedSample.of(x[70:]))
    assert mean_interval(parts, parts, 0.9) == mean_interval(whole, whole, 0.9)
    turned = BoundedSample.of(1 - x)
    ends = mean_interval(turned, turned, 0.9)
    assert 1 - np.array(ends[::-1]) == pytest.approx(mean_interval(whole, whole, 0.9))


def test_what_is_known_up_to_an_error_is_rounded_outward():
    x = np.array([0.1, 0.3, 1 / 3])
    for side, rounded in ((-1, np.floor), (1, np.ceil)):
        sample = BoundedSample.of(x, side)
        assert sample.values == pytest.approx(rounded(x * 2**20) / 2**20)
    low, high = BoundedSample.of([0.2] * 50), BoundedSample.of([0.8] * 50)
    wide, narrow = mean_interval(low, high, 0.9), mean_interval(low, low, 0.9)
    assert wide[0] == narrow[0]
    assert wide[1] > narrow[1]
    with pytest.raises(InputError, match="from 0 to 1"):
        BoundedSample.of([1.5])


def test_nothing_is_known_without_runs_and_little_of_constants():
    empty = BoundedSample.of([])
    assert mean_interval(empty, empty, 0.95) == (0.0, 1.0)
    ones = BoundedSample.of([1.0] * 1000)
    lower, upper = mean_interval(ones, ones, 0.95)
    assert upper == 1
    # Whatever the law, P(all are 1) <= mean^n: no bound can be better than the root.
    assert 0.98 < lower <= 0.025 ** (1 / 1000)


def test_stakes_of_a_sequence_hold_at_every_look():
    """Walks of fair coins: at 12 looks together one in five at most leaves the ends."""
    rng = np.random.default_rng(2)
    looks = np.unique(np.geomspace(4, 512, 12).astype(int))
    values, out = np.array([0.0, 1.0]), 0
    for _ in range(300):
        ones = np.cumsum(rng.integers(0, 2, 512))[looks - 1]
        pairs = zip(ones, looks, strict=True)
        samples = [BoundedSample(values, np.array([n - k, k])) for k, n in pairs]
        both = [side for sample in samples for side in (sample, sample.turned())]
        evidence = max(log_evidence(side, 0.5, SEQUENCE_STAKES) for side in both)
        out += evidence >= math.log(2 / 0.2)
    assert out <= stats.binom.isf(1e-7, 300, 0.2)
    sample = samples[-1]
    fixed, always = (
        np.diff(mean_interval(sample, sample, 0.95, stakes))[0]
        for stakes in (fixed_stakes(512), SEQUENCE_STAKES)
    )
    assert fixed < always < 1.6 * fixed


@pytest.mark.parametrize("deviation", [None, 0.1])
def test_a_published_mean_has_the_bounds_of_chernoff_or_of_maurer_and_pontil(deviation):
    lower, upper = published_mean_interval(0.3, 500, deviation, 0.9)
    if deviation is None:
        for m in (lower, upper):
            entropy = 0.3 * math.log(0.3 / m) + 0.7 * math.log(0.7 / (1 - m))
            assert math.exp(-500 * entropy) == pytest.approx(0.05)
    else:
        log = math.log(2 / 0.05)
        reach = 0.1 * math.sqrt(2 * log / 500) + 7 * log / (3 * 499)
        assert (0.3 - lower, upper - 0.3) == pytest.approx((reach, reach))


def test_p_values_are_the_error_at_which_intervals_part():
    def ends(confidence):
        reach = stats.norm.isf((1 - confidence) / 2)
        return 1 - reach, 1 + reach

    assert inverted_p(ends, (0.5, 2.0)) == 1.0
    assert inverted_p(ends, (-2.0, -1.0)) == pytest.approx(2 * stats.norm.sf(2), rel=1e-6)
    assert inverted_p(ends, (-30.0, -20.0)) == LEAST_P

    def other(confidence):
        return ends(confidence)[0] - 4, ends(confidence)[1] - 4

    # Both take half of the error: they part where 2 z = 4.
    assert inverted_p(ends, other) == pytest.approx(2 * 2 * stats.norm.sf(2), rel=1e-6)
