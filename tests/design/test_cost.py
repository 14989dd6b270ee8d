"""What designs cost, against simulated binomial counts and families of clones."""

import numpy as np
import pytest
from scipy import stats

from jaxsim.design.cost import (
    ASSUMED,
    assumed_frequencies,
    coefficient,
    family_deviations,
    run_deviations,
    sampling_cost,
)
from jaxsim.design.families import GUARD_PART
from jaxsim.design.resampling import run_family
from jaxsim.design.twist import failure_model
from tests.design.toys import Dying

N = 20
WEIGHTS = stats.binom.pmf(np.arange(N + 1), N, 0.25)
MISSING = np.maximum(19 - np.arange(N + 1), 0)
COST = np.maximum(N - np.arange(N + 1), 5) / N


@pytest.mark.parametrize("p", ASSUMED)
def test_assumed_probabilities_add_up_and_are_log_linear(p):
    f = assumed_frequencies(WEIGHTS, MISSING, p)
    assert WEIGHTS @ f == pytest.approx(p, rel=1e-9)
    assert (f[19:] == 1).all()
    steps = np.diff(np.log(f[:20]))
    assert steps == pytest.approx(steps[0], rel=1e-6)


def test_proofs_of_more_than_what_is_assumed_count_alone():
    f = assumed_frequencies(WEIGHTS, MISSING, 1e-30)
    assert f.tolist() == [0.0] * 19 + [1.0] * 2
    assert (assumed_frequencies(WEIGHTS, MISSING, 1.0) == 1).all()
    # Nothing is left to be sampled.
    assert sampling_cost(WEIGHTS, run_deviations(f), 1e-12, COST, 0.05).trainings == 0


@pytest.mark.parametrize("p", [1e-2, 1e-4])
def test_simulated_estimates_vary_as_much_as_was_asked_for(p):
    f = assumed_frequencies(WEIGHTS, MISSING, p)
    cost = sampling_cost(WEIGHTS, run_deviations(f), p, COST, 0.1)
    # Neyman's allocation, by itself: n_k ~ pi_k sigma_k / sqrt(c_k).
    wanted = WEIGHTS * np.sqrt(f * (1 - f) / COST)
    n = np.maximum(np.round(wanted / wanted.sum() * cost.trainings), 0).astype(np.int64)
    assert n @ COST == pytest.approx(cost.work, rel=1e-2)
    sampled = n > 0
    x = np.random.default_rng(5).binomial(n[sampled], f[sampled], (20_000, sampled.sum()))
    estimates = x / n[sampled] @ WEIGHTS[sampled] + WEIGHTS[f == 1].sum()
    # 0.5 % is a standard error of a standard deviation from 20,000.
    assert estimates.std() / p == pytest.approx(0.1, rel=0.05)
    assert estimates.mean() == pytest.approx(p, rel=0.01)


def test_no_other_allocation_of_the_same_work_is_better():
    f = assumed_frequencies(WEIGHTS, MISSING, 1e-4)
    cost = sampling_cost(WEIGHTS, run_deviations(f), 1e-4, COST, 0.1)
    generator = np.random.default_rng(1)
    best = WEIGHTS * np.sqrt(f * (1 - f) / COST)
    open_ = best > 0
    for _ in range(200):
        n = best[open_] * np.exp(generator.normal(0, 0.3, open_.sum()))
        n *= cost.work / (n @ COST[open_])
        variance = (WEIGHTS[open_] ** 2 * f[open_] * (1 - f[open_]) / n).sum()
        assert np.sqrt(variance) / 1e-4 >= 0.1 * (1 - 1e-9)


def test_strata_reach_ten_percent_at_1e_10_with_some_1e5_trainings():
    # facts/statistics.md 2.4, A2.
    weights = stats.binom.pmf(np.arange(N + 1), N, 0.3093)
    f = 0.01 ** (N - np.arange(N + 1.0))
    p = float(weights @ f)
    assert p == pytest.approx(1e-10, rel=0.02)
    assert 1e5 < sampling_cost(weights, run_deviations(f), p, np.ones(N + 1), 0.1).trainings < 1.5e5
    # Where one stratum holds all of it
    two = sampling_cost(np.array([1.0, 1e-8]), np.sqrt([0, 0.0099]), 1e-10, np.ones(2), 0.1)
    assert two.trainings == pytest.approx(9900)


def test_plain_runs_cost_the_binomial_formula():
    one = np.ones(1)
    # Half of a 95 % interval of 10 %: (1.96 / 0.1)^2 (1 - p) / p.
    variation = coefficient(0.1, 0.95)
    cost = sampling_cost(one, run_deviations(one * 1e-4), 1e-4, one, variation)
    assert cost.trainings == pytest.approx(384.146 * (1 - 1e-4) / 1e-4, rel=1e-4)
    assert sampling_cost(one, 0 * one, 0.0, one, 0.1).trainings == np.inf


def test_simulated_families_vary_as_the_model_says():
    missing, q, checkpoints = 5, 0.1, 13
    process = Dying(missing, q, checkpoints)
    f = np.array([q**missing])
    deviation = family_deviations(f, np.array([missing]), checkpoints)[0]
    log_phi = np.where(np.arange(missing + 1) == 0, 0.0, -300.0)
    twist = failure_model(log_phi, np.full(checkpoints - 1, process.hazard)).twist
    seen = np.array([run_family(process, twist, (2, r), 500).estimates[-1] for r in range(100)])
    # Guards are paid for, too.
    variance = 500 * seen.var(ddof=1) * (GUARD_PART + 1) / GUARD_PART
    assert 0.4 < variance / deviation**2 < 2.5
    assert deviation < 0.15 * run_deviations(f)[0]


def test_families_are_taken_only_where_they_are_better():
    f = assumed_frequencies(WEIGHTS, MISSING, 1e-2)
    both = family_deviations(f, MISSING, 13)
    assert (both <= run_deviations(f)).all()
    assert both[18] == run_deviations(f)[18]
    assert both[0] < run_deviations(f)[0]
    assert (family_deviations(f, MISSING, 2) == run_deviations(f)).all()
