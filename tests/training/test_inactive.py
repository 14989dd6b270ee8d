"""Inactive neurons: counted exactly, unmoved in training, certified for all steps."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.engines.engine import vmap_engine
from jaxsim.network.activations import clipped_relu, relu, relu_power
from jaxsim.network.initializers import normal, uniform
from jaxsim.network.network import Layer, fully_connected
from jaxsim.optimizer import optimizer
from jaxsim.optimizer.methods import METHODS
from jaxsim.problem.support import Ball, Box, Everything, Points
from jaxsim.training import keys
from jaxsim.training.inactive import make_inactivity, make_ranges
from tests.risk.cases import numpy_layers
from tests.studies import slow_but, study

SUPPORTS = {
    "interval": Box((-1.0,), (1.0,)),
    "asymmetric interval": Box((0.5,), (2.0,)),
    "square": Box((-1.0, 0.0), (1.0, 0.5)),
    "disc": Ball(1.5, 2),
    "points": Points(np.random.default_rng(0).uniform(-0.5, 0.8, (700, 2))),
}


def make_inactive(*arguments):
    inactivity = make_inactivity(*arguments)
    return lambda theta: inactivity(theta).inactive


def net(inputs, hidden, activation):
    widths = (inputs, *hidden, 1)
    layers = tuple(Layer(i, o, normal(), uniform()) for i, o in pairwise(widths))
    return fully_connected(layers, activation)


def dense_points(support):
    if isinstance(support, Points):
        return support.points
    if isinstance(support, Ball):
        angle = np.linspace(0, 2 * np.pi, 4001)
        return support.radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    axes = [
        np.linspace(a, b, 4001 if support.dimension == 1 else 2)
        for a, b in zip(support.low, support.high, strict=True)
    ]
    return np.stack([g.ravel() for g in np.meshgrid(*axes)], 1)


def drawn(network, count, law=np.random.Generator.standard_normal):
    """Return parameters [count, P]: weights of a law, biases uniform on [-1, 1]."""
    rng, parts = np.random.default_rng(0), []
    for spec in network.layer_specs:
        parts.append(law(rng, size=(count, spec.fan_in * spec.fan_out)))
        parts.append(rng.uniform(-1, 1, (count, spec.fan_out)))
    return np.concatenate(parts, axis=1)


def brute_force(network, theta, x, activation):
    """Count neurons whose pre-activations at many points all lie in one flat interval."""
    counts, h = [], x
    for weights, biases in numpy_layers(network, theta)[:-1]:
        z = h @ weights + biases
        dead = np.zeros(z.shape[1], bool)
        for low, high in activation.flat:
            dead |= ((z >= low) & (z <= high)).all(0)
        counts.append(int(dead.sum()))
        h = np.asarray(activation.function(z))
    return counts


@pytest.mark.parametrize("activation", [relu(), clipped_relu(-0.2, 0.4)], ids=["relu", "clipped"])
@pytest.mark.parametrize("name", SUPPORTS)
def test_first_layer_counts_are_exact(name, activation):
    support = SUPPORTS[name]
    network = net(support.dimension, (6,), activation)
    count = jax.jit(make_inactive(network, support, jnp.dtype("float32")))
    x = dense_points(support)
    seen = 0
    for theta in drawn(network, 80):
        (expected,) = brute_force(network, theta, x, activation)
        # On the disc the densely sampled supremum is a hair below the true one.
        assert int(count(theta)[0]) == expected or isinstance(support, Ball)
        assert int(count(theta)[0]) <= expected
        seen += expected
    assert seen > 8


@pytest.mark.parametrize(
    "name", slow_but(["interval", "points"], ["interval", "asymmetric interval", "points"])
)
def test_deeper_counts_are_exact_in_one_dimension_and_on_points(name):
    support = SUPPORTS[name]
    network = net(support.dimension, (4, 3, 3), relu())
    count = jax.jit(make_inactive(network, support, jnp.dtype("float32")))
    x = dense_points(support)
    seen = np.zeros(3, int)
    for theta in drawn(network, 80):
        found = count(theta).tolist()
        assert found == brute_force(network, theta, x, relu())
        seen += found
    assert (seen > 5).all()


def test_deeper_counts_on_boxes_are_certain():
    support = SUPPORTS["square"]
    network = net(2, (4, 3, 3), relu())
    count = jax.jit(make_inactive(network, support, jnp.dtype("float32")))
    x = np.random.default_rng(1).uniform((-1, 0), (1, 0.5), (4_000, 2))
    certain = total = 0
    for theta in drawn(network, 80):
        found, sampled = count(theta), brute_force(network, theta, x, relu())
        assert (np.asarray(found) <= sampled).all()
        certain, total = certain + int(found[1:].sum()), total + sum(sampled[1:])
    assert certain > 0.5 * total > 0


def test_no_neuron_is_inactive_on_the_whole_space_or_without_flat_pieces():
    network = net(2, (8,), relu())
    everywhere = jax.jit(make_inactive(network, Everything(2), jnp.dtype("float32")))
    assert int(everywhere(drawn(network, 1)[0])[0]) == 0


def test_a_neuron_on_the_edge_counts_only_if_no_rounding_can_wake_it():
    network = net(1, (2,), relu())
    count = jax.jit(make_inactive(network, Box((0.0,), (1.0,)), jnp.dtype("float32")))
    # -x + 0 is never positive, in any arithmetic; 3x - 3 cancels at the end and may round up.
    theta = jnp.array([-1.0, 3.0, 0.0, -3.0, 1.0, 1.0, 0.0])
    assert int(count(theta)[0]) == 1


@pytest.mark.parametrize("name", slow_but(("adam",), METHODS))
def test_inactive_neurons_stay_bitwise_unchanged_in_training(name):
    (experiment,) = study(
        optimizer={"name": name, "learning_rate": 0.01}, network__hidden=[4], steps=10_000
    ).experiments
    engine = vmap_engine(experiment)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    rate = jnp.asarray(0.01, jnp.float32)
    state = engine.init(key, jnp.arange(24, dtype=jnp.uint32), rate)
    before = np.asarray(state.theta)
    state = engine.advance(state, (), np.int32(0), np.int32(10_000), rate)
    after = np.asarray(state.theta)
    weights, biases, outgoing = before[:, :4], before[:, 4:8], before[:, 8:12]
    dead = np.abs(weights) + biases < -1e-5
    assert dead.sum() > 10
    for part, start in ((weights, 0), (biases, 4), (outgoing, 8)):
        assert after[:, start : start + 4][dead].tobytes() == part[dead].tobytes()
    assert (after[:, 12] != before[:, 12])[~dead.all(1)].all()


CERTIFIED = ["sgd", "momentum", "adam", "adamax", "nadam", "amsgrad"]


def silent(theta, width):
    """Count the neurons of one ReLU layer that are inactive on [-1, 1]: b + |w| <= 0."""
    w, b = np.split(np.asarray(theta, float)[:, : 2 * width], 2, axis=1)
    return (b + np.abs(w) <= 0).sum(1)


@pytest.mark.parametrize("name", slow_but(("amsgrad",), CERTIFIED))
def test_certified_neurons_stay_inactive_in_further_training(name):
    (experiment,) = study(
        optimizer={"name": name, "learning_rate": 0.03}, network__hidden=[4], steps=300
    ).experiments
    engine = vmap_engine(experiment)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    rate = jnp.asarray(0.03, jnp.float32)
    state = engine.init(key, jnp.arange(256, dtype=jnp.uint32), rate)
    at_start = silent(state.theta, 4)
    state = engine.advance(state, (), np.int32(0), np.int32(300), rate)
    permanent, certified = map(np.asarray, engine.certificate(state, rate))
    there = silent(state.theta, 4)
    state = engine.advance(state, (), np.int32(300), np.int32(3000), rate)
    later = silent(state.theta, 4)
    assert (certified <= there).all()
    assert (certified <= later).all()
    assert certified.sum() > 1.02 * at_start.sum(), "dying in training should be seen"
    assert ((permanent == 1) == (certified == 4)).all()
    # With a dead layer the risk is that of a constant, at least 4/45.
    x = np.linspace(-1, 1, 2001)[:, None]
    (w, b), (v, c) = experiment.network.layout.split(np.asarray(state.theta), axis=1)
    outputs = np.maximum(x @ w + b[:, None], 0) @ v + c[:, None]
    risk = ((outputs - x**2) ** 2).mean((1, 2))
    assert (risk[permanent > 0] >= 4 / 45 - 1e-6).all()
    assert (permanent > 0).any()


def test_an_optimizer_that_moves_inactive_neurons_certifies_nothing():
    (experiment,) = study(
        optimizer={"name": "adamw", "learning_rate": 0.03}, network__hidden=[2]
    ).experiments
    engine = vmap_engine(experiment)
    key = keys.experiment_key(0, experiment.key_words)
    state = engine.init(key, jnp.arange(16, dtype=jnp.uint32), jnp.asarray(0.03, jnp.float32))
    permanent, certified = engine.certificate(state, jnp.asarray(0.03, jnp.float32))
    assert not np.asarray(permanent).any()
    assert not np.asarray(certified).any()


@pytest.mark.slow
def test_growing_memory_is_not_taken_for_rest():
    # With b1 > b2 Adamax moves ever faster once gradients vanish: nothing may be certified.
    (experiment,) = study(
        optimizer={"name": "adamax", "learning_rate": 1e-6, "b1": 0.95, "b2": 0.5},
        network__hidden=[2],
        steps=50,
    ).experiments
    engine = vmap_engine(experiment)
    rate = jnp.asarray(1e-6, jnp.float32)
    key = keys.experiment_key(0, experiment.key_words)
    state = engine.init(key, jnp.arange(64, dtype=jnp.uint32), rate)
    at_start = silent(state.theta, 2)
    state = engine.advance(state, (), np.int32(0), np.int32(50), rate)
    _, certified = engine.certificate(state, rate)
    # Only those that never had a gradient are certain.
    assert (np.asarray(certified) <= at_start).all()


def test_a_first_moment_that_outlives_the_second_certifies_only_what_never_moved():
    """Adam with b1 > sqrt(b2): one small step says nothing of the steps that follow."""
    rate = {
        "schedule": "piecewise_constant",
        "init_value": 0.3,
        "boundaries": [5],
        "scales": [3e-8],
    }
    (experiment,) = study(
        optimizer={"name": "adam", "learning_rate": rate, "b1": 0.99, "b2": 0.9},
        network__hidden=[2],
        steps=8,
        checkpoints=[1],
    ).experiments
    assert not experiment.optimizer.forgets
    engine = vmap_engine(experiment)
    key, none = keys.experiment_key(0, experiment.key_words), jnp.asarray(0.0, jnp.float32)
    state = engine.init(key, jnp.arange(512, dtype=jnp.uint32), none)
    start = np.asarray(state.theta)
    at_start = silent(state.theta, 2)
    state = engine.advance(state, (), np.int32(0), np.int32(8), none)
    _, certified = engine.certificate(state, none)
    assert (np.asarray(certified) <= at_start).all()
    assert (np.asarray(state.theta) != start).any()


def test_methods_that_forget_are_told_from_those_that_do_not():
    def forgets(**table):
        return optimizer({"learning_rate": 0.1, **table}).forgets

    assert all(forgets(name=name) for name in METHODS)
    assert not forgets(name="adamax", b1=0.95, b2=0.5)
    assert not forgets(name="adamw")


def test_deeper_layers_of_steep_activations_count_only_what_rounding_cannot_wake():
    support = Box((-1.0,), (1.0,))
    network = net(1, (4, 4), relu_power(3.0))
    count = jax.jit(make_inactive(network, support, jnp.dtype("float32")))
    x = dense_points(support).astype(np.float32)
    seen = 0
    for theta in drawn(network, 60):
        found = count(theta)
        sampled = brute_force(network, np.asarray(theta, np.float32), x, relu_power(3.0))
        assert (np.asarray(found) <= sampled).all()
        seen += int(found[1])
    assert seen > 0


def test_a_moving_neuron_on_unbounded_inputs_has_no_bounded_reach():
    weights = jnp.array([[0.0, 1.0]])
    assert Everything(1).magnitude(weights).tolist() == [0.0, np.inf]


@pytest.mark.parametrize(
    "support", [Box((0.0,), (1.0,)), SUPPORTS["points"]], ids=["line", "points"]
)
@pytest.mark.parametrize("activation", [relu(), clipped_relu(0.0, 1.0)], ids=["relu", "clipped"])
def test_margins_at_points_are_left_out_only_where_they_decide_nothing(support, activation):
    """Zero biases put suprema of pre-activations on the ends of flat pieces exactly."""
    network = net(support.dimension, (6, 6), activation)
    thetas, rng = drawn(network, 60), np.random.default_rng(1)
    for place in network.layout.places[:-1]:
        thetas[:40, place.biases] = 0
    thetas[20:40] *= rng.integers(0, 2, thetas[20:40].shape)
    thetas[40:44] *= 1e30
    thetas[44] = 0
    thetas[45, 3], thetas[46, 9] = np.nan, np.inf
    thetas[47:53] = np.round(thetas[47:53])
    ranges = make_ranges(network, support, jnp.dtype("float32"))

    def both(theta):
        layers = ranges.of(theta)
        margins = jnp.stack([layer.certain_high for layer in layers])
        always = jnp.stack([layer.clears(activation) for layer in layers])
        without = [
            layer._replace(certain_low=-jnp.inf, certain_high=jnp.inf).clears(activation)
            for layer in layers
        ]
        return always, jnp.stack(ranges.inactive(theta)[1]), jnp.stack(without), margins

    always, found, without, margins = jax.jit(jax.vmap(both))(thetas)
    finite = np.isfinite(thetas).all(1)
    np.testing.assert_array_equal(found[finite], always[finite])
    assert not (found & ~always).any(), "parameters that are no numbers certify nothing more"
    assert np.isfinite(margins[:, 1]).any()
    assert (always & ~without).any(), "margins at points decide something here"
