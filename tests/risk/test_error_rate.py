"""Error rates against closed forms and counts by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.evidence import PROVED
from jaxsim.network.activations import relu
from jaxsim.network.initializers import zero
from jaxsim.network.network import Layer, fully_connected
from jaxsim.problem.expression import parse_expression
from jaxsim.problem.input_laws import PointsLaw, uniform
from jaxsim.problem.losses import logistic, softmax_cross_entropy, squared
from jaxsim.problem.noise import NOISES
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import ExpressionTarget, LabelTarget
from jaxsim.risk.error_rate import constant_error_rate, make_error_rate

NONE = NOISES["none"]()


def linear(inputs, outputs):
    return fully_connected((Layer(inputs, outputs, zero(), zero()),), relu())


def one_neuron():
    return fully_connected((Layer(1, 1, zero(), zero()), Layer(1, 1, zero(), zero())), relu())


def points(x, labels, weights=None, loss=None):
    x = np.asarray(x, float).reshape(len(labels), -1)
    w = np.full(len(x), 1 / len(x)) if weights is None else np.asarray(weights)
    labels = np.asarray(labels, np.int32)
    return Problem(PointsLaw(x, w), LabelTarget(labels, labels.max() + 1), loss or logistic(), NONE)


def rate(problem, network, theta, constant=False):
    rule = make_error_rate(problem, network)
    value, error = rule.evaluate(jnp.asarray(theta, jnp.float64), jnp.asarray(constant))
    return float(value), float(error)


def test_one_logit_decides_by_its_sign():
    x = np.linspace(-1, 1, 31)[:30]
    labels = (x > 0.3).astype(int)
    shifted = (x - 0.1 > 0) != (labels == 1)
    assert rate(points(x, labels), linear(1, 1), [1.0, -0.1]) == (shifted.sum() / 30, 0.0)
    assert rate(points([-1, 1], [0, 1]), linear(1, 1), [0.0, 0.0]) == (0.5, 0.0), "0 is class 0"


def test_the_largest_output_decides_the_first_of_equal_ones():
    labels = np.arange(30) % 3
    problem = points(np.ones(30), labels, loss=softmax_cross_entropy())
    network = linear(1, 3)
    assert rate(problem, network, [0, 0, 0, 0, 1, 0]) == (20 / 30, 0.0)
    assert rate(problem, network, [0, 0, 0, 0, 0, 0]) == (20 / 30, 0.0), "class 0"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    w = rng.normal(size=(2, 3))
    problem = points(x, labels, loss=softmax_cross_entropy())
    wrong = ((x @ w).argmax(1) != labels).sum()
    assert rate(problem, linear(2, 3), [*w.ravel(), 0, 0, 0]) == (wrong / 30, 0.0)


def test_weights_count():
    problem = points([-1, 1, 2], [0, 1, 0], weights=[0.5, 0.2, 0.3])
    value, error = rate(problem, linear(1, 1), [1.0, 0.0])
    assert value == pytest.approx(0.3, abs=1e-15)
    assert 0 < error < 1e-13
    value, error = rate(problem, linear(1, 1), [-1.0, 0.0])
    assert value == pytest.approx(0.7, abs=1e-15)


def test_what_rounding_could_decide_otherwise_is_an_error():
    # 0.1 x - 0.3 at x = 3 is 0 but for rounding.
    problem = points([-1, 3, 5], [0, 1, 1])
    value, error = rate(problem, linear(1, 1), [0.1, -0.3])
    assert error == 1 / 3
    assert value in (0.0, 1 / 3)


def test_a_constant_network_is_wrong_for_all_classes_but_one():
    problem = points(np.arange(10), [0] * 6 + [1] * 4)
    bound = constant_error_rate(problem)
    assert (bound.value, bound.evidence) == (0.4, PROVED)
    # Its only neuron is inactive: what its rounding might do does not matter.
    theta = [1.0, -100.0, 1.0, 1e-17]
    value, error = rate(problem, one_neuron(), theta, constant=True)
    assert value == 0.6
    assert value - error >= 0.4


def test_a_density_has_an_average_with_an_error():
    problem = Problem(uniform(), ExpressionTarget(parse_expression("x > 0.3", 1)), logistic(), NONE)
    rule = make_error_rate(problem, linear(1, 1))
    assert not rule.evidence.proved
    for threshold in (0.3, 0.1, -0.2):
        value, error = rate(problem, linear(1, 1), [1.0, -threshold])
        assert abs(value - abs(threshold - 0.3) / 2) <= error < 0.01
        assert error > 0, "even where no point is wrong"


def test_a_regression_has_none():
    problem = Problem(uniform(), ExpressionTarget(parse_expression("x", 1)), squared(), NONE)
    with pytest.raises(InputError, match="one of regression and has no error rate"):
        make_error_rate(problem, linear(1, 1))
