"""Problems, networks and an independent oracle shared by the tests of the risk rules."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import normal
from jaxsim.network.network import Layer, Network, fully_connected
from jaxsim.problem.expression import parse_expression
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import ExpressionTarget


def make_network(
    *widths: int, activation: str = "relu", biases: bool | tuple[bool, ...] = True, **parameters
) -> Network:
    """A fully-connected network with normal weights and biases of moderate size."""
    with_bias = (biases,) * (len(widths) - 1) if isinstance(biases, bool) else biases
    layers = [
        Layer(a, b, normal((2 / a) ** 0.5), normal(0.5) if has else None)
        for (a, b), has in zip(pairwise(widths), with_bias, strict=True)
    ]
    return fully_connected(tuple(layers), ACTIVATIONS[activation](**parameters))


def make_problem(
    target: Any = "x**2",
    law: Any = "uniform",
    loss: Any = "squared",
    noise: Any = "none",
    dimension=1,
    **parameters,
) -> Problem:
    """A problem by the names of its parts; a name may be a pair (name, parameters)."""

    def part(registry, spec):
        name, options = (spec, {}) if isinstance(spec, str) else spec
        return registry[name](**options)

    x = INPUT_LAWS[law](dimension=dimension, **parameters) if isinstance(law, str) else law
    if isinstance(target, str | tuple):
        target = ExpressionTarget(parse_expression(target, dimension))
    return Problem(x, target, part(LOSSES, loss), part(NOISES, noise))


def draw(network: Network, seed: int) -> np.ndarray:
    return members(network, 1, seed)[0]


def members(network: Network, count: int, seed: int = 0) -> np.ndarray:
    """Parameters [count, P] from NumPy: weights first, layer by layer."""
    rng = np.random.default_rng(seed)
    parts = []
    for spec in network.layer_specs:
        weights = rng.normal(size=(count, spec.fan_in * spec.fan_out)) * (2 / spec.fan_in) ** 0.5
        parts.append(weights)
        if spec.biases is not None:
            parts.append(rng.normal(size=(count, spec.fan_out)) * 0.5)
    return np.concatenate(parts, axis=1)


def numpy_layers(network: Network, theta) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weights, biases) cut from theta by hand."""
    pairs, start = [], 0
    for spec in network.layer_specs:
        stop = start + spec.fan_in * spec.fan_out
        weights = np.asarray(theta[start:stop]).reshape(spec.fan_in, spec.fan_out)
        biases, start = np.zeros(spec.fan_out), stop
        if spec.biases is not None:
            biases, start = np.asarray(theta[stop : stop + spec.fan_out]), stop + spec.fan_out
        pairs.append((weights * spec.multiplier, biases))
    return pairs


def plain_forward(network: Network, theta, x: np.ndarray) -> np.ndarray:
    """N_theta at x [n, inputs] in NumPy."""
    h, layers = x, numpy_layers(network, theta)
    for number, (w, b) in enumerate(layers):
        h = h @ w + b
        if number < len(layers) - 1:
            h = activate(network.activation, h)
    return h


def activate(activation, z: np.ndarray) -> np.ndarray:
    if activation.name == "tanh":
        return np.tanh(z)
    if activation.breakpoints == (0.0,):
        return np.where(z > 0, z, negative_slope(activation) * z)
    return np.clip(z, *activation.breakpoints)


@cache
def negative_slope(activation) -> float:
    return -float(activation.function(jnp.asarray(-1.0)))


def plain_kinks(network: Network, theta, low: float, high: float) -> list[float]:
    """All points where a pre-activation passes a breakpoint, with plain Python loops.

    Every interval between known kinks is an affine piece: its two ends give every neuron's
    pre-activation, and those that change their side of a breakpoint cut it.
    """
    layers = numpy_layers(network, theta)
    ends = [low, high]
    for depth in range(len(layers) - 1):
        cuts = []
        for a, b in pairwise(ends):
            za, zb = (pre_activation(network, layers, t, depth) for t in (a, b))
            for p, q in zip(za, zb, strict=True):
                for level in network.activation.breakpoints:
                    if (p - level) * (q - level) < 0:
                        cuts.append(a + (b - a) * (level - p) / (q - p))
        ends = sorted({*ends, *cuts})
    return ends


def pre_activation(network, layers, t: float, depth: int) -> np.ndarray:
    h = np.array([t])
    for w, b in layers[:depth]:
        h = activate(network.activation, h @ w + b)
    return h @ layers[depth][0] + layers[depth][1]


def plain_risk(network, theta, target, rho, low, high, breaks=(), levels=(), order=24) -> float:
    """Mean of sum_o rho(N_theta(x)_o - f(x)_o) over [low, high], piece by piece.

    Pieces end at kinks, at breakpoints of the target, and where a residual takes one of the levels,
    which bisection finds after a scan of every piece.
    """
    edges = sorted({*plain_kinks(network, theta, low, high), *breaks})
    nodes, weights = np.polynomial.legendre.leggauss(order)

    def residual(x):
        return plain_forward(network, theta, x[:, None]) - target(x)

    total = []
    for a, b in pairwise(edges):
        cuts = [a, b]
        scan = a + (b - a) * np.linspace(1e-9, 1 - 1e-9, 401)
        if levels:
            values = residual(scan)
            for output in range(values.shape[1]):
                for level in levels:
                    side = np.sign(values[:, output] - level)
                    for i in np.flatnonzero(side[1:] * side[:-1] < 0):
                        cuts.append(bisect(residual, output, level, scan[i], scan[i + 1]))
        cuts = sorted(cuts)
        for c, d in pairwise(cuts):
            x = (c + d) / 2 + (d - c) / 2 * nodes
            total.append((d - c) / 2 * weights @ rho(residual(x)).sum(1))
    return float(np.sum(np.array(total, np.longdouble)) / (high - low))


def bisect(residual, output, level, a, b) -> float:
    def at(t):
        return residual(np.array([t]))[0, output] - level

    sign = np.sign(at(a))
    for _ in range(60):
        middle = (a + b) / 2
        a, b = (middle, b) if np.sign(at(middle)) == sign else (a, middle)
    return (a + b) / 2


def finite_difference(function, theta, step: float = 1e-6) -> np.ndarray:
    theta = np.asarray(theta)
    unit = np.eye(len(theta)) * step
    points = jnp.asarray(np.concatenate([theta + unit, theta - unit]))
    values = np.asarray(jax.jit(jax.vmap(function))(points))
    return (values[: len(theta)] - values[len(theta) :]) / (2 * step)
