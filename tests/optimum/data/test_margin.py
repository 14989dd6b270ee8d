"""Explicit networks: a margin means inf L = 0, and their risk bounds it otherwise."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.optimum.data import LinearModel, Margin
from jaxsim.optimum.data.descent import start
from jaxsim.optimum.strategy import Budget, Certificate, CertificateError
from tests.optimum.data.cases import bounds_of, data_problem, net, problem_of

MARGIN = Margin()
XOR = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]


def shows(problem, network, theta, separates=True):
    arrays = {"theta": np.asarray(theta, float), "separates": np.array([separates])}
    return MARGIN.verify(problem, network, Certificate("margin", arrays))


def test_iris_has_the_infimum_zero_after_a_search():
    problem, network = data_problem("iris", "softmax_cross_entropy"), net(4, 8, 3)
    found = MARGIN.search(problem, network, Budget(60.0))
    assert found is not None
    assert found.finished
    bounds = MARGIN.verify(problem, network, found)
    assert bounds.uppers[0].value == 0.0
    assert bounds.uppers[0].evidence.proved
    assert bounds.theta is not None
    # By plain NumPy, and by the risk of the network with its output multiplied.
    x, y = problem.law.finite[0], problem.targets_at_points()
    (w1, b1), (w2, b2) = network.layout.split(bounds.theta)
    z = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    assert (z.argmax(1) == y).all()
    losses = problem.loss.function(jnp.asarray(1e5 * z), jnp.asarray(y))
    assert float(jnp.mean(losses)) < 1e-30


def test_a_run_with_a_margin_ends_the_search_at_once():
    problem = problem_of(XOR, [0, 1, 1, 0], "logistic", classes=2)
    network = net(2, 2, 1)
    # relu(x + y) - 2 relu(x + y - 1) is the exclusive or.
    run = [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, -0.5]
    found = MARGIN.search(problem, network, Budget(60.0), runs=[np.zeros(9), np.array(run)])
    assert found is not None
    assert np.array_equal(found.arrays["theta"], run)
    assert "not attained" in MARGIN.verify(problem, network, found).uppers[0].reason
    hinge = problem_of(XOR, [0, 1, 1, 0], "hinge", classes=2)
    assert "0, attained" in shows(hinge, network, run).uppers[0].reason


def test_frozen_outputs_count_as_they_should():
    problem = problem_of(XOR, [0, 1, 1, 0], "logistic", classes=2)
    run = [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, -0.5]
    # Without the frozen bias -.5 the points of label 0 have the logit 0.
    bias = net(2, 2, 1, freeze=("biases 2",), frozen_biases="normal")
    with pytest.raises(CertificateError, match="margin"):
        shows(problem, bias, run)
    weights = net(2, 2, 1, freeze=("weights 2",))
    assert "random" in MARGIN.unsupported_reason(problem, weights)
    assert "random" in MARGIN.unsupported_reason(problem, net(2, 2, 1, freeze=("weights 1",)))
    zero = net(2, 2, 1, freeze=("biases 2",))
    with pytest.raises(CertificateError, match="other values"):
        shows(problem, zero, run)


def test_networks_without_a_margin_bound_by_their_risk():
    problem, network = data_problem("iris", "softmax_cross_entropy"), net(4, 3, 2, 3)
    theta = np.random.default_rng(0).normal(size=network.size)
    (bound,) = shows(problem, network, theta, separates=False).uppers
    assert bound.evidence.proved
    x, y = problem.law.finite[0], problem.targets_at_points()
    losses = problem.loss.function(
        network.apply(jnp.asarray(theta), jnp.asarray(x)), jnp.asarray(y)
    )
    assert 0 < float(losses.mean()) <= bound.value < float(losses.mean()) + 1e-12
    # A certificate that claims a margin is not believed.
    with pytest.raises(CertificateError, match="margin"):
        shows(problem, network, theta)
    for wrong in (theta[:-1], np.full_like(theta, np.nan)):
        with pytest.raises(CertificateError):
            shows(problem, network, wrong, separates=False)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("tanh", "logistic"),
        pytest.param("relu_power", "logistic", marks=pytest.mark.slow),
        ("gelu", "hinge"),
        ("leaky_relu", "huber"),
    ],
)
def test_risks_hold_their_rounding(activation, loss):
    rng = np.random.default_rng(4)
    labels = loss != "huber"
    y = rng.integers(0, 2, 9) if labels else rng.normal(size=9)
    problem = problem_of(rng.normal(size=(9, 2)), y, loss, classes=2 if labels else None)
    network = net(2, 3, 1, activation=activation)
    theta = rng.normal(size=network.size)
    (bound,) = shows(problem, network, theta, separates=False).uppers
    x, weights = problem.law.finite
    z = network.apply(jnp.asarray(theta), jnp.asarray(x))
    risk = float(weights @ np.asarray(problem.loss.function(z, problem.targets_at_points())))
    assert risk <= bound.value < risk + 1e-12


def test_starts_that_bend_among_the_points_find_what_small_biases_do_not():
    """Without an output bias of their own the neurons have to leave no point out."""
    problem = problem_of([*XOR, XOR[3], XOR[3]], [0, 1, 1, 0, 0, 0], "logistic", classes=2)
    found = bounds_of(MARGIN, problem, net(2, 4, 1, freeze=("biases 2",)))
    assert found is not None
    assert found.uppers[0].value == 0.0
    network, x = net(2, 3, 4, 1), problem.law.finite[0]
    theta = start(network, 1, x)
    assert np.array_equal(start(network, 0, x), start(network, 0))
    (w1, b1), (w2, b2), _ = network.layout.split(theta)
    first = x @ w1 + b1
    second = np.maximum(first, 0) @ w2 + b2
    assert all((z.min(0) <= 1e-12).all() and (z.max(0) >= -1e-12).all() for z in (first, second))


def test_a_search_goes_on_where_it_was_cut_short():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(40, 2))
    problem, network = problem_of(x, np.abs(x[:, 0]) + x[:, 1]), net(2, 3, 1)
    cut = MARGIN.search(problem, network, Budget(0.0))
    assert cut is not None
    assert not cut.finished
    first = MARGIN.verify(problem, network, cut).uppers[0].value
    more = MARGIN.search(problem, network, Budget(60.0), cut)
    assert more is not None
    assert more.finished
    second = MARGIN.verify(problem, network, more).uppers[0].value
    linear = bounds_of(LinearModel(), problem, net(2, 1))
    assert linear is not None
    assert second < 0.01 * min(first, linear.uppers[0].value)
    state = dataclasses.replace(more, arrays={**more.arrays, "separates": np.array([True])})
    with pytest.raises(CertificateError, match="multiplied"):
        MARGIN.verify(problem, network, state)


def test_contradictory_points_have_no_margin():
    problem = problem_of([[0.0], [0.0]], [0, 1], "logistic", classes=2)
    with pytest.raises(CertificateError, match="multiplied"):
        shows(problem, net(1, 1, 1), np.ones(4))
    assert np.log(2) <= shows(problem, net(1, 1, 1), np.zeros(4), False).uppers[0].value


@pytest.mark.parametrize(("loss", "risk"), [("logistic", 0.4 * np.log(2)), ("hinge", 0.4)])
def test_contradictory_points_are_tied_and_the_others_separated(loss, risk):
    """Multiplying the outputs does not do it: the risk at the doubled point would be infinite."""
    problem = problem_of([*XOR, XOR[3]], [0, 1, 1, 0, 1], loss, classes=2)
    found = bounds_of(MARGIN, problem, net(2, 3, 1))
    assert found is not None
    assert risk - 1e-15 <= found.uppers[0].value < risk + 1e-9


def test_a_finished_search_looks_at_new_runs_only():
    problem = problem_of(XOR, [0, 1, 1, 0], "logistic", classes=2)
    network = net(2, 1, 1)
    done = Certificate("margin", {"theta": np.zeros(5), "separates": np.array([False])})
    good = np.array([1.0, 1.0, -1.0, -1.0, 0.0])
    again = MARGIN.search(problem, network, Budget(60.0), done, runs=[good, np.zeros(3)])
    assert again is not None
    assert again.finished
    assert MARGIN.verify(problem, network, again).uppers[0].value <= np.log(2)
