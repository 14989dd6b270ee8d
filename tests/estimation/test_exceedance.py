"""Estimates: what they carry, and that undecided runs never make them wrong."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.estimation import Counts, classify, clopper_pearson, estimates, wilson
from jaxsim.evidence import estimated, stated
from jaxsim.optimum.bracket import Bracket

KNOWN = {"optimum": Bracket.of(0.1, 0.3, "stated")}


def counts_of(failures: int, undecided: int, runs: int, diverged: int = 0) -> Counts:
    one = np.array([[failures]]), np.array([[undecided]]), runs, np.array([diverged])
    return Counts(*one)


def single(counts: Counts, **kwargs):
    rest = {"experiment": "e", "confidence": 0.95, **KNOWN, **kwargs}
    return estimates(counts, [7], [0.5], **rest)[0][0]


def test_carries_everything_a_reader_needs():
    bounds = [
        SimpleNamespace(value=0.0625, reason="all neurons born inactive", evidence=estimated("q"))
    ]
    e = single(counts_of(30, 5, 100, 2), lower_bounds=bounds, interval="wilson", confidence=0.9)
    assert (e.experiment, e.step, e.eps, e.runs) == ("e", 7, 0.5, 100)
    assert (e.failures, e.undecided, e.diverged) == (30, 5, 2)
    assert (e.estimate, e.estimate_upper) == (0.3, 0.35)
    assert e.lower == wilson(30, 100, 0.9)[0]
    assert e.upper == wilson(35, 100, 0.9)[1]
    assert (e.method, e.rigorous, e.confidence) == ("wilson", False, 0.9)
    assert (e.optimum_lower, e.optimum_upper, e.optimum_reason) == (0.1, 0.3, "stated")
    assert (e.lower_bound, e.lower_bound_reason) == (0.0625, "all neurons born inactive")
    assert e.lower_bound_evidence == "estimated"
    assert all(type(v) in (str, int, float, bool) for v in vars(e).values())


def test_estimated_errors_of_the_risks_are_no_rigorous_interval():
    assert single(counts_of(3, 0, 10)).rigorous
    found = single(counts_of(3, 0, 10), risk=estimated("quadrature"))
    assert (found.rigorous, found.evidence) == (False, "estimated")


def test_a_stated_optimum_is_no_rigorous_interval():
    said = Bracket.of(0.1, 0.1, "stated", stated("the study states the optimal risk, 0.1"))
    found = single(counts_of(3, 0, 10), optimum=said)
    assert (found.rigorous, found.evidence) == (False, "stated")


def test_is_indexed_by_threshold_then_checkpoint():
    risk = np.random.default_rng(0).exponential(size=(200, 3))
    eps = [0.1, 0.5]
    table = estimates(
        classify(risk, 0 * risk, 0, 0, eps), [0, 10, 20], eps, experiment="e", confidence=0.95,
        optimum=Bracket.of(0.0, 0.0, "known"),
    )  # fmt: skip
    assert [[e.step for e in row] for row in table] == [[0, 10, 20]] * 2
    for g, row in enumerate(table):
        for t, e in enumerate(row):
            assert e.eps == eps[g]
            assert e.failures == (risk[:, t] > eps[g]).sum()
            assert (e.lower, e.upper) == clopper_pearson(e.failures, 200, 0.95)
            assert e.rigorous
            assert e.lower_bound == 0.0


@pytest.mark.parametrize("fail", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("undecided", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_covers_whatever_share_of_the_undecided_truly_fails(fail, undecided, share):
    # (F, U) is multinomial; all outcomes are listed. A share of the undecided mass truly fails.
    n, confidence = 25, 0.9
    truth = fail + share * undecided
    failures, open_ = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    possible = failures + open_ <= n
    failures, open_ = failures[possible], open_[possible]
    lower = clopper_pearson(np.arange(n + 1), n, confidence)[0]
    upper = clopper_pearson(np.arange(n + 1), n, confidence)[1]
    cells = np.stack([failures, open_, n - failures - open_], axis=1)
    weight = stats.multinomial(n, [fail, undecided, 1 - fail - undecided]).pmf(cells)
    assert weight.sum() == pytest.approx(1)
    covered = (lower[failures] <= truth) & (truth <= upper[failures + open_])
    assert weight[covered].sum() >= confidence - 1e-12
    # The very same ends are what `estimates` returns.
    for f, u in ((3, 4), (0, n), (n, 0)):
        e = single(counts_of(f, u, n), confidence=confidence)
        assert (e.lower, e.upper) == (lower[f], upper[f + u])


def simulate_bracketed(rng, experiments: int, runs: int, method) -> tuple[int, float]:
    """Return misses and the truth: risks with errors, the optimum 0.2 inside [0.1, 0.3]."""
    eps, misses = 0.5, 0
    truth = float(np.exp(-eps))  # true risks are 0.2 + Exp(1)
    for _ in range(experiments):
        true = 0.2 + rng.exponential(size=(runs, 1))
        error = rng.uniform(0, 0.2, size=true.shape)
        computed = true + error * rng.choice([-1.0, 1.0], size=true.shape)
        e = method(computed, error, eps)
        misses += not (e.lower <= truth <= e.upper)
    return misses, truth


def test_covers_errors_and_bracket_where_ignoring_them_does_not():
    # Misses are Bin(400, <= .05): more than 52 have a probability of 1e-9 at most.
    def honest(computed, error, eps):
        return single(classify(computed, error, 0.1, 0.3, [eps]))

    def naive(computed, error, eps):
        return single(classify(computed, 0 * error, 0.3, 0.3, [eps]))

    assert stats.binom.sf(52, 400, 0.05) < 1e-9
    rng = np.random.default_rng(3)
    assert simulate_bracketed(rng, 400, 600, honest)[0] <= 52
    assert simulate_bracketed(rng, 400, 600, naive)[0] > 200


def test_the_best_risk_of_the_same_runs_never_counts_too_many_failures():
    rng = np.random.default_rng(4)
    eps = np.linspace(0, 1, 11)
    for _ in range(50):
        risk = 0.2 + rng.exponential(size=(30, 1))
        counts = classify(risk, 0 * risk, 0.0, risk.min(), eps)
        truly = (risk > 0.2 + eps).sum(0)
        assert (counts.failures[:, 0] <= truly).all()
        assert (truly <= counts.possible[:, 0]).all()


def test_no_runs_say_nothing():
    e = single(Counts.zero(1, 1))
    assert (e.runs, e.estimate, e.estimate_upper, e.lower, e.upper) == (0, 0.0, 1.0, 0.0, 1.0)


def test_estimates_do_not_increase_in_eps():
    risk = np.random.default_rng(5).exponential(size=(300, 1))
    eps = np.linspace(0, 3, 40)
    table = estimates(
        classify(risk, 0.01 + 0 * risk, 0, 0.1, eps), [1], eps, experiment="e", confidence=0.95,
        optimum=Bracket.of(0.0, 0.3, "known"),
    )  # fmt: skip
    for name in ("estimate", "estimate_upper", "lower", "upper"):
        assert (np.diff([getattr(row[0], name) for row in table]) <= 1e-12).all()


@pytest.mark.parametrize(
    "change",
    [{"interval": "wald"}, {"confidence": 1.5}, {"lower_bounds": [None, None]}],
    ids=lambda c: next(iter(c)),
)
def test_bad_input_is_refused(change):
    with pytest.raises(InputError):
        single(counts_of(1, 0, 10), **change)


def test_counts_of_other_checkpoints_are_refused():
    with pytest.raises(InputError, match="shape"):
        estimates(Counts.zero(1, 2), [1], [0.5], experiment="e", confidence=0.95, **KNOWN)
