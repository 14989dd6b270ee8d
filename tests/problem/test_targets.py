from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.network.activations import ACTIVATIONS, relu
from jaxsim.network.initializers import normal
from jaxsim.network.network import Layer, fully_connected
from jaxsim.problem.expression import parse_expression
from jaxsim.problem.targets import ExpressionTarget, FunctionTarget, LabelTarget
from jaxsim.risk.teacher import TeacherTarget


def teacher(*widths, activation=None, seed=0):
    law = normal(1.0)
    layers = tuple(Layer(a, b, law, law) for a, b in pairwise(widths))
    network = fully_connected(layers, relu() if activation is None else activation)
    return TeacherTarget(network, network.init(jax.random.key(seed)))


def test_expression_target():
    target = ExpressionTarget(parse_expression(["x1 * x2", "abs(x1)"], 2))
    y = target(jnp.array([[2.0, -3.0]], "float32"))
    assert y.tolist() == [[-6.0, 2.0]]
    assert y.dtype == "float32"
    assert target.outputs == 2
    line = ExpressionTarget(parse_expression("abs(x - 0.5)", 1))
    assert line.pieces(-1.0, 1.0).breakpoints == (0.5,)
    assert line.pieces(-1.0, 1.0) is line.pieces(-1.0, 1.0)


def test_teacher_is_its_network():
    target = teacher(3, 5, 2)
    x = np.random.default_rng(0).normal(size=(7, 3))
    (w, b), (u, c) = (tuple(map(np.asarray, pair)) for pair in target.network.layers(target.theta))
    np.testing.assert_allclose(target(jnp.asarray(x)), np.maximum(x @ w + b, 0) @ u + c, rtol=1e-13)
    assert target(jnp.asarray(x, "float32")).dtype == "float32"
    assert target.outputs == 2


@pytest.mark.parametrize("hidden", [(5, 4)])
def test_kinks_of_relu_teachers_of_one_variable_are_all_found(hidden):
    target = teacher(1, *hidden, 1, seed=3)
    found = target.pieces(-2.0, 2.0)
    assert found.degree == 1
    assert found.complete
    edges = np.array([-2.0, *found.breakpoints, 2.0])
    # Affine in between: the value at an inner point is the mean of those at the ends.
    x = 0.7 * edges[:-1] + 0.3 * edges[1:]
    f = lambda t: np.asarray(target(jnp.asarray(t)[:, None]))[:, 0]  # noqa: E731
    np.testing.assert_allclose(f(x), 0.7 * f(edges[:-1]) + 0.3 * f(edges[1:]), atol=1e-12)
    assert len(found.breakpoints) >= 2


def test_first_layer_kinks_of_a_shallow_teacher():
    target = teacher(1, 6, 1)
    (w, b), _ = (tuple(map(np.asarray, pair)) for pair in target.network.layers(target.theta))
    expected = np.sort(-b / w[0])
    expected = expected[np.abs(expected) < 1.5]
    np.testing.assert_allclose(target.pieces(-1.5, 1.5).breakpoints, expected, rtol=1e-13)


def test_smooth_teachers_are_no_polynomials():
    found = teacher(1, 4, 1, activation=ACTIVATIONS["tanh"]()).pieces(-1.0, 1.0)
    assert found.degree is None
    assert not found.complete
    assert found.breakpoints == ()


def test_teacher_with_wrong_theta_is_refused():
    network = teacher(1, 4, 1).network
    with pytest.raises(InputError, match=r"\(3,\); accepted: \(13,\)"):
        TeacherTarget(network, jnp.zeros(3))


def test_function_target():
    column = FunctionTarget(lambda x: jnp.sin(x[:, 0]))
    assert column(jnp.zeros((4, 2), "float32")).shape == (4, 1)
    assert column(jnp.zeros((4, 2), "float32")).dtype == "float32"
    assert column.pieces(-1.0, 1.0).degree is None
    assert not column.pieces(-1.0, 1.0).complete
    pair = FunctionTarget(lambda x: x * 2, 2)
    assert pair(jnp.ones((3, 2))).tolist() == [[2.0, 2.0]] * 3
    with pytest.raises(InputError, match=r"\(4, 3\); accepted: \(4, 2\)"):
        pair(jnp.zeros((4, 3)))
    with pytest.raises(InputError, match="outputs = 0"):
        FunctionTarget(jnp.sin, 0)


def test_label_target():
    values = LabelTarget(np.array([1.0, 2.0, 4.0]))
    assert values.outputs == 1
    assert values.at(jnp.array([2, 0])).tolist() == [[4.0], [1.0]]
    classes = LabelTarget(np.array([0, 2, 1]), 3)
    assert classes.outputs == 3
    assert classes.at(jnp.array([1, 1])).tolist() == [2, 2]
    assert np.issubdtype(classes.labels.dtype, np.integer)
    with pytest.raises(InputError, match="given points only"):
        values(jnp.zeros((1, 1)))


@pytest.mark.parametrize(
    ("labels", "classes"), [([0, 3], 3), ([-1, 0], 2), ([0.0, 1.0], 2), ([[0], [1]], 2)]
)
def test_wrong_classes_are_refused(labels, classes):
    with pytest.raises(InputError, match="integers"):
        LabelTarget(np.array(labels), classes)


def test_wrong_values_are_refused():
    for labels in (np.zeros((2, 2, 2)), np.array([np.nan])):
        with pytest.raises(InputError, match="finite numbers of shape"):
            LabelTarget(labels)


@pytest.mark.slow
def test_teachers_with_more_kinks_than_the_default_capacity():
    # The tent map 2 min(x, 1 - x) = 2 x+ - 4 (x - 1/2)+, iterated 7 times: 128 pieces of [0, 1].
    first = [1.0, 1.0, 0.0, -0.5]
    again = [2.0, 2.0, -4.0, -4.0, 0.0, -0.5]
    tents = teacher(1, *[2] * 7, 1)
    theta = jnp.array([*first, *again * 6, 2.0, -4.0, 0.0])
    found = TeacherTarget(tents.network, theta).pieces(0.0, 1.0)
    assert found.complete
    np.testing.assert_allclose(found.breakpoints, np.arange(1, 128) / 128, rtol=1e-15)
