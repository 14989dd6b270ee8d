"""PReLU: slopes as parameters, against NumPy and PyTorch's definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import InputError
from jaxsim.launch.simulate import simulate
from jaxsim.network.activations import prelu, relu
from jaxsim.network.initializers import uniform
from jaxsim.network.learned_slopes import with_learned_slopes
from jaxsim.network.network import Layer, fully_connected
from jaxsim.study.study import Study
from tests.studies import table

LAYERS = (
    Layer(2, 3, uniform(), uniform()),
    Layer(3, 4, uniform(), None),
    Layer(4, 1, uniform(), uniform()),
)
X = np.array([[0.3, -1.0], [2.0, 0.5], [-0.7, 0.1]])


def by_numpy(theta, x, per_neuron):
    w1, b1, w2 = theta[:6].reshape(2, 3), theta[6:9], theta[9:21].reshape(3, 4)
    w3, b3, slopes = theta[21:25].reshape(4, 1), theta[25:26], theta[26:]
    a1, a2 = (slopes[:3], slopes[3:]) if per_neuron else (slopes[:1], slopes[1:])
    h = x @ w1 + b1
    h = np.where(h > 0, h, a1 * h) @ w2
    return np.where(h > 0, h, a2 * h) @ w3 + b3


@pytest.mark.parametrize("per_neuron", [False, True])
def test_slopes_follow_weights_and_biases_and_are_trained(per_neuron):
    network = with_learned_slopes(LAYERS, prelu(0.1, per_neuron))
    assert network.size == 26 + (7 if per_neuron else 2)
    start = np.asarray(network.init(jax.random.key(0)))
    plain = np.asarray(fully_connected(LAYERS, relu()).init(jax.random.key(0)))
    assert np.array_equal(start[:26], plain)
    assert (start[26:] == 0.1).all()
    assert network.trainable.all()
    theta = np.random.default_rng(0).normal(size=network.size)
    assert np.asarray(network.apply(jnp.asarray(theta), jnp.asarray(X))) == pytest.approx(
        by_numpy(theta, X, per_neuron), rel=1e-12
    )
    gradient = jax.grad(lambda t: network.apply(t, jnp.asarray(X)).sum())(jnp.asarray(theta))
    for i in (0, 10, 26, network.size - 1):
        step = 1e-6 * np.eye(network.size)[i]
        difference = by_numpy(theta + step, X, per_neuron) - by_numpy(theta - step, X, per_neuron)
        assert float(gradient[i]) == pytest.approx(difference.sum() / 2e-6, rel=1e-6, abs=1e-8)


def test_the_derivative_at_zero_is_the_slope_as_in_pytorch():
    network = with_learned_slopes(
        (Layer(1, 1, uniform(), None), Layer(1, 1, uniform(), None)), prelu()
    )
    theta = jnp.array([1.0, 1.0, 0.3])
    assert float(jax.grad(lambda x: network.apply(theta, x).sum())(jnp.zeros((1, 1)))[0, 0]) == 0.3


def study(**changes):
    points = {"law": "points", "points": [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]}
    base = {
        "problem": {"input": points, "target": "where(x1 == x2, 0, 1)"},
        "network": {"hidden": [2], "activation": "prelu", "weights": "he_normal"},
        "training": {"batch_size": "population"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "execution": {"engine": "vmap", "width": 8, "shard": 8},
        "replicates": 8,
        "steps": 20,
        "checkpoints": [],
        "epsilon": [0.01],
    }
    return Study.from_dict(table(**(base | changes)))


def test_descent_and_risk_are_those_of_numpy(tmp_path):
    made = study()
    (experiment,) = made.experiments
    results = simulate(made, tmp_path)
    ((_, records),) = list(results.parts(experiment))
    x = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    y = np.array([0.0, 1.0, 1.0, 0.0])
    theta = np.asarray(results.parameters(experiment.label, 0, 0)["params"]["slope1"])
    assert theta.tolist() == [0.25]
    # The parameters after the last step have the recorded risk.
    tree = results.parameters(experiment.label, 3, 20)["params"]
    assert float(tree["slope1"][0]) != 0.25
    w1, w2 = tree["layer1"], tree["layer2"]
    h = x @ np.asarray(w1["kernel"]) + np.asarray(w1["bias"])
    h = np.where(h > 0, h, float(tree["slope1"][0]) * h)
    out = (h @ np.asarray(w2["kernel"]) + np.asarray(w2["bias"]))[:, 0]
    assert records.risk[3, -1] == pytest.approx(((out - y) ** 2).mean(), rel=1e-5)
    assert records.inactive.shape[2] == 0
    assert (records.dead_neurons == 0).all()


def test_widths_that_have_no_shapes_of_their_own_are_told_apart():
    narrow, wide = (
        study(network={"hidden": hidden, "activation": "prelu"}).experiments[0]
        for hidden in ([2, 5], [5, 2])
    )
    assert narrow.evaluation_key != wide.evaluation_key
    assert narrow.hypothesis.key != wide.hypothesis.key
    assert narrow.id != wide.id
    shared, own = (
        study(network={"hidden": [2], "activation": {"name": "prelu", "per_neuron": n}})
        for n in (False, True)
    )
    assert [s.experiments[0].network.size for s in (shared, own)] == [10, 11]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"design": "strata"}, "slopes are trained"),
        ({"execution": {"engine": "lanes", "width": 8, "shard": 8}}, "lanes"),
        ({"execution": {"engine": "native", "width": 16, "shard": 16}}, "native"),
    ],
    ids=str,
)
def test_what_needs_the_layers_is_refused_in_one_sentence(changes, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence) as refused:
        simulate(study(**changes), tmp_path)
    assert "\n" not in str(refused.value)
