"""Targets that grow without bound: refused where every risk is infinite, else said."""

import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.problem.growth import growth_near, loss_growth
from tests.risk.cases import make_problem


@pytest.mark.parametrize(
    ("formula", "law", "place"),
    [
        ("1/x", "uniform", "x = 0"),
        ("tan(2*x)", "uniform", "x = -?0.7854"),
        ("1/(x - 0.3)**2 + x", "uniform", "x = 0.3"),
        ("x / (x**2 - 0.25)", "uniform", "x = -?0.5"),
        ("abs(x)**-0.8", "normal", "x = 0"),
        ("where(x > 0, 1/x, 0)", "uniform", "x = 0"),
    ],
)
def test_targets_whose_risks_are_all_infinite_are_refused(formula, law, place):
    with pytest.raises(InputError, match=rf"problem.target = .*{place}, so that the risk of every"):
        make_problem(formula, law=law)


@pytest.mark.parametrize(
    ("formula", "dimension", "law"),
    [
        ("1/sqrt(abs(x))", 1, "uniform"),
        ("exp(1/x)", 1, "uniform"),
        ("exp(x**2)", 1, "normal"),
        ("exp(9*x)", 1, "normal"),
        ("1/x1 + x2", 2, "uniform"),
        ("1/(x1**2 + x2**2)", 2, "uniform"),
        ("1/(x1 + x2 + x3 - 0.123)", 3, "uniform"),
        ("tan(2*x1)*x2", 2, "normal"),
    ],
)
def test_targets_whose_risks_could_be_infinite_are_named(formula, dimension, law):
    (warning,) = make_problem(formula, law=law, dimension=dimension).warnings
    assert "risks could be infinite" in warning
    assert "problem.target" in warning


@pytest.mark.parametrize(
    ("formula", "dimension", "law"),
    [
        ("x**2", 1, "normal"),
        ("log(abs(x))", 1, "uniform"),
        ("abs(x)**-0.3", 1, "uniform"),
        ("sin(x)/x", 1, "uniform"),
        ("((1 + x) - 1 - x)/x**2", 1, "uniform"),
        ("where(x > 0.1, 1/x, 0)", 1, "uniform"),
        ("exp(2*x)", 1, "normal"),
        ("1/(x**2 + 1e-9)", 1, "uniform"),
        ("log(x1**2 + x2**2)", 2, "uniform"),
        ("x1/(1 + x2**2)", 2, "normal"),
        ("1/(x1*x2*x3*x4*x5 + 2)", 5, "uniform"),
        ("1/(x1**2 + x2**2 - 1.5)", 2, "ball"),
    ],
)
def test_other_targets_are_not_suspected(formula, dimension, law):
    assert make_problem(formula, law=law, dimension=dimension).warnings == ()


def test_the_loss_decides_what_is_integrable():
    assert make_problem("1/sqrt(abs(x))", loss="absolute").warnings == ()
    with pytest.raises(InputError, match="infinite"):
        make_problem("abs(x)**-0.3", loss=("power", {"power": 4.0}))
    (warning,) = make_problem("1/x", loss="absolute").warnings
    assert "infinite" in warning


def test_exponents_of_growth_are_measured():
    for exponent in (0.3, 0.5, 1.0, 2.0):
        found = growth_near(lambda x, a=exponent: np.abs(x - 0.25) ** -a, 0.25, 1e-9, -1.0, 1.0)
        assert found.exponent == pytest.approx(exponent, abs=1e-6)
    assert abs(growth_near(lambda x: np.sin(x) / x, 0.0, 1e-9, -1, 1).exponent) < 1e-6
    assert growth_near(lambda x: np.log(np.abs(x)), 0.0, 1e-12, -1, 1).exponent < 0.05
    assert np.isnan(growth_near(lambda x: np.exp(1 / x), 0.0, 1e-9, -1, 1).exponent)


def test_growth_of_losses():
    losses = [("squared", 2), ("absolute", 1), ("log_cosh", 1), (("power", {"power": 1.5}), 1.5)]
    for name, power in losses:
        assert loss_growth(make_problem("x", loss=name).loss) == pytest.approx(power, abs=1e-3)
