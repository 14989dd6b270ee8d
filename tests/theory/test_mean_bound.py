"""Lower confidence bounds of means: coverage for laws of every shape, and scale."""

import numpy as np
import pytest
from scipy import stats

from jaxsim.theory.mean_bound import mean_lower_bound

LAWS = {
    "constant": lambda rng, n: np.ones(n),
    "exponential": lambda rng, n: rng.exponential(1.0, n),
    "rare": lambda rng, n: 50.0 * (rng.random(n) < 0.02),
    "heavy": lambda rng, n: 0.1 / 1.1 * rng.random(n) ** (-1 / 1.1),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_bound_exceeds_the_mean_no_more_often_than_stated(name):
    rng = np.random.default_rng(0)
    bounds = [mean_lower_bound(LAWS[name](rng, 100), 0.05) for _ in range(300)]
    wrong = sum(bound > 1 for bound in bounds)
    assert wrong <= stats.binom.isf(1e-7, 300, 0.05)


def test_it_is_close_to_the_mean_of_many_draws_at_any_scale():
    draws = np.random.default_rng(1).exponential(1.0, 20_000)
    bound = mean_lower_bound(draws, 1e-6)
    # ln(1e6) = 13.8: about sqrt(2 * 13.8 / n) standard deviations below.
    assert 0.95 < bound / draws.mean() < 0.97
    assert mean_lower_bound(draws * 1e-200, 1e-6) == pytest.approx(bound * 1e-200, rel=1e-9)
    assert mean_lower_bound(np.zeros(10), 0.05) == 0
    assert mean_lower_bound(draws, 1e-9) < bound
