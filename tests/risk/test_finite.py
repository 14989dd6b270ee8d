"""Exact risks of input laws with finitely many points."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.problem.input_laws import PointsLaw
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import LabelTarget
from jaxsim.risk import make_risk
from tests.risk.cases import (
    draw,
    finite_difference,
    make_network,
    make_problem,
    plain_forward,
)


def equal(x):
    return PointsLaw(x, np.full(len(x), 1 / len(x)))


def data(n, d, outputs, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 2, size=n)
    return rng.normal(size=(n, d)), weights / weights.sum(), rng.normal(size=(n, outputs))


@pytest.mark.parametrize("n", [7, 2500])
def test_squared_risk_is_the_weighted_sum_with_noise(n):
    x, w, y = data(n, 3, 2)
    network = make_network(3, 5, 4, 2, activation="tanh")
    problem = Problem(
        PointsLaw(x, w), LabelTarget(y), LOSSES["squared"](), NOISES["normal"](std=0.3)
    )
    rule = make_risk(problem, network)
    assert rule.exact
    theta = draw(network, 1)
    value, error = jax.jit(rule.evaluate)(theta)
    truth = w @ ((plain_forward(network, theta, x) - y) ** 2).sum(1) + 2 * 0.09
    assert abs(value - truth) <= 1e-13 * truth
    assert abs(value - truth) <= error < 1e-10
    assert abs(jax.jit(rule.population_loss)(theta) - truth) <= 1e-13 * truth
    single = jax.jit(rule.population_loss)(jnp.asarray(theta, jnp.float32))
    assert single.dtype == jnp.float32
    assert abs(single - truth) <= 1e-5 * truth


def test_classification_uses_labels_and_their_entropy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), rng.integers(0, 3, 40)
    network = make_network(2, 4, 3)
    problem = Problem(
        equal(x), LabelTarget(y, 3), LOSSES["softmax_cross_entropy"](), NOISES["none"]()
    )
    assert problem.outputs == 3
    rule = make_risk(problem, network)
    theta = draw(network, 1)
    logits = plain_forward(network, theta, x)
    truth = (np.log(np.exp(logits).sum(1)) - logits[np.arange(40), y]).mean()
    value, error = jax.jit(rule.evaluate)(theta)
    assert abs(value - truth) < 1e-13
    assert abs(value - truth) <= error < 1e-12


@pytest.mark.parametrize("loss", ["logistic", "hinge", "brier"])
def test_binary_losses_see_labels_zero_and_one(loss):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), rng.integers(0, 2, 30)
    network = make_network(2, 4, 1)
    problem = Problem(equal(x), LabelTarget(y, 2), LOSSES[loss](), NOISES["none"]())
    theta = draw(network, 3)
    p = (2 * y - 1) * plain_forward(network, theta, x)[:, 0]
    losses = {
        "logistic": np.log1p(np.exp(-p)),
        "hinge": np.maximum(0, 1 - p),
        "brier": 1 / (1 + np.exp(p)) ** 2,
    }
    truth = losses[loss].mean()
    value, error = jax.jit(make_risk(problem, network).evaluate)(theta)
    assert abs(value - truth) <= min(1e-13, error)


def test_gradient_is_that_of_the_sum_also_in_chunks():
    x, w, y = data(2100, 2, 1)
    network = make_network(2, 3, 1, activation="tanh")
    problem = Problem(PointsLaw(x, w), LabelTarget(y), LOSSES["squared"](), NOISES["none"]())
    rule = make_risk(problem, network)
    theta = draw(network, 1)
    gradient = jax.jit(jax.grad(rule.population_loss))(theta)
    expected = finite_difference(lambda t: rule.evaluate(t)[0], theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


def test_the_rounding_bound_covers_single_precision():
    """The bound's form, checked where rounding errors are large enough to be seen."""
    from jaxsim.risk.finite import weighted_loss
    from jaxsim.risk.integrand import integrand

    x, w, y = data(300, 4, 2)
    network = make_network(4, 20, 20, 2)
    problem = make_problem(("x1", "x2"), law=PointsLaw(x, w), dimension=4)
    rough = jax.jit(
        lambda t: weighted_loss(network, integrand(problem), t, x, y, problem.law.finite[1])
    )
    for seed in range(10):
        theta = draw(network, seed).astype(np.float32)
        exact, _ = rough(theta.astype(np.float64))
        value, error = rough(theta)
        assert 0 < abs(value - exact) <= error
        assert error < 1e-2 * exact


def test_the_error_of_a_loss_that_changes_its_sign_is_that_of_its_parts():
    """Losses of +-1e6 that cancel: the exact sum in rational arithmetic of the evaluated losses."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(40, 1)) * 1e6 / 3
    y = np.concatenate([half, -half * (1 + 1e-15)])
    x = rng.normal(size=(80, 2))

    def own(prediction, y):
        return y[..., 0] * jnp.cos(prediction[..., 0])

    loss = LOSSES["function"](own)
    problem = Problem(equal(x), LabelTarget(y), loss, NOISES["none"]())
    network = make_network(2, 3, 1)
    theta = np.zeros(network.size)
    rule = make_risk(problem, network)
    assert rule.evidence.word == "estimated"
    value, error = jax.jit(rule.evaluate)(theta)
    truth = sum(Fraction(float(v)) for v in y[:, 0]) / 80
    assert abs(Fraction(float(value)) - truth) <= Fraction(float(error))
    assert 0 < error < 1e-6


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_cancellation_inside_a_loss_of_ones_own_is_seen(scale):
    """Written out, (r + a)^2 - 2 a r - a^2 - r^2 / 2 is off by a^2 units in the last place."""
    y = np.random.default_rng(1).normal(size=(60, 1))

    def own(prediction, y):
        r = (prediction - y)[..., 0]
        return (r + scale) ** 2 - 2 * scale * r - scale**2 - 0.5 * r**2

    network = make_network(2, 3, 1)
    problem = Problem(
        equal(np.zeros((60, 2))), LabelTarget(y), LOSSES["function"](own), NOISES["none"]()
    )
    value, error = jax.jit(make_risk(problem, network).evaluate)(np.zeros(network.size))
    truth = sum(Fraction(float(v)) ** 2 for v in y[:, 0]) / 120
    assert abs(Fraction(float(value)) - truth) <= Fraction(float(error))
    assert error < 1e-14 * (1 + scale**2)


@pytest.mark.parametrize("logit", [5.0, 30.0, 45.0, 300.0])
def test_the_rounding_of_the_cross_entropy_of_sure_predictions_is_covered(logit):
    """log(1 + e^-30) is a difference of numbers near 30."""
    network = make_network(1, 2)
    problem = Problem(
        equal(np.array([[1.0]])),
        LabelTarget(np.array([0]), 2),
        LOSSES["softmax_cross_entropy"](),
        NOISES["none"](),
    )
    theta = np.array([logit, -1 / 3, 0.0, 0.0])
    value, error = jax.jit(make_risk(problem, network).evaluate)(theta)
    with mpmath.workdps(400):
        truth = mpmath.log1p(mpmath.exp(mpmath.mpf(-1 / 3) - mpmath.mpf(logit)))
        assert abs(mpmath.mpf(float(value)) - truth) <= float(error)
    assert error < 1e-11
