"""How many families each stratum gets: Neyman's allocation, against toys with known variances."""

import numpy as np
import pytest
from scipy import stats

from jaxsim.design.families import (
    GUARD_PART,
    LEAST_FAMILIES,
    LEAST_GUARDS,
    allocate_families,
    plan_families,
)
from jaxsim.design.twist import FailureModel, failure_model

N, CHECKPOINTS, SIZE = 20, 25, 256
ACTIVE = N - np.arange(N + 1)


def planned(q: float, dead: float, budget: int = 125_000, runs: int = 256, **changes):
    """Return what is planned where neurons die with probability q, and what it rests on."""
    hazard = -np.expm1(np.log1p(-q) / (CHECKPOINTS - 1))
    log_phi = np.where(np.arange(N + 1) == 0, 0.0, -300.0)
    model = failure_model(log_phi, np.full(CHECKPOINTS - 1, hazard))
    weights, f = stats.binom.pmf(np.arange(N + 1), N, dead), q ** ACTIVE.astype(float)
    decided = (ACTIVE == 0)[:, None]
    asked = {
        "model": model,
        "weights": weights,
        "cost": np.ones(N + 1),
        "active": ACTIVE,
        "failures": np.where(decided[:, 0], 0, np.round(f * runs).astype(int))[:, None],
        "runs": np.where(decided[:, 0], 0, runs),
        "decided": decided,
        "budget": budget,
        "size": SIZE,
    }
    return plan_families(**(asked | changes)), model, weights, f


def test_most_of_the_budget_is_for_families_where_neurons_die_in_training():
    """A1: independent runs see nothing of the strata that matter."""
    plan, model, weights, f = planned(0.088, 0.25)
    particles = SIZE * plan.families
    assert 0.85 < SIZE * (plan.families + plan.guards).sum() / 125_000 <= 0.9
    split = plan.families > 0
    # The strata with them hold all but a hundredth of the probability, those with runs included.
    assert weights[split] @ f[split] + weights[19:] @ f[19:] > 0.99 * (weights @ f)
    variance = weights**2 * f**2 * model.variance()[0][ACTIVE]
    error = np.sqrt((variance[split] / particles[split]).sum()) / (weights @ f)
    assert error < 0.095
    # Neyman's: no other allocation of the same particles is better by much.
    best = np.sqrt(variance[split]).sum() / np.sqrt(particles.sum()) / (weights @ f)
    assert error < 1.03 * best


def test_two_events_share_the_families_by_the_sum_of_relative_variances():
    """All neurons dead, or all but one: the second needs other strata."""
    hazard = -np.expm1(np.log1p(-0.088) / (CHECKPOINTS - 1))
    deaths = np.full(CHECKPOINTS - 1, hazard)
    both = [
        failure_model(np.where(np.arange(N + 1) <= left, 0.0, -300.0), deaths) for left in (0, 1)
    ]
    log_h, log_g = (np.concatenate([m[place] for m in both]) for place in (0, 1))
    model = FailureModel(log_h, log_g, both[0].deaths)
    f = stats.binom.cdf([0, 1], ACTIVE[:, None], 1 - 0.088)
    decided = ACTIVE[:, None] <= [0, 1]
    plan, _, weights, _ = planned(
        0.088, 0.25, model=model, decided=decided,
        failures=np.where(decided, 0, np.round(256 * f)).astype(int),
    )  # fmt: skip
    relative = weights[:, None] * f / (weights @ f)
    parts = np.where(decided, 0, relative**2 * model.variance()[:, ACTIVE].T).sum(1)
    large = plan.families > 16
    assert large.sum() > 5
    expected = np.sqrt(parts[large]) / np.sqrt(parts[large]).sum()
    assert plan.families[large] / plan.families[large].sum() == pytest.approx(expected, abs=0.01)


def test_strata_that_fail_by_proof_or_before_the_eyes_of_the_pilot_get_no_families():
    plan, *_ = planned(0.088, 0.25)
    assert plan.families[20] == plan.guards[20] == plan.runs[20] == 0  # proved
    assert plan.families[19] == 0 < plan.runs[19]  # 23 failures of 256


def test_runs_do_where_they_cost_less():
    """A2: neurons hardly ever die in training, but 1e-2 is soon seen."""
    plan, *_ = planned(0.5, 0.25)
    assert not plan.families[15:].any()
    assert (plan.runs[15:20] > 0).all()


def test_strata_too_unimportant_for_families_get_the_runs_that_these_would_be():
    plan, model, weights, f = planned(0.088, 0.25)
    dropped = (plan.families == 0) & (plan.runs > 0) & (ACTIVE > 5)
    assert dropped.any()
    guarded = np.sqrt((GUARD_PART + 1) / GUARD_PART * model.variance()[0][ACTIVE])
    expected = weights * f * guarded / (weights @ f)
    assert plan.runs[dropped] == pytest.approx(expected[dropped], rel=0.01)
    # By their own spread runs would all go where the expected number of failures is 0.
    assert plan.runs[dropped].max() < 1e-2 * (weights * np.sqrt(f) / (weights @ f))[dropped].max()


def test_a_share_that_is_asked_for_is_taken():
    for share in (0.2, 0.9):
        plan, *_ = planned(0.088, 0.25, share=share)
        used = SIZE * (plan.families + plan.guards).sum()
        assert 0.9 * share < used / 125_000 <= share


def test_probabilities_in_sight_leave_the_runs_what_probes():
    plan, *_ = planned(0.4, 0.3)
    assert 0.5 < SIZE * (plan.families + plan.guards).sum() / 125_000 <= 0.55


@pytest.mark.parametrize("total", [0, 15, 16, 40, 100, 1000])
def test_all_that_get_families_get_enough(total):
    rng = np.random.default_rng(total)
    for _ in range(30):
        wanted = rng.dirichlet(np.full(9, 0.3)) * (rng.random(9) < 0.7)
        families, guards = allocate_families(wanted, total)
        some = families > 0
        assert (families[some] >= LEAST_FAMILIES).all()
        assert (guards[some] >= np.maximum(families[some] // GUARD_PART, LEAST_GUARDS)).all()
        assert not guards[~some].any()
        assert families.sum() + guards.sum() <= total
        assert not families[wanted == 0].any()
        assert some.any() == (wanted.any() and total >= LEAST_FAMILIES + LEAST_GUARDS)
        # The more wanted, the more there are.
        assert (np.diff(families[np.argsort(wanted)]) >= 0).all()
