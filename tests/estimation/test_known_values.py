"""Counts by bins against comparing every value with every limit."""

import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.estimation import RiskHistogram, classify, outcomes
from jaxsim.estimation.bins import counted
from jaxsim.estimation.known_values import MOST_KEPT, KnownValues

LIMITS = np.concatenate([np.geomspace(1e-6, 10, 60), [0.25, 0.25, 0.0, -0.5, 1e300]])


def made(case, rng, runs=6000):
    value = rng.exponential(0.1, (runs, 2)) + 1e-4
    error = np.full(value.shape, 1e-15)
    if case == "ties":  # many values at the limits themselves, and one bit beside them
        at = rng.choice(LIMITS[LIMITS > 0], value.shape)
        value = rng.choice([at, np.nextafter(at, 0), np.nextafter(at, 9e300)])
        error = rng.choice([0.0, 1e-16], value.shape)
    if case == "wide errors":
        error = rng.exponential(0.01, value.shape)
    if case == "no errors":
        error = np.zeros(value.shape)
    if case == "negative and zero":
        value = np.round(rng.normal(0, 0.5, value.shape), 1)
        value[::5] *= -0.0
    if case == "not finite":
        value[::7], value[1::7], value[2::7] = np.nan, np.inf, -np.inf
        error[3::7], error[4::7] = np.inf, np.nan
    if case == "nothing finite":
        value[:] = np.nan
    if case == "overflow":
        value[::3], error[::2] = 1.7e308, 1.7e308
    if case == "few":
        value, error = value[:9], error[:9]
    if case == "none":
        value, error = value[:0], error[:0]
    return value, error


CASES = (
    "plain", "ties", "wide errors", "no errors", "negative and zero", "not finite",
    "nothing finite", "overflow", "few", "none",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bracket", [(0.0, 0.0), (0.01, 0.25), (-np.inf, np.inf)])
def test_failures_and_passes_are_those_of_single_comparisons(case, bracket):
    value, error = made(case, np.random.default_rng(1))
    lower, upper = bracket
    known = np.isfinite(value) & np.isfinite(error)
    with np.errstate(invalid="ignore", over="ignore"):
        least = np.where(known, value - error, np.nan)
        most = np.where(known, value + error, np.nan)
    gone = ~np.isfinite(value)
    for eps in (LIMITS, LIMITS[:3]):
        counts = classify(value, error, lower, upper, eps)
        for g, e in enumerate(eps):
            fails, passes = gone | (least > upper + e), most <= lower + e
            assert counts.failures[g].tolist() == fails.sum(0).tolist()
            assert counts.undecided[g].tolist() == (~fails & ~passes).sum(0).tolist()
            if len(eps) == 3:
                outcome = outcomes(value, error, lower, upper, e)
                assert (outcome == np.where(fails, 1, np.where(passes, 0, 2))).all()
        assert counts.diverged.tolist() == gone.sum(0).tolist()


@pytest.mark.parametrize("case", CASES)
def test_a_column_is_filed_as_its_values_are(case):
    value, error = made(case, np.random.default_rng(2))
    values = KnownValues(value, error)
    for t in range(2):
        for exact in (False, True):
            filed = RiskHistogram().add_column(values.column(t), exact)
            added = RiskHistogram(value[:, t], 0.0 if exact else error[:, t])
            assert filed.total == added.total
            for column in range(3):
                keys = added.occupied(column)
                assert filed.occupied(column).tolist() == keys.tolist()
                assert (filed.cumulative(keys, column) == added.cumulative(keys, column)).all()
            ends = [(h.least, h.min, h.max, h.most) for h in (filed, added)]
            assert ends[0] == ends[1]


def test_bins_are_counted_alike_near_each_other_far_apart_and_beside_zero():
    rng = np.random.default_rng(3)
    near, far = rng.integers(50, 90, 1000), rng.integers(-(1 << 22), 1 << 22, 1000)
    zeros = np.concatenate([np.zeros(5, np.int64), near + (1 << 22)])
    for keys in (near, far, zeros, np.array([0, 1 << 22]), np.zeros(3, np.int64)):
        expected = np.unique(keys, return_counts=True)
        for found, wanted in zip(counted(keys), expected, strict=True):
            assert found.tolist() == wanted.tolist()


def test_a_large_shard_keeps_one_checkpoint_at_a_time():
    small = KnownValues(np.ones((10, 2)), np.zeros((10, 2)))
    assert small.column(1) is small.column(1)
    broad = np.broadcast_to(np.float64(1.0), (MOST_KEPT, 2))
    large = KnownValues(broad, np.zeros_like(broad))
    assert large.column(1) is not large.column(1)


def test_a_negative_error_is_refused():
    with pytest.raises(InputError, match="error = -2 is not accepted: a bound >= 0 is"):
        classify(np.ones((3, 1)), [[0.0], [-2.0], [np.nan]], 0.0, 0.0, [0.1])
