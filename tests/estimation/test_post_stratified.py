"""One sample sorted into strata: coverage by enumeration, and never much wider than unsorted."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxsim.estimation import StratifiedCounts, clopper_pearson
from jaxsim.estimation.liminf import stratified_liminf_bound
from jaxsim.estimation.post_stratified import post_stratified
from jaxsim.estimation.stratified import one_end

WEIGHTS = np.array([0.5, 0.3, 0.2])
RUNS = 7


def counts_of(failures, runs, weights=WEIGHTS):
    x = np.asarray(failures).reshape(len(weights), -1)
    fate = np.zeros(x.shape, np.int8)
    return StratifiedCounts(weights, np.zeros(len(weights)), x, x, np.asarray(runs), fate)


def samples():
    """Every split of the runs into strata, with all counts of failures in them, [S, C]."""
    for runs in itertools.product(range(RUNS + 1), repeat=3):
        if sum(runs) == RUNS:
            failures = np.array(list(itertools.product(*(range(n + 1) for n in runs)))).T
            yield np.array(runs), failures


@pytest.mark.parametrize("chances", [(0.0, 0.1, 0.9), (0.2, 0.2, 0.2), (0.0, 0.0, 0.05)])
def test_the_interval_covers_whatever_the_sample_is(chances):
    truth, covered, total = WEIGHTS @ chances, 0.0, 0.0
    for runs, failures in samples():
        law = stats.multinomial.pmf(runs, RUNS, WEIGHTS) * np.prod(
            stats.binom.pmf(failures, runs[:, None], np.array(chances)[:, None]), axis=0
        )
        one = post_stratified(counts_of(failures, runs), 0.8)
        assert (one.lower <= one.estimate).all()
        assert (one.estimate <= one.upper).all()
        inside = (one.lower <= truth + 1e-12) & (truth <= one.upper + 1e-12)
        covered, total = covered + law[inside].sum(), total + law.sum()
    assert total == pytest.approx(1, rel=1e-12)
    assert covered >= 0.8


def test_it_is_hardly_wider_than_that_of_the_runs_as_they_are():
    """And far narrower where strata tell who fails."""
    rng = np.random.default_rng(0)
    runs = rng.multinomial(4000, WEIGHTS)
    for chances, ratio in (
        ((0.3, 0.3, 0.3), 1.05),
        ((0.01, 0.2, 0.3), 1.05),
        ((0, 0.001, 1), 0.3),
    ):
        failures = rng.binomial(runs, chances)
        one = post_stratified(counts_of(failures, runs), 0.95)
        lower, upper = clopper_pearson(failures.sum(), 4000, 0.95)
        assert (one.upper - one.lower) / (upper - lower) < ratio
        assert one.rigorous
        assert one.unresolved <= one.upper == one.upper_rigorous


def test_the_bound_of_the_limit_covers_in_strata():
    """By enumeration of 12 runs in each of three strata."""
    every = np.array(list(itertools.product(range(13), repeat=3))).T
    bounds = one_end(counts_of(every, [12] * 3), 0.2, "clopper-pearson", upper=False)
    place = np.flatnonzero((every.T == [1, 5, 9]).all(1))[0]
    assert stratified_liminf_bound(WEIGHTS, every[:, place], [12] * 3, 0.9) == pytest.approx(
        bounds[place], rel=1e-6
    )
    for chances in ((0.0, 0.05, 0.4), (0.3, 0.3, 0.3), (0.02, 0.5, 0.97)):
        law = np.prod(stats.binom.pmf(every, 12, np.array(chances)[:, None]), axis=0)
        assert law[bounds > WEIGHTS @ chances].sum() <= 0.1


def test_the_bound_of_the_limit_judges_many_strata_as_one_sum():
    """Limits of each stratum, added, would leave far less."""
    weights, certified = np.full(16, 1 / 16), np.full(16, 20)
    bound = stratified_liminf_bound(weights, certified, [200] * 16, 0.95)
    added = stats.beta.ppf(0.05 / 16, 20, 181)
    assert 0.083 < bound < 0.1
    assert added < 0.055
