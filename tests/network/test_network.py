import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.network.activations import relu
from jaxsim.network.initializers import constant, normal, randomized_asymmetric, uniform
from jaxsim.network.network import Layer, from_flax, fully_connected

X = np.linspace(-1, 1, 5)[:, None] * np.array([[1.0, -2.0]])


def network(**output):
    return fully_connected(
        (
            Layer(2, 3, normal(), uniform()),
            Layer(3, 4, normal(), None, multiplier=0.5),
            Layer(4, 2, uniform(), uniform(), **output),
        ),
        relu(),
    )


def test_realizes_the_textbook_function():
    net = network()
    theta = np.asarray(net.init(jax.random.key(1)))
    assert theta.shape == (net.size,) == (2 * 3 + 3 + 3 * 4 + 4 * 2 + 2,)
    w1, b1 = theta[:6].reshape(2, 3), theta[6:9]
    w2 = theta[9:21].reshape(3, 4)
    w3, b3 = theta[21:29].reshape(4, 2), theta[29:]
    hidden = np.maximum(np.maximum(X @ w1 + b1, 0) @ (0.5 * w2), 0)
    np.testing.assert_allclose(net.apply(theta, X), hidden @ w3 + b3, rtol=1e-14)
    for (w, b), (v, c) in zip(
        net.layers(theta), [(w1, b1), (0.5 * w2, np.zeros(4)), (w3, b3)], strict=True
    ):
        np.testing.assert_array_equal(w, v)
        np.testing.assert_array_equal(b, c)


def test_initialization_is_drawn_in_float64_from_independent_streams():
    net = network()
    first, again = net.init(jax.random.key(1)), net.init(jax.random.key(1))
    assert first.dtype == jnp.float64
    np.testing.assert_array_equal(first, again)
    assert np.unique(first).size == net.size
    assert not np.isin(net.init(jax.random.key(2)), first).any()


def test_works_in_the_dtype_of_theta():
    net = network()
    theta = net.init(jax.random.key(1)).astype(jnp.float32)
    assert net.apply(theta, jnp.asarray(X, jnp.float32)).dtype == jnp.float32


def test_unravelled_parameters_hold_the_same_numbers():
    net = network()
    theta = net.init(jax.random.key(1))
    tree = net.unravel(theta)["params"]
    np.testing.assert_array_equal(tree["layer1"]["kernel"].ravel(), theta[:6])
    assert "bias" not in tree["layer2"]


def test_frozen_parameters_are_marked():
    net = network(train_weights=False)
    assert not net.trainable[21:29].any()
    assert net.trainable[:21].all()
    assert net.trainable[29:].all()


def test_joint_law_draws_weights_and_biases_together():
    law = randomized_asymmetric()
    net = fully_connected((Layer(2, 50, law, law), Layer(50, 1, constant(1.0), None)), relu())
    theta = np.asarray(net.init(jax.random.key(0)))
    rows = np.concatenate([theta[:100].reshape(2, 50), theta[100:150][None]])
    assert np.unique(rows).size == 150
    assert (theta[150:] == 1).all()


class Own(nn.Module):
    outputs: int = 2

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(jnp.tanh(nn.Dense(5)(x)))


def test_own_flax_module_stands_in():
    net = from_flax(Own(), 2, 2)
    theta = net.init(jax.random.key(0))
    assert theta.shape == (net.size,) == (2 * 5 + 5 + 5 * 2 + 2,)
    variables = Own().init(jax.random.key(0), jnp.zeros((2, 2), jnp.float32))
    np.testing.assert_allclose(net.apply(theta, X), Own().apply(variables, X), rtol=1e-6)
    assert not net.fully_connected


def test_own_module_of_the_wrong_shape_is_refused():
    with pytest.raises(InputError, match=r"maps inputs of shape \(2, 2\) to \(2, 3\)"):
        from_flax(Own(outputs=3), 2, 2)


class Normalized(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(nn.Dense(1)(x))


def test_module_with_state_is_refused():
    with pytest.raises(InputError, match="batch_stats"):
        from_flax(Normalized(), 2, 1)
