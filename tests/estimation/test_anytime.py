"""The confidence sequence, by exact dynamic programming over all sequences of outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from jaxsim.errors import InputError
from jaxsim.estimation import clopper_pearson, confidence_sequence


def ever_missed(method, p: float, looks: int, confidence: float) -> float:
    """P(p outside the interval at some n <= looks), exactly: law of the count before a miss."""
    law, missed = np.array([1.0]), 0.0
    for n in range(1, looks + 1):
        law = np.concatenate([law * (1 - p), [0.0]]) + np.concatenate([[0.0], law * p])
        lower, upper = method(np.arange(n + 1), n, confidence)
        outside = (p < lower) | (p > upper)
        missed += law[outside].sum()
        law = np.where(outside, 0.0, law)
    return missed


@pytest.mark.parametrize("p", [0.5, 0.1, 0.01])
def test_covers_at_all_looks_together(p):
    assert ever_missed(confidence_sequence, p, 200, 0.9) <= 0.1


def test_a_fixed_sample_interval_does_not():
    assert ever_missed(clopper_pearson, 0.5, 200, 0.9) > 0.25


@pytest.mark.parametrize(("k", "n"), [(0, 1000), (5, 5), (3, 10**6), (500, 1000), (1, 2)])
def test_ends_solve_the_mixture_equation(k, n):
    lower, upper = confidence_sequence(k, n, 0.95)

    def excess(p):
        mixture = special.betaln(k + 0.5, n - k + 0.5) - special.betaln(0.5, 0.5)
        return mixture - special.xlogy(k, p) - special.xlog1py(n - k, -p) - np.log(20)

    if k:
        root = optimize.brentq(excess, 1e-12, k / n, xtol=1e-16)
        assert float(lower) == pytest.approx(root, rel=1e-7)
    else:
        assert lower == 0
    if k < n:
        root = optimize.brentq(excess, max(k / n, 1e-12), 1 - 1e-12, xtol=1e-16)
        assert float(upper) == pytest.approx(root, rel=1e-7)
    else:
        assert upper == 1


def test_is_wider_than_the_interval_for_one_look_but_not_hugely():
    k = np.array([10, 300, 5000])
    lower, upper = confidence_sequence(k, 10_000, 0.95)
    cp_lower, cp_upper = clopper_pearson(k, 10_000, 0.95)
    ratio = (upper - lower) / (cp_upper - cp_lower)
    assert ((ratio > 1.2) & (ratio < 3)).all()


def test_no_runs_say_nothing_and_bad_input_is_refused():
    assert tuple(map(float, confidence_sequence(0, 0, 0.95))) == (0.0, 1.0)
    with pytest.raises(InputError, match="failures"):
        confidence_sequence(3, 2, 0.95)
    with pytest.raises(InputError, match="confidence"):
        confidence_sequence(1, 2, 0)
