"""Strata: exact coverage by enumeration, limits against independent optimization, three parts."""

from __future__ import annotations

import functools
import itertools

import mpmath
import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from jaxsim.errors import InputError
from jaxsim.estimation import (
    INTERVALS,
    Counts,
    StratifiedCounts,
    clopper_pearson,
    confidence_sequence,
    precise,
    stratified,
)
from jaxsim.estimation.anytime import sequence_lower, sequence_upper
from jaxsim.estimation.stratified import fixed_shares, one_end, shares

WEIGHTS = np.array([0.7, 0.28, 0.02])


def counts_of(
    failures: ArrayLike,
    runs: ArrayLike,
    weights: ArrayLike = WEIGHTS,
    *,
    undecided: ArrayLike = 0,
    decided: ArrayLike | None = None,
    errors: ArrayLike = 0.0,
) -> StratifiedCounts:
    x = np.asarray(failures, np.int64)
    w = np.asarray(weights, float)
    fate = np.zeros(x.shape, np.int8) if decided is None else np.asarray(decided, np.int8)
    return StratifiedCounts(
        w, np.broadcast_to(np.asarray(errors, float), w.shape), x, x + np.asarray(undecided),
        np.asarray(runs, np.int64), fate,
    )  # fmt: skip


def all_outcomes(runs):
    """Every table of failures, [S, C]."""
    return np.array(list(itertools.product(*(range(n + 1) for n in runs)))).T


@functools.lru_cache(maxsize=32)
def every_interval(method, runs, confidence, weights):
    """Return all outcomes and their intervals, which know nothing of f."""
    x = all_outcomes(runs)
    return x, stratified(counts_of(x, runs, weights), confidence, method)


def coverage(method, f, runs, confidence, weights=WEIGHTS):
    """Exact probability that the interval holds sum of weight times f."""
    x, s = every_interval(method, runs, confidence, tuple(weights))
    law = np.prod([stats.binom.pmf(k, n, p) for k, n, p in zip(x, runs, f, strict=True)], 0)
    p = float(np.dot(weights, f))
    return (
        law[(s.lower <= p) & (p <= s.upper)].sum(),
        law[p < s.lower].sum(),
        law[p > s.upper].sum(),
    )


@pytest.mark.parametrize("method", INTERVALS)
@pytest.mark.parametrize("confidence", [0.5, 0.95, 1 - 1e-9])
def test_one_stratum_is_the_interval_itself(method, confidence):
    k = np.array([[0, 1, 5, 30], [10, 999, 995, 1000]])
    u = np.array([[0, 7, 0, 20], [3, 1, 0, 0]])
    plain = StratifiedCounts.plain(Counts(k, u, 1000, np.zeros(4, np.int64)))
    s = stratified(plain, confidence, method)
    function = INTERVALS[method].function
    np.testing.assert_array_equal(s.lower, function(k, 1000, confidence)[0])
    np.testing.assert_array_equal(s.upper, function(k + u, 1000, confidence)[1])
    np.testing.assert_array_equal(s.estimate, k / 1000)
    np.testing.assert_array_equal(s.estimate_upper, (k + u) / 1000)
    np.testing.assert_array_equal(s.unresolved, np.where(k + u == 0, s.upper, 0.0))
    assert s.rigorous == (method in ("clopper-pearson", "mover", "sequence"))
    # A stratum that is decided takes nothing from the only one that is sampled.
    half = counts_of([k[0], 0 * k[0]], [1000, 0], [0.5, 0.5], decided=[[0] * 4, [1] * 4])
    other = stratified(half, confidence, method)
    if method != "sequence":  # its shares may not know what is sampled
        np.testing.assert_allclose(
            other.upper, 0.5 + 0.5 * function(k[0], 1000, confidence)[1], rtol=1e-13
        )
        np.testing.assert_allclose(
            other.lower, 0.5 + 0.5 * function(k[0], 1000, confidence)[0], rtol=1e-13
        )


@pytest.mark.parametrize("method", ["clopper-pearson", "sequence"])
def test_guaranteed_methods_cover_for_all_probabilities(method):
    rng = np.random.default_rng(1)
    cases = [rng.uniform(0, 1, 3) for _ in range(20)] + [rng.uniform(0, 0.2, 3) for _ in range(20)]
    cases += [np.array(f) for f in ((0, 0, 0.5), (1, 1, 1), (0, 0, 0), (0.02, 0, 1), (0.3, 1, 0))]
    for runs in ((6, 5, 4), (15, 2, 9)):
        for f in cases:
            for confidence in (0.6, 0.95):
                _, above, below = coverage(method, f, runs, confidence)
                assert above <= (1 - confidence) / (2 if method == "clopper-pearson" else 1) + 1e-12
                assert above + below <= 1 - confidence + 1e-12


def test_the_guarantee_costs_half_as_much_again_as_an_approximation():
    weights = stats.binom.pmf(np.arange(21), 20, 0.25)
    x = np.array(
        [1, 1, 2, 3, 4, 6, 9, 14, 20, 30, 45, 64, 90, 130, 170, 240, 300, 370, 450, 540, 600]
    )
    runs = np.full(21, 1000)
    widths = [
        (s.upper - s.lower)
        for s in (stratified(counts_of(x, runs, weights), 0.95, m) for m in INTERVALS)
    ]
    width = dict(zip(INTERVALS, widths, strict=True))
    assert width["clopper-pearson"] < 1.6 * width["mover"]
    # Limits of all strata at once add up.
    ends = [clopper_pearson(k, 1000, 1 - 0.05 / 21) for k in x]
    assert width["clopper-pearson"] < 0.45 * np.dot(weights, [e[1] - e[0] for e in ends])


@pytest.mark.parametrize(("method", "least"), [("mover", 0.94), ("profile-likelihood", 0.92)])
def test_approximate_methods_are_close_to_the_confidence(method, least):
    rng = np.random.default_rng(2)
    cases = [rng.uniform(0.15, 0.85, 3) for _ in range(12)]
    covers = [coverage(method, f, (14, 12, 8), 0.95)[0] for f in cases]
    assert min(covers) >= least
    assert np.mean(covers) < 0.985


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("name", ["mover", "wilson", "mid-p"])
def test_mover_is_its_formula(name, upper):
    x, runs = np.array([3, 0, 7]), np.array([50, 20, 9])
    end = np.array([INTERVALS[name].function(k, n, 0.9)[upper] for k, n in zip(x, runs)])  # noqa: B905
    p = np.dot(WEIGHTS, x / runs)
    root = np.sqrt((WEIGHTS**2 * (x / runs - end) ** 2).sum())
    s = stratified(counts_of(x, runs), 0.9, name)
    assert (s.upper if upper else s.lower) == pytest.approx(
        p + root if upper else p - root, rel=1e-12
    )
    assert not s.rigorous


@pytest.mark.parametrize(
    ("x", "runs"),
    [([3, 0, 7], [50, 20, 9]), ([0, 0, 0], [10, 40, 5]), ([1, 2, 5], [1000, 300, 5]),
     ([0, 4, 2], [60, 4, 2])],
)  # fmt: skip
def test_profile_likelihood_solves_its_optimization(x, runs):
    x, runs, c = np.array(x), np.array(runs), stats.chi2.ppf(0.95, 1)

    def deviance(f):
        best = special.xlogy(x, x / runs) + special.xlogy(runs - x, 1 - x / runs)
        return 2 * (best - special.xlogy(x, f) - special.xlogy(runs - x, 1 - f)).sum()

    s = stratified(counts_of(x, runs), 0.95, "profile-likelihood")
    for sign, end in ((1, s.lower), (-1, s.upper)):
        # Log odds make the constraint smooth; several starts, the best feasible point counts.
        best = np.inf
        for start in (0.2, 1.0, 3.0):
            u0 = special.logit((x + start) / (runs + 2 * start))
            found = optimize.minimize(
                lambda u, sign=sign: sign * np.dot(WEIGHTS, special.expit(u)),
                u0, method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
                constraints={"type": "ineq", "fun": lambda u: c - deviance(special.expit(u))},
                bounds=[(-40, 34)] * 3,
            )  # fmt: skip
            if c - deviance(special.expit(found.x)) > -1e-7:
                best = min(best, found.fun)
        assert end == pytest.approx(sign * best, rel=2e-6, abs=1e-12)


def test_bonferroni_is_its_formula_and_its_shares_do_not_know_the_counts():
    runs = np.array([50, 20, 9])
    for upper in (False, True):
        share = shares(WEIGHTS, runs, upper=upper)
        assert share.sum() == pytest.approx(1, rel=1e-14)
        assert (share > 0.05).all()
        two = np.array([50, 20])
        share = shares(np.array([0.7, 0.3]), two, upper=upper)
        for x in ([3, 0], [0, 0], [50, 20]):
            ends = [
                clopper_pearson(k, n, 1 - 0.1 * a)[upper]
                for k, n, a in zip(x, two, share, strict=True)
            ]
            s = stratified(counts_of(np.array(x), two, [0.7, 0.3]), 0.9)
            end = s.upper if upper else s.lower
            assert end == pytest.approx(np.dot([0.7, 0.3], ends), rel=1e-9)
    ends = [
        confidence_sequence(k, n, 1 - 0.1 * a)
        for k, n, a in zip([3, 0, 7], runs, fixed_shares(WEIGHTS), strict=True)
    ]
    s = stratified(counts_of([3, 0, 7], runs), 0.9, "sequence")
    assert s.lower == pytest.approx(np.dot(WEIGHTS, [e[0] for e in ends]), rel=1e-9)
    assert s.upper == pytest.approx(np.dot(WEIGHTS, [e[1] for e in ends]), rel=1e-9)


def test_parts_are_never_mixed():
    weights, errors = np.array([0.5, 0.3, 0.15, 0.04, 0.01]), np.array([1, 2, 3, 4, 5]) * 1e-6
    #          no failure, failures, not sampled, fails, passes by proof
    x, runs, fate = np.array([0, 30, 0, 0, 0]), [1000, 100, 0, 0, 50], [0, 0, 0, 1, -1]
    s = stratified(counts_of(x, runs, weights, decided=fate, errors=errors), 0.95, "mover")
    exact = stratified(counts_of(x, runs, weights, decided=fate), 0.95, "mover")
    assert s.provable == pytest.approx(0.04 - 4e-6, rel=1e-12)
    assert s.passing == pytest.approx(0.01 - 5e-6, rel=1e-12)
    assert s.unsampled == pytest.approx(0.15 + 3e-6, rel=1e-12)
    assert s.resolved == pytest.approx(0.3 * 0.3, rel=1e-12)
    assert s.estimate == pytest.approx(0.04 + 0.09, rel=1e-12)
    nothing = 0.5 * clopper_pearson(0, 1000, 0.95)[1]
    assert exact.unresolved == pytest.approx(0.15 + nothing, rel=1e-12)
    assert exact.lower == pytest.approx(exact.provable + exact.resolved_lower, rel=1e-14)
    assert exact.upper == pytest.approx(0.04 + exact.resolved_upper + 0.15, rel=1e-14)
    # Errors of the weights move both ends outward.
    assert s.lower < exact.lower
    assert s.upper > exact.upper
    # Undecided runs count on the upper side only, and are no evidence of absence.
    more = counts_of(x, runs, weights, decided=fate, undecided=np.array([1, 5, 0, 0, 2]))
    wide = stratified(more, 0.95, "mover")
    assert (wide.lower, wide.estimate) == (exact.lower, exact.estimate)
    assert wide.upper > exact.upper
    assert wide.unresolved == exact.unsampled
    assert wide.estimate_upper == pytest.approx(exact.estimate + 0.5 / 1000 + 0.3 * 0.05, rel=1e-12)


@pytest.mark.parametrize("method", INTERVALS)
def test_nothing_sampled_leaves_what_is_proved(method):
    s = stratified(counts_of([0, 0, 0], [0, 0, 0], decided=[0, -1, 1]), 0.95, method)
    assert (s.lower, s.estimate, s.resolved, s.resolved_upper) == (0.02, 0.02, 0, 0)
    assert s.upper == pytest.approx(0.72, rel=1e-15)
    assert s.unsampled == s.unresolved == 0.7
    # What passes by proof may be all but 1e-30: the rest keeps its digits.
    rest = counts_of([0, 5, 0], [0, 100, 0], [1.0, 1e-30, 0], decided=[-1, 0, 0])
    tiny = stratified(rest, 0.95, method)
    assert 0 < tiny.lower < tiny.estimate < tiny.upper < 3e-31
    sure = stratified(counts_of([0, 0, 0], [0, 0, 0], decided=[-1, -1, 1]), 0.95, method)
    assert sure.lower == sure.upper == sure.estimate == 0.02


@pytest.mark.parametrize("method", INTERVALS)
@pytest.mark.parametrize("confidence", [0.5, 0.95, 1 - 1e-9])
def test_extreme_weights_and_numbers_keep_their_digits(method, confidence):
    tiny, n = 1e-30, 10**9
    weights = np.array([1.0, tiny])
    x = np.array([[0, 0, 0, n], [3, 0, n, n]])
    s = stratified(counts_of(x, [n, n], weights), confidence, method)
    for name in ("lower", "estimate", "upper", "unresolved"):
        assert np.isfinite(getattr(s, name)).all()
    assert ((s.lower <= s.estimate * (1 + 1e-12)) & (s.estimate <= s.upper * (1 + 1e-12))).all()
    assert s.estimate[0] == pytest.approx(3e-39, rel=1e-12)
    assert 0 < s.lower[0] < 3e-39
    assert s.lower[1] == 0
    assert 0.9e-30 < s.lower[2] <= 1e-30
    assert s.upper[3] == 1
    assert s.upper[1] < 1e-6
    if method == "clopper-pearson":
        tail = (1 - confidence) / 2 * shares(weights, np.array([n, n]), upper=False)[1]
        with mpmath.workdps(40):
            f = mpmath.mpf(float(s.lower[0])) / mpmath.mpf(tiny)
            less = sum(mpmath.binomial(n, k) * f**k * (1 - f) ** (n - k) for k in range(3))
            assert abs((1 - less) / mpmath.mpf(float(tail)) - 1) < 1e-9


@pytest.mark.parametrize("method", INTERVALS)
def test_more_failures_never_lower_an_end(method):
    x = all_outcomes((7, 5, 3))
    s = stratified(counts_of(x, (7, 5, 3)), 0.9, method)
    place = {tuple(column): i for i, column in enumerate(x.T.tolist())}
    for column, i in place.items():
        for k in range(3):
            after = place.get(tuple(c + (j == k) for j, c in enumerate(column)))
            if after is not None:
                assert s.lower[after] >= s.lower[i] * (1 - 1e-12)
                assert s.upper[after] >= s.upper[i] * (1 - 1e-12)


def adaptive_misses(paths: int, looks: int, seed: int) -> float:
    """Share of paths on which the sequence misses at some look, whichever stratum it likes next."""
    rng = np.random.default_rng(seed)
    weights, f = np.array([0.6, 0.3, 0.1]), np.array([0.02, 0.3, 0.7])
    alpha = 0.05 * fixed_shares(weights)[:, None]
    n, x = np.zeros((3, paths)), np.zeros((3, paths))
    missed, p = np.zeros(paths, bool), float(np.dot(weights, f))
    for look in range(looks):
        # What a runner would do, and worse: add to the stratum that has failed most often so far.
        batch = np.full((3, paths), 2 + look // 4)
        worst = np.argmax(weights[:, None] * (x + 1) / (n + 2), 0)
        batch[worst, np.arange(paths)] *= 6
        x += rng.binomial(batch, np.broadcast_to(f[:, None], batch.shape))
        n += batch
        lower = (weights[:, None] * sequence_lower(x, n, alpha)).sum(0)
        upper = (weights[:, None] * sequence_upper(x, n, alpha)).sum(0)
        missed |= (p < lower) | (p > upper)
    return float(missed.mean())


def ever_missed(method, paths: int, looks: int, p: float, seed: int) -> float:
    """Share of paths on which an interval for one probability misses at some look."""
    rng = np.random.default_rng(seed)
    stops = np.unique(np.geomspace(1, 100_000, looks).astype(int))
    stops = np.concatenate([stops, 100_000 + 500 * np.arange(1, looks - len(stops) + 1)])
    x = rng.binomial(np.diff(stops, prepend=0), p, (paths, len(stops))).cumsum(1)
    lower, upper = INTERVALS[method].function(x, stops, 0.95)
    return float(((p < lower) | (p > upper)).any(1).mean())


def test_the_sequence_holds_at_every_look_and_adaptive_choice():
    assert adaptive_misses(300, 25, 5) <= 0.05
    assert ever_missed("sequence", 300, 60, 0.1, 6) <= 0.05
    # The interval for one look does not.
    assert ever_missed("mover", 300, 60, 0.1, 6) > 0.15


@pytest.mark.slow
def test_ten_thousand_paths_of_two_hundred_looks_miss_in_five_percent_at_most():
    for p in (0.3, 0.01, 1e-3):
        assert ever_missed("sequence", 10_000, 200, p, 11) <= 0.05
    assert adaptive_misses(10_000, 200, 12) <= 0.05


def test_precise_reads_both_ends():
    lower, upper, p = (
        np.array([0.1, 0.0, 0.1]),
        np.array([0.2, 0.02, 0.3]),
        np.array([0.15, 0, 0.2]),
    )
    assert precise(lower, upper, p, half_width=0.05).tolist() == [True, True, False]
    assert precise(lower, upper, p, relative=0.4).tolist() == [True, False, False]
    assert precise(lower, upper, p, half_width=0.2, relative=0.4).tolist() == [True, False, False]
    assert not precise(np.nan, np.nan, np.nan, half_width=1.0)
    for bad in ({}, {"half_width": 0.0}, {"relative": -1.0}, {"relative": np.nan}):
        with pytest.raises(InputError, match=r"half_width|relative"):
            precise(0.0, 1.0, 0.5, **bad)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"failures": [4, 0, 0]}, "failures"),
        ({"runs": [3, 3]}, "do not belong to 3 strata"),
        ({"weights": [0.5, 0.4, 0.2]}, "add up to 1.1"),
        ({"weights": [1.5, -0.5, 0.0]}, ">= 0"),
        ({"weights": [np.nan, 0.5, 0.5]}, ">= 0"),
        ({"errors": -1e-9}, ">= 0"),
        ({"undecided": -1}, "failures"),
        ({"decided": [0, 2, 0]}, "decided"),
    ],
)
def test_bad_counts_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        counts_of(**{"failures": [1, 0, 3], "runs": [3, 3, 3], **change})


def test_counts_of_the_same_strata_add_up():
    one = counts_of([1, 0, 3], [3, 3, 3])
    both = one + counts_of([2, 1, 0], [5, 3, 0], undecided=np.array([1, 0, 0]))
    assert both.failures.tolist() == [3, 1, 3]
    assert both.possible.tolist() == [4, 1, 3]
    assert both.runs.tolist() == [8, 6, 3]
    with pytest.raises(InputError, match="different strata"):
        _ = one + counts_of([1, 0, 3], [3, 3, 3], WEIGHTS[::-1])
    with pytest.raises(InputError, match="confidence"):
        stratified(one, 1.0)
    with pytest.raises(InputError, match="did you mean 'mover'"):
        stratified(one, 0.9, "movr")


@pytest.mark.parametrize("method", ["clopper-pearson", "sequence", "mover"])
def test_one_end_alone_is_that_of_both(method):
    rng = np.random.default_rng(3)
    runs = np.array([50, 0, 400])
    x = rng.binomial(runs[:, None], 0.1, (3, 7))
    counts = StratifiedCounts(
        np.array([0.7, 0.1, 0.2]), np.full(3, 1e-9), x, np.minimum(x + 2, runs[:, None]), runs,
        np.zeros(x.shape, np.int8),
    )  # fmt: skip
    both = stratified(counts, 0.9, method)
    assert np.array_equal(one_end(counts, 1 - 0.9, method, upper=False), both.lower)
    assert np.array_equal(one_end(counts, 1 - 0.9, method, upper=True), both.upper)
