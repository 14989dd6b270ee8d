"""Risks of networks that bend twice within less than a unit in the last place of x."""

from itertools import pairwise

import jax
import numpy as np
import pytest
from mpmath import mp, mpf

from jaxsim.network.activations import ACTIVATIONS, Activation, clipped_relu
from jaxsim.network.network import fully_connected
from jaxsim.risk import make_risk
from tests.risk.cases import draw, make_network, make_problem

CLIPPED = {"hard_tanh": (-1, 1), "clipped_relu": (0, 1), "relu6": (0, 6)}
LOW, HIGH = -1.0, 1.0


def exact_pieces(layers, low, high, slope=1):
    """Return all (left, right, affine outputs (c, d)) of a clipped network, layer by layer."""
    pieces = [(mpf(LOW), mpf(HIGH), [(mpf(0), mpf(1))])]
    for number, (weights, biases) in enumerate(layers):
        deeper = []
        for left, right, h in pieces:
            z = [
                (mpf(b) + sum(mpf(w) * c for w, (c, _) in zip(row, h, strict=True)),
                 sum(mpf(w) * d for w, (_, d) in zip(row, h, strict=True)))
                for row, b in zip(np.asarray(weights).T.tolist(), biases.tolist(), strict=True)
            ]  # fmt: skip
            if number == len(layers) - 1:
                deeper.append((left, right, z))
                continue
            roots = [(bend - c) / d for c, d in z if d for bend in (low, high)]
            for a, b in pairwise(sorted({left, right, *(t for t in roots if left < t < right)})):
                middle = [c + d * (a + b) / 2 for c, d in z]
                clip = [
                    (slope * c, slope * d) if low < m < high
                    else (mpf(slope * (low if m <= low else high)), mpf(0))
                    for (c, d), m in zip(z, middle, strict=True)
                ]  # fmt: skip
                deeper.append((a, b, clip))
        pieces = deeper
    return pieces


def exact_risk(network, theta, low, high, slope=1):
    """Return E (N(X) - X^2)^2 for X uniform on (-1, 1), with 400 digits."""
    layers = [(np.asarray(w), np.asarray(b)) for w, b in network.layers(np.asarray(theta))]
    with mp.workdps(400):
        total = mpf(0)
        for a, b, [(c, d)] in exact_pieces(layers, low, high, slope):
            # (c + d x - x^2)^2
            square = (c * c, 2 * c * d, d * d - 2 * c, -2 * d, mpf(1))
            powers = ((b ** (k + 1) - a ** (k + 1)) / (k + 1) for k in range(5))
            total += sum(q * p for q, p in zip(square, powers, strict=True))
        return total / 2


def hostile(network, seed):
    """Return parameters whose hidden weights are about 1e8, or of all sizes."""
    generator = np.random.default_rng(seed)
    theta = draw(network, seed)
    last = network.hidden[-1] + 1
    if seed % 3 == 0:
        theta[:-last] *= 1e8
    elif seed % 3 == 1:
        theta[:-last] *= 10.0 ** generator.uniform(-2, 16, len(theta) - last)
    else:
        theta *= 10.0 ** generator.uniform(3, 12)
    return theta


@pytest.mark.parametrize(
    ("activation", "widths"),
    [
        ("hard_tanh", (1, 3, 3, 3, 1)),
        pytest.param("clipped_relu", (1, 4, 1), marks=pytest.mark.slow),
        pytest.param("clipped_relu", (1, 4, 4, 1), marks=pytest.mark.slow),
        pytest.param("relu6", (1, 3, 3, 3, 1), marks=pytest.mark.slow),
    ],
)
def test_errors_of_huge_weights_are_small_and_true(activation, widths):
    network = make_network(*widths, activation=activation)
    thetas = np.stack([hostile(network, seed) for seed in range(6)])
    evaluate = jax.jit(jax.vmap(make_risk(make_problem(), network).evaluate))
    values, errors = evaluate(thetas)
    for theta, value, error in zip(thetas, values.tolist(), errors.tolist(), strict=True):
        truth = exact_risk(network, theta, *CLIPPED[activation])
        assert abs(mpf(value) - truth) <= error < 1e-5 * truth


@pytest.mark.slow
def test_a_batch_computes_what_its_members_alone_do():
    network = make_network(1, 3, 3, 1, activation="hard_tanh")
    evaluate = make_risk(make_problem(), network).evaluate
    thetas = np.stack([hostile(network, 0), draw(network, 1), hostile(network, 2)])
    together = jax.jit(jax.vmap(evaluate))(thetas)
    alone = [jax.jit(evaluate)(theta) for theta in thetas]
    np.testing.assert_allclose(np.transpose(together), alone, rtol=1e-12)


def test_flat_pieces_of_other_slopes_are_followed():
    clip = clipped_relu(-0.5, 0.5).function
    steep = Activation(
        "steep", lambda x: 3 * clip(x), (-0.5, 0.5), ((-np.inf, -0.5), (0.5, np.inf)),
        piecewise_linear=True, lipschitz=3.0, monotone=True, rounding=2.0,
    )  # fmt: skip
    network = make_network(1, 3, 1)
    network = fully_connected(network.layer_specs, steep)
    theta = hostile(network, 0)
    theta[:6] *= 1e6
    value, error = jax.jit(make_risk(make_problem(), network).evaluate)(theta)
    truth = exact_risk(network, theta, -0.5, 0.5, 3)
    assert abs(mpf(float(value)) - truth) <= float(error) < 1e-5 * truth


def test_every_clipped_activation_of_the_registry_is_tried():
    bends = {name: len(make().breakpoints) for name, make in ACTIVATIONS.items()
             if name != "function"}  # fmt: skip
    assert {name for name, count in bends.items() if count > 1} == set(CLIPPED)
