"""What is provable for a training holds in the arithmetic of the training."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from jaxsim.evidence import Bound
from jaxsim.network.activations import clipped_relu, relu
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Box, Everything, Points
from jaxsim.theory.inactive import inactive_probability
from jaxsim.theory.lower_bound import exceedance_lower_bound
from jaxsim.theory.rounding import training_rounding


def constant(value):
    return LAWS["constant"](value)


def layer(d, weights, biases, multiplier=1.0, width=4):
    laws = [LAWS[v]() if isinstance(v, str) else v for v in (weights, biases)]
    return Layer(d, width, *laws, multiplier)


DIAGONAL = Points(np.array([[1.0, 1, 1], [0, 0, 0], [-1, -1, -1]]))


def test_a_tie_that_float32_breaks_is_not_proved():
    # 3 * 0.6 - 1.8 is 0 on paper, -2.2e-16 in float64 and 1.2e-7 in float32.
    spec = layer(3, constant(0.6), constant(-1.8))
    assert np.float32(0.6) * np.float32(3) - np.float32(1.8) > 0
    assert inactive_probability(spec, relu(), DIAGONAL).lower == 0
    out = layer(4, "uniform", "uniform", width=1)
    (bound,) = exceedance_lower_bound(
        0.01,
        [spec, out],
        relu(),
        DIAGONAL,
        optimum_upper=Bound(0.0),
        best_constant_lower=Bound(1.0),
    )
    assert bound.value == 0
    assert "a tie, which rounding in training may break" in bound.reason


@pytest.mark.parametrize("bias", [-1.8001, -2.0])
def test_what_is_no_tie_stays_proved(bias):
    found = inactive_probability(layer(3, constant(0.6), constant(bias)), relu(), DIAGONAL)
    assert found.lower > 1 - 1e-15


def float32_sums(w, x, b):
    """Return w.x + b in float32, in every order of summation."""
    terms = [np.float32(w) * np.float32(v) for v in x] + [np.float32(b)]
    for order in itertools.permutations(terms):
        total = np.float32(0)
        for term in order:
            total = np.float32(total + term)
        yield total


@pytest.mark.parametrize(
    ("support", "points"),
    [
        (DIAGONAL, DIAGONAL.points),
        (Box((-1.0,) * 3, (1.0,) * 3), np.array(list(itertools.product((-1, 1), repeat=3)))),
        (
            points := Points(np.random.default_rng(1).integers(-9, 9, (4, 3)) / 10),
            points.points,
        ),
    ],
)
@pytest.mark.parametrize("activation", [relu(), clipped_relu(0.1, 0.7)])
def test_constants_beside_a_tie_are_decided_as_in_training(support, points, activation):
    # Weights and biases whose real sums differ from an end of a flat piece by a few eps or many.
    proved = refuted = 0
    sizes = [0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 1024, 8192]
    for w, steps in itertools.product((0.6, -0.3, 0.7, 1.1), [*sizes, *(-s for s in sizes)]):
        top = max(float(np.dot(np.full(3, w), x)) for x in points)
        bias = (activation.flat[0][1] - top) * (1 + steps * 2.0**-24)
        spec = layer(3, constant(w), constant(bias))
        found = inactive_probability(spec, activation, support, activation.flat[:1])
        end = np.float32(activation.flat[0][1])
        holds = all(z <= end for x in points for z in float32_sums(w, x, bias))
        if found.lower > 0:
            assert holds, (w, bias)
            proved += 1
        refuted += not holds
    assert proved > 10
    assert refuted > 20


def test_sums_without_a_positive_term_need_no_margin():
    cube = Box((0.0,) * 3, (1.0,) * 3)
    for biases in ("zero", constant(0.0)):
        spec = layer(3, "uniform", biases)
        assert inactive_probability(spec, relu(), cube).lower == pytest.approx(1 / 8, abs=1e-14)
    certain = layer(3, constant(-0.6), "zero")
    assert inactive_probability(certain, relu(), cube).lower == pytest.approx(1, abs=1e-15)
    silent = layer(2, "zero", "uniform")
    assert inactive_probability(silent, relu(), Everything(2)).lower == pytest.approx(0.5)
    # The end 0.1 of a flat piece is another number in float32.
    tie = layer(2, "zero", constant(0.1))
    assert inactive_probability(tie, clipped_relu(0.1, 1.0), Everything(2)).lower == 0


CASES = {
    "interval": (layer(1, "uniform", "uniform"), relu(), Box((-1.0,), (1.0,))),
    "gaussian interval": (layer(1, "normal", "normal"), relu(), Box((-1.0,), (1.0,))),
    "cube": (layer(3, "normal", "normal"), relu(), Box((-1.0, 0.0, 0.5), (0.25, 1.0, 2.0))),
    "zero bias": (layer(2, "normal", "zero"), relu(), Box((-0.5, 0.5), (2.0, 1.0))),
    "clipped": (layer(2, "uniform", "normal"), clipped_relu(0.1, 0.3), Box((0, 0), (0.2, 0.3))),
    "ball": (layer(3, "normal", "normal"), relu(), Ball(0.5, 3)),
    "ball uniform": (layer(3, "normal", "uniform"), clipped_relu(0.0, 0.3), Ball(0.3, 3)),
    "ball constant": (layer(3, "normal", constant(-1.0)), relu(), Ball(0.5, 3)),
    "points": (layer(2, "normal", "normal"), relu(), Points(np.array([[0.3, 1], [2, 1], [0, 1]]))),
    "points, no bias": (layer(2, "normal", "zero"), relu(), Points(np.array([[0.3, 1], [2, 1]]))),
}


@pytest.mark.parametrize("name", CASES)
def test_continuous_laws_lose_next_to_nothing(name):
    spec, activation, support = CASES[name]
    single, double = (
        inactive_probability(spec, activation, support, precision=precision)
        for precision in ("float32", "float64")
    )
    assert single.value == pytest.approx(double.value, abs=1e-4)
    assert 0 < single.lower <= double.lower <= double.value
    assert double.value - double.lower < 1e-12
    assert single.value - single.lower < 1e-5


def test_tiny_probabilities_keep_their_relative_accuracy():
    torch = layer(12, "pytorch", "pytorch")
    found = inactive_probability(torch, relu(), Box((-1.0,) * 12, (1.0,) * 12))
    assert found.value / 1.001 < found.lower < found.value
    assert found.value == pytest.approx(1 / (2 * math.factorial(13)), rel=1e-12)


def test_inputs_that_are_no_float32_prove_nothing():
    tiny = Points(np.array([[1e-40, 1.0], [1.0, 0.5]]))
    spec = layer(2, "normal", "normal")
    assert inactive_probability(spec, relu(), tiny).lower == 0
    assert inactive_probability(spec, relu(), tiny, precision="float64").lower > 0.1
    assert not training_rounding(tiny, "float32").representable


@pytest.mark.parametrize("spec", [layer(2, "normal", "zero"), layer(2, "normal", "uniform")])
def test_neurons_inactive_in_float32_are_at_least_as_many(spec):
    points = np.array([[1.0, 1e-7], [-1e-7, -1.0], [0.5, -1e-4]])
    rng = np.random.default_rng(0)
    w = rng.normal(size=(200_000, 2)).astype(np.float32)
    b = np.zeros(len(w), np.float32)
    if spec.biases.constant is None:
        b = rng.uniform(-1, 1, len(w)).astype(np.float32)
    z = w @ points.T.astype(np.float32) + b[:, None]
    lower = inactive_probability(spec, relu(), Points(points)).lower
    count = int((z <= 0).all(1).sum())
    # False alarm 1e-6.
    assert stats.binomtest(count, len(w), lower, "less").pvalue > 1e-6
    assert lower > 0.1
