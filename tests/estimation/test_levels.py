"""Levels: which runs are at the same one, and intervals that hold for all of them together."""

import numpy as np
import pytest
from scipy import stats

from jaxsim.estimation import level_intervals, level_labels


def test_runs_at_one_level_differ_by_rounding_only():
    level = np.array([4 / 45, 4 / 45 / 16, 4 / 45 / 81])
    risk = np.concatenate([level * (1 + 1e-11), level, level[1:2] * (1 + 1e-7), [np.nan, 0.3]])
    settled = np.arange(9) != 8
    assert level_labels(risk, settled).tolist() == [3, 1, 0, 3, 1, 0, 2, -1, -1]
    assert level_labels([], np.zeros(0, bool)).tolist() == []
    # Exact fits leave a risk of the size of rounding.
    assert level_labels([0.0, 1e-33, 3e-31, 1.0], np.ones(4, bool)).tolist() == [0, 0, 0, 1]


def test_a_level_has_the_exact_interval_of_the_runs_after_the_one_that_discovered_it():
    labels = np.array([0] * 10 + [1] + [0, 1, 0] * 9 + [-1, 0])
    found = level_intervals(labels, 0.9)
    assert found.counts.tolist() == [29, 10]
    assert found.elsewhere == 1
    for k, (label, first) in enumerate([(0, 0), (1, 10)], start=1):
        later = labels[first + 1 :]
        hits, tail = int((later == label).sum()), 0.05 / (k * (k + 1)) / 2
        low = stats.beta.ppf(tail, hits, len(later) - hits + 1)
        high = stats.beta.isf(tail, hits + 1, len(later) - hits)
        assert found.lower[label] == pytest.approx(low, rel=1e-9)
        assert found.upper[label] == pytest.approx(high, rel=1e-9)
    # Only the run at no level was unseen in the first half: one of 20.
    assert found.unseen == pytest.approx(stats.beta.isf(0.05, 2, 19), rel=1e-9)


@pytest.mark.parametrize("probabilities", [[0.6, 0.3, 0.08, 0.02], [0.5, *[0.0005] * 1000]])
def test_all_intervals_and_the_unseen_mass_hold_together(probabilities):
    """Of many rare levels, too; more misses than allowed here occur once in a million."""
    rng = np.random.default_rng(8)
    p, repetitions, missed = np.array(probabilities), 400, 0
    for _ in range(repetitions):
        drawn = rng.choice(len(p), size=60, p=p / p.sum())
        names, labels = np.unique(drawn, return_inverse=True)
        found = level_intervals(labels, 0.8)
        inside = (found.lower <= p[names]) & (p[names] <= found.upper)
        missed += not (inside.all() and 1 - p[names].sum() <= found.unseen + 1e-12)
    assert missed <= stats.binom.isf(1e-6, repetitions, 0.2)


def test_few_runs_say_little_and_nothing_wrong():
    one = level_intervals([0], 0.95)
    assert (one.lower.tolist(), one.upper.tolist(), one.unseen) == ([0.0], [1.0], 1.0)
    none = level_intervals([], 0.95)
    assert (none.counts.tolist(), none.elsewhere, none.unseen) == ([], 0, 1.0)
    assert level_intervals([-1, -1, -1, -1], 0.95).elsewhere == 4


def test_risks_of_the_size_of_rounding_are_one_level():
    """Descent towards an infimum of 0 that is not attained ends anywhere near it."""
    risk = [2.4e-15, 2.9e-15, 4e-15]
    assert level_labels(risk, [True] * 3).tolist() == [0, 1, 2]
    assert level_labels(risk, [True] * 3, scale=2.3).tolist() == [0, 0, 0]
