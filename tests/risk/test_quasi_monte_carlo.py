"""Randomized quasi-Monte Carlo risks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.risk import RiskOptions, make_risk
from jaxsim.risk.quasi_monte_carlo import quasi_monte_carlo_rule
from jaxsim.risk.teacher import TeacherTarget
from tests.risk.cases import (
    draw,
    finite_difference,
    make_network,
    make_problem,
)


@pytest.mark.slow
def test_intervals_hold_the_closed_form_as_often_as_stated():
    """A correct rule fails with probability below 1e-6: 40 independent scramblings."""
    network, teacher = make_network(3, 4, 1), make_network(3, 2, 1)
    target = TeacherTarget(teacher, jnp.asarray(draw(teacher, 2)))
    problem = make_problem(target, law=INPUT_LAWS["normal"](dimension=3))
    truth = make_risk(problem, network)
    theta = draw(network, 0)
    exact, held = jax.jit(truth.evaluate)(theta)[0], 0
    for seed in range(40):
        options = RiskOptions(points=64, replicates=6, confidence=0.8, seed=seed)
        rule = quasi_monte_carlo_rule(problem, network, options)
        value, error = rule.evaluate(jnp.asarray(theta))
        held += int(abs(value - exact) <= error)
    # A nominal .8 is allowed down to .6 for the non-normality of few scrambled points.
    assert held >= stats.binom(40, 0.6).ppf(1e-6)
    assert held < 40


@pytest.mark.parametrize(
    ("law", "parameters", "text", "truth"),
    [
        ("uniform", {"dimension": 3}, "x1 * x2 + x3", 1 / 9 + 1 / 3),
        pytest.param("ball", {"dimension": 2, "radius": 2.0}, "x1", 1.0, marks=pytest.mark.slow),
        ("sphere", {"dimension": 4}, "x1**2", 3 / 24),
    ],
)
def test_the_second_moment_of_the_target_is_the_risk_of_zero(law, parameters, text, truth):
    x = INPUT_LAWS[law](**parameters)
    network = make_network(x.dimension, 3, 1)
    rule = make_risk(make_problem(text, law=x, dimension=x.dimension), network)
    assert rule.evidence.word == "estimated"
    value, error = jax.jit(rule.evaluate)(np.zeros(network.size))
    assert abs(value - truth) <= error < 1.5e-2 * truth


def test_points_are_the_same_for_equal_seeds_only():
    network = make_network(2, 3, 1)
    problem = make_problem("x1 * x2", dimension=2)
    theta = draw(network, 0)
    values = [
        float(jax.jit(make_risk(problem, network, RiskOptions(seed=s)).evaluate)(theta)[0])
        for s in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_population_loss_is_the_value_and_its_gradient():
    network = make_network(2, 3, 1, activation="tanh")
    rule = make_risk(make_problem("x1 * x2", dimension=2), network, RiskOptions(points=4096))
    theta = draw(network, 0)
    assert abs(jax.jit(rule.population_loss)(theta) - jax.jit(rule.evaluate)(theta)[0]) < 1e-13
    gradient = jax.jit(jax.grad(rule.population_loss))(theta)
    expected = finite_difference(lambda t: rule.evaluate(t)[0], theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)
    single = jax.jit(rule.population_loss)(jnp.asarray(theta, jnp.float32))
    assert single.dtype == jnp.float32


def test_inactive_neurons_have_exactly_no_gradient():
    network = make_network(2, 3, 1)
    theta = draw(network, 0)
    theta[[1, 4]], theta[7] = 0.3, -0.61
    rule = make_risk(make_problem("x1 * x2", dimension=2), network)
    gradient = jax.jit(jax.grad(rule.population_loss))(theta)
    assert gradient[1] == gradient[4] == gradient[7] == gradient[10] == 0
