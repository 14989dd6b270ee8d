"""Losses averaged over noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsim.problem.losses import function
from jaxsim.problem.problem import Problem
from jaxsim.risk import make_risk
from jaxsim.risk.integrand import integrand
from tests.risk.cases import draw, make_network, make_problem, plain_risk

R = np.linspace(-2, 2, 81)


def averaged(loss, noise):
    found = integrand(make_problem("x", loss=loss, noise=noise))
    return found, np.asarray(found.function(jnp.asarray(R)[:, None], jnp.zeros((81, 1))))


def by_brute_force(rho, density, reach):
    xi = np.linspace(-reach, reach, 400_001)
    weights = density(xi)
    return np.array([np.trapezoid(rho(r - xi) * weights, xi) for r in R])


def huber(r):
    return np.where(abs(r) <= 0.3, r**2 / 2, 0.3 * (abs(r) - 0.15))


LOSS_CASES = [
    ("absolute", abs),
    (("huber", {"delta": 0.3}), huber),
    (("quantile", {"level": 0.2}), lambda r: np.maximum(0.8 * r, -0.2 * r)),
    ("log_cosh", lambda r: np.log(np.cosh(r))),
    (("power", {"power": 4.0}), lambda r: r**4),
    ("squared", lambda r: r**2),
]


@pytest.mark.parametrize(
    ("loss", "rho"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (case in LOSS_CASES[4:]))
        for case in LOSS_CASES
    ],
)
def test_averages_agree_with_brute_force(loss, rho):
    _, values = averaged(loss, ("normal", {"std": 0.5}))
    truth = by_brute_force(rho, stats.norm(0, 0.5).pdf, 5)
    np.testing.assert_allclose(values, truth, rtol=0, atol=1e-9)
    _, values = averaged(loss, ("uniform", {"half_width": 0.7}))
    truth = by_brute_force(rho, lambda xi: np.full(xi.shape, 1 / 1.4), 0.7)
    np.testing.assert_allclose(values, truth, rtol=0, atol=1e-9)


def test_absolute_loss_with_normal_noise_is_the_folded_normal_mean():
    found, values = averaged("absolute", ("normal", {"std": 0.5}))
    truth = stats.foldnorm(abs(R) / 0.5, scale=0.5).mean()
    np.testing.assert_allclose(values, truth, rtol=1e-12)
    assert not found.exact
    assert abs(values - truth).max() <= found.relative_error * values.max()


def test_uniform_noise_keeps_one_dimension_exact():
    network = make_network(1, 5, 1)
    rule = make_risk(
        make_problem("x", loss="absolute", noise=("uniform", {"half_width": 0.7})), network
    )
    assert rule.exact

    def rho(r):  # E|r - xi| for xi uniform on [-h, h]
        return np.where(abs(r) >= 0.7, abs(r), (r**2 + 0.49) / 1.4)

    theta = draw(network, 1)
    value, error = jax.jit(rule.evaluate)(theta)
    truth = plain_risk(network, theta, lambda x: x[:, None], rho, -1.0, 1.0, (), (-0.7, 0.7))
    assert abs(value - truth) <= 1e-12 * truth
    assert abs(value - truth) <= error


def test_a_loss_of_ones_own_is_averaged_with_an_error():
    own = function(lambda p, y: jnp.cosh(p - y)[..., 0])
    base = make_problem("x", noise=("normal", {"std": 0.5}))
    problem = Problem(base.law, base.target, own, base.noise)
    network = make_network(1, 3, 1)
    theta = draw(network, 1) / 4
    rule = make_risk(problem, network)
    value, error = jax.jit(rule.evaluate)(theta)
    truth = np.exp(0.125) * plain_risk(network, theta, lambda x: x[:, None], np.cosh, -1, 1)
    assert abs(value - truth) <= error < 1e-6


def test_gradients_of_averages_are_right():
    found, _ = averaged("absolute", ("normal", {"std": 0.5}))

    def total(r):
        return found.function(r[:, None], jnp.zeros((len(r), 1))).sum()

    r = jnp.linspace(-1, 1, 11)
    slope = jax.jit(jax.grad(total))(r)
    np.testing.assert_allclose(slope, 2 * stats.norm(0, 0.5).cdf(r) - 1, atol=1e-9)
