"""Classification of runs against a plain loop over runs, checkpoints and thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxsim.errors import InputError
from jaxsim.estimation import Counts, Outcome, classify, outcomes


def outcome(risk: float, error: float, lower: float, upper: float, eps: float) -> Outcome:
    """The definition, one run at a time."""
    if math.isnan(risk) or math.isinf(risk):
        return Outcome.FAIL
    if math.isnan(error) or math.isinf(error):
        return Outcome.UNDECIDED
    if risk - error > upper + eps:
        return Outcome.FAIL
    if risk + error <= lower + eps:
        return Outcome.PASS
    return Outcome.UNDECIDED


# A coarse lattice, so that risks meet thresholds exactly.
RISKS = st.sampled_from([-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 1e9, np.nan, np.inf, -np.inf])
ERRORS = st.sampled_from([0.0, 0.0, 0.25, 0.5, np.nan, np.inf])


@settings(deadline=None, max_examples=150)
@given(data=st.data(), runs=st.integers(0, 12), checkpoints=st.integers(1, 3))
def test_counts_equal_a_plain_loop(data, runs, checkpoints):
    risk = data.draw(hnp.arrays(np.float64, (runs, checkpoints), elements=RISKS))
    error = data.draw(hnp.arrays(np.float64, (runs, checkpoints), elements=ERRORS))
    lower, upper = sorted(data.draw(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, np.inf])] * 2)))
    lower = 0.5 if lower == np.inf else lower
    eps = data.draw(st.sampled_from([[0.0, 0.25, 1.0], [1.0, 0.0, 0.25] * 8]))
    counts = classify(risk, error, lower, upper, eps)
    assert counts.runs == runs
    for t in range(checkpoints):
        column = list(zip(risk[:, t], error[:, t], strict=True))
        assert counts.diverged[t] == sum(not math.isfinite(r) for r, _ in column)
        for g, e in enumerate(eps):
            found = [outcome(r, s, lower, upper, e) for r, s in column]
            assert counts.failures[g, t] == found.count(Outcome.FAIL)
            assert counts.undecided[g, t] == found.count(Outcome.UNDECIDED)
            assert counts.possible[g, t] == runs - found.count(Outcome.PASS)
            assert outcomes(risk, error, lower, upper, e)[:, t].tolist() == found


@settings(deadline=None, max_examples=60)
@given(
    risk=hnp.arrays(np.float64, (20, 2), elements=RISKS),
    error=hnp.arrays(np.float64, (20, 2), elements=ERRORS),
    cut=st.integers(0, 20),
)
def test_shards_add_up_and_counts_do_not_increase_in_eps(risk, error, cut):
    eps = np.linspace(0, 2, 9)
    whole = classify(risk, error, 0.25, 0.5, eps)
    parts = [classify(risk[s], error[s], 0.25, 0.5, eps) for s in (slice(cut), slice(cut, None))]
    summed = Counts.zero(9, 2) + parts[0] + parts[1]
    assert summed.runs == whole.runs
    for name in ("failures", "undecided", "diverged"):
        np.testing.assert_array_equal(getattr(summed, name), getattr(whole, name))
        assert getattr(summed, name).dtype == np.int64
    assert (np.diff(whole.failures, axis=0) <= 0).all()
    assert (np.diff(whole.possible, axis=0) <= 0).all()


def test_a_known_optimum_and_exact_risks_leave_nothing_undecided():
    risk = np.random.default_rng(1).exponential(size=(1000, 2))
    counts = classify(risk, np.zeros_like(risk), 0.1, 0.1, [0.0, 0.5])
    assert not counts.undecided.any()
    np.testing.assert_array_equal(counts.failures[1], (risk > 0.6).sum(0))


def test_a_wider_bracket_or_error_never_decides_more():
    rng = np.random.default_rng(2)
    risk, error = rng.exponential(size=(500, 1)), rng.exponential(0.05, size=(500, 1))
    eps = np.linspace(0, 2, 7)
    tight = classify(risk, error, 0.2, 0.25, eps)
    for loose in (classify(risk, error, 0.1, 0.3, eps), classify(risk, 2 * error, 0.2, 0.25, eps)):
        assert (loose.failures <= tight.failures).all()
        assert (loose.possible >= tight.possible).all()


def test_counts_of_other_thresholds_do_not_add():
    with pytest.raises(InputError, match="do not add up"):
        Counts.zero(2, 1) + Counts.zero(3, 1)


@pytest.mark.parametrize(
    ("risk", "error", "lower", "upper", "eps", "word"),
    [
        (np.zeros(3), np.zeros(3), 0, 1, [0.1], "shape"),
        (np.zeros((3, 1)), np.zeros((3, 2)), 0, 1, [0.1], "shape"),
        (np.zeros((3, 1)), np.zeros((3, 1)), 1, 0, [0.1], "bracket"),
        (np.zeros((3, 1)), np.zeros((3, 1)), np.nan, 1, [0.1], "bracket"),
        (np.zeros((3, 1)), np.zeros((3, 1)), 0, 1, [np.inf], "eps"),
        (np.zeros((3, 1)), -np.ones((3, 1)), 0, 1, [0.1], "error"),
    ],
)
def test_bad_input_is_named(risk, error, lower, upper, eps, word):
    with pytest.raises(InputError, match=word):
        classify(risk, error, lower, upper, eps)


@pytest.mark.parametrize(("runs", "thresholds"), [(300, 40), (5000, 3), (1, 9), (0, 40)])
def test_counts_are_those_of_the_definition_whatever_the_way_of_counting(runs, thresholds):
    rng = np.random.default_rng(runs)
    # Coarse values: many runs lie exactly at thresholds.
    risk = rng.integers(0, 20, (runs, 3)) / 16
    error = rng.integers(0, 3, (runs, 3)) / 16
    risk[rng.random(risk.shape) < 0.1] = np.nan
    risk[rng.random(risk.shape) < 0.1] = np.inf
    error[rng.random(risk.shape) < 0.1] = np.inf
    eps = np.arange(thresholds) / 32
    counts = classify(risk, error, 0.25, 0.5, eps)
    for g, value in enumerate(eps):
        for t in range(3):
            found = [outcome_of(*pair, value) for pair in zip(risk[:, t], error[:, t], strict=True)]
            assert counts.failures[g, t] == found.count("failure")
            assert counts.undecided[g, t] == found.count("undecided")


def outcome_of(risk: float, error: float, eps: float) -> str:
    if not math.isfinite(risk):
        return "failure"
    if not math.isfinite(error):
        return "undecided"
    if risk - error > 0.5 + eps:
        return "failure"
    return "pass" if risk + error <= 0.25 + eps else "undecided"
