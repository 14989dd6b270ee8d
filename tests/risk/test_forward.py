"""The bound on rounding errors of a network's values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.activations import ACTIVATIONS
from jaxsim.problem.input_laws import PointsLaw
from jaxsim.risk import make_risk
from jaxsim.risk.forward import forward, largest_slope
from tests.risk.cases import draw, make_network, make_problem


# A bound by moduli grows with every layer where the errors themselves cancel.
@pytest.mark.parametrize(
    ("widths", "activation", "least"),
    [
        pytest.param((3, 8, 2), "relu", 1e-2, marks=pytest.mark.slow),
        ((3, 8, 8, 8, 8, 8, 1), "relu", 1e-4),
        ((3, 9, 9, 1), "tanh", 1e-3),
    ],
)
def test_bound_covers_single_precision_without_waste(widths, activation, least):
    network = make_network(*widths, activation=activation)
    values = jax.jit(lambda theta, x: forward(network, theta, x))
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    ratios = []
    for seed in range(10):
        theta = draw(network, seed).astype(np.float32)
        single, bound = values(theta, x)
        exact, _ = values(theta.astype(np.float64), x.astype(np.float64))
        np.testing.assert_allclose(
            exact, network.apply(jnp.asarray(theta, jnp.float64), jnp.asarray(x, jnp.float64)),
            rtol=1e-12, atol=1e-12,
        )  # fmt: skip
        ratios.append(np.max(abs(single - exact), axis=0) / bound)
    assert np.max(ratios) <= 1
    assert np.max(ratios) > least


@pytest.mark.parametrize(("name", "slope"), [("relu", 1), ("hard_tanh", 1), ("identity", 1)])
def test_slopes_of_piecewise_linear_activations(name, slope):
    assert largest_slope(ACTIVATIONS[name]()) == slope
    assert abs(largest_slope(ACTIVATIONS["leaky_relu"](negative_slope=-3.0)) - 3) < 1e-15


GRID = np.linspace(-1, 1, 9)[:, None]


@pytest.mark.parametrize("law", ["uniform", PointsLaw(GRID, np.full(9, 1 / 9))])
def test_neurons_that_are_never_active_carry_no_error(law):
    """Hidden pre-activations of 1e50 before dead neurons say nothing of an output of 1e30."""
    network = make_network(1, 4, 4, 1)
    theta = draw(network, 0)
    theta[:8] *= 1e25
    theta[8:24] = -abs(theta[8:24]) * 1e25
    theta[24:28] = -1.0
    theta[28:32] *= 1e20
    theta[32] = 1e30
    value, error = jax.jit(make_risk(make_problem(law=law), network).evaluate)(theta)
    assert value == pytest.approx(1e60, rel=1e-12)
    assert abs(value - 1e60) <= error < 1e-9 * value


@pytest.mark.parametrize("activation", ["hard_tanh", pytest.param("tanh", marks=pytest.mark.slow)])
def test_saturated_neurons_carry_the_error_of_their_values_only(activation):
    network = make_network(1, 5, 5, 5, 1, activation=activation)
    law = PointsLaw(GRID, np.full(9, 1 / 9))
    rule = make_risk(make_problem(law=law), network)
    for seed in range(5):
        theta = draw(network, seed) * 1e30
        value, error = jax.jit(rule.evaluate)(theta)
        assert 1e55 < value
        assert error < 1e-9 * value


@pytest.mark.parametrize(
    "activation",
    [
        "hard_tanh",
        *(pytest.param(a, marks=pytest.mark.slow) for a in ("relu", "leaky_relu", "tanh")),
    ],
)
def test_the_bound_of_huge_networks_covers_single_precision(activation):
    network = make_network(2, 6, 6, 1, activation=activation)
    values = jax.jit(lambda theta, x: forward(network, theta, x))
    x = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    for seed in range(8):
        theta = (draw(network, seed) * 10.0 ** (seed % 8)).astype(np.float32)
        theta[-1] += 1e3
        single, bound = values(theta, x)
        exact, _ = values(theta.astype(np.float64), x.astype(np.float64))
        assert (np.max(abs(single - exact), axis=0) <= bound).all()
