"""Born-dead bounds against simulated networks and published values."""

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.theory.born_dead import (
    alive_bounds,
    born_dead_lower,
    born_dead_two_hidden,
    born_dead_upper,
)

DRAWS = 100_000


def born_dead(widths, seed, biases=False, inputs=1, draws=DRAWS, law="normal"):
    """Simulate ReLU networks on both rays of the line: is a layer dead on all inputs? [draws].

    Without biases the network is positively homogeneous: the inputs 1 and -1 decide.
    """
    rng = np.random.default_rng(seed)
    sample = rng.standard_normal if law == "normal" else lambda s: rng.uniform(-1, 1, s)
    x = np.array([[1.0], [-1.0]]) if not biases else np.linspace(-1, 1, 9)[:, None]
    h = np.broadcast_to(x, (draws, *x.shape))
    dead = np.zeros(draws, bool)
    for width in widths:
        w = sample((draws, h.shape[2], width))
        b = sample((draws, 1, width)) if biases else 0.0
        h = np.maximum(h @ w + b, 0.0)
        dead |= (h == 0).all((1, 2))
    return dead


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_two_hidden_layers_are_exact(width, law):
    exact = born_dead_two_hidden(width)
    assert born_dead_lower(width, 3) == pytest.approx(exact, rel=1e-12)
    dead = born_dead([width, width], width, law=law)
    # False alarm 1e-6.
    assert stats.binomtest(int(dead.sum()), DRAWS, exact).pvalue > 1e-6


@pytest.mark.parametrize(
    ("depth", "lower", "simulated", "upper"),
    [
        (3, 0.1562, 0.1558, 0.4375),
        (5, 0.4767, 0.4980, 0.6836),
        (8, 0.7707, 0.7865, 0.8665),
        (10, 0.8703, 0.8789, 0.9249),
    ],
)
def test_width_two_lies_between_its_bounds(depth, lower, simulated, upper):
    widths = [2] * (depth - 1)
    assert born_dead_lower(2, depth) == pytest.approx(lower, abs=6e-5)
    assert born_dead_upper(widths) == pytest.approx(upper, abs=6e-5)
    share = born_dead(widths, depth).mean()
    slack = 5 * np.sqrt(0.25 / DRAWS)
    assert born_dead_lower(2, depth) - slack < share < born_dead_upper(widths) + slack
    assert share == pytest.approx(simulated, abs=slack + 0.005)


@pytest.mark.parametrize(("width", "depth"), [(3, 6), (4, 12), (5, 20)])
def test_bounds_hold_for_wider_networks(width, depth):
    widths = [width] * (depth - 1)
    share = born_dead(widths, 100 + depth, draws=30_000).mean()
    slack = 5 * np.sqrt(0.25 / 30_000)
    assert born_dead_lower(width, depth) - slack < share < born_dead_upper(widths) + slack


def test_one_hidden_layer_without_biases_is_never_dead():
    assert born_dead_lower(3, 2) == 0
    assert not born_dead([3], 0).any()


def test_one_ray_attains_the_upper_bound():
    rng = np.random.default_rng(1)
    h = np.ones((DRAWS, 1, 1))
    for width in (2, 3, 2):
        h = np.maximum(h @ rng.standard_normal((DRAWS, h.shape[2], width)), 0)
    dead = int((h == 0).all((1, 2)).sum())
    assert stats.binomtest(dead, DRAWS, born_dead_upper([2, 3, 2])).pvalue > 1e-6


@pytest.mark.parametrize("biases", [False, True])
def test_alive_probability_lies_between_its_bounds(biases):
    widths = [2, 1, 2, 2]
    lower, upper = alive_bounds(widths, biases=biases)
    share = 1 - born_dead(widths, 11, biases=biases).mean()
    slack = 5 * np.sqrt(0.25 / DRAWS)
    assert lower - slack < share < upper + slack
    assert lower == pytest.approx(1 - born_dead_upper(widths), rel=1e-14)


def test_alive_bounds_by_hand():
    assert alive_bounds([1, 2]) == pytest.approx((0.5 * 0.75, 1 - 2.0**-4))
    assert alive_bounds([1, 2], non_negative_inputs=3) == pytest.approx(
        (0.375, (1 - 2.0**-4) * (1 - 2.0**-4))
    )
    assert alive_bounds([1, 2], 3, biases=False) == pytest.approx((0.375, (7 / 8) * 0.75))


def test_upper_factor_is_sharp_for_a_non_negative_orthant():
    # One neuron on [0, 1]^2 with bias: dead iff both weights and the bias are negative.
    rng = np.random.default_rng(2)
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float) * 1e9
    z = rng.standard_normal((DRAWS, 2)) @ corners.T + rng.standard_normal((DRAWS, 1))
    dead = int((z <= 0).all(1).sum())
    assert stats.binomtest(dead, DRAWS, 1 - alive_bounds([1], 2)[1]).pvalue > 1e-6


def test_deep_networks_keep_their_tiny_probabilities():
    assert born_dead_upper([60, 60]) == pytest.approx(2 * 2.0**-60, rel=1e-12)


def test_bad_shapes_are_refused():
    with pytest.raises(InputError, match="width = 0"):
        born_dead_upper([2, 0])
    with pytest.raises(InputError, match="depth = 1"):
        born_dead_lower(2, 1)
