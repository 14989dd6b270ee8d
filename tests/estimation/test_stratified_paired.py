"""Pairs of runs in strata: exact errors by enumeration, and the comparison of one stratum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation import PairedCounts, compare, mcnemar, stratified_paired

WEIGHTS = np.array([0.8, 0.2])


@pytest.mark.parametrize(
    "table", [(40, 25, 5, 930, 0, 0), (3, 0, 9, 60, 2, 1), (0, 0, 0, 10, 0, 0)]
)
def test_one_stratum_is_the_comparison_of_plain_pairs(table):
    both, b, c, neither, more_b, more_c = table
    plain = compare(PairedCounts(both, b, c, neither, more_b + more_c, more_b, more_c), 0.95)
    one = stratified_paired(
        [1.0], [b], [c], [plain.counts.runs], 0.95, maybe_first=[more_b], maybe_second=[more_c]
    )
    assert (one.difference, one.lower, one.upper) == (plain.difference, plain.lower, plain.upper)
    assert (one.p_exact, one.p_mid) == (plain.p_exact, plain.p_mid)
    assert one.unsampled == 0


def outcomes(pairs):
    """Every pair of discordant counts in two strata, each [2, C]."""
    one = [[(b, c) for b in range(n + 1) for c in range(n + 1 - b)] for n in pairs]
    cells = np.array(list(itertools.product(*one)))  # [C, strata, (b, c)]
    return cells[..., 0].T, cells[..., 1].T


def law_of(b, c, pairs, chances):
    law = np.ones(b.shape[1])
    for x, y, n, (p, q) in zip(b, c, pairs, chances, strict=True):
        law *= stats.multinomial.pmf(np.stack([x, y, n - x - y], -1), n, [p, q, 1 - p - q])
    return law


def test_interval_and_tests_keep_their_levels():
    pairs = (9, 6)
    b, c = outcomes(pairs)
    answer = stratified_paired(WEIGHTS, b, c, pairs, 0.9)
    # Opposite strata with D = 0, equal strata, and a real difference.
    cases = [((0.1, 0.05), (0.1, 0.3)), ((0.3, 0.3), (0.05, 0.05)), ((0.02, 0.6), (0.3, 0.2))]
    for chances in cases:
        law = law_of(b, c, pairs, chances)
        assert law.sum() == pytest.approx(1, rel=1e-12)
        truth = sum(w * (p - q) for w, (p, q) in zip(WEIGHTS, chances, strict=True))
        assert law[(answer.lower > truth) | (answer.upper < truth)].sum() <= 0.1
        assert (law * answer.difference).sum() == pytest.approx(truth, abs=1e-12)
        if abs(truth) < 1e-12:
            for level in (0.01, 0.05, 0.2):
                assert law[answer.p_overall <= level].sum() <= level
        if all(p == q for p, q in chances):
            for level in (0.01, 0.05, 0.2):
                assert law[answer.p_exact <= level].sum() <= level


TABLES = {
    "limits of two strata": (WEIGHTS, [[60, 3], [80, 5]], [[10, 4], [20, 1]], (2000, 400)),
    "a sum of four": (
        [0.6, 0.3, 0.09, 0.01],
        [[40, 3], [50, 5], [90, 4], [70, 9]],
        [[12, 4], [15, 1], [20, 6], [80, 2]],
        (2000, 900, 600, 300),
    ),
}


@pytest.mark.parametrize("method", ["clopper-pearson", "sequence"])
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_the_p_value_is_the_least_alpha_that_excludes_zero(table, method):
    weights, b, c, pairs = table
    b, c = np.array(b), np.array(c)
    answer = stratified_paired(weights, b, c, pairs, 0.95, method=method)
    for column, p in enumerate(answer.p_overall):
        for factor in (0.99, 1.01):
            alpha = min(p * factor, 0.9999)
            one = stratified_paired(
                weights, b[:, column], c[:, column], pairs, 1 - alpha, method=method
            )
            excludes = one.lower > 0 or one.upper < 0
            assert excludes == (factor > 1 and p < 1)
    assert answer.p_overall[0] < (1e-4 if method == "clopper-pearson" else 1.001)
    assert answer.p_overall[1] == 1
    # Symmetric under exchange.
    other = stratified_paired(weights, c, b, pairs, 0.95, method=method)
    np.testing.assert_allclose(other.p_overall, answer.p_overall, rtol=1e-9)
    np.testing.assert_array_equal(other.lower, -answer.upper)


def test_strata_without_pairs_and_with_one_fate_are_told_apart():
    blind = stratified_paired(WEIGHTS, [50, 0], [0, 0], [1000, 0], 0.95)
    known = stratified_paired(WEIGHTS, [50, 0], [0, 0], [1000, 0], 0.95, equal=[False, True])
    assert (blind.unsampled, known.unsampled) == (0.2, 0)
    assert known.lower == pytest.approx(blind.lower + 0.2, rel=1e-12)
    assert known.p_overall < 1e-7
    assert blind.p_overall == 1
    assert known.p_exact == mcnemar(50, 0)
    wider = stratified_paired(
        WEIGHTS, [50, 0], [0, 0], [1000, 0], 0.95, equal=[False, True], errors=[1e-3, 0]
    )
    assert wider.lower < known.lower
    assert wider.upper > known.upper
    more = stratified_paired(
        WEIGHTS, [50, 0], [0, 0], [1000, 0], 0.95, equal=[False, True], maybe_second=[20, 0]
    )
    assert more.lower < known.lower
    assert more.p_overall > known.p_overall
    assert more.p_exact == mcnemar(50, 20)


def test_extreme_differences_have_p_values():
    answer = stratified_paired([1.0], [10**9], [0], [10**9], 0.95)
    assert 0 < answer.p_overall < 1e-54
    tiny = stratified_paired(
        [1 - 1e-30, 1e-30], [0, 900], [0, 20], [1000, 1000], 0.95, equal=[True, False]
    )
    assert tiny.difference == pytest.approx(8.8e-31, rel=1e-9)
    assert tiny.lower > 7.5e-31
    assert tiny.p_overall < 1e-20


def test_bad_pairs_are_refused():
    with pytest.raises(InputError, match="failures"):
        stratified_paired(WEIGHTS, [3, 11], [0, 0], [10, 10], 0.9)
    with pytest.raises(InputError, match="do not fit"):
        stratified_paired(WEIGHTS, [3, 1], [0, 0, 1], [10, 10], 0.9)
    with pytest.raises(InputError, match="method = 'mover' is not known"):
        stratified_paired(WEIGHTS, [3, 1], [0, 0], [10, 10], 0.9, method="mover")
    with pytest.raises(InputError, match="confidence"):
        stratified_paired(WEIGHTS, [3, 1], [0, 0], [10, 10], 1.0)
