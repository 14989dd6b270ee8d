"""Where layers lie in theta: one place knows, and every engine asks it."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.initializers import uniform
from jaxsim.network.network import Layer
from jaxsim.network.parameter_layout import ParameterLayout

SHAPES = [(2, 3, True), (3, 1, False), (1, 4, True)]


def layers(shapes):
    return [Layer(i, o, uniform(), uniform() if biased else None) for i, o, biased in shapes]


@pytest.mark.parametrize("shapes", [SHAPES, SHAPES[:1], SHAPES[1:2], []])
def test_layers_follow_each_other_and_cover_theta(shapes):
    layout = ParameterLayout.of(layers(shapes))
    taken = []
    for place, (fan_in, fan_out, biased) in zip(layout.places, shapes, strict=True):
        assert (place.fan_in, place.fan_out, place.biases is not None) == (fan_in, fan_out, biased)
        for part in (place.weights, place.biases):
            taken += [] if part is None else range(part.start, part.stop)
    assert taken == list(range(layout.size))
    assert layout.size == sum(i * o + o * biased for i, o, biased in shapes)


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_cut_in_row_major_order_whatever_lies_beside(axis):
    layout = ParameterLayout.of(layers(SHAPES))
    numbers = iter(range(layout.size))
    wanted = []  # one by one, as theta is read
    for fan_in, fan_out, biased in SHAPES:
        weights = [[next(numbers) for _ in range(fan_out)] for _ in range(fan_in)]
        wanted.append((weights, [next(numbers) for _ in range(fan_out)] if biased else None))
    theta = np.arange(layout.size)
    pairs = layout.split(theta[:, None] if axis == 0 else theta[None], axis)
    for (weights, biases), (w, b) in zip(pairs, wanted, strict=True):
        assert np.squeeze(weights, 2 if axis == 0 else 0).tolist() == w
        found = None if biases is None else np.squeeze(biases, 1 if axis == 0 else 0).tolist()
        assert found == b


def test_what_was_cut_is_joined_again():
    layout = ParameterLayout.of(layers(SHAPES))
    theta = jnp.arange(2 * layout.size).reshape(2, -1)
    cut = [[a for a in pair if a is not None] for pair in layout.split(theta, axis=1)]
    assert (layout.join(cut) == theta).all()
