import math
import random
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.problem.expression import parse_expression
from jaxsim.problem.piecewise import analyze
from jaxsim.problem.roots import real_roots


def pieces(formula, low=-1.0, high=1.0):
    return analyze(parse_expression(formula, 1), low, high)


def values(formula, x):
    return np.asarray(parse_expression(formula, 1)(jnp.asarray(x)[:, None]))


ROOT_TENTH = 0.1**0.25
KNOWN = [
    ("x**2", (), 2),
    ("(x - 1) * (x + 1) - x**2 + 1", (), 0),
    ("7", (), 0),
    ("abs(x - 0.3)", (0.3,), 1),
    ("relu(2*x + 1)", (-0.5,), 1),
    ("relu(x) - relu(-x)", (), 1),
    ("abs(x) * abs(x)", (), 2),
    ("abs(x)**3", (0.0,), 3),
    ("sign(x - 0.25)", (0.25,), 0),
    ("step(x + 0.25) * x**2", (-0.25,), 2),
    ("heaviside(x**2 - 0.25)", (-0.5, 0.5), 0),
    ("max(x, 0.5, -x)", (-0.5, 0.5), 1),
    ("min(x, x**2)", (0.0,), 2),
    ("clip(3*x, -1, 2)", (-1 / 3, 2 / 3), 1),
    ("where(x < 0.1, x, x**2) / 4", (0.1,), 2),
    ("-0.5 < x < 0.25", (-0.5, 0.25), 0),
    ("x < -0.5 or x > 0.5 and not x > 0.75", (-0.5, 0.5, 0.75), 0),
    ("x if x >= 0.125 else 1", (0.125,), 1),
    ("abs(x**4 - 0.1)", (-ROOT_TENTH, ROOT_TENTH), 4),
    ("abs(abs(abs(x) - 0.5) - 0.25)", (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75), 1),
    ("abs((x - 0.3)**3)", (0.3,), 3),
    ("abs((x - 0.3)**5 * (x + 0.7)**2)", (0.3,), 7),
    ("exp(sign(x)) * x", (0.0,), 1),
    ("0 * sin(x)", (), 0),
    ("where(x > 0.5, 1, where(x > -0.5, 2, 3))", (-0.5, 0.5), 0),
    ("abs(x - 2)", (), 1),
    ("x == x", (), 0),
]


@pytest.mark.parametrize(("formula", "breakpoints", "degree"), KNOWN)
def test_breakpoints_and_degrees(formula, breakpoints, degree):
    found = analyze(parse_expression(formula, 1), -1.0, 1.0)
    assert found.breakpoints == pytest.approx(breakpoints, abs=1e-15)
    assert found.degree == degree
    assert found.complete


SMOOTH = [
    ("sin(3*x)", (), True),
    ("2**x", (), True),
    ("where(x > 0.1, exp(x), 0)", (0.1,), True),
    ("sqrt(abs(x - 0.2))", (0.2,), True),
    ("1 / (x + 3)", (), True),
    ("abs(sin(3*x + 1))", (-1 / 3, (math.pi - 1) / 3), False),
    ("step(cos(4*x))", (-math.pi / 8, math.pi / 8), False),
    ("max(exp(x), 1.5)", (math.log(1.5),), False),
    ("tanh(x) < x**2", (0.0, 0.8224), False),
]


@pytest.mark.parametrize(("formula", "breakpoints", "complete"), SMOOTH)
def test_other_functions_are_smooth_between_breakpoints(formula, breakpoints, complete):
    found = analyze(parse_expression(formula, 1), -1.0, 1.0)
    tolerance = 1e-3 if "tanh" in formula else 1e-14
    assert found.breakpoints == pytest.approx(breakpoints, abs=tolerance)
    assert found.complete is complete
    constant = "step" in formula or "<" in formula
    assert found.degree == (0 if constant else None)


def random_formula(rng, depth):
    if depth == 0:
        return rng.choice(["x", "x", f"{rng.uniform(-1, 1):.2f}"])
    a, b, c = (random_formula(rng, depth - 1) for _ in range(3))
    return rng.choice(
        [
            f"({a} + {b})", f"({a} - {b})", f"({a}) * ({b})", f"abs({a})", f"relu({a})",
            f"max({a}, {b})", f"min({a}, {b}, {c})", f"where({a} < {b}, {c}, {a})",
            f"sign({a})", f"step({a} - 0.1)", f"clip({a}, -0.5, 0.25)", f"({a})**2",
        ]
    )  # fmt: skip


def test_random_piecewise_polynomials_are_what_the_pieces_say():
    rng = random.Random(1)
    pieces_seen = 0
    for _ in range(30):
        formula = random_formula(rng, 3)
        found = analyze(parse_expression(formula, 1), -1.0, 1.0)
        assert found.complete
        assert found.degree is not None
        edges = [-1.0, *found.breakpoints, 1.0]
        pieces_seen += len(edges) - 1
        for low, high in pairwise(edges):
            assert high > low
            # Not symmetric: single points such as the 0 of sign(x)^2 are no pieces.
            x = low + (high - low) * np.linspace(0.01, 0.987654, 2 * found.degree + 9)
            y = values(formula, x)[:, 0]
            fit = np.polynomial.Chebyshev.fit(x, y, found.degree)
            scale = max(1, np.abs(y).max())
            np.testing.assert_allclose(fit(x), y, atol=1e-10 * scale, err_msg=formula)
    assert pieces_seen > 50


def test_random_breakpoints_are_necessary():
    # Across a breakpoint that matters, no polynomial of the stated degree fits.
    rng = random.Random(2)
    kept = needed = 0
    for _ in range(40):
        formula = random_formula(rng, 2)
        found = analyze(parse_expression(formula, 1), -1.0, 1.0)
        for t in found.breakpoints:
            x = t + 1e-3 * np.linspace(-1, 1, 4 * found.degree + 10)
            y = values(formula, x)[:, 0]
            fit = np.polynomial.Chebyshev.fit(x, y, found.degree)
            kept += 1
            needed += np.abs(fit(x) - y).max() > 1e-13 * max(1, np.abs(y).max())
    assert kept > 15
    assert needed >= 0.8 * kept


def test_polynomial_is_given_if_it_is_only_one():
    assert pieces("(x + 1)**2 - 3").polynomial == (-2.0, 2.0, 1.0)
    assert pieces("abs(x)").polynomial is None
    assert pieces("sin(x)").polynomial is None
    assert pieces("abs(x + 2)").polynomial == (2.0, 1.0)
    assert pieces("x, x").polynomial is None


def test_outputs_are_taken_together():
    found = analyze(parse_expression(["abs(x)", "x**3", "step(x - 0.5)", "abs(x)"], 1), -1, 1)
    assert found.breakpoints == (0.0, 0.5)
    assert found.degree == 3
    assert found.complete
    assert analyze(parse_expression(["abs(x)", "sin(x)"], 1), -1, 1).degree is None


def test_far_from_the_origin():
    found = pieces("abs((x - 1000)**2 - 0.25)", 999.0, 1001.0)
    assert found.breakpoints == pytest.approx((999.5, 1000.5), rel=1e-15)


def test_too_many_pieces_are_admitted():
    formula = "x"
    for _ in range(20):
        formula = f"abs(2 * {formula} - 1)"
    found = pieces(formula, 0.0, 1.0)
    assert not found.complete
    assert found.degree is None


def test_high_degrees_count_as_no_polynomial():
    assert pieces("x**64").degree == 64
    assert pieces("(x**9)**9").degree is None
    assert pieces("(x**9)**9").complete


@pytest.mark.parametrize("seed", range(5))
def test_roots_of_polynomials_agree_with_their_factors(seed):
    rng = np.random.default_rng(seed)
    roots = np.sort(rng.uniform(-1, 1, 6))
    outside = rng.uniform(1.5, 3, 2)
    coefficients = np.polynomial.polynomial.polyfromroots([*roots, *outside])
    found = real_roots(tuple(coefficients), -1.2, 1.2)
    np.testing.assert_allclose(found, roots, atol=1e-9)


def test_refuses_several_variables_and_empty_intervals():
    with pytest.raises(InputError, match="one dimension only"):
        analyze(parse_expression("x1", 2), -1, 1)
    with pytest.raises(InputError, match="no interval"):
        pieces("x", 1.0, 1.0)


@pytest.mark.parametrize(
    ("formula", "complete"),
    [
        ("where(abs(x - 0.5) < 2e-16, 1e10, 0)", False),
        ("where((x - 0.1)**2 < 1e-40, 1e25, x**2)", False),
        ("where(x > 0.1, 1e10, 0) * where(x < 0.10000000000000003, 1, 0)", False),
        # Roots that are no floats are those of one kink, beside which nothing else happens.
        ("abs(abs(3*x - 1) - 0.1) + relu(abs(3*x - 1))", True),
        ("min(abs(3*x - 1), abs(7*x - 1), 0.1) + where(3*x < 1, 1, 0)", True),
    ],
)
def test_pieces_between_neighbouring_floats_are_not_lost_in_silence(formula, complete):
    """Their risk, height^2 times width, may be all there is."""
    found = analyze(parse_expression(formula, 1), -1.0, 1.0)
    assert found.complete is complete
    assert complete or found.polynomial is None
