"""Enclosures of formulas: whatever a formula does on a panel lies inside."""

import math
import random

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.problem.expression import FUNCTIONS, OPERATIONS, parse_expression
from jaxsim.problem.interval_arithmetic import ARITHMETIC
from jaxsim.problem.intervals import SELECTIONS, enclose

FORMULAS = [
    "x**2 - x*x + 0.1*x**3",
    "x**5 - 2*x**4 + x",
    "(x - 0.3)**-3",
    "1/(1 + 25*x**2)",
    "exp(-40*(x - 0.123)**2)",
    "tanh(20*(x - 0.31))",
    "sin(7*x)*cos(3*x + 1)",
    "sqrt(x + 1.01) + log(x + 1.001)",
    "(x + 1.5)**0.3 / (x + 2)**1.7",
    "arctan(3*x) + sinh(2*x) - cosh(x)",
    "tan(1.2*x)",
    "2**x + (x + 2)**x",
    "exp(sin(5*x)) / (2 + cos(x))",
]
OVERFLOWING = [
    "1/(1 + exp(-1000*(x - 0.3))) + 1/cosh(1000*x)**2",
    "exp(-exp(1000*x)) + tanh(sinh(900*x)) + 1/(1 + (1e200*x)**2)",
]
SELECTING = [
    "abs(x - 0.2)",
    "relu(x)*x - min(x, x**2, 0.1)",
    "max(x, 0.5 - x, sin(3*x))",
    "clip(3*x, -1, 2) + sign(x + 0.5)*step(x) - heaviside(x - 0.7)",
    "where(x**2 < 0.25 and not x > 0.1, exp(x), x)",
    "(x <= 0.3) + (x >= -0.3) + (x == 0.5) + (x != 0.25) + (x < 0 or x > 0.4)",
]


def test_every_function_has_an_enclosure():
    assert set(ARITHMETIC) | set(SELECTIONS) | {"**"} == set(FUNCTIONS) | set(OPERATIONS)


@pytest.mark.parametrize("formula", [*FORMULAS, *SELECTING, *OVERFLOWING])
def test_values_lie_inside(formula):
    (node,) = parse_expression(formula, 1).nodes
    rng = np.random.default_rng(0)
    middle, half = rng.uniform(-1, 1, 400), 10 ** rng.uniform(-9, 0, 400)
    low, high = np.maximum(middle - half, -1), np.minimum(middle + half, 1)
    found = enclose(node, low[None], high[None])
    for share in (0, 0.1, 0.5, 0.77, 1):
        x = np.clip(low + share * (high - low), low, high)
        values = np.asarray(parse_expression(formula, 1)(jnp.asarray(x)[:, None]))[:, 0]
        slop = 1e-13 * np.abs(values) + 1e-13  # of the values themselves
        assert (found.low[0] - slop <= values).all()
        assert (values <= found.high[0] + slop).all()


@pytest.mark.parametrize("formula", FORMULAS)
def test_taylor_coefficients_lie_inside(formula):
    """Against mpmath's derivatives at random points of random panels."""
    (node,) = parse_expression(formula, 1).nodes
    rng = random.Random(1)
    names = {name: getattr(mpmath, name) for name in ("exp", "tanh", "sin", "cos", "sqrt", "log")}
    names |= {"arctan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tan": mpmath.tan}
    code = compile(formula, "formula", "eval")
    with mpmath.workdps(60):
        for _ in range(4):
            middle, half = rng.uniform(-0.9, 0.9), 10 ** rng.uniform(-4, -1.5)
            found = enclose(node, np.array([[middle - half]]), np.array([[middle + half]]), 8)
            x = middle + rng.uniform(-1, 1) * half
            exact = mpmath.taylor(lambda t: eval(code, names, {"x": t}), x, 8)
            for k, coefficient in enumerate(exact):
                size = 1e-13 * max(1, abs(coefficient))
                assert found.low[k, 0] - size <= coefficient <= found.high[k, 0] + size


def test_what_divides_by_what_overflows_is_next_to_nothing():
    for formula in ("1/(1 + exp(-1000*x))", "1/cosh(1000*x)", "x/cosh(700*x)**3"):
        (node,) = parse_expression(formula, 1).nodes
        found = enclose(node, np.array([[-1.0]]), np.array([[-0.9]]))
        assert found.size[0, 0] <= 1e-300


def test_branches_without_a_change_of_sign_are_smooth():
    (node,) = parse_expression("abs(x - 0.25) + where(x < 0.5, x**2, sin(x))", 1).nodes
    low, high = np.array([[-1.0, 0.25, 0.5]]), np.array([[0.25, 0.5, 1.0]])
    smooth = enclose(node, low, high, 3, decided=True)
    assert np.isfinite(smooth.size).all()
    assert smooth.high[1, 1] < 1 + 1 + 1e-9  # 1 + 2 x
    across = enclose(node, np.array([[0.2]]), np.array([[0.6]]), 3)
    assert np.isinf(across.size[1:]).all()
    assert np.isfinite(across.size[0]).all()


@pytest.mark.parametrize(
    ("formula", "low", "high"),
    [
        ("1/x", -0.5, 1.0),
        ("1/x", 0.0, 1.0),
        ("tan(2*x)", 0.7, 0.8),
        ("log(x)", 0.0, 1.0),
        ("abs(x)**-0.3", -0.1, 0.1),
        ("x**-2", -0.1, 0.2),
        ("1/(x - 0.3)", 0.3, 0.4),
    ],
)
def test_poles_are_unbounded(formula, low, high):
    (node,) = parse_expression(formula, 1).nodes
    assert np.isinf(enclose(node, np.array([[low]]), np.array([[high]])).size[0, 0])


@pytest.mark.parametrize(
    "formula", ["1/(x**2 + 1e-9)", "exp(-1/(1e-3 + abs(x)))", "x/(2 + sin(x))"]
)
def test_bounded_functions_are_bounded(formula):
    (node,) = parse_expression(formula, 1).nodes
    assert np.isfinite(enclose(node, np.array([[-1.0]]), np.array([[1.0]])).size).all()


def test_several_variables_on_boxes():
    (node,) = parse_expression("x1*x2 - 1/(x1 + x3)", 3).nodes
    rng = np.random.default_rng(2)
    low = rng.uniform(0.1, 1, (3, 50))
    high = low + rng.uniform(0, 1, (3, 50))
    found = enclose(node, low, high)
    for _ in range(20):
        a, b, c = low + rng.uniform(0, 1, (3, 50)) * (high - low)
        values = a * b - 1 / (a + c)
        assert (found.low[0] <= values).all()
        assert (values <= found.high[0]).all()
    assert math.isinf(enclose(node, -np.ones((3, 1)), np.ones((3, 1))).size[0, 0])
