"""Paired comparisons: sizes by enumeration, statsmodels, and every way to settle what is open."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from jaxsim.errors import InputError
from jaxsim.estimation import Outcome, PairedCounts, compare, holm, mcnemar, pair_outcomes


def size(method: Literal["exact", "mid-p"], pairs: int, discordant: float, alpha: float) -> float:
    """P(rejection | equal probabilities), all discordant tables of n pairs listed."""
    total = 0.0
    for m in range(pairs + 1):
        b = np.arange(m + 1)
        rejected = mcnemar(b, m - b, method) <= alpha
        weight = stats.binom.pmf(m, pairs, discordant)
        total += weight * stats.binom.pmf(b, m, 0.5)[rejected].sum()
    return total


@pytest.mark.parametrize("pairs", [10, 40, 120])
@pytest.mark.parametrize("discordant", [0.02, 0.2, 0.7, 1.0])
def test_the_exact_test_keeps_its_level(pairs, discordant):
    assert size("exact", pairs, discordant, 0.05) <= 0.05


def test_mid_p_keeps_it_here_and_is_less_conservative():
    for pairs, discordant in itertools.product([40, 120], [0.2, 0.7]):
        mid, exact = (size(m, pairs, discordant, 0.05) for m in ("mid-p", "exact"))
        assert exact < mid <= 0.0505


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 7), (7, 1), (20, 20), (33, 12), (2, 300)])
def test_agrees_with_statsmodels(b, c):
    other = statsmodels_mcnemar([[5, b], [c, 9]], exact=True).pvalue
    assert float(mcnemar(b, c)) == pytest.approx(other, rel=1e-10)
    half = stats.binom.pmf(min(b, c), b + c, 0.5)
    expected = 1.0 if b == c else other - half
    assert float(mcnemar(b, c, "mid-p")) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5, 55])
def test_holm_agrees_with_statsmodels(size):
    for p in np.random.default_rng(size).uniform(size=(5, size)) ** 3:
        p[size // 2] = p[0]  # a tie
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-12)


def test_holm_keeps_the_familywise_level_for_equal_experiments():
    # 11 equal experiments, 55 dependent pairs. Alarms are Bin(300, <= .05): more than 41 have a
    # probability of 1e-6 at most.
    assert stats.binom.sf(41, 300, 0.05) < 1e-6
    rng = np.random.default_rng(5)
    alarms = raw = 0
    first, second = np.triu_indices(11, 1)
    for _ in range(300):
        fails = rng.uniform(size=(11, 200)) < 0.3
        b = (fails[first] & ~fails[second]).sum(1)
        c = (~fails[first] & fails[second]).sum(1)
        p = mcnemar(b, c)
        alarms += holm(p).min() <= 0.05
        raw += p.min() <= 0.05
    assert alarms <= 41
    assert raw > 100


OUTCOMES = st.lists(
    st.tuples(st.sampled_from(list(Outcome)), st.sampled_from(list(Outcome))),
    min_size=1,
    max_size=5,
)


def settled(outcome: Outcome) -> list[Outcome]:
    return [Outcome.PASS, Outcome.FAIL] if outcome == Outcome.UNDECIDED else [outcome]


@settings(deadline=None, max_examples=25)
@given(pairs=OUTCOMES)
def test_whatever_the_undecided_are_the_comparison_was_no_bolder(pairs):
    first, second = zip(*pairs, strict=True)
    found = compare(pair_outcomes(first, second), 0.9)
    choices = itertools.product(*(settled(o) for o in (*first, *second)))
    for choice in itertools.islice(choices, 256):
        table = pair_outcomes(choice[: len(first)], choice[len(first) :])
        assert table.undecided == 0
        truth = compare(table, 0.9)
        assert found.lower <= truth.lower + 1e-12
        assert truth.upper <= found.upper + 1e-12
        assert found.p_exact >= truth.p_exact - 1e-12


def test_the_difference_is_covered_by_enumeration():
    n, confidence = 18, 0.8
    for only_first, only_second in ((0.3, 0.1), (0.02, 0.02), (0.0, 0.5)):
        truth, covered = only_first - only_second, 0.0
        law = stats.multinomial(n, [only_first, only_second, 1 - only_first - only_second])
        for b in range(n + 1):
            for c in range(n + 1 - b):
                one = compare(PairedCounts(0, b, c, n - b - c), confidence)
                if one.lower <= truth <= one.upper:
                    covered += law.pmf([b, c, n - b - c])
        assert covered >= confidence - 1e-12


def test_tables_of_shards_add_up():
    rng = np.random.default_rng(6)
    first, second = rng.integers(0, 3, size=(2, 100))
    whole = pair_outcomes(first, second)
    assert pair_outcomes(first[:30], second[:30]) + pair_outcomes(first[30:], second[30:]) == whole
    assert whole.runs == 100
    assert whole.only_first == sum(
        (a == Outcome.FAIL) and (b == Outcome.PASS) for a, b in zip(first, second, strict=True)
    )
    assert compare(whole, 0.95).difference == pytest.approx(
        (whole.only_first - whole.only_second) / 100
    )


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="discordant"):
        mcnemar(-1, 3)
    with pytest.raises(InputError, match="did you mean 'mid-p'"):
        mcnemar(1, 3, "midp")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="p_values"):
        holm([0.5, 1.5])
    with pytest.raises(InputError, match="shapes"):
        pair_outcomes([0, 1], [0])
    with pytest.raises(InputError, match="outcomes"):
        pair_outcomes([0, 3], [0, 1])
