"""The bound on rounding errors of a network's values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.activations import ACTIVATIONS
from jaxsim.risk.forward import forward, largest_slope
from tests.risk.cases import draw, make_network


# A bound by moduli grows with every layer where the errors themselves cancel.
@pytest.mark.parametrize(
    ("widths", "activation", "least"),
    [
        ((3, 8, 2), "relu", 1e-2),
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
