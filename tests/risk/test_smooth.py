"""The true risk of smooth networks with one input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.network import from_flax
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.risk import RiskOptions, make_risk
from tests.risk.cases import (
    draw,
    finite_difference,
    make_network,
    make_problem,
    members,
    plain_forward,
)


def fine_risk(network, theta, target, rho, panels=4000):
    """Composite Gauss-Legendre, five nodes on each of thousands of panels."""
    nodes, weights = np.polynomial.legendre.leggauss(5)
    edges = np.linspace(-1, 1, panels + 1)
    x = ((edges[1:] + edges[:-1])[:, None] / 2 + nodes / panels).ravel()
    residual = plain_forward(network, theta, x[:, None])[:, 0] - target(x)
    return float(rho(residual).reshape(panels, 5).mean(0) @ weights / 2)


@pytest.mark.parametrize(
    ("text", "target", "loss", "rho"),
    [
        pytest.param("x**2", lambda x: x**2, "squared", lambda r: r**2, marks=pytest.mark.slow),
        ("abs(x)", lambda x: abs(x), "absolute", abs),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_errors_cover_the_truth_for_tanh_networks(text, target, loss, rho, scale):
    network = make_network(1, 6, 5, 1, activation="tanh")
    rule = make_risk(make_problem(text, loss=loss), network)
    thetas = members(network, 20, seed=3) * scale
    values, errors = jax.jit(jax.vmap(rule.evaluate))(thetas)
    for theta, value, error in zip(thetas, values, errors, strict=True):
        truth = fine_risk(network, theta, target, rho)
        assert abs(value - truth) <= error + 1e-6 * (loss == "absolute") * truth
        assert error <= (1e-10 if scale == 1 and loss == "squared" else 1e-1) * truth


def test_squared_relu_has_exact_kinks_and_hardly_any_error():
    network = make_network(1, 6, 1, activation="relu_power")
    rule = make_risk(make_problem("x**2"), network)
    theta = draw(network, 1)
    value, error = jax.jit(rule.evaluate)(theta)
    w, b = theta[:6], theta[6:12]
    x = np.linspace(-1, 1, 2_000_001)
    hidden = np.maximum(np.outer(x, w) + b, 0) ** 2
    truth = np.trapezoid((hidden @ theta[12:18] + theta[18] - x**2) ** 2, x) / 2
    assert abs(value - truth) < 1e-9 * truth
    assert error < 1e-11 * truth


def test_gradient_is_that_of_the_risk():
    network = make_network(1, 4, 1, activation="tanh")
    rule = make_risk(make_problem("x**2"), network)
    theta = draw(network, 0)
    gradient = jax.jit(jax.grad(rule.population_loss))(theta)
    expected = finite_difference(lambda t: rule.evaluate(t)[0], theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_a_module_of_ones_own_is_integrated_too():
    flax_linen = pytest.importorskip("flax.linen")

    class Bump(flax_linen.Module):
        @flax_linen.compact
        def __call__(self, x):
            return flax_linen.Dense(1)(jnp.sin(x))

    network = from_flax(Bump(), 1, 1)
    rule = make_risk(make_problem("0"), network)
    theta = jnp.array([0.0, 2.0])  # the bias comes first: 2 sin(x) + 0
    value, error = jax.jit(rule.evaluate)(theta)
    sine = 2 * (1 - np.sin(2) / 2)
    assert min(abs(value - sine), abs(value - 4)) < 1e-12
    assert error < 1e-4


def test_normal_inputs_reach_the_second_moment():
    network = make_network(1, 3, 1, activation="tanh")
    law = INPUT_LAWS["normal"](mean=1.0, std=0.5)
    rule = make_risk(make_problem("x", law=law), network, RiskOptions(nodes=600))
    value, error = jax.jit(rule.evaluate)(np.zeros(network.size))
    assert abs(value - 1.25) < 1e-13
    assert error < 1e-9
