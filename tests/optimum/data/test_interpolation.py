"""Networks that have the best values at all points: inf L is the Bayes risk."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.optimum.data import Interpolation
from jaxsim.optimum.data.feature_rank import features_of, has_full_rank
from jaxsim.optimum.data.newton_kantorovich import interpolates
from jaxsim.optimum.strategy import Budget, CertificateError
from tests.optimum.data.cases import bounds_of, net, problem_of

INTERPOLATION = Interpolation()


def upper(problem, network) -> float | None:
    found = bounds_of(INTERPOLATION, problem, network)
    if found is None:
        return None
    (bound,) = found.uppers
    assert bound.evidence.proved
    return bound.value


def test_n_minus_one_relu_neurons_have_any_values_at_n_points():
    rng = np.random.default_rng(0)
    problem = problem_of(rng.normal(size=(6, 3)), rng.normal(size=(6, 2)))
    assert upper(problem, net(3, 5, 2)) == 0.0
    assert upper(problem, net(3, 1, 5, 2, 2)) == 0.0
    assert upper(problem, net(3, 4, 2)) is None
    assert upper(problem, net(3, 5, 1, 2)) is None
    assert upper(problem, net(3, 4, 2, activation="tanh")) is None
    assert upper(problem, net(3, 6, 2, activation="tanh")) == 0.0
    assert upper(problem, net(3, 6, 2, activation="identity")) is None
    assert upper(problem, net(3, 6, 2, freeze=("weights 1",))) is None
    # Equal rows count once.
    twice = problem_of(np.repeat(rng.normal(size=(6, 3)), 2, 0), np.repeat(rng.normal(size=6), 2))
    assert upper(twice, net(3, 5, 1)) == 0.0


def test_the_construction_behind_the_rule_interpolates():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(7, 2)), rng.normal(size=7)
    a = rng.normal(size=2)
    t = np.sort(x @ a)
    table = np.column_stack([np.maximum((x @ a)[:, None] - t[:-1], 0), np.ones(7)])
    v = np.linalg.solve(table, y)
    network = net(2, 6, 1)
    theta = [*np.repeat(a[:, None], 6, 1).ravel(), *-t[:-1], *v]
    values = network.apply(jnp.asarray(theta), jnp.asarray(x))
    assert np.allclose(np.asarray(values)[:, 0], y)


@pytest.mark.parametrize(
    ("loss", "y", "classes", "truth"),
    [
        ("squared", [0.0, 2.0, 5.0], None, 2 / 3),
        pytest.param("absolute", [0.0, 2.0, 5.0], None, 2 / 3, marks=pytest.mark.slow),
        ("logistic", [0, 1, 1], 2, 2 / 3 * np.log(2)),
        ("hinge", [0, 1, 1], 2, 2 / 3),
        ("softmax_cross_entropy", [0, 2, 1], 3, 2 / 3 * np.log(2)),
    ],
)
def test_contradictory_points_leave_the_bayes_risk(loss, y, classes, truth):
    problem = problem_of([[1.0], [1.0], [2.0]], y, loss, classes=classes)
    found = upper(problem, net(1, 2, problem.outputs))
    assert found is not None
    assert abs(found - truth) < 1e-13


def test_features_of_full_rank_need_no_hidden_biases():
    rng = np.random.default_rng(2)
    problem = problem_of(rng.normal(size=(5, 4)), rng.integers(0, 3, 5), "softmax_cross_entropy",
                         classes=3)  # fmt: skip
    network = net(4, 12, 3, biases=False)
    assert upper(problem, network) == 0.0
    # Rays: without biases all values on a ray are multiples of each other.
    ray = problem_of([[1.0], [2.0], [3.0]], [0.0, 1.0, 0.0])
    assert upper(ray, net(1, 12, 1, biases=False)) is None


def test_bounds_on_features_hold_their_rounding():
    network = net(3, 6, 4, 2, activation="tanh")
    rng = np.random.default_rng(3)
    theta, x = rng.normal(size=network.size), rng.normal(size=(4, 3))
    phi, error = features_of(network, theta, x)
    (w1, b1), (w2, b2), _ = network.layout.split(theta.astype(np.longdouble))
    exact = np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2)
    assert (np.abs(phi - exact) <= error).all()
    assert error.max() < 1e-13
    assert has_full_rank(network, theta, x)
    assert not has_full_rank(network, theta, np.repeat(x[:1], 4, 0))


def test_a_narrow_network_interpolates_by_newton_and_kantorovich():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    problem, network = problem_of(x, y), net(2, 18, 1)
    found = INTERPOLATION.search(problem, network, Budget(60.0))
    assert found is not None
    assert INTERPOLATION.verify(problem, network, found).uppers[0].value == 0.0
    theta = found.arrays["theta"]
    values = np.asarray(network.apply(jnp.asarray(theta), jnp.asarray(x)))[:, 0]
    assert np.abs(values - y).max() < 1e-9
    # Further off there is no proof, and none for other values.
    for wrong in (theta * (1 + 1e-2), -theta, theta[:-1], np.full_like(theta, np.nan)):
        with pytest.raises(CertificateError):
            INTERPOLATION.verify(
                problem, network, dataclasses.replace(found, arrays={"theta": wrong})
            )
    assert not interpolates(network, theta, x, y + 0.1)


def test_a_kink_near_a_point_spoils_the_proof():
    network = net(1, 3, 1)
    x, t = np.array([[0.0], [1.0]]), np.array([0.0, 1.0])
    away = np.array([1.0, 1.0, 1.0, 0.5, 0.25, 2.0, 1.0, 0.0, 0.0, -0.5])
    at_kink = np.array([1.0, 1.0, 1.0, 0.0, 0.25, 2.0, 1.0, 0.0, 0.0, 0.0])
    assert interpolates(network, away, x, t)
    assert not interpolates(network, at_kink, x, t)


def test_out_of_budget_it_goes_on_later():
    rng = np.random.default_rng(0)
    problem, network = problem_of(rng.normal(size=(20, 2)), rng.normal(size=20)), net(2, 18, 1)
    cut = INTERPOLATION.search(problem, network, Budget(0.0))
    assert cut is not None
    assert not cut.finished
    assert not INTERPOLATION.verify(problem, network, cut).uppers
    more = INTERPOLATION.search(problem, network, Budget(60.0), cut)
    assert more is not None
    assert more.finished
