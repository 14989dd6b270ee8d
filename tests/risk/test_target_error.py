"""Cancellation inside of a target is part of the bound on rounding."""

from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.problem.input_laws import PointsLaw
from jaxsim.risk import make_risk
from jaxsim.risk.target_error import point_errors, target_error_on
from jaxsim.risk.teacher import TeacherTarget
from tests.problem.exact import exact_value
from tests.problem.test_rounding import chebyshev
from tests.risk.cases import make_network, make_problem, members


def exact_square_risk(node, a, b, low=-1, high=1):
    """E (a x + b - f(x))^2 for x uniform, by Gauss-Legendre of 60 nodes at 50 digits."""
    with mpmath.workdps(50):
        value: Any = mpmath.quad(
            lambda x: (a * x + b - exact_value(node, x)) ** 2, [low, 0, high], maxdegree=5
        )
        return value / (high - low)


@pytest.mark.parametrize(
    ("formula", "seen", "waste"),
    [
        (chebyshev(20), 1e-14, 1e-7),
        pytest.param(chebyshev(12), 1e-16, 1e-10, marks=pytest.mark.slow),
        ("(x + 10000)**2 - 20000*x - 100000000", 1e-12, 1e-6),
        pytest.param("(x + 1e6)**2 - 2e6*x - 1e12", 1e-9, 1e-2, marks=pytest.mark.slow),
        pytest.param("x*1e9 + x**2 - 1e9*x", 1e-9, 1e-5, marks=pytest.mark.slow),
    ],
)
def test_risks_of_cancelling_polynomials_are_within_their_bound(formula, seen, waste):
    problem, network = make_problem(formula), make_network(1, 1)
    rule = make_risk(problem, network)
    assert rule.exact
    (node,) = problem.target.expression.nodes
    theta = np.array([[0.0, 0.0], [0.25, -0.5], [1e-3, 0.3]])
    values, errors = jax.jit(jax.vmap(rule.evaluate))(jnp.asarray(theta))
    found = []
    for (a, b), value, error in zip(theta, values, errors, strict=True):
        truth = exact_square_risk(node, mpmath.mpf(a), mpmath.mpf(b))
        found.append(float(abs(truth - float(value))))
        assert found[-1] <= error <= waste
    assert max(found) >= seen / 100


def test_cancellation_on_a_narrow_piece_is_in_the_bound():
    """Probes at some points of the interval hardly ever meet it, nor does a polynomial show it."""
    for formula in (
        "where(abs(x - 0.5) < 1e-6, 1e3*((x + 1e10) - 1e10), 0)",
        "where(abs(x - 0.5) < 1e-6, (x + 1e10) - 1e10, x)",
        "max(0, where((x - 0.1)**2 < 1e-12, (1e9*x + 1) - 1e9*x, 0))",
    ):
        error = target_error_on(make_problem(formula).target, -1.0, 1.0)
        assert error is not None
        centre = 0.1 if "0.1" in formula else 0.5
        bounds = error(jnp.asarray([[centre], [0.9]]), jnp.zeros((2, 1)))
        assert bounds[0, 0] > 1e-8 > 1e-12 > bounds[1, 0]


@pytest.mark.parametrize("formula", [chebyshev(20), "(x + 1e4)**2 - 2e4*x - 1e8"])
def test_risks_at_points_hold_the_error_of_the_target(formula):
    x = np.random.default_rng(0).uniform(-1, 1, (50, 1))
    problem = make_problem(formula, law=PointsLaw(x, np.full(50, 0.02)))
    network = make_network(1, 1)
    (node,) = problem.target.expression.nodes
    value, error = jax.jit(make_risk(problem, network).evaluate)(jnp.array([0.0, 0.25]))
    with mpmath.workdps(50):
        weights = [mpmath.mpf(w) for w in problem.law.finite[1].tolist()]
        terms = [(mpmath.mpf(0.25) - exact_value(node, float(t))) ** 2 for t in x[:, 0]]
        truth = mpmath.fsum(w * t for w, t in zip(weights, terms, strict=True))
    assert 1e-17 < float(abs(truth - float(value))) <= float(error) < 1e-6


def test_targets_without_cancellation_need_no_bound_of_their_own():
    for formula in [
        "x**2",
        "abs(x)",
        "3*x",
        "x**4 / 7",
        "1 - 0.5*(x >= 0)",
        "where(x > 0.3, 1, 0)",
    ]:
        assert target_error_on(make_problem(formula).target, -1.0, 1.0) is None
    for formula in ["x**2 - 0.5", chebyshev(6)]:
        assert target_error_on(make_problem(formula).target, -1.0, 1.0) is not None
    x = np.array([[0.3], [0.7]])
    target = make_problem("where(x < 0.3, 1, x**2)").target
    assert point_errors(target, x, np.asarray(target(jnp.asarray(x)))) is None


def test_a_teacher_that_cancels_has_its_error_in_the_bound():
    network = make_network(1, 2, 1)
    # 1e8 relu(x + 2) - 1e8 relu(x + 2 + 2^-20): both large, their difference about 95.
    theta = np.array([1.0, 1.0, 2.0, 2 + 2.0**-20, 1e8, -1e8, 1e8 * 2.0**-20])
    rule = make_risk(make_problem(TeacherTarget(network, jnp.asarray(theta))), network)
    value, error = jax.jit(rule.evaluate)(np.zeros(7))
    assert float(value) <= error < 1e-6


def test_undefined_bounds_say_that_nothing_is_known():
    problem, network = make_problem("1 / ((x + 1e17) - 1e17 - x + 1e-3)"), make_network(1, 1)
    value, error = jax.jit(make_risk(problem, network).evaluate)(np.zeros(2))
    assert not np.isfinite(error) or error > value


@pytest.mark.parametrize(
    "loss", ["absolute", pytest.param(("huber", {"delta": 0.3}), marks=pytest.mark.slow)]
)
def test_bounds_serve_every_loss(loss):
    formula = "(x + 1e4)**2 - 2e4*x - 1e8"
    network = make_network(1, 4, 1)
    rough = make_risk(make_problem(formula, loss=loss), network)
    clean = make_risk(make_problem("x**2", loss=loss), network)
    thetas = jnp.asarray(members(network, 20))
    values, errors = jax.jit(jax.vmap(rough.evaluate))(thetas)
    truths, _ = jax.jit(jax.vmap(clean.evaluate))(thetas)
    assert (np.abs(values - truths) <= errors).all()
    assert np.max(np.abs(values - truths)) > 1e-12
