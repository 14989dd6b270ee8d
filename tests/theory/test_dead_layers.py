"""Dead layers of deep networks: conditional sampling against plain simulation and closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate

from jaxsim.evidence import Bound
from jaxsim.network.activations import clipped_relu, leaky_relu, relu
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Box, Everything, Points
from jaxsim.theory.born_dead import (
    born_dead_lower,
    born_dead_on_rays,
    born_dead_two_hidden,
    born_dead_upper,
)
from jaxsim.theory.dead_layers import LayerLaw, rays_of, sampled_dead_layers
from jaxsim.theory.image import first_image
from jaxsim.theory.inactive_counts import probability_layer_dead
from jaxsim.theory.lower_bound import exceedance_lower_bound
from jaxsim.theory.rounding import training_rounding
from jaxsim.theory.second_layer import lost, second_layer_dead
from tests.studies import slow_but

INTERVAL = Box((-1.0,), (1.0,))
POSITIVE = Box((0.0,), (1.0,))


def layers(*widths, weights="he_normal", biases="zero"):
    return tuple(Layer(i, o, LAWS[weights](), LAWS[biases]()) for i, o in pairwise(widths))


def simulated(specs, x, draws, seed, function=lambda z: np.maximum(z, 0)):
    """Return how often a layer after the first is constant in all neurons at the points x."""
    rng = np.random.default_rng(seed)
    h = np.broadcast_to(x, (draws, *x.shape))
    dead = np.zeros(draws, bool)
    for number, layer in enumerate(specs[:-1]):
        w, b = LayerLaw.of(layer).draw(draws, rng)
        h = function(h @ w + b[:, None])
        still = (h.max(1) == h.min(1)).all(1)
        dead = still if number == 0 else dead | still
    return dead


TABLE = [
    ((2,) * 4, 40_000),
    ((3,) * 4, 40_000),
    *[pytest.param((n,) * d, 100_000, marks=pytest.mark.slow)
      for n in (2, 3, 4, 5) for d in (2, 4, 7, 9, 19)],
    pytest.param((3, 6, 2, 4), 100_000, marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("widths", "draws"), TABLE)
def test_born_dead_lies_in_the_published_bounds_and_agrees_with_simulation(widths, draws):
    specs = layers(1, *widths, 1)
    found = probability_layer_dead(specs, relu(), INTERVAL)
    lower, upper = born_dead_on_rays(widths, 2)
    assert found.value <= upper == born_dead_upper(widths)
    if len(set(widths)) == 1:
        assert lower == pytest.approx(born_dead_lower(widths[0], len(widths) + 1), rel=1e-12)
    assert found.value > lower * (1 - 1e-4 * (len(widths) == 2))
    share = simulated(specs, np.array([[1.0], [-1.0]]), draws, 1).mean()
    error = 5 * math.sqrt(share * (1 - share) / draws)
    assert found.value < share + error
    assert found.value > 0.97 * share - error
    assert found.evidence.word == ("proved" if len(widths) == 2 else "confidence")


def test_the_issue_s_network_is_no_longer_bounded_by_its_structure():
    # 19 layers of 5 neurons: 35.5 % of all initializations are constant.
    specs = layers(1, *[5] * 19, 1)
    (bound,) = exceedance_lower_bound(
        0.01, specs, relu(), INTERVAL, optimum_upper=Bound(0.0), best_constant_lower=Bound(1 / 12)
    )
    assert 0.348 < bound.value < 0.3575
    assert bound.unsampled == pytest.approx(born_dead_two_hidden(5), rel=1e-4)
    assert bound.evidence.delta == 1e-6
    assert "in real numbers it is in [0.2138, 0.453]" in bound.reason
    # A threshold that constants do not exceed.
    (none,) = exceedance_lower_bound(
        0.1, specs, relu(), INTERVAL, optimum_upper=Bound(0.0), best_constant_lower=Bound(1 / 12)
    )
    assert none.value == 0


@pytest.mark.parametrize("weights", ["he_normal", "glorot_uniform", "truncated_normal"])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_two_hidden_layers_are_proved_but_for_rounding(width, weights):
    exact = born_dead_two_hidden(width)
    for precision, share in (("float32", 1e-4), ("float64", 1e-11)):
        specs = layers(1, width, width, 1, weights=weights)
        found = probability_layer_dead(specs, relu(), INTERVAL, precision, sampling=False)
        assert exact * (1 - share) < found.value <= exact
        if width > 1:
            assert found.value < exact * (1 - 1e-4 * share), "what rounding may undo is taken off"
        assert found.evidence.proved
        if (width, weights) == (2, "he_normal"):
            sampled = probability_layer_dead(specs, relu(), INTERVAL, precision)
            assert sampled == found, "which adds nothing to it"
    specs = layers(1, 3, width, 1, weights=weights)
    one_sign = probability_layer_dead(specs, relu(), POSITIVE, sampling=False)
    (exact, _) = born_dead_on_rays((3, width), 1)
    assert exact * (1 - 1e-4) < one_sign.value <= exact
    assert one_sign.evidence.proved


def test_what_rounding_may_undo_is_more_than_it_does():
    """The probability that a neuron is within the margin, against draws with a large one."""
    rng, eta, draws = np.random.default_rng(4), 0.02, 200_000
    u = np.array([1.0, 0.5, 3.0])
    for name in ("he_normal", "glorot_uniform", "truncated_normal"):
        law = LayerLaw.of(layers(3, 4, 1, weights=name)[0])
        w, _ = law.draw(draws // 4, rng)
        seen = np.abs(np.einsum("rio,i->ro", w, u)) < eta * np.einsum("rio,i->ro", np.abs(w), u)
        assert law.weights is not None
        bound = 2 * lost(law.weights, 3, eta)
        assert seen.mean() < bound + 5 * math.sqrt(bound / draws)
        assert seen.mean() > bound / 30, "not absurdly more"


def test_other_networks_have_no_rays_in_two_layers():
    for specs, support in (
        (layers(1, 2, 2, 1, biases="normal"), INTERVAL),
        (layers(2, 2, 2, 1), Box((-1.0, -1.0), (1.0, 1.0))),
        (layers(1, 2, 1), INTERVAL),
        (layers(1, 2, 2, 1, weights="zero"), INTERVAL),
    ):
        assert second_layer_dead(specs, relu(), support, "float32") == 0
    assert second_layer_dead(layers(1, 2, 2, 1), leaky_relu(), INTERVAL, "float32") == 0


@pytest.mark.parametrize(
    "weights",
    slow_but(["glorot_uniform"], ["glorot_uniform", "he_normal", "truncated_normal"]),
)
def test_inputs_of_one_sign_leave_one_ray_for_every_symmetric_law(weights):
    widths = (3, 2, 4)
    (exact, upper) = born_dead_on_rays(widths, 1)
    assert exact == upper == pytest.approx(1 - 7 / 8 * 3 / 4 * 15 / 16)
    found = probability_layer_dead(layers(1, *widths, 1, weights=weights), relu(), POSITIVE)
    assert 0.97 * exact < found.value < exact
    assert f"in real numbers it is {exact:.4g}" in found.method


def test_which_rays_decide():
    specs = layers(1, 2, 2, 1)
    for support, rays in [
        (INTERVAL, (1.0, -1.0)),
        (POSITIVE, (1.0,)),
        (Box((-3.0,), (-1.0,)), (-1.0,)),
        (Points(np.array([[0.0], [2.0], [0.5]])), (1.0,)),
        (Everything(1), (1.0, -1.0)),
        (Box((-1.0, 0.0), (1.0, 1.0)), None),
    ]:
        assert rays_of(specs, relu(), support) == rays
    assert rays_of(layers(1, 2, 1, biases="normal"), relu(), INTERVAL) is None
    assert rays_of(specs, clipped_relu(), INTERVAL) is None


def test_where_no_layer_can_die_nothing_is_sampled():
    assert sampled_dead_layers(layers(1, 2, 2, 1), leaky_relu(), INTERVAL, "float32") is None
    assert sampled_dead_layers(layers(1, 4, 1), relu(), INTERVAL, "float32") is None
    assert sampled_dead_layers(layers(1, 4, 999, 1), relu(), INTERVAL, "float32") is None
    wide = layers(2, 2, 2, 1, biases="normal")
    assert sampled_dead_layers(wide, relu(), Everything(2), "float32") is None


LINE = np.linspace(-1, 1, 401)[:, None]
POINTS = np.random.default_rng(3).uniform(-1, 1, (5, 2))
DISC = np.array([[math.cos(t), math.sin(t)] for t in np.linspace(0, 2 * math.pi, 200)])


CASES = {
    "line": (layers(1, 3, 2, 1, weights="uniform", biases="uniform"), INTERVAL, relu(), LINE),
    "clipped": (layers(1, 2, 2, 2, 1, biases="normal"), INTERVAL, clipped_relu(0.0, 0.5), LINE),
    "points": (layers(2, 3, 2, 2, 1), Points(POINTS), relu(), POINTS),
    "dependent": (
        layers(2, 2, 2, 1, weights="orthogonal", biases="normal"), Points(POINTS), relu(), POINTS
    ),
    "disc": (layers(2, 3, 2, 1, biases="normal"), Ball(1.0, 2), relu(), DISC),
}  # fmt: skip


@pytest.mark.parametrize("name", slow_but(["line"], CASES))
def test_other_inputs_and_biases_agree_with_simulation(name):
    specs, support, activation, x = CASES[name]
    draws = 8_000
    found = sampled_dead_layers(specs, activation, support, "float32")
    assert found is not None
    width = specs[0].fan_out

    def function(z):
        return np.asarray(activation.function(z))

    dead = simulated(specs, x, draws, 2, function)
    first = simulated(specs[:2], x, draws, 2, function)
    later = (dead & ~first).mean()
    error = 5 * math.sqrt(later / draws)
    mean = np.where(found.inactive < width, found.conditional, 0).mean()
    spread = 5 * found.conditional.std() / math.sqrt(len(found.conditional))
    assert mean < later + error + spread
    assert mean > (0.3 if name == "disc" else 0.98) * later - error - spread
    assert found.with_fewer(width).value < mean


@pytest.mark.parametrize(("width", "share"), [(8, 0.8), (40, 0.3)])
def test_rare_deaths_agree_with_an_integral(width, share):
    """One neuron, then `width`: q by hand, q^width by a double integral, down to 6e-14."""
    specs = layers(1, 1, width, 1, weights="uniform", biases="uniform")
    found = sampled_dead_layers(specs, relu(), INTERVAL, "float32")
    assert found is not None

    def power(b, w):
        low, high = max(b - w, 0), b + w
        off = (0.5 - high / 4) if high <= 1 else 1 / (4 * high)
        return (off / 2 + (0.5 + low / 4) / 2) ** width

    exact = integrate.dblquad(power, 0, 1, lambda w: -w, lambda w: 1)[0] / 2
    bound = found.with_fewer(1).value
    assert bound < exact
    assert bound > share * exact
    draws = np.where(found.inactive < 1, found.conditional, 0)
    assert abs(draws.mean() - exact) < 5 * draws.std() / math.sqrt(len(draws))


def test_the_estimate_of_a_power_is_unbiased_where_its_plug_in_is_not():
    rng = np.random.default_rng(0)
    count, width, q = 40, 6, 0.3
    off = rng.binomial(count, q, 200_000)
    unbiased = np.prod([np.maximum(off - i, 0) / (count - i) for i in range(width)], axis=0)
    error = 5 * unbiased.std() / math.sqrt(len(off))
    assert abs(unbiased.mean() - q**width) < error
    assert ((off / count) ** width).mean() > q**width + 10 * error


@pytest.mark.parametrize("biases", ["zero", "normal"])
def test_neurons_that_count_are_inactive_in_the_arithmetic_of_the_training(biases):
    specs = layers(1, 4, 4, 4, 4, 1, biases=biases)
    rounding = training_rounding(INTERVAL, "float32")
    rays = rays_of(specs, relu(), INTERVAL)
    rng = np.random.default_rng(4)
    image = first_image(INTERVAL, rays, relu(), rounding, 200)
    x = rng.uniform(-1, 1, (500, 1)).astype(np.float32)
    h = np.broadcast_to(x, (200, 500, 1))
    counted = total = 0
    for layer in specs[:-1]:
        w, b = LayerLaw.of(layer).draw(200, rng)
        flat, exact = image.inactive(w, b), image.inactive(w, b, exact=True)
        assert not (flat & ~exact).any()
        z = h @ w.astype(np.float32) + b.astype(np.float32)[:, None]
        assert z.dtype == np.float32
        assert (z.max(1)[flat] <= 0).all()
        counted, total = counted + flat.sum(), total + exact.sum()
        h, image = np.maximum(z, 0), image.next(w, b)
    assert counted > 0.95 * total > 100
