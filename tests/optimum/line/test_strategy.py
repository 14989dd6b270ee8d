"""Brackets of one input and piecewise linear networks, from certificates that are checked."""

import numpy as np
import pytest

from jaxsim.network.activations import relu
from jaxsim.network.initializers import INITIALIZERS, normal
from jaxsim.network.network import Layer, fully_connected
from jaxsim.optimum.line import FreeKnots
from jaxsim.optimum.line.function_class import function_class
from jaxsim.optimum.strategy import Budget, Certificate, CertificateError
from tests.risk.cases import make_network, make_problem, numpy_layers

STRATEGY = FreeKnots()


def bracket(problem, network, seconds=20.0):
    certificate = STRATEGY.search(problem, network, Budget(seconds))
    assert certificate is not None
    bounds = STRATEGY.verify(problem, network, certificate)
    return max(b.value for b in bounds.lowers), min(b.value for b in bounds.uppers), certificate


@pytest.mark.parametrize(
    ("widths", "activation", "kinks"),
    [
        ((1, 1), "relu", 0),
        ((1, 4, 1), "relu", 4),
        ((1, 1, 1, 1), "relu", 2),
        ((1, 1, 2, 1), "relu", 3),
        ((1, 2, 1, 1), "relu", 4),
        ((1, 2, 2, 1), "relu", 6),
        ((1, 2, 3, 1), "relu", 8),
        ((1, 3, 3, 1), "relu", 15),
        ((1, 2, 2, 2, 1), "relu", 20),
        ((1, 2, 2, 1), "leaky_relu", 8),
        ((1, 3, 1), "hard_tanh", 6),
        ((1, 3, 1), "identity", 0),
    ],
)
def test_number_of_kinks(widths, activation, kinks):
    network = make_network(*widths, activation=activation)
    assert function_class(network).kinks == kinks


def test_without_biases_all_kinks_lie_at_zero():
    assert function_class(make_network(1, 7, 1, biases=False)).kinks == 1
    assert function_class(make_network(1, 7, 2, 1, biases=(False, True, True))).kinks == 5


def test_parabola_of_two_neurons():
    lower, upper, _ = bracket(make_problem(), make_network(1, 2, 1))
    exact = 4 / 45 / 81
    assert 0.99 * exact < lower <= exact <= upper < exact * (1 + 1e-6)


def test_a_target_of_the_class_is_found():
    lower, upper, certificate = bracket(
        make_problem("abs(x - 0.25) - relu(x)"), make_network(1, 3, 1)
    )
    assert 0 <= lower <= upper < 1e-25
    assert certificate.finished


def test_constants_of_dead_layers():
    bias = Layer(1, 1, normal(), normal(), 0.0)
    network = fully_connected((bias,), relu())
    lower, upper, _ = bracket(make_problem("sin(pi*x)"), network)
    assert lower == pytest.approx(0.5, rel=1e-9)
    assert upper == pytest.approx(0.5, rel=1e-9)


def test_noise_is_added_to_both_ends():
    noisy = make_problem(noise=("normal", {"std": 2.0}))
    lower, upper, _ = bracket(noisy, make_network(1, 2, 1))
    assert lower <= 4 + 4 / 45 / 81 <= upper
    assert upper - lower < 2e-5


def test_upper_end_is_the_risk_of_the_stored_parameters():
    for network in (
        make_network(1, 2, 1),
        make_network(1, 2, 2, 1),
        make_network(1, 2, 1, biases=(True, False)),
        make_network(1, 3, 1, biases=False),
        fully_connected(
            (
                Layer(1, 2, normal(), normal(), 3.0),
                Layer(2, 1, normal(), INITIALIZERS["constant"](0.0), 0.5, train_biases=False),
            ),
            relu(),
        ),
    ):
        problem = make_problem("sin(pi*x)")
        certificate = STRATEGY.search(problem, network, Budget(0.4))
        assert certificate is not None
        bounds = STRATEGY.verify(problem, network, certificate)
        assert bounds.theta is not None
        h = np.linspace(-1, 1, 400_001)[:, None]
        y = np.sin(np.pi * h)
        layers = numpy_layers(network, bounds.theta)
        for number, (weights, biases) in enumerate(layers):
            h = h @ weights + biases
            h = np.maximum(h, 0) if number < len(layers) - 1 else h
        value = np.trapezoid(((h - y) ** 2)[:, 0]) / 400_000
        assert bounds.theta.dtype == np.float64
        assert bounds.uppers[0].value == pytest.approx(value, rel=1e-7)
        assert bounds.lowers[0].value <= value
        if not network.trainable.all():
            assert not bounds.theta[~network.trainable].any()


def test_wrong_certificates_are_refused():
    problem, network = make_problem("step(x)"), make_network(1, 2, 1)
    grid, theta = np.linspace(-1, 1, 11), np.zeros(network.size)
    STRATEGY.verify(problem, network, Certificate("free_knots", {"grid": grid, "theta": theta}))
    for arrays, what in (
        ({"grid": grid[1:]}, "no partition"),
        ({"grid": grid[::-1]}, "no partition"),
        ({"grid": np.array([-1.0, np.nan, 1.0])}, "no partition"),
        ({"grid": np.linspace(-1, 1, 10)}, "breakpoints"),
        ({"grid": grid, "theta": theta[1:]}, "parameters"),
        ({"grid": grid, "box_cells": grid}, "an earlier version"),
        ({"grid": grid, "theta": theta * np.nan}, "parameters"),
    ):
        with pytest.raises(CertificateError, match=what):
            STRATEGY.verify(problem, network, Certificate("free_knots", arrays))


def test_a_search_without_time_goes_on_later():
    problem, network = make_problem("exp(x)"), make_network(1, 1, 1)
    first = STRATEGY.search(problem, network, Budget(0.0))
    assert first is not None
    assert not first.finished
    bounds = STRATEGY.verify(problem, network, first)
    second = STRATEGY.search(problem, network, Budget(30.0), begin=first)
    assert second is not None
    assert second.finished
    later = STRATEGY.verify(problem, network, second)
    assert later.lowers[0].value >= bounds.lowers[0].value
    assert later.uppers[0].value == pytest.approx(0.009495018444528668, rel=1e-6)


def test_what_it_does_not_serve_says_why():
    for problem, network, why in (
        (make_problem(), make_network(1, 2, 1, activation="tanh"), "no finite number"),
        (make_problem(), make_network(1, 2, 1, activation="relu_power"), "no finite number"),
        (make_problem("x1", dimension=2), make_network(2, 2, 1), "more than one coordinate"),
    ):
        assert why in STRATEGY.unsupported_reason(problem, network)
