"""The event that a neuron is certainly inactive: counted in draws of NumPy, and by real numbers."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.initializers import Initializer
from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Box, Everything, Points, Support
from jaxsim.theory.inactive import event_probability
from jaxsim.theory.inactive_event import InactiveEvent

BELOW = ((-math.inf, 0.0),)
BOTH = ((-math.inf, 0.0), (1.0, math.inf))
UNIT_SQUARE = Box((0.0, 0.0), (1.0, 1.0))
UNIFORM, NORMAL = LAWS["uniform"](), LAWS["normal"](0.8)
CUT = LAWS["truncated_normal"](0.7)
CORNERS = Points(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5]]))
TRIANGLE = Points(np.array([[0.3, 1.0], [-1.0, 0.5], [0.4, -0.9]]))
CASES = {
    "uniform, interval": (UNIFORM, UNIFORM, Box((-1.0,), (1.0,)), BELOW),
    "normal, interval": (NORMAL, NORMAL, Box((-1.0,), (2.0,)), BELOW),
    "truncated, square": (CUT, UNIFORM, Box((-1.0, -1.0), (1.0, 0.5)), BELOW),
    "uniform, unit square": (UNIFORM, UNIFORM, UNIT_SQUARE, BELOW),
    "no biases, unit square": (UNIFORM, None, UNIT_SQUARE, BELOW),
    "zero biases, unit square": (NORMAL, LAWS["zero"](), UNIT_SQUARE, BELOW),
    "corners": (CUT, UNIFORM, CORNERS, BELOW),
    "triangle": (NORMAL, NORMAL, TRIANGLE, BELOW),
    "ball": (NORMAL, NORMAL, Ball(0.7, 3), BELOW),
    "ball, uniform biases": (NORMAL, UNIFORM, Ball(0.4, 2), BELOW),
    "short ball": (UNIFORM, UNIFORM, Ball(0.5, 1), BELOW),
    "constant weights": (LAWS["constant"](0.3), UNIFORM, Box((-1.0,), (1.0,)), BELOW),
    "constant biases": (UNIFORM, LAWS["constant"](-0.5), Box((-1.0,), (1.0,)), BELOW),
    "two pieces": (LAWS["uniform"](0.8), LAWS["uniform"](3.0), Box((-1.0,), (1.0,)), BOTH),
    "piece elsewhere": (UNIFORM, UNIFORM, Box((-1.0,), (1.0,)), ((-math.inf, -0.5),)),
}


def numbers(law: Initializer | None, shape: tuple[int, ...], fans: tuple[int, int], rng):
    """Draw from a law as SciPy has it."""
    if law is None or law.constant is not None:
        return np.full(shape, 0.0 if law is None else law.constant)
    assert law.marginal is not None
    return law.marginal(*fans).ppf(rng.uniform(size=shape))


def real(w: np.ndarray, b: np.ndarray, support: Support, pieces) -> np.ndarray:
    """Return which neurons are inactive in real numbers, for w [d, units]."""
    if isinstance(support, Ball):
        reach = support.radius * np.linalg.norm(w, axis=0)
        low, high = b - reach, b + reach
    else:
        if isinstance(support, Box):
            ends = np.array([support.low, support.high])[:, :, None] * w
            low, high = b + ends.min(0).sum(0), b + ends.max(0).sum(0)
        else:
            assert isinstance(support, Points)
            z = support.points @ w + b
            low, high = z.min(0), z.max(0)
    return np.any([(lo <= low) & (high <= hi) for lo, hi in pieces], axis=0)


@pytest.mark.parametrize("name", CASES)
def test_the_probability_is_that_of_the_event(name):
    weights, biases, support, pieces = CASES[name]
    layer = Layer(support.dimension, 7, weights, biases)
    found = event_probability(layer, support, pieces)
    assert found is not None
    p, error = found
    rng = np.random.default_rng(1)
    n = 100_000
    w = numbers(weights, (support.dimension, n), (support.dimension, 7), rng)
    b = numbers(biases, (n,), (support.dimension, 7), rng)
    event = InactiveEvent.of(layer, support, pieces, "float32")
    holds = np.asarray(event.holds(jnp.asarray(w), jnp.asarray(b)))
    assert 0.005 < p < 0.8
    assert error < (2e-6 if name == "triangle" else 1e-10)
    assert abs(holds.sum() - n * p) < 5.5 * math.sqrt(n * p * (1 - p)) + n * error
    # It implies inactivity in real numbers, and leaves out a window of the margins at most.
    exact = real(w, b, support, pieces)
    assert not (holds & ~exact).any()
    assert (exact & ~holds).sum() <= 20


def test_the_multiplier_of_a_layer_counts():
    support = Box((-1.0,), (1.0,))
    plain, scaled = (Layer(1, 5, NORMAL, UNIFORM, multiplier=m) for m in (1.0, 3.0))
    a, b = (event_probability(layer, support, BELOW) for layer in (plain, scaled))
    assert a is not None
    assert b is not None
    assert b[0] < a[0] - 0.05
    other = Layer(1, 5, LAWS["normal"](2.4), UNIFORM)
    assert event_probability(other, support, BELOW) == pytest.approx(b, rel=1e-12)


def test_a_margin_of_the_precision_is_taken_off():
    layer, support = Layer(1, 5, UNIFORM, UNIFORM), Box((-1.0,), (1.0,))
    for precision, unit in (("float32", 2.0**-23), ("float64", 2.0**-52)):
        found = event_probability(layer, support, BELOW, precision)
        assert found is not None
        # d/dr P(b + |w| + r (|b| + |w|) <= 0) at r = 0 is -1/4: both ends of a triangle move.
        assert 0.25 - found[0] == pytest.approx(5.5 * unit / 2, rel=0.6, abs=1e-14)


@pytest.mark.parametrize(
    ("weights", "support"),
    [
        (LAWS["orthogonal"](), Box((-1.0, -1.0), (1.0, 1.0))),
        (LAWS["randomized_asymmetric"](), Box((-1.0,), (1.0,))),
        (UNIFORM, Everything(1)),
        (UNIFORM, Ball(1.0, 2)),
        (UNIFORM, TRIANGLE),
        (UNIFORM, Box((1e-42,), (1.0,))),
    ],
)
def test_what_has_no_formula_has_no_probability(weights, support):
    layer = Layer(support.dimension, 4, weights, None if weights.draw_joint else UNIFORM)
    assert event_probability(layer, support, BELOW) is None


def test_texts_of_events_differ_with_their_points():
    layer = Layer(2, 3, NORMAL, NORMAL)
    texts = {
        InactiveEvent.of(layer, Points(TRIANGLE.points * s), BELOW, "float32").text
        for s in (1.0, 1.0, 0.5)
    }
    assert len(texts) == 2
