"""Probabilities of inactive first-layer neurons: closed forms, integrals, simulation."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.stats
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.network.activations import Activation, clipped_relu, hard_tanh, relu, relu6, softplus
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.initializers import Initializer
from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Box, Everything, Points
from jaxsim.theory.inactive import inactive_probability
from tests.studies import slow_but

ROOT3 = math.sqrt(3.0)


def layer(d, weights="normal", biases="normal", multiplier=1.0, width=8):
    def law(v):
        return LAWS[v]() if isinstance(v, str) else v

    return Layer(d, width, law(weights), law(biases), multiplier)


def cube(d, low, high):
    return Box((low,) * d, (high,) * d)


def probability(*args, **kwargs):
    found = inactive_probability(*args, **kwargs)
    assert found.exact
    return found.value


@pytest.mark.parametrize(
    ("low", "high", "value", "digits"),
    [
        (-1.0, 1.0, 1 / 4, 1e-14),
        (0.0, 1.0, 3 / 8, 1e-14),
        (-ROOT3, ROOT3, 1 / 6, 1e-14),
        (-2.0, 2.0, 0.147584, 5e-7),
        (-math.pi, math.pi, 0.098093, 5e-7),
        (0.0, 3.0, 0.301208, 5e-7),
        (1.0, 2.0, 0.448792, 5e-7),
        (1.0, 1.0, 0.5, 1e-14),
    ],
)
def test_gaussian_neurons_on_intervals(low, high, value, digits):
    assert probability(layer(1), relu(), cube(1, low, high)) == pytest.approx(value, abs=digits)


@pytest.mark.parametrize("r", [1e-9, 0.1, 1.0, 50.0, 1e9])
def test_gaussian_interval_keeps_relative_accuracy(r):
    value = probability(layer(1), relu(), cube(1, -r, r))
    assert value == pytest.approx(math.atan2(1, r) / math.pi, rel=1e-13)


TABLE = {
    1: (0.25, 0.375, 0.25, 0.375, 0.25),
    2: (0.108173, 0.277043, 0.083333, 0.270833, 0.146447),
    3: (0.0416667, 0.202023, 0.0208333, 0.190104, 0.0908451),
    4: (0.0145708, 0.145642, 0.00416667, 0.130469, 0.0580583),
    5: (0.00469266, 0.103936, 6.94444e-4, 0.0879123, 0.0377934),
    8: (1.05346e-4, 0.0358891, 1.37787e-6, 0.0247400, 0.011102),
    10: (6.42613e-6, 0.017049, 1.25261e-8, 0.0100805, 0.00505978),
}


@pytest.mark.parametrize("d", TABLE)
def test_table_of_cubes_and_balls(d):
    torch = layer(d, "pytorch", "pytorch")
    ours = (
        probability(layer(d), relu(), cube(d, -1.0, 1.0)),
        probability(layer(d), relu(), cube(d, 0.0, 1.0)),
        probability(torch, relu(), cube(d, -1.0, 1.0)),
        probability(torch, relu(), cube(d, 0.0, 1.0)),
        probability(layer(d), relu(), Ball(1.0, d)),
    )
    assert ours == pytest.approx(TABLE[d], rel=1e-5)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 12, 20])
def test_uniform_cubes_equal_their_closed_forms(d):
    torch = layer(d, "pytorch", "pytorch")
    symmetric = 1 / (2 * math.factorial(d + 1))
    unit = sum(math.comb(d, i) / 2**d / math.factorial(i + 1) for i in range(d + 1)) / 2
    assert probability(torch, relu(), cube(d, -1.0, 1.0)) == pytest.approx(symmetric, rel=1e-12)
    assert probability(torch, relu(), cube(d, 0.0, 1.0)) == pytest.approx(unit, rel=1e-12)


@pytest.mark.parametrize(
    ("d", "scale", "value"),
    [
        (1, 0.25, 0.422021),
        (1, 4.0, 0.077979),
        (2, 0.25, 0.348522),
        (2, 0.5, 0.232280),
        (2, 2.0, 0.035441),
        (2, 4.0, 0.009647),
        (3, 0.25, 0.281613),
        (3, 0.5, 0.143865),
        (3, 2.0, 0.007335),
        (3, 4.0, 0.001017),
    ],
)
def test_gaussian_cubes_depend_on_the_ratio_of_scales(d, scale, value):
    by_law = layer(d, LAWS["normal"](scale), "normal")
    by_multiplier = layer(d, "normal", "normal", multiplier=scale)
    by_box = cube(d, -scale, scale)
    assert probability(by_law, relu(), cube(d, -1.0, 1.0)) == pytest.approx(value, abs=6e-7)
    assert probability(by_multiplier, relu(), cube(d, -1.0, 1.0)) == pytest.approx(value, abs=6e-7)
    assert probability(layer(d), relu(), by_box) == pytest.approx(value, abs=6e-7)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0, 30.0])
def test_gaussian_square_is_an_arcsine(scale):
    exact = math.asin(1 / (1 + 2 * scale**2)) / math.pi
    assert probability(layer(2), relu(), cube(2, -scale, scale)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("d", "r"), [(2, 0.3), (3, 1.7), (6, 1.0), (40, 0.8)])
def test_gaussian_ball_is_an_incomplete_beta_function(d, r):
    with mpmath.workdps(30):
        exact = mpmath.betainc(mpmath.mpf(d) / 2, 0.5, 0, 1 / (1 + mpmath.mpf(r) ** 2), True) / 2
    assert probability(layer(d), relu(), Ball(r, d)) == pytest.approx(float(exact), rel=1e-11)


def test_ball_with_other_biases_equals_an_integral():
    with mpmath.workdps(20):
        # |w| has the Rayleigh law in the plane.
        inside = lambda x: x * mpmath.exp(-x * x / 2)  # noqa: E731
        uniform = mpmath.quad(lambda x: inside(x) * (1 - x * 0.5) / 2, [0, 2])
        upper = mpmath.quad(
            lambda x: inside(x) * mpmath.ncdf(-0.5 - x / 2), mpmath.linspace(0, 30, 31)
        )
    assert probability(layer(2, "normal", "uniform"), relu(), Ball(0.5, 2)) == pytest.approx(
        float(uniform), abs=1e-13
    )
    clipped = clipped_relu(0.0, 0.5)
    found = inactive_probability(layer(2), clipped, Ball(0.5, 2), pieces=((0.5, math.inf),))
    assert found.value == pytest.approx(float(upper), abs=1e-13)
    constant = layer(2, "normal", LAWS["constant"](-1.0))
    assert probability(constant, relu(), Ball(0.5, 2)) == pytest.approx(1 - math.exp(-2), abs=1e-14)


def test_general_gaussian_box_equals_an_integral():
    # The weights are integrated directly, in panels with the kinks at 0 on an edge.
    nodes, weights = np.polynomial.legendre.leggauss(80)
    edges = np.linspace(-9, 9, 19)
    x = ((edges[1:] + edges[:-1])[:, None] / 2 + nodes / 2).ravel()
    w = np.tile(weights / 2, 18) * stats.norm.pdf(x)
    one, two = np.maximum(-x, 2 * x), np.maximum(0.5 * x, 1.5 * x)
    total = w @ stats.norm.cdf(-(one[:, None] + two)) @ w
    box = Box((-1.0, 0.5), (2.0, 1.5))
    assert probability(layer(2), relu(), box) == pytest.approx(total, abs=1e-13)


def test_zero_biases():
    for d in (1, 2, 5):
        for law in ("he_normal", "glorot_uniform", "lecun_truncated_normal"):
            for biases in ("zero", None):
                assert probability(layer(d, law, biases), relu(), cube(d, -1.0, 1.0)) == 0
                value = probability(layer(d, law, biases), relu(), cube(d, 0.0, 1.0))
                assert value == pytest.approx(2.0**-d, rel=1e-14)
    point = Points(np.array([[0.3, -0.7]]))
    assert probability(layer(2, "he_normal", None), relu(), point) == pytest.approx(0.5, rel=1e-14)


def test_constant_laws():
    deterministic = layer(2, LAWS["constant"](0.5), LAWS["constant"](-1.0))
    assert probability(deterministic, relu(), cube(2, -1.0, 1.0)) == 1
    assert probability(deterministic, relu(), cube(2, -1.0, 1.01)) == 0
    biased = layer(2, LAWS["constant"](0.5), "normal")
    expected = stats.norm.cdf(-1.0)
    assert probability(biased, relu(), cube(2, -1.0, 1.0)) == pytest.approx(expected, rel=1e-14)
    assert probability(biased, relu(), Ball(2.0, 2)) == pytest.approx(
        stats.norm.cdf(-math.sqrt(2)), rel=1e-14
    )


def test_unbounded_supports():
    assert probability(layer(2), relu(), Everything(2)) == 0
    zero = layer(2, "zero", "uniform")
    assert probability(zero, relu(), Everything(2)) == 0.5
    assert probability(zero, clipped_relu(0.0, 0.5), Everything(2)) == pytest.approx(0.75)


def test_smooth_activations_have_no_inactive_neurons():
    assert probability(layer(2), softplus(), cube(2, -1.0, 1.0)) == 0


def test_data_with_all_corners_is_its_box():
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.2, 0.4]])
    torch = layer(2, "pytorch", "pytorch")
    assert probability(torch, relu(), Points(corners)) == pytest.approx(13 / 48, rel=1e-12)
    line = Points(np.array([[0.4], [-1.0], [1.0]]))
    assert probability(layer(1), relu(), line) == pytest.approx(0.25, rel=1e-14)


def test_wrong_dimension_is_one_clear_sentence():
    with pytest.raises(InputError, match=r"layer.fan_in = 2 differs from the dimension 3"):
        inactive_probability(layer(2), relu(), cube(3, 0.0, 1.0))


# Against simulation: an exact binomial test, false alarm 1e-6 each.

AWKWARD = Box((-1.0, 0.0, 0.5), (0.25, 1.0, 2.0))
CASES = {
    "gaussian awkward box": (layer(3), relu(), AWKWARD),
    "uniform awkward box": (layer(3, "uniform", "uniform"), relu(), AWKWARD),
    "truncated awkward box": (layer(3, "truncated_normal", "truncated_normal"), relu(), AWKWARD),
    "pytorch awkward box": (layer(3, "pytorch", "pytorch"), relu(), AWKWARD),
    "uniform weights, gaussian bias": (layer(3, "uniform", "normal"), relu(), AWKWARD),
    "gaussian weights, uniform bias": (layer(3, "he_normal", "uniform"), relu(), AWKWARD),
    "negative constant bias": (layer(3, "lecun_normal", LAWS["constant"](-0.8)), relu(), AWKWARD),
    "zero bias, one-sided box": (
        layer(3, "glorot_uniform", "zero"),
        relu(),
        Box((0.0, 0.5, -2.0), (1.0, 1.5, -1.0)),
    ),
    "multiplier": (layer(3, "normal", "normal", 3**-0.5), relu(), AWKWARD),
    "clipped": (layer(2), clipped_relu(0.0, 0.5), Box((-1.0, 0.0), (0.5, 0.25))),
    "clipped uniform": (
        layer(2, "uniform", "uniform"),
        clipped_relu(-0.25, 0.5),
        AWKWARD_2 := Box((-0.5, 0.25), (0.5, 0.75)),
    ),
    "clipped, negative multiplier and constant bias": (
        layer(2, "truncated_normal", LAWS["constant"](0.4), -0.5),
        clipped_relu(-0.25, 0.5),
        AWKWARD_2,
    ),
    "hard tanh": (
        layer(2, "normal", LAWS["normal"](2.0)),
        hard_tanh(),
        Box((0.0, 0.0), (1.0, 0.5)),
    ),
    "relu6": (layer(1, "normal", LAWS["normal"](6.0)), relu6(), cube(1, -0.5, 0.75)),
    "ball": (layer(3, "normal", "truncated_normal"), clipped_relu(0.0, 0.25), Ball(0.4, 3)),
    "ball gaussian": (layer(3), clipped_relu(-0.5, 0.25), Ball(0.4, 3)),
    "two points": (layer(3), relu(), Points(np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 1.0]]))),
    "one point": (layer(2, "uniform", "normal"), clipped_relu(), Points(np.array([[1.0, -0.5]]))),
    "seven points": (layer(2), relu(), Points(np.random.default_rng(3).normal(size=(7, 2)))),
}


def numpy_draws(law, spec, rng, shape):
    if law is None:
        return np.zeros(shape)
    if law.constant is not None:
        return np.full(shape, law.constant)
    return law.marginal(spec.fan_in, spec.fan_out).rvs(shape, random_state=rng)


def numpy_inactive(spec, activation, support, draws, rng):
    w = numpy_draws(spec.weights, spec, rng, (draws, spec.fan_in)) * spec.multiplier
    b = numpy_draws(spec.biases, spec, rng, (draws,))
    if isinstance(support, Box):
        x = np.stack(np.meshgrid(*zip(support.low, support.high, strict=True)), -1)
        z = w @ x.reshape(-1, spec.fan_in).T
        low, high = z.min(1) + b, z.max(1) + b
    elif isinstance(support, Ball):
        reach = support.radius * np.linalg.norm(w, axis=1)
        low, high = b - reach, b + reach
    else:
        z = w @ support.points.T
        low, high = z.min(1) + b, z.max(1) + b
    flat = np.zeros(draws, bool)
    for start, stop in activation.flat:
        flat |= (low >= start) & (high <= stop)
    return flat


@pytest.mark.parametrize("name", slow_but(list(CASES)[::2], CASES))
def test_probability_agrees_with_simulation(name):
    spec, activation, support = CASES[name]
    value = probability(spec, activation, support)
    assert 0.003 < value < 0.997
    draws = 200_000
    flat = numpy_inactive(spec, activation, support, draws, np.random.default_rng(len(name)))
    assert stats.binomtest(int(flat.sum()), draws, value).pvalue > 1e-6


# Simulated lower bounds.


@pytest.mark.parametrize(
    ("spec", "support", "independent"),
    [
        (layer(2, "orthogonal", "normal", width=4), cube(2, -0.5, 0.5), False),
        pytest.param(
            layer(3, "randomized_asymmetric", "zero"),
            cube(3, 0.0, 1.0),
            True,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            layer(2, "uniform", "uniform", multiplier=0.25),
            Ball(2.0, 2),
            True,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_without_a_formula_the_value_is_a_labelled_lower_bound(spec, support, independent):
    found = inactive_probability(spec, relu(), support)
    assert not found.exact
    assert found.independent is independent
    assert "simulated" in found.method

    def flags(key):
        if spec.weights.draw_joint is not None:
            w, b = spec.weights.draw_joint(key, spec.fan_in, spec.fan_out)
        else:
            w = spec.weights.draw(key, spec.fan_in, spec.fan_out, (spec.fan_in, spec.fan_out))
            b = spec.biases.draw(
                jax.random.fold_in(key, 7), spec.fan_in, spec.fan_out, (spec.fan_out,)
            )
        return support.affine_range(w * spec.multiplier, b)[1][0] <= 0

    keys = jax.random.split(jax.random.key(99), 6_000)
    count = int(jnp.sum(jax.jit(jax.vmap(flags))(keys)))
    # False alarm 1e-6 on either side: the bound lies below the truth, by less than a third.
    assert stats.binomtest(count, len(keys), found.value, "less").pvalue > 1e-6
    assert stats.binomtest(count, len(keys), 1.5 * found.value, "greater").pvalue > 1e-6


def test_simulated_bound_holds_where_the_truth_is_known():
    hidden = Initializer("hidden", LAWS["normal"]().draw, lambda i, o: scipy.stats.norm(0.0, 1.0))
    nameless = Activation("band", jnp.abs, flat=((-math.inf, 0.0), (3.0, 4.0)))
    found = inactive_probability(layer(1, hidden, hidden), nameless, cube(1, -1.0, 1.0))
    band = inactive_probability(layer(1), nameless, cube(1, -1.0, 1.0), pieces=((3.0, 4.0),))
    assert not found.exact
    assert found.value < 0.25 + 0.01
    assert found.value > 0.24
    assert 0 <= band.value < 0.01
