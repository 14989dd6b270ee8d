"""P(a neuron is recorded as inactive at step 0): between the laws of a smaller and a larger event.

The recorded event is evaluated as trainings evaluate it, on parameters rounded to float32.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.activations import relu
from jaxsim.network.initializers import normal, uniform
from jaxsim.network.network import Layer, fully_connected
from jaxsim.problem.support import Ball, Box
from jaxsim.theory.inactive import certified_probability, inactive_probability
from jaxsim.theory.rounding import training_rounding
from jaxsim.training.inactive import make_ranges

UNIT = 2.0**-23
SUPPORTS = {
    "interval": Box((-1.0,), (1.0,)),
    "one-sided": Box((0.5,), (2.0,)),
    "far from 0": Box((-3.0,), (0.01,)),
    "square": Box((-1.0, 0.0), (1.0, 0.5)),
    "disc": Ball(1.5, 2),
}


def margins(support):
    """Return the relative margins of the smaller and the larger event."""
    inner = training_rounding(support, "float32").relative + (support.dimension + 2) * UNIT
    return inner, UNIT + 1e-15


def supremum(support, w, margin, whole):
    """Return sup of w.x, each x with its margin or all with the largest one, [n]."""
    if isinstance(support, Ball):
        size = np.sqrt((w**2).sum(0))
        reach = np.sqrt(support.dimension) if whole else 1.0
        return support.radius * size * (1 + margin * reach)
    low, high = (np.array(end)[:, None] for end in (support.low, support.high))
    sizes = [np.abs(w * low), np.abs(w * high)]
    if whole:
        sizes = [np.maximum(*sizes)] * 2
    return np.maximum(w * low + margin * sizes[0], w * high + margin * sizes[1]).sum(0)


@pytest.mark.parametrize("name", SUPPORTS)
def test_the_recorded_event_lies_between_two_whose_laws_are_known(name):
    """Biases within some units of the edge, where the three events differ."""
    support, count = SUPPORTS[name], 3000
    rng = np.random.default_rng(0)
    d = support.dimension
    w = rng.normal(size=(d, count))
    b = -supremum(support, w, 0.0, False) * (1 + rng.uniform(-1, 1, count) * 100 * UNIT)
    layers = Layer(d, count, normal(), uniform()), Layer(count, 1, normal(), uniform())
    network = fully_connected(layers, relu())
    theta = np.concatenate([w.ravel(), b, np.zeros(count + 1)]).astype(np.float32)
    ranges = make_ranges(network, support, jnp.dtype("float32")).of
    recorded = np.asarray(ranges(jnp.asarray(theta, jnp.float64))[0].clears(relu()))
    inner, outer = margins(support)
    reach = np.sqrt(d) if isinstance(support, Ball) else 1.0
    smaller = supremum(support, w, inner, True) + b + inner * reach * np.abs(b) <= 0
    larger = supremum(support, w, -outer, False) + b - outer * np.abs(b) <= 0
    assert not (smaller & ~recorded).any()
    assert not (recorded & ~larger).any()
    assert 0 < smaller.sum() < recorded.sum() < larger.sum() < count


def test_bounds_are_the_laws_of_the_two_events():
    """|w| (1 + r) + b + r |b| <= 0 for w and b uniform on [-1, 1], in closed form."""
    support = SUPPORTS["interval"]
    bounds = certified_probability(Layer(1, 4, uniform(), uniform()), relu(), support, "float32")
    assert bounds is not None
    inner, outer = margins(support)
    slope = (1 + inner) / (1 - inner)
    assert bounds[0] == pytest.approx(1 / (4 * slope), abs=1e-13)
    slope = (1 - outer) / (1 + outer)
    assert bounds[1] == pytest.approx((1 - slope / 2) / 2, abs=1e-13)


@pytest.mark.parametrize("name", SUPPORTS)
def test_bounds_hold_the_probability_in_real_numbers(name):
    support = SUPPORTS[name]
    layer = Layer(support.dimension, 4, normal(), normal())
    bounds = certified_probability(layer, relu(), support, "float32")
    exact = inactive_probability(layer, relu(), support).value
    assert bounds is not None
    low, high = bounds
    assert exact * (1 - 1e-4) < low < exact <= high < exact * (1 + 1e-4)
