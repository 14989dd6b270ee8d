"""Draws given the number of inactive neurons, mixed with its law, are unconditional draws."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsim.design.conditional import FirstLayer, conditional_network, padding_bias
from jaxsim.design.strata import conditional_distribution
from jaxsim.network.activations import relu
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.network import Layer, Network, fully_connected
from jaxsim.problem.support import Ball, Box, Points
from jaxsim.theory.inactive import event_probability
from jaxsim.theory.inactive_event import InactiveEvent
from jaxsim.training.threefry import unrolled
from tests.studies import slow_but
from tests.theory.test_inactive_event import BELOW, real

UNIFORM, NORMAL = LAWS["uniform"](), LAWS["normal"](0.8)
CUT, HE = LAWS["truncated_normal"](0.7), LAWS["he_normal"]()
SQUARE, UNIT_SQUARE = Box((-1.0, -1.0), (1.0, 0.5)), Box((0.0, 0.0), (1.0, 1.0))
TRIANGLE = Points(np.array([[0.3, 1.0], [-1.0, 0.5], [0.4, -0.9]]))
CASES = {
    "uniform": (UNIFORM, UNIFORM, Box((-1.0,), (1.0,))),
    "normal": (NORMAL, NORMAL, Box((-1.0,), (2.0,))),
    "truncated": (CUT, UNIFORM, SQUARE),
    "no biases": (UNIFORM, None, UNIT_SQUARE),
    "ball": (HE, LAWS["normal"](0.7), Ball(0.7, 3)),
    "points": (NORMAL, NORMAL, TRIANGLE),
}
NEURONS, DRAWS = 4, 6000


def networks(name: str) -> tuple[Network, InactiveEvent]:
    weights, biases, support = CASES[name]
    layers = (
        Layer(support.dimension, NEURONS, weights, biases),
        Layer(NEURONS, 3, HE, UNIFORM),
        Layer(3, 1, LAWS["pytorch"](), None),
    )
    return fully_connected(layers, relu()), InactiveEvent.of(layers[0], support, BELOW, "float32")


def draws_by_number(
    network: Network, event: InactiveEvent, name: str, width: int, padding: float | None
) -> list[np.ndarray]:
    """Return parameters of as many draws as the law of K gives each number, by number."""
    found = event_probability(network.layer_specs[0], CASES[name][2], BELOW)
    assert found is not None
    pmf = stats.binom.pmf(np.arange(NEURONS + 1), NEURONS, found[0])
    counts = np.random.default_rng(4).multinomial(DRAWS, pmf)
    init = conditional_network(
        network, FirstLayer(network.layer_specs[0], event, width, padding)
    ).init
    # One program for all numbers, which are data, one of them for every draw.
    data = np.repeat([conditional_distribution(pmf, k, k) for k in range(NEURONS + 1)], counts, 0)
    theta = np.asarray(jax.jit(jax.vmap(init))(random_keys(7), data))
    return np.split(theta, np.cumsum(counts)[:-1])


def random_keys(seed: int) -> jax.Array:
    """Return a key for every draw, of the implementation that compiles in less time."""
    return unrolled(jax.random.split(jax.random.key(seed), DRAWS))


@lru_cache
def plain_draws(name: str) -> np.ndarray:
    """Return unconditional draws."""
    return np.asarray(jax.jit(jax.vmap(networks(name)[0].init))(random_keys(8)))


def outputs(network: Network, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the values [draw, point] of a ReLU network, by NumPy."""
    values = np.broadcast_to(x, (len(theta), *x.shape))
    for number, (weights, biases) in enumerate(network.layout.split(theta, axis=1)):
        values = np.maximum(values, 0) if number else values
        values = values @ weights + (0 if biases is None else biases[:, None, :])
    return values[:, :, 0]


def same_law(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two samples can have one law, by Kolmogorov and Smirnov."""
    test: Any = stats.ks_2samp(a, b)
    return test.pvalue > 1e-8


def first_layer(network: Network, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights [draw, d, units] and biases [draw, units]."""
    (weights, biases), *_ = network.layout.split(theta, axis=1)
    return weights, np.zeros(weights.shape[::2]) if biases is None else biases


def statistics(network: Network, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Return numbers of every draw, with the neurons of the first layer in random order."""
    rng = np.random.default_rng(5)
    order = rng.permuted(np.tile(np.arange(NEURONS), (len(theta), 1)), axis=1)
    weights, biases = first_layer(network, theta)
    w = np.take_along_axis(weights, order[:, None, :], 2)
    b = np.take_along_axis(biases, order, 1)
    second, more = network.layout.split(theta, axis=1)[1]
    v = np.take_along_axis(second, order[:, :, None], 1)
    return {
        "w1": w[:, 0, 0],
        "b1": b[:, 0],
        "w1 b1": w[:, 0, 0] * b[:, 0],
        "w1 v1": w[:, -1, 0] * v[:, 0, 0],
        "w1 w2": w[:, 0, 0] * w[:, 0, 1],
        "b1 b2": b[:, 0] * b[:, 1],
        "sum": w.sum((1, 2)) + b.sum(1),
        "squares": (w**2).sum((1, 2)) - (b**2).sum(1),
        "v1": v[:, 0, 1],
        "v1 v2": v[:, 0, 0] * v[:, 1, 0],
        "bias": more[:, 0],
        "last": theta[:, -1] * v[:, 0, 0],
    }


@pytest.mark.parametrize("name", slow_but(["truncated"], CASES))
def test_the_mixture_is_the_unconditional_law(name):
    network, event = networks(name)
    parts = draws_by_number(network, event, name, NEURONS, None)
    plain = statistics(network, plain_draws(name))
    mixed = statistics(network, np.concatenate(parts))
    for what, numbers in plain.items():
        if np.ptp(numbers):
            assert same_law(numbers, mixed[what]), what
    for number, theta in enumerate(parts):
        w, b = first_layer(network, theta)
        inactive = np.array([real(*wb, CASES[name][2], BELOW) for wb in zip(w, b, strict=True)])
        if len(theta):
            # The inactive ones stand last; none of the others is but for a window of 1e-6.
            assert (inactive == (np.arange(NEURONS) >= NEURONS - number)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_narrow_and_padded_networks_are_the_same_functions_in_law(name):
    network, event = networks(name)
    x = np.random.default_rng(3).uniform(0.05, 0.4, (3, network.inputs))
    if isinstance(CASES[name][2], Points):
        x = TRIANGLE.points
    expected = outputs(network, plain_draws(name), x)
    padded = np.concatenate(
        draws_by_number(network, event, name, NEURONS, padding_bias(event.pieces))
    )
    values = outputs(network, padded, x)
    for point in range(3):
        a, b = expected[:, point], values[:, point]
        assert same_law(a, b)
        # Networks that are 0 at a point are atoms.
        assert abs((a == 0).mean() - (b == 0).mean()) < 5.5 * np.sqrt(0.5 / DRAWS)
    assert same_law(*(v[:, 0] * v[:, 1] for v in (expected, values)))


def test_a_narrow_network_has_the_scales_of_the_whole_one():
    network, event = networks("ball")
    first = FirstLayer(network.layer_specs[0], event, 2, -1.0)
    narrow = conditional_network(network, first)
    assert narrow.hidden == (2, 3)
    assert narrow.size == 3 * 2 + 2 + 2 * 3 + 3 + 3
    distribution = conditional_distribution(np.full(NEURONS + 1, 0.2), 2, 3)
    keys = random_keys(2)
    theta = np.asarray(jax.jit(jax.vmap(narrow.init, (0, None)))(keys, distribution))
    (_, b), (v, _), _ = narrow.layout.split(theta, axis=1)
    # He: variance 2 / fan_in with all four neurons, whatever is left out.
    assert np.var(v) == pytest.approx(2 / NEURONS, rel=0.06)
    assert narrow.layer_specs[1].weights.marginal is not None
    assert narrow.layer_specs[1].weights.marginal(2, 3).std() == pytest.approx((2 / NEURONS) ** 0.5)
    # Two or three are inactive with equal probability; the first two stand for the rest.
    assert (b[:, 1] == -1.0).mean() == pytest.approx(0.5, abs=0.05)
    assert not (b[:, 0] == -1.0).any()


def test_padding_is_well_within_the_flat_piece():
    assert padding_bias(((-np.inf, 0.0),)) == -1.0
    assert padding_bias(((-np.inf, 3.0),)) == 0.0
    assert padding_bias(((-np.inf, -20.0),)) == -40.0
    assert padding_bias(((0.5, np.inf),)) == 1.5
    assert jnp.isfinite(padding_bias(((2.0, np.inf),)))
