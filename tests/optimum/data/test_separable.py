"""Linearly separable data sets: inf L = 0 before any training, for networks that carry the map."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.optimum.data import Separable
from jaxsim.optimum.data.carry import carried
from jaxsim.optimum.data.separating import least_margin, separating_functions
from jaxsim.optimum.strategy import Budget, CertificateError
from tests.optimum.data.cases import bounds_of, data_problem, net, problem_of

SEPARABLE = Separable()


@pytest.mark.parametrize(
    ("name", "loss", "scale", "widths"),
    [
        ("wine", "softmax_cross_entropy", "standardize", (13, 2, 3)),
        ("wine", "softmax_cross_entropy", "standardize", (13, 3)),
        ("breast_cancer", "logistic", "standardize", (30, 1, 1)),
        ("breast_cancer", "hinge", "standardize", (30, 8, 8, 1)),
        ("breast_cancer", "brier", "standardize", (30, 1, 1)),
        ("digits", "softmax_cross_entropy", "unit", (64, 16, 16, 10)),
    ],
)
def test_separable_data_sets_have_the_infimum_zero(name, loss, scale, widths):
    found = bounds_of(SEPARABLE, data_problem(name, loss, scale=scale), net(*widths))
    assert found is not None
    assert [b.value for b in (*found.lowers, *found.uppers)] == [0.0, 0.0]
    assert found.uppers[0].evidence.proved
    assert ("not attained" in found.uppers[0].reason) == (loss != "hinge")


def test_iris_is_not_linearly_separable():
    problem = data_problem("iris", "softmax_cross_entropy")
    assert bounds_of(SEPARABLE, problem, net(4, 8, 3)) is None
    setosa = (problem.targets_at_points() == 0).astype(int)
    two = problem_of(problem.law.finite[0], setosa, "logistic", classes=2)
    assert bounds_of(SEPARABLE, two, net(4, 1, 1)) is not None


def test_large_programs_agree_with_whole_ones(monkeypatch):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 3))
    for labels in (x.argmax(1), np.where(rng.random(80) < 0.1, 0, x.argmax(1))):
        whole, over = separating_functions(x, labels, 3, Budget(60))
        monkeypatch.setattr("jaxsim.optimum.data.separating._SMALL", 0)
        monkeypatch.setattr("jaxsim.optimum.data.separating._smooth_separation", lambda *args: None)
        parts, also = separating_functions(x, labels, 3, Budget(60))
        monkeypatch.undo()
        assert over
        assert also
        assert (whole is None) == (parts is None)
        assert whole is None or least_margin(x, labels, whole) > 0


def test_a_network_too_narrow_or_frozen_gets_no_zero():
    problem = data_problem("wine", "softmax_cross_entropy")
    assert "width 1" in SEPARABLE.unsupported_reason(problem, net(13, 1, 3))
    assert "width 1" in SEPARABLE.unsupported_reason(problem, net(13, 4, 1, 3))
    assert "width 3" in SEPARABLE.unsupported_reason(problem, net(13, 3, 3, biases=False))
    for part in ("weights 1", "weights 2"):
        assert "frozen" in SEPARABLE.unsupported_reason(problem, net(13, 4, 4, 3, freeze=(part,)))
    assert not SEPARABLE.unsupported_reason(problem, net(13, 4, 3, biases=False))
    assert not SEPARABLE.unsupported_reason(problem, net(13, 4, 3, freeze=("weights 2",)))


def test_one_neuron_without_output_bias_has_one_sign_only():
    # v relu(w x + b) has one sign: half of the points stay wrong.
    problem = problem_of([[-1.0], [1.0]], [0, 1], "logistic", classes=2)
    assert bounds_of(SEPARABLE, problem, net(1, 1, 1)) is not None
    for network in (
        net(1, 1, 1, biases=(True, False)),
        net(1, 1, 1, freeze=("biases 2",)),
        net(1, 1, 1, freeze=("weights 2", "biases 2")),
    ):
        assert SEPARABLE.unsupported_reason(problem, network)
    assert bounds_of(SEPARABLE, problem, net(1, 2, 1, biases=(True, False))) is not None


def test_points_on_one_side_of_the_origin_need_a_constant():
    problem = problem_of([[1.0], [2.0]], [0, 1], "logistic", classes=2)
    assert bounds_of(SEPARABLE, problem, net(1, 2, 1, biases=False)) is None
    assert bounds_of(SEPARABLE, problem, net(1, 1, biases=False)) is None
    assert bounds_of(SEPARABLE, problem, net(1, 1)) is not None
    # Any trained biases make one, wherever they are.
    assert bounds_of(SEPARABLE, problem, net(1, 2, 2, 1, biases=(False, True, False))) is not None


def test_contradictory_labels_are_not_separable():
    problem = problem_of([[0.0], [1.0], [1.0]], [0, 0, 1], "logistic", classes=2)
    assert "different labels" in SEPARABLE.unsupported_reason(problem, net(1, 4, 1))


@pytest.mark.parametrize(
    ("activation", "neurons"),
    [("relu", 2), ("leaky_relu", 2), ("tanh", 1), ("sigmoid", 2), ("softplus", 2), ("gelu", 1),
     ("elu", 1), ("selu", 2), ("identity", 1), ("hard_tanh", 1), ("sine", 1)],
)  # fmt: skip
def test_neurons_without_biases_carry_one_function(activation, neurons):
    """The rule against the functions themselves: small weights make the network linear."""
    assert carried(net(3, neurons, 1, activation=activation, biases=False), 1, True).obstacle == ""
    if neurons == 2:
        narrow = net(3, 1, 1, activation=activation, biases=False)
        assert carried(narrow, 1, True).obstacle
    network = net(3, neurons, 1, activation=activation, biases=False)
    x = np.random.default_rng(0).normal(size=(20, 3))
    w, small = np.array([1.0, -2.0, 0.5]), 1e-4
    slope = float(network.activation.function(jnp.float64(small))) / small
    theta = [*(small * w), 1 / (small * slope)]
    if neurons == 2:
        one, two = (float(network.activation.function(jnp.float64(s * small))) for s in (1, -1))
        theta = [*np.stack([small * w, -small * w], 1).ravel(), *np.array([1, -1]) / (one - two)]
    values = np.asarray(network.apply(jnp.asarray(theta), jnp.asarray(x)))[:, 0]
    assert np.allclose(values, x @ w, atol=0.01)


def test_activations_that_carry_nothing_are_refused():
    for network in (
        net(3, 4, 1, activation="relu_power", biases=False),
        net(3, 4, 1, activation="clipped_relu", biases=False, low=1.0, high=2.0),
        net(3, 4, 1, activation="function", function=jnp.tanh),
        net(3, 4, 1, activation="sine", frequency=0.0),
    ):
        assert carried(network, 1, True).obstacle


def test_a_damaged_certificate_is_refused():
    problem, network = data_problem("wine", "softmax_cross_entropy"), net(13, 2, 3)
    found = SEPARABLE.search(problem, network, Budget(60.0))
    assert found is not None
    functions = found.arrays["functions"]
    nan = np.where(np.arange(functions.size).reshape(functions.shape) == 0, np.nan, functions)
    for wrong in (-functions, functions[:-1], 0 * functions, nan):
        with pytest.raises(CertificateError):
            SEPARABLE.verify(
                problem, network, dataclasses.replace(found, arrays={"functions": wrong})
            )
    with pytest.raises(CertificateError):
        SEPARABLE.verify(problem, network, dataclasses.replace(found, arrays={}))


def test_margins_count_their_rounding():
    # 0.1 + 0.2 - 0.3 is positive in float64, and not by more than its rounding.
    x, labels = np.array([[0.1, 0.2, 0.3]]), np.array([1])
    functions = np.array([[1.0], [1.0], [-1.0]])
    assert (x @ functions)[0, 0] > 0
    assert least_margin(x, labels, functions) < 0


def test_narrower_networks_share_the_search(monkeypatch):
    problem = data_problem("wine", "softmax_cross_entropy")
    assert bounds_of(SEPARABLE, problem, net(13, 8, 3)) is not None
    monkeypatch.setattr("jaxsim.optimum.data.separable.separating_functions", None)
    assert bounds_of(SEPARABLE, problem, net(13, 2, 3)) is not None
    # A search that was cut short is not remembered.
    other = data_problem("wine", "softmax_cross_entropy")
    monkeypatch.setattr(
        "jaxsim.optimum.data.separable.separating_functions", lambda *args: (None, False)
    )
    cut = SEPARABLE.search(other, net(13, 8, 3), Budget(0.0))
    assert cut is not None
    assert not cut.finished
    monkeypatch.undo()
    assert bounds_of(SEPARABLE, other, net(13, 8, 3)) is not None


def test_a_budget_that_is_spent_leaves_the_search_open():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(3000, 12))
    found, over = separating_functions(x, rng.integers(0, 3, 3000), 3, Budget(0.0))
    assert found is None
    assert not over
