"""Bounds on the rounding of formulas, judged by mpmath."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.problem.expression import FUNCTIONS, OPERATIONS, parse_expression
from jaxsim.problem.rounding import RULES, with_rounding
from tests.problem.exact import exact_value


def chebyshev(degree):
    coefficients = np.polynomial.chebyshev.cheb2poly([0] * degree + [1])
    return " + ".join(f"({int(c)})*x**{k}" for k, c in enumerate(coefficients) if c)


# (formula, the largest error that is seen, the largest bound that is no waste)
CANCELLING = [
    (chebyshev(20), 1e-12, 1e-7),
    ("(x + 10000)**2 - 20000*x - 100000000", 1e-9, 1e-6),
    ("(x + 1e7)**1 - 1e7", 0.0, 1e-7),
    ("((x + 100000000) - 100000000) + 0.001", 1e-16, 1e-6),
    ("(1 - cos(1e-3*x)) / 1e-7", 1e-11, 1e-6),
    ("exp(x + 20) - exp(20)*(1 + x)", 1e-8, 1e-4),
    ("tan(1.5 + 0.07*x)", 1e-15, 1e-9),
    ("sqrt((x + 100)**2 - x**2 - 200*x) - 100", 1e-15, 1e-9),
    ("(x + 3)**1.5 - (3 + x)*sqrt(x + 3)", 1e-16, 1e-12),
    ("log(1 + 1e-9*x) * 1e9", 1e-9, 1e-5),
    ("(x*1e4)**3/1e12 - x*x*x", 1e-18, 1e-13),
    ("sinh(3*x) - cosh(3*x) + exp(-3*x) + tanh(x)**2 + arctan(9*x)", 1e-16, 1e-12),
    ("max(x, 1e6*x + 1e6 - 1e6) - min(x*1e3, 1e9)/1e3 + abs(x - 0.1) + relu(x)", 1e-11, 1e-8),
    ("clip((x + 1e5) - 1e5, -0.5, 0.5) + 1/(x + 1.01) + (x + 2)**-3", 1e-14, 1e-10),
    ("where(x > 0.25, (x + 1e6)**2 - 1e12, 7*x)", 1e-6, 1e-2),
    # What is cut off has no error, however large it was.
    ("relu(1 - (1e3*x)**8) + max(-1e20*x**2, 0.5) + min(1e20*x**2, 2)", 0.0, 1e-12),
    ("clip((1e6*x + 1e22) - 1e22, -1e3, 1e3) - clip(1e18*x, -1e3, 1e3)", 0.0, 2.1e3),
]


# Formulas with parts that overflow, and with values that are flat where their arguments are not.
OVERFLOWING = [
    "1/(1 + exp(-1000*(x - 0.3)))",
    "x / (1 + exp(-900*x) + 2)",
    "1/cosh(1000*(x - 0.3))**2",
    "exp(-exp(1000*x)) + exp(-cosh(900*x))",
    "1/(1 + (1e200*x)**2) + 1/((1e200*x)*(1e200*x) + 1)",
    "tanh(exp(800*x)) + arctan(sinh(1000*x))",
    "min(exp(1000*x), 1) + where(exp(1000*x) > 2, 1, 0)",
    "1/(exp(800*x) + exp(-800*x))",
]


@pytest.mark.parametrize("formula", OVERFLOWING)
def test_what_overflows_inside_a_formula_has_a_small_error(formula):
    x = np.concatenate([np.random.default_rng(3).uniform(-1, 1, 60), [-1.0, 1.0, 0.31]])
    (node,) = parse_expression(formula, 1).nodes
    with np.errstate(all="ignore"):
        values, bounds = with_rounding(node, [x], [np.zeros_like(x)], np)
    assert bounds.max() <= 1e-2
    with mpmath.workdps(60):
        exact = [exact_value(node, float(t)) for t in x]
        errors = [float(abs(v - e)) for v, e in zip(values.tolist(), exact, strict=True)]
    assert (np.array(errors) <= bounds).all()


def test_an_infinite_value_has_an_infinite_error():
    for formula in ("exp(1000*x)", "log(exp(1000*x))", "exp(1000*x)*1e-300", "sqrt(cosh(900*x))"):
        (node,) = parse_expression(formula, 1).nodes
        with np.errstate(all="ignore"):
            _, bounds = with_rounding(node, [np.array([0.9])], [np.zeros(1)], np)
        assert not bounds[0] < np.inf


def computed(formula, x):
    (node,) = parse_expression(formula, 1).nodes

    def both(x):
        return with_rounding(node, [x], [jnp.zeros_like(x)], jnp)

    return node, jax.jit(both)(jnp.asarray(x))


@pytest.mark.parametrize(("formula", "seen", "waste"), CANCELLING)
def test_bounds_cover_the_cancellation_of_formulas(formula, seen, waste):
    x = np.concatenate([np.random.default_rng(0).uniform(-1, 1, 60), [-1.0, 1.0, 0.0, 1e-9]])
    node, (values, bounds) = computed(formula, x)
    target = np.asarray(parse_expression(formula, 1)(jnp.asarray(x)[:, None]))[:, 0]
    with mpmath.workdps(80):
        exact = [exact_value(node, float(t)) for t in x]
        for found in (values, target):
            errors = np.array(
                [float(abs(v - e)) for v, e in zip(found.tolist(), exact, strict=True)]
            )
            assert (errors <= bounds).all()
            assert seen / 30 <= errors.max()
    assert bounds.max() <= waste


def test_every_operation_has_a_rule():
    assert set(RULES) == set(FUNCTIONS) | set(OPERATIONS)


def test_errors_of_the_variable_are_followed():
    rng = np.random.default_rng(1)
    formulas = ["x**3", "sin(40*x)", "exp(3*x)", "1/(x + 1.1)", "sqrt(x + 1)", "log(x + 1.05)"]
    for formula in [*formulas, "tan(x)", "abs(x)*x", "cosh(5*x) + sinh(x)", "(x + 1)**0.3"]:
        (node,) = parse_expression(formula, 1).nodes
        x, moved = rng.uniform(-1, 1, 200), rng.uniform(-1, 1, 200) * 1e-6
        _, bounds = with_rounding(node, [x], [np.full(200, 1e-6)], np)
        f = parse_expression(formula, 1)
        there = np.asarray(f(jnp.asarray(np.maximum(x + moved, -1))[:, None]))[:, 0]
        errors = np.abs(np.asarray(f(jnp.asarray(x)[:, None]))[:, 0] - there)
        assert (errors <= bounds + 1e-13).all()
        assert np.median(errors / bounds) > 0.05


def test_undecided_comparisons_allow_both_branches():
    noise = "(x + 1e8) - 1e8 - x"
    for formula, apart in [
        (f"where({noise} > 0, 5, 2)", 3.0),
        (f"where({noise} == 0 and x < 2, 5, 2)", 3.0),
        (f"where(not {noise} <= 0 or x > 2, 5, 2)", 3.0),
        (f"sign({noise})", 2.0),
        (f"step({noise})", 1.0),
    ]:
        _, (_, bounds) = computed(formula, np.linspace(-0.9, 0.9, 7))
        assert (bounds >= apart).all()
    _, (_, bounds) = computed(
        "where(x > 0.3, 5, 2) + step(x) + (x == 0.25)", np.array([0.3, 0.25, 0.0])
    )
    assert (bounds < 1e-14).all()


def test_what_is_not_known_is_infinite_or_no_number():
    for formula in ["1/((x + 1e9) - 1e9 - x)", "log((x + 1e9) - 1e9 - x)", "tan(1e17*x)"]:
        _, (_, bounds) = computed(formula, np.linspace(0.1, 0.9, 9))
        assert not np.isfinite(bounds).any()
