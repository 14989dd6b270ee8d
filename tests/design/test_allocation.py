"""Allocation of trainings over strata: known optima, traps, and toys with known probabilities."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxsim.design.allocation import allocate, apportioned, planned_frequencies
from jaxsim.estimation.stratified import stratified
from jaxsim.estimation.stratified_counts import StratifiedCounts


def toy(n: int, death: float, later: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and frequencies where each active neuron dies with probability `later`."""
    k = np.arange(n + 1)
    return stats.binom.pmf(k, n, death), later ** (n - k).astype(float)


@pytest.mark.parametrize(
    ("case", "pilot", "budget", "bound", "p"),
    [
        # facts/statistics.md 2.4: Neyman with the true frequencies has .098 and .012.
        ((20, 0.3093, 0.01), 256, 130_000, 0.13, 1e-10),
        ((40, 0.5, 0.002), 512, 130_000, 0.02, 1e-12),
    ],
)
def test_rare_toys_are_resolved_with_few_trainings(case, pilot, budget, bound, p):
    weights, f = toy(*case)
    decided = (f == 1)[:, None]
    truth = float(weights @ f)
    assert truth == pytest.approx(p, rel=0.05)
    rng = np.random.default_rng(3)
    estimates, errors = [], []
    runs = np.where(f == 1, 0, pilot)
    for _ in range(200):
        seen = rng.binomial(runs, f)[:, None]
        left = budget - int(runs.sum())
        n = allocate(weights, np.ones(len(f)), seen, runs, decided, left, 16)
        assert n.sum() <= left
        variance = weights**2 * f * (1 - f)
        errors.append(np.sqrt((variance / np.maximum(n, 1)).sum()) / truth)
        x = rng.binomial(n, np.where(f == 1, 0, f))
        rates = np.where(f == 1, 1.0, x / np.maximum(n, 1))
        estimates.append(float(weights @ rates) / truth)
    assert np.median(errors) < bound
    assert np.mean(estimates) == pytest.approx(1, abs=5 * bound / np.sqrt(200))
    assert np.std(estimates) < 1.5 * bound


def test_strata_without_failures_do_not_swallow_the_budget():
    # The smoothed frequency .5/257 of the large strata would outweigh all others.
    weights, f = toy(20, 0.3093, 0.01)
    runs = np.full(21, 256)
    failures = np.where(f > 1e-3, np.round(f * 256), 0).astype(int)[:, None]
    n = allocate(weights, np.ones(21), failures, runs, (f == 1)[:, None], 100_000, 16)
    assert n[:8].sum() < 0.25 * 100_000
    assert n[12:20].sum() > 0.6 * 100_000
    assert n[20] == 0
    assert (n[:20] >= 16).all()


def test_known_frequencies_get_neymans_allocation():
    weights, f = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.5, 0.9])
    runs = np.full(3, 1000)
    n = allocate(weights, np.ones(3), (f * runs)[:, None], runs, np.zeros((3, 1), bool), 10**6)
    best = weights * np.sqrt(f * (1 - f))
    assert n / 10**6 == pytest.approx(best / best.sum(), abs=1e-5)
    # Four times as expensive: half as many.
    cheap = allocate(
        weights, np.array([1.0, 1, 4]), (f * runs)[:, None], runs, np.zeros((3, 1), bool), 10**6
    )
    assert cheap[2] / cheap[1] == pytest.approx(n[2] / n[1] / 2, rel=1e-3)
    # Of several events the sum of relative variances is least.
    two = np.stack([f, f**2], axis=1)
    n = allocate(weights, np.ones(3), two * runs[:, None], runs, np.zeros((3, 2), bool), 10**6)
    p = weights @ two

    def total(n):
        return ((weights[:, None] / p) ** 2 * two * (1 - two) / n[:, None]).sum()

    for i, j in itertools.permutations(range(3), 2):
        moved = n.astype(float)
        moved[i], moved[j] = moved[i] + 2000, moved[j] - 2000
        assert total(moved) > total(n)


def test_a_larger_budget_takes_nothing_away():
    rng = np.random.default_rng(0)
    for _ in range(20):
        size = int(rng.integers(1, 30))
        weights = rng.dirichlet(np.full(size, 0.1))
        runs = np.full(size, 64)
        failures = rng.binomial(64, rng.beta(0.2, 0.2, size))[:, None]
        decided = rng.random((size, 1)) < 0.2
        before = np.zeros(size, int)
        for budget in np.unique(np.geomspace(1, 40_000, 60).astype(int)):
            n = allocate(weights, np.ones(size), failures, runs, decided, int(budget), 16)
            assert (n >= before).all()
            assert (n % 16 == 0).all()
            assert n.sum() <= budget
            assert n.sum() > budget - 16 or not n.any()
            assert not n[decided[:, 0]].any()
            before = n


def test_blocks_follow_the_method_of_dhondt():
    rng = np.random.default_rng(1)
    for _ in range(20):
        share = rng.dirichlet(np.full(7, 0.3)) * (rng.random(7) < 0.8)
        for blocks in (0, 1, 5, 8, 60):
            expected = np.zeros(7, int)
            for _ in range(blocks if share.any() else 0):
                priority = np.where(expected == 0, np.inf, share / (expected + 1))
                priority = np.where(share > 0, priority, -1)
                fresh = np.isinf(priority)
                chosen = np.argmax(np.where(fresh, share, -1)) if fresh.any() else None
                expected[np.argmax(priority) if chosen is None else chosen] += 1
            assert (apportioned(share.__mul__, share, blocks) == expected).all()


@pytest.mark.parametrize("budget", [30_000, 300_000, 3_000_000])
@pytest.mark.parametrize("steep", [0.1, 0.06])
def test_strata_without_failures_get_what_makes_the_interval_shortest(steep, budget):
    k = np.arange(21)
    weights = stats.binom.pmf(k, 20, 0.3)
    f = np.minimum(0.9 * np.exp(-steep * (18 - k) ** 2), 1.0)
    runs, ones = np.full(21, 1000), np.ones(21)
    decided = np.zeros((21, 1), bool)
    failures = np.rint(f * runs).astype(int)[:, None]
    assert 1e-4 < weights @ f < 1e-2

    def length(n):
        counts = np.rint(f * n).astype(int)
        one = StratifiedCounts(weights, 0 * weights, counts, counts, n, np.zeros(21, np.int8))
        interval = stratified(one, 0.95)
        return float(interval.upper - interval.lower)

    chosen = length(allocate(weights, ones, failures, runs, decided, budget))
    neyman = weights * np.sqrt(f * (1 - f))
    probed = np.where(failures[:, 0] < 5, weights, 0)
    lengths = [
        length(
            np.maximum(
                budget * ((1 - q) * neyman / neyman.sum() + q * probed / probed.sum()), 1
            ).astype(int)
        )
        for q in (0.1, 0.3, 0.5, 0.7, 0.9)
    ]
    assert chosen < 1.2 * min(lengths) < 0.8 * max(lengths)


def test_all_but_a_tenth_probes_where_no_settled_stratum_varies():
    # Half of the events fail by proof, and the stratum below is seen to fail at the last step only.
    weights = stats.binom.pmf(np.arange(11), 10, 0.5)
    failures, runs = np.zeros((11, 2), int), np.full(11, 1536)
    failures[9, 0], runs[10] = 76, 0
    decided = np.zeros((11, 2), bool)
    decided[10] = True
    n = allocate(weights, np.ones(11), failures, runs, decided, 280_000)
    assert n[:9].sum() > 0.9 * 280_000
    assert n[9] > weights[9] * 280_000


def test_nothing_is_spent_where_nothing_is_to_be_learnt():
    ones = np.ones(3)
    decided = np.ones((3, 1), bool)
    none = np.zeros((3, 1), int)
    assert not allocate(ones / 3, ones, none, np.zeros(3, int), decided, 1000, 16).any()
    # A weight that is no part of the probability gets nothing.
    weights, runs = np.array([0.5, 0.5, 1e-30]), np.full(3, 64)
    n = allocate(weights, ones, np.array([[30], [20], [0]]), runs, np.zeros((3, 1), bool), 1000)
    assert n[2] == 0
    assert n.sum() == 1000
    # Without any failure all is probed, by the roots of the weights.
    n = allocate(np.array([0.8, 0.2]), ones[:2], none[:2], runs[:2], ~decided[:2], 3000)
    assert n == pytest.approx([2000, 1000], abs=2)


def test_what_runs_are_worth_may_be_given():
    weights, f = toy(20, 0.25, 0.088)
    runs, worth = np.full(21, 256), np.zeros(21)
    worth[[17, 19]] = 3.0, 1.0
    failures = np.where(f > 1e-2, np.round(f * 256), 0).astype(int)[:, None]
    n = allocate(weights, np.ones(21), failures, runs, (f == 1)[:, None], 100_000, 16, worth)
    # A fifth probes strata with few failures, by the roots of their weights.
    few = np.where(np.arange(21) < 19, np.sqrt(weights), 0)
    expected = 80_000 * worth / 4 + 20_000 * few / few.sum()
    assert n == pytest.approx(expected, rel=1e-3, abs=17)
    assert n[20] == 0


def test_frequencies_are_planned_along_a_line():
    runs = np.full(6, 1000)
    failures = np.array([0, 0, 0, 10, 100, 1000])[:, None]
    planned = planned_frequencies(failures, runs, np.zeros((6, 1), bool))[:, 0]
    assert planned == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0], rel=0.01)
    # Not more than the pilot allows.
    runs[2] = 10_000
    planned = planned_frequencies(failures, runs, np.zeros((6, 1), bool))[:, 0]
    assert planned[2] == pytest.approx(1e-4, rel=1e-3)
    never = planned_frequencies(0 * failures, runs, np.zeros((6, 1), bool))
    assert not never.any()
