"""Networks that are constant on the whole support: recognized in every layer, in real numbers."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.activations import clipped_relu, gelu, relu
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.network import Layer, fully_connected
from jaxsim.problem.support import Ball, Box, Everything, Points
from jaxsim.training.inactive import make_inactivity

INTERVAL = Box((-1.0,), (1.0,))
FLOAT32 = jnp.dtype("float32")


def net(*widths, weights="he_normal", biases="zero", activation=None):
    layers = [Layer(i, o, LAWS[weights](), LAWS[biases]()) for i, o in pairwise(widths)]
    return fully_connected(tuple(layers), activation or relu())


def initial(network, count, seed=0):
    return jax.jit(jax.vmap(network.init))(jax.random.split(jax.random.key(seed), count))


@pytest.fixture(scope="module")
def deep():
    """400 networks of 4 narrow layers without biases, what is found, and their hidden images."""
    network = net(1, 3, 3, 3, 3, 1)
    thetas = initial(network, 400)
    found = jax.jit(jax.vmap(make_inactivity(network, INTERVAL, FLOAT32)))(thetas)
    # A network without biases is positively homogeneous: x = 1 and x = -1 say all.
    h = np.tile([[1.0], [-1.0]], (400, 1, 1))
    images = []
    for weights, _ in jax.jit(jax.vmap(network.layers))(thetas)[:-1]:
        h = np.maximum(h @ np.asarray(weights), 0)
        images.append(h)
    return network, thetas, found, images


def test_networks_without_biases_are_constant_exactly_where_both_rays_are_dead(deep):
    _, _, found, images = deep
    dead = (images[-1] == 0).all((1, 2))
    assert np.array_equal(np.asarray(found.constant) == 1, dead)
    assert 30 < dead.sum() < 100
    # All but those that rounding in float32 might wake are certified in the layer itself.
    certified = (np.asarray(found.inactive) == 3).any(1)
    assert not (certified & ~dead).any()
    assert certified.sum() > 0.97 * dead.sum()


def test_what_is_certified_is_inactive_in_the_arithmetic_of_the_training(deep):
    network, thetas, found, images = deep
    x = np.random.default_rng(0).uniform(-1, 1, (400, 1)).astype(np.float32)
    for theta, counts in zip(np.asarray(thetas)[:60], np.asarray(found.inactive)[:60], strict=True):
        h = jnp.asarray(x)
        for number, (weights, biases) in enumerate(
            network.layers(jnp.asarray(theta, FLOAT32))[:-1]
        ):
            h = jax.nn.relu(h @ weights + biases)
            assert int((h == 0).all(0).sum()) >= counts[number]
    inactive = np.stack([(h == 0).all(1).sum(1) for h in images], 1)
    assert np.asarray(found.inactive).sum() > 0.97 * inactive.sum()


def test_zero_biases_after_others_hide_no_constant_network():
    first = Layer(1, 2, LAWS["normal"](), LAWS["normal"]())
    rest = [Layer(2, 2, LAWS["normal"](), None), Layer(2, 1, LAWS["normal"](), None)]
    network = fully_connected((first, *rest), relu())
    # h = relu(x - 1/2), relu(x - 1/4); then -2 h_1 + h_2, positive on (1/4, 3/4), and
    # h_1 / 2 - h_2, which is nowhere positive but 0 for x <= 1/4.
    theta = jnp.array([1.0, 1.0, -0.5, -0.25, -2.0, 0.5, 1.0, -1.0, 1.0, 1.0], jnp.float64)
    inactivity = jax.jit(make_inactivity(network, INTERVAL, FLOAT32))
    assert int(inactivity(theta).constant) == 0
    found = inactivity(theta.at[4].set(-5.0).at[6].set(-1.0))
    assert int(found.constant) == 1
    assert int(found.inactive[1]) >= 1


def test_unbounded_inputs_are_decided_on_two_rays(deep):
    network, thetas, found, images = deep
    everywhere = jax.jit(jax.vmap(make_inactivity(network, Everything(1), FLOAT32)))(thetas)
    assert np.array_equal(everywhere.constant, found.constant)
    certified = (np.asarray(everywhere.inactive) == 3).any(1)
    assert certified.sum() > 0.97 * (images[-1] == 0).all((1, 2)).sum()
    # Once there is a bias, rays do not decide.
    biased = jax.jit(jax.vmap(make_inactivity(network, Everything(1), FLOAT32)))(
        thetas.at[:, 3].set(1e-3)
    )
    assert int(biased.constant.sum()) < 0.3 * int(everywhere.constant.sum())


def vector(network, **changes):
    """Return parameters that are all 1, with (weights or biases of a layer) changed."""
    parts = []
    for number, layer in enumerate(network.layer_specs):
        parts.append(np.full(layer.fan_in * layer.fan_out, changes.get(f"w{number}", 1.0)).ravel())
        parts.append(np.full(layer.fan_out, changes.get(f"b{number}", 1.0)))
    return jnp.asarray(np.concatenate(parts))


@pytest.mark.parametrize(
    ("activation", "support"),
    [
        (relu(), INTERVAL),
        (relu(), Ball(1.0, 2)),
        (gelu(), Box((0.0, -1.0), (1.0, 1.0))),
        (clipped_relu(), Points(np.array([[0.1, 0.0], [0.3, -2.0]]))),
    ],
    ids=["relu", "ball", "gelu", "points"],
)
def test_constant_without_an_inactive_layer(activation, support):
    network = net(support.dimension, 2, 2, 1, activation=activation)
    constant = jax.jit(make_inactivity(network, support, FLOAT32))
    for changes, expected in [
        ({}, 0),
        ({"w2": 0.0}, 1),  # output weights
        ({"w1": 0.0}, 1),  # weights of the second layer: its neurons are active, but constant
        ({"w0": 0.0}, 1),
    ]:
        found = constant(vector(network, b0=0.0, b1=0.5, **changes))
        assert int(found.constant) == expected, changes
        assert "w0" in changes or (np.asarray(found.inactive) < 2).all()


def test_what_only_inactive_neurons_pass_on_is_constant():
    network = net(1, 2, 1, biases="normal")
    found = jax.jit(make_inactivity(network, INTERVAL, FLOAT32))
    # The second neuron is dead; the output does not see the first.
    theta = jnp.array([1.0, 1.0, 0.0, -2.0, 0.0, 5.0, 1.0])
    assert int(found(theta).constant) == 1
    assert int(found(theta.at[4].set(1e-30)).constant) == 0
    assert int(found(theta.at[3].set(-0.5).at[4].set(0.0)).constant) == 0


def test_linear_models_and_what_is_not_finite():
    line = fully_connected((Layer(2, 1, LAWS["normal"](), LAWS["normal"]()),), relu())
    constant = jax.jit(make_inactivity(line, Box((0.0, 2.0), (1.0, 2.0)), FLOAT32))
    # The second coordinate does not vary.
    assert int(constant(jnp.array([0.0, 3.0, 1.0])).constant) == 1
    assert int(constant(jnp.array([0.1, 3.0, 1.0])).constant) == 0
    network = net(1, 2, 1)
    nan = vector(network, w0=np.nan)
    assert int(jax.jit(make_inactivity(network, INTERVAL, FLOAT32))(nan).constant) == 0
