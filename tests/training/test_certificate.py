"""Certificates of dead layers: what the first layer and a few points leave out decides nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.engines.engine import vmap_engine
from jaxsim.training import keys
from jaxsim.training.certificate import make_certificate
from jaxsim.training.hyperparameters import with_numbers
from jaxsim.training.train import make_train
from tests.studies import study

MEMBERS = 32


def trained(experiment, steps):
    engine = vmap_engine(experiment)
    rate = jnp.asarray(0.01, experiment.dtype)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    state = engine.init(key, jnp.arange(MEMBERS, dtype=jnp.uint32), rate)
    shared = engine.shared(keys.root_key(experiment.seed))
    return engine, engine.advance(state, shared, np.int32(0), np.int32(steps), rate), rate


@pytest.mark.parametrize(
    ("activation", "hidden"),
    [
        ("relu", [3, 2]),
        pytest.param("relu", [3, 2, 2], marks=pytest.mark.slow),
        pytest.param("hard_tanh", [3, 3, 2], marks=pytest.mark.slow),
    ],
)
def test_deeper_layers_are_certified_as_if_all_parameters_always_coasted(activation, hidden):
    (experiment,) = study(
        network={"hidden": hidden, "activation": activation},
        optimizer={"name": "momentum", "learning_rate": 0.01},
    ).experiments
    engine, state, rate = trained(experiment, 5)
    thetas = np.array(state.theta)
    *places, _ = experiment.network.layout.places
    for number, place in enumerate(places):
        thetas[4 * number : 4 * number + 4, place.biases] = -(10.0 ** (number + 1))
        if number:
            thetas[12:14, place.weights] = 0.0
            thetas[12:14, place.biases] = -90.0
            thetas[12:14, place.weights.stop] = 0.5
    thetas[14:16, places[1].biases] = 0.0
    thetas[16] = np.nan
    thetas[17, places[1].weights] = np.inf
    states = state._replace(theta=jnp.asarray(thetas))
    certificate = make_certificate(experiment, make_train(experiment))
    assert certificate.all_layers is not None
    found = engine.certificate(states, rate)
    always = jax.jit(certificate.all_layers)(states, with_numbers(experiment, rate))
    np.testing.assert_array_equal(found[0], always[0])
    np.testing.assert_array_equal(found[1], always[1])
    dead = np.repeat(np.arange(len(hidden)) + 1, 4)
    assert ((found[0][: len(dead)] > 0) & (found[0][: len(dead)] <= dead)).all()
    assert (found[0] == 2).any(), "a deeper layer is certified"
    deeper = jax.vmap(certificate.may_be_deeper)(jnp.asarray(thetas, float))
    assert deeper[4 : len(dead)].all(), "what may be dead is looked at"
    assert not deeper[12:14].any(), "what is active is not"


def test_networks_of_one_hidden_layer_need_nothing_else():
    (experiment,) = study(network={"hidden": [4]}).experiments
    assert make_certificate(experiment, make_train(experiment)).all_layers is None
