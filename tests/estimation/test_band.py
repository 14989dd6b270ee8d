"""The simultaneous band: its coverage of the whole curve, its shape, its ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation import Counts, band, classify, clopper_pearson

GRID = np.linspace(0.02, 0.98, 25)


def band_of(risk: np.ndarray, grid=GRID, confidence=0.9, error=0.0, lower=0.0, upper=0.0):
    counts = classify(risk, np.full_like(risk, error), lower, upper, grid)
    return band(counts, grid, confidence)


def test_holds_on_the_whole_curve_where_pointwise_intervals_do_not():
    # Risks are uniform, so that p(eps) = 1 - eps. Misses of a 90 % band are Bin(300, <= .1): more
    # than 57 have a probability of 1e-6 at most.
    experiments, allowed = 300, 57
    assert stats.binom.sf(allowed, experiments, 0.1) < 1e-6
    rng = np.random.default_rng(7)
    dense = np.linspace(0, 1, 401)
    missed = missed_pointwise = 0
    for _ in range(experiments):
        risk = rng.uniform(size=(150, 2))
        lower, upper = band_of(risk).at(dense)
        truth = 1 - dense[:, None]
        missed += not ((lower <= truth + 1e-12) & (truth <= upper + 1e-12)).all()
        counts = classify(risk, 0 * risk, 0, 0, GRID)
        low, high = clopper_pearson(counts.failures, 150, 0.9)
        at_grid = 1 - GRID[:, None]
        missed_pointwise += not ((low <= at_grid) & (at_grid <= high)).all()
    assert missed <= allowed
    assert missed_pointwise > 150


def test_is_clopper_pearson_with_alpha_divided_by_all_places():
    risk = np.random.default_rng(8).uniform(size=(500, 3))
    b = band_of(risk, confidence=0.95)
    failures = (risk[None] > GRID[:, None, None]).sum(1)
    lower, upper = clopper_pearson(failures, 500, 1 - 0.05 / (25 * 3))
    np.testing.assert_allclose(b.lower, lower, rtol=1e-9)
    np.testing.assert_allclose(b.upper, upper, rtol=1e-9)
    assert b.confidence == 0.95
    assert "Clopper-Pearson" in b.method


def test_one_place_is_the_pointwise_interval():
    risk = np.random.default_rng(9).uniform(size=(40, 1))
    b = band_of(risk, grid=[0.4])
    lower, upper = clopper_pearson((risk > 0.4).sum(), 40, 0.9)
    assert (b.lower.item(), b.upper.item()) == pytest.approx((lower, upper), rel=1e-12)


def test_limits_do_not_increase_even_for_counts_that_do():
    counts = Counts(
        np.array([[5], [9], [2]]), np.array([[0], [0], [20]]), 40, np.zeros(1, np.int64)
    )
    b = band(counts, [0.1, 0.2, 0.3], 0.9)
    assert (np.diff(b.lower, axis=0) <= 0).all()
    assert (np.diff(b.upper, axis=0) <= 0).all()
    tail = 1 - 0.1 / 3
    assert b.lower[0, 0] == pytest.approx(clopper_pearson(9, 40, tail)[0])
    assert b.upper[2, 0] == pytest.approx(clopper_pearson(5, 40, tail)[1])


def test_between_thresholds_the_nearest_valid_limits_apply():
    risk = np.random.default_rng(10).uniform(size=(300, 2))
    b = band_of(risk)
    lower, upper = b.at(GRID)
    np.testing.assert_array_equal(lower, b.lower)
    np.testing.assert_array_equal(upper, b.upper)
    between = (GRID[4] + GRID[5]) / 2
    lower, upper = b.at(between)
    np.testing.assert_array_equal(lower, b.lower[5])
    np.testing.assert_array_equal(upper, b.upper[4])
    lower, upper = b.at([0.0, 5.0])
    np.testing.assert_array_equal(lower, [b.lower[0], [0, 0]])
    np.testing.assert_array_equal(upper, [[1, 1], b.upper[-1]])


def test_undecided_runs_widen_it_on_both_sides():
    risk = np.random.default_rng(11).uniform(size=(300, 1))
    sharp, vague = band_of(risk), band_of(risk, error=0.05, lower=-0.05, upper=0.05)
    assert (vague.lower <= sharp.lower).all()
    assert (vague.upper >= sharp.upper).all()
    assert (vague.upper - vague.lower > sharp.upper - sharp.lower).all()


@pytest.mark.parametrize("grid", [[0.2, 0.1, 0.3], [0.1, 0.1, 0.3], [0.1, 0.2], [0.1, 0.2, np.inf]])
def test_a_grid_that_does_not_increase_or_fit_is_refused(grid):
    with pytest.raises(InputError, match="thresholds"):
        band(Counts.zero(3, 1), grid, 0.9)


def test_a_bad_confidence_is_refused_and_no_runs_say_nothing():
    with pytest.raises(InputError, match="confidence"):
        band(Counts.zero(2, 1), [0.1, 0.2], 1.0)
    empty = band(Counts.zero(2, 1), [0.1, 0.2], 0.9)
    assert (empty.lower == 0).all()
    assert (empty.upper == 1).all()
