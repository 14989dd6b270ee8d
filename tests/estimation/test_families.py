"""Families of clones: a lower limit that holds, an upper one that was measured, and doubts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation import (
    Families,
    StratifiedCounts,
    approximate_upper,
    betting_lower,
    clopper_pearson,
    families_resolved,
    stratified,
)
from jaxsim.estimation.families import STAKES, minor_families


def log_normal(rng, shape, variation, mean=1e-10):
    s = np.sqrt(np.log1p(variation**2))
    return mean * np.exp(s * rng.standard_normal(shape) - s * s / 2)


@pytest.mark.parametrize("hit", [0.5, 0.1, 0.02, 0.95])
@pytest.mark.parametrize("families", [1, 5, 40])
def test_the_lower_limit_holds_for_every_two_point_law(hit, families):
    # Values 0 and v: the number of hits says all, and their order does not matter.
    hits = np.arange(families + 1)
    values = 1e-7 * (np.arange(families)[:, None] < hits)
    limit = betting_lower(values, 0.9)
    missed = stats.binom.pmf(hits, families, hit)[limit > 1e-7 * hit * (1 + 1e-12)].sum()
    assert missed <= 0.1
    assert limit[0] == 0


def test_the_lower_limit_holds_after_every_number_of_families_at_once():
    worst = 0.0
    for small, large, chance in ((0.0, 1.0, 0.3), (0.2, 3.0, 0.2), (0.5, 1.0, 0.5)):
        paths = np.array(list(itertools.product((small, large), repeat=11))).T
        law = np.where(paths == large, chance, 1 - chance).prod(0)
        mean = small + chance * (large - small)
        limits = np.stack([betting_lower(paths[: r + 1], 0.8) for r in range(len(paths))])
        missed = law[(limits > mean).any(0)].sum()
        assert missed <= 0.2
        worst = max(worst, missed)
    assert worst > 0.01  # it is a limit for these laws, not a number far below


def test_the_lower_limit_solves_its_equation_on_any_scale():
    rng = np.random.default_rng(0)
    values = log_normal(rng, (30, 4), 0.5, mean=1.0)
    values[:12, 1] = 0
    values[1:, 2] = 0
    limit = betting_lower(values, 0.975)
    for column in range(4):
        wealth = np.mean([np.prod(1 - a + a * values[:, column] / limit[column]) for a in STAKES])
        assert wealth == pytest.approx(40, rel=1e-8)
    np.testing.assert_allclose(betting_lower(values * 1e-250, 0.975), limit * 1e-250, rtol=1e-12)
    assert (betting_lower(values, 1 - 1e-9) < limit).all()
    assert betting_lower(np.zeros((9, 2)), 0.9).tolist() == [0, 0]
    # Ten, thirty and a hundred families with a coefficient of variation of .22.
    for families, least in ((10, 0.55), (30, 0.8), (100, 0.91)):
        x = log_normal(rng, (families, 400), 0.22)
        ratio = betting_lower(x, 0.975) / 1e-10
        assert least < np.median(ratio) < 1
        assert (ratio > 1).mean() <= 0.025


@pytest.mark.parametrize(
    ("variation", "hit", "families", "least"),
    [(0.2, 1.0, 10, 0.975), (1.0, 1.0, 30, 0.96), (0.5, 0.3, 60, 0.975), (2.0, 1.0, 60, 0.93)],
)
def test_the_upper_limit_covers_as_documented(variation, hit, families, least):
    rng = np.random.default_rng(3)
    x = log_normal(rng, (families, 3000), variation) * (rng.random((families, 3000)) < hit) / hit
    upper = approximate_upper(x, 0.975)
    assert (upper >= 1e-10).mean() >= least
    assert np.median(upper) < 2.5e-10


def test_the_upper_limit_is_the_greater_of_both_and_keeps_its_scale():
    x = np.array([1.0, 2.0, 3.0, 2.5, 1.5])
    student = 2 * np.exp(stats.t.isf(0.05, 4) * x.std(ddof=1) / (2 * np.sqrt(5)))
    centre, spread = 2 + 3 / 5, x.var(ddof=1) / 5 + (3 / 5) ** 2
    gamma = stats.gamma.isf(0.05, centre**2 / spread, scale=spread / centre)
    assert approximate_upper(x, 0.95) == pytest.approx(max(student, gamma), rel=1e-12)
    assert approximate_upper(x * 1e-280, 0.95) == pytest.approx(1e-280 * gamma, rel=1e-9)
    assert approximate_upper([1.0], 0.95) == np.inf
    assert approximate_upper([0.0, 0.0], 0.95) == 0


GUARD = np.zeros(10)


@pytest.mark.parametrize(
    ("values", "guard", "failures", "runs", "words"),
    [
        (np.r_[np.full(4, 1e-9), np.zeros(40)], GUARD, 0, 0, "4 of 44 families saw a failure"),
        (np.zeros(44), GUARD, 0, 0, "0 of 44 families"),
        (np.r_[1e-6, np.full(50, 1e-9)], GUARD, 0, 0, "a few families make up the estimate: 1.1"),
        (np.full(20, 1e-2), GUARD, 0, 10_000, "contradicts the runs"),
        (np.full(20, 1e-6), GUARD, 30, 10_000, "contradicts the runs"),
        (np.full(20, 1e-9), None, 0, 10_000, "no families were split towards the other side"),
        (np.full(20, 1e-9), np.zeros(2), 0, 100, "no families were split towards the other side"),
        (np.full(20, 1e-9), np.r_[1e-4, GUARD], 0, 10_000, "their score leads away"),
        (np.zeros(20), np.r_[1e-4, GUARD], 0, 10_000, "their score leads away"),
    ],
)
def test_doubts_have_a_reason(values, guard, failures, runs, words):
    answer = families_resolved(values, guard, failures, runs)
    assert not answer.resolved
    assert words in answer.reason.item()


def test_few_failures_are_enough_where_they_hardly_count():
    values = np.r_[1e-9, np.zeros(11)]
    assert minor_families(0.5, values, 5e-10)
    assert not minor_families(0.5, values, 2e-10)
    assert not families_resolved(values, GUARD).resolved
    assert families_resolved(values, GUARD, minor=True).resolved
    # Nothing seen is no estimate, and what is contradicted stays so.
    assert not families_resolved(np.zeros(12), GUARD, minor=True).resolved
    assert not families_resolved(values, np.full(4, 1e-3), minor=True).resolved
    assert not families_resolved(values, None, minor=True).resolved


def test_families_that_agree_are_resolved_cell_by_cell():
    rng = np.random.default_rng(4)
    values = log_normal(rng, (20, 2, 2), 0.4)
    values[:, 1, 1] = 0
    guard = np.zeros((5, 2, 2))
    guard[:, 0, 1] = 1e-3
    answer = families_resolved(values, guard, np.zeros((2, 2), int), 1000)
    assert answer.resolved.tolist() == [[True, False], [True, False]]
    assert answer.reason[0, 0] == ""
    # A guard that finds what the families find, now and then, is no contradiction.
    assert families_resolved(values[:, 0, 0], np.r_[2e-10, 0, 0, 0], 0, 1000).resolved


def test_a_guard_that_meets_a_failure_by_chance_is_no_contradiction():
    """One plain failure among 9 guards of 256 particles: at 6e-5 one sample in seven has it."""
    rng = np.random.default_rng(8)
    values = np.repeat(log_normal(rng, (45, 1), 0.5, mean=6e-5), 2000, axis=1)
    guard = rng.binomial(256, 6e-5, (9, 2000)) / 256
    assert 0.1 < (guard > 0).any(0).mean() < 0.2
    resolved = families_resolved(values, guard, 0, 100).resolved
    assert resolved.mean() > 0.98


@pytest.mark.parametrize(("agreeing", "factor"), [(1, 1000), (2, 70), (3, 25), (5, 8), (9, 2.5)])
def test_the_more_guards_agree_the_less_they_have_to_see(agreeing, factor):
    values = np.full(45, 6e-5)
    high = float(approximate_upper(values, 0.999))
    guard = np.zeros(9)
    guard[:agreeing] = factor * high
    assert not families_resolved(values, guard, 0, 100).resolved
    assert families_resolved(values, guard / factor, 0, 100).resolved


def test_a_score_that_leads_away_never_gives_a_small_number():
    """An onion: failures lie where the score is small, and a trickle of them at its other end.

    A particle fails with probability 1e-3 at the lower end and 1e-9 at the upper one. Splitting
    towards the upper end keeps next to no particle below: one in a thousand families has one, with
    a weight that restores the mean. The others agree on 1e-9, and no run at random has failed.
    """
    rng = np.random.default_rng(7)
    values = log_normal(rng, (30, 200), 0.3, mean=1e-9)
    values += np.where(rng.random((30, 200)) < 1e-3, 1.0, 0.0)
    guard = log_normal(rng, (5, 200), 2.0, mean=1e-3)
    assert not families_resolved(values, guard, 0, 1000).resolved.any()
    # What would have been claimed without the guard.
    assert np.median(approximate_upper(values, 0.975)) < 2e-9


def three_strata(failures=(4, 0, 0), runs=(1000, 200, 0)):
    x = np.array(failures)
    return StratifiedCounts(
        np.array([0.9, 0.09, 0.01]), np.zeros(3), x, x, np.array(runs), np.zeros(3, np.int8)
    )


def test_counts_and_families_make_one_interval():
    rng = np.random.default_rng(5)
    counts, values = three_strata(), log_normal(rng, 30, 0.3, mean=1e-5)
    split = [Families(1, values, np.True_)]
    s = stratified(counts, 0.95, families=split)
    # Two kinds of strata with runs: one of counts and one of families share the error alike.
    low = 0.9 * clopper_pearson(4, 1000, 0.975)[0] + 0.09 * betting_lower(values, 1 - 0.0125)
    assert s.lower == pytest.approx(low, rel=1e-12)
    assert s.estimate == pytest.approx(0.9 * 0.004 + 0.09 * values.mean(), rel=1e-12)
    assert s.unsampled == s.unresolved == 0.01
    assert s.upper > 0.01 + 0.9 * clopper_pearson(4, 1000, 0.975)[1]
    assert s.upper < 0.01 + 0.9 * clopper_pearson(4, 1000, 0.999)[1] + 0.09 * 2e-5
    alone = stratified(counts, 0.95)
    assert s.upper_rigorous == alone.upper == alone.upper_rigorous > s.upper
    assert (s.rigorous, s.rigorous_lower) == (False, True)
    assert "approximate" in s.description
    # Not resolved: the unsplit runs speak for the stratum, but for the guaranteed lower end.
    doubt = stratified(counts, 0.95, families=[Families(1, values, np.False_)])
    assert doubt.lower == s.lower
    assert doubt.estimate == alone.estimate
    assert doubt.unresolved > 0.09 * clopper_pearson(0, 200, 0.95)[1]
    # Not resolved and not sampled: nothing is known but that lower end.
    blind = stratified(
        three_strata(runs=(1000, 0, 0)), 0.95, families=[Families(1, values, np.False_)]
    )
    assert blind.unsampled == pytest.approx(0.1, rel=1e-12)
    assert blind.lower == s.lower
    assert blind.upper > 0.1


def test_the_lower_end_of_counts_and_families_holds():
    # Exact: one stratum of counts, one of families with a two-point law, and the union bound.
    n, families, f, hit = 12, 8, 0.25, 0.4
    x, h = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(families + 1)))
    law = stats.binom.pmf(x, n, f) * stats.binom.pmf(h, families, hit)
    zero = np.zeros_like(x)
    counts = StratifiedCounts(
        np.array([0.6, 0.4]), np.zeros(2), np.stack([x, zero]), np.stack([x, zero]),
        np.array([n, 0]), np.zeros((2, len(x)), np.int8),
    )  # fmt: skip
    values = 0.9 * (np.arange(families)[:, None] < h)
    s = stratified(counts, 0.9, families=[Families(1, values, np.ones(len(x), bool))])
    assert law[s.lower > 0.6 * f + 0.4 * 0.9 * hit].sum() <= 0.05
    assert law[s.upper_rigorous < 0.6 * f + 0.4 * 0.9 * hit].sum() <= 0.05


@pytest.mark.parametrize("method", ["mover", "sequence", "profile-likelihood"])
def test_every_method_takes_families_and_gives_a_guaranteed_end(method):
    values = np.full(20, 1e-12)
    s = stratified(three_strata(), 0.95, method, [Families(2, values, np.True_)])
    assert 0 < s.lower < s.estimate < s.upper <= s.upper_rigorous
    assert s.rigorous_lower == (method == "sequence")
    safe = "sequence" if method == "sequence" else "clopper-pearson"
    assert s.upper_rigorous == stratified(three_strata(), 0.95, safe).upper
    only = StratifiedCounts(
        np.ones(1), np.zeros(1), np.zeros(1, int), np.zeros(1, int), np.zeros(1, int),
        np.zeros(1, np.int8),
    )  # fmt: skip
    s = stratified(only, 0.95, method, [Families(0, values, np.True_)])
    assert 0 < s.lower < 1e-12 < s.upper < 2e-12
    assert s.upper_rigorous == 1


def test_bad_families_are_refused():
    for bad in ([-1e-9], [np.nan], [np.inf]):
        with pytest.raises(InputError, match="finite numbers >= 0"):
            betting_lower(bad, 0.9)
    with pytest.raises(InputError, match="guard sample of shape"):
        families_resolved(np.ones((5, 2)), np.ones(5))
    one = Families(1, np.ones(5), np.True_)
    with pytest.raises(InputError, match="given twice"):
        stratified(three_strata(), 0.9, families=[one, one])
    for wrong in (Families(3, np.ones(5), np.True_), Families(1, np.ones((5, 2)), np.True_)):
        with pytest.raises(InputError, match="do not belong to 3 strata"):
            stratified(three_strata(), 0.9, families=[wrong])
