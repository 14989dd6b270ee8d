"""Best constants of targets with narrow features, cancellation or unbounded growth."""

import math

import numpy as np
import pytest

from jaxsim.problem.input_laws import PointsLaw
from jaxsim.risk.constants import best_constant_risk
from tests.problem.test_rounding import chebyshev
from tests.risk.cases import make_problem


def gaussian_variance(k):
    """Of exp(-k (x - c)^2) under the uniform law on [-1, 1], tails beyond it neglected."""
    return math.sqrt(math.pi / (2 * k)) / 2 - (math.sqrt(math.pi / k) / 2) ** 2


@pytest.mark.parametrize("k", [1e6, *(pytest.param(k, marks=pytest.mark.slow) for k in (1e4, 1e9))])
def test_the_best_constant_of_a_narrow_peak(k):
    found = best_constant_risk(make_problem(f"exp(-{k}*(x - 0.123)**2)"))
    truth = gaussian_variance(k)
    assert abs(found.value - truth) <= found.error <= 1e-6 * truth


@pytest.mark.slow
def test_the_best_constant_of_a_step_that_is_smooth():
    found = best_constant_risk(make_problem("tanh(1000*(x - 0.31))", loss="absolute"))
    truth = (2 * 0.69) / 2  # E|f - m| with the median m = -1, steepness aside
    assert abs(found.value - truth) <= found.error + 2e-3
    assert found.error < 1e-2


def test_cancellation_counts():
    clean = best_constant_risk(make_problem("x**2"))
    rough = best_constant_risk(make_problem("(x + 1e4)**2 - 2e4*x - 1e8"))
    assert abs(rough.value - 4 / 45) <= rough.error
    assert rough.error > 100 * clean.error
    x = np.linspace(-1, 1, 40)[:, None]
    points = PointsLaw(x, np.full(40, 1 / 40))
    found = best_constant_risk(make_problem(chebyshev(20), law=points))
    exact = np.cos(20 * np.arccos(np.clip(x[:, 0], -1, 1)))
    assert 1e-17 < abs(found.value - exact.var()) <= found.error < 1e-6


def test_a_narrow_piece_counts_in_what_is_proved():
    """Between two close roots the target is 1: a constant has the risk .01 * .99."""
    found = best_constant_risk(make_problem("where((x - 0.5)**10 < 1e-20, 1, 0)"))
    assert found.evidence.proved
    assert abs(found.value - 0.0099) <= found.error + 1e-15 < 1e-12


@pytest.mark.slow
def test_constants_whose_risks_could_be_infinite_are_not_claimed():
    found = best_constant_risk(make_problem("1/sqrt(abs(x))"))
    assert found.error == math.inf
