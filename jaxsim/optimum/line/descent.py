"""Networks of any depth and piecewise linear activation by descent in float64 NumPy.

A batch of members is trained by full-batch Adam on the weighted nodes of a search; the best are
polished by L-BFGS. Absent biases and frozen parameters keep their values. No member is random but
by its place in the batch, so that a search can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.network import Network
from jaxsim.optimum.line.nodes import Nodes, loss_with_slope, nodes_of, scale_of, search_grid
from jaxsim.optimum.strategy import Budget
from jaxsim.problem.problem import Problem

MEMBERS = 24
_STEPS = 1200
_RATE = 0.02
_POLISHED = 4


def fixed_parameters(network: Network) -> tuple[np.ndarray, bool]:
    """Return theta [P] of the frozen entries (0 elsewhere), and whether they are not random."""
    if network.trainable.all():
        return np.zeros(network.size), True
    draws = [np.asarray(network.init(jax.random.key(seed)), float) for seed in (0, 1)]
    frozen = ~network.trainable
    same = bool(np.array_equal(draws[0][frozen], draws[1][frozen]))
    return np.where(frozen, draws[0], 0.0), same


class PiecewiseLinear:
    """A piecewise linear activation in NumPy: values and slopes."""

    def __init__(self, network: Network) -> None:
        activation = network.activation
        assert activation is not None
        assert activation.piecewise_linear
        self.breakpoints = np.asarray(activation.breakpoints, float)
        if not self.breakpoints.size:
            self.breakpoints = np.zeros(1)
        b = self.breakpoints
        ends = np.concatenate([[b[0] - 1.0], b, [b[-1] + 1.0]])
        with jax.ensure_compile_time_eval():
            values = np.asarray(activation.function(jax.numpy.asarray(ends)), float)
        self.slopes = np.diff(values) / np.diff(ends)
        self.slopes[np.abs(self.slopes) < 1e-15] = 0.0
        self.anchors, self.values = ends[:-1], values[:-1]

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (values, slopes) at z."""
        if len(self.breakpoints) == 1:
            right = z > self.breakpoints[0]
            slope = np.where(right, self.slopes[1], self.slopes[0])
            return self.values[1] + slope * (z - self.breakpoints[0]), slope
        place = np.searchsorted(self.breakpoints, z, side="left")
        slope = self.slopes[place]
        return self.values[place] + slope * (z - self.anchors[place]), slope


class Risk:
    """Risk over nodes and its gradient for members theta [members, P]."""

    def __init__(self, problem: Problem, network: Network) -> None:
        self.network, self.activation = network, PiecewiseLinear(network)
        self.loss = loss_with_slope(problem)
        self.free = network.trainable.astype(float)
        self.multipliers = [spec.multiplier for spec in network.layer_specs]

    def __call__(self, nodes: Nodes, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (risks [members], gradients [members, P])."""
        layers = self.network.layout.split(theta, axis=1)
        h = np.broadcast_to(nodes.x[None, :, None], (len(theta), len(nodes.x), 1))
        inputs, slopes = [], []
        z = h
        for number, ((weights, biases), factor) in enumerate(
            zip(layers, self.multipliers, strict=True)
        ):
            inputs.append(h)
            z = h @ (weights * factor)
            if biases is not None:
                z = z + biases[:, None, :]
            if number == len(layers) - 1:
                break
            h, slope = self.activation(z)
            slopes.append(slope)
        losses, back = self.loss(z, nodes.y[None])
        risks = losses @ nodes.weight
        back = back * nodes.weight[None, :, None]
        gradient = np.zeros_like(theta)
        places = self.network.layout.places
        for number in range(len(layers) - 1, -1, -1):
            weights = layers[number][0] * self.multipliers[number]
            weight_gradient = np.swapaxes(inputs[number], 1, 2) @ back * self.multipliers[number]
            gradient[:, places[number].weights] = weight_gradient.reshape(len(theta), -1)
            if places[number].biases is not None:
                gradient[:, places[number].biases] = back.sum(1)
            if number:
                back = (back @ np.swapaxes(weights, 1, 2)) * slopes[number - 1]
        return risks, gradient * self.free


def descend(
    problem: Problem,
    network: Network,
    starts: Sequence[np.ndarray],
    budget: Budget,
    members: int = MEMBERS,
) -> np.ndarray | None:
    """Return the best parameters [P] that were found, None without any.

    Args:
        problem: with a loss that `nodes` knows.
        network: fully connected, piecewise linear.
        starts: parameters [P] to begin with besides random ones.
        budget: looked at in every step.
        members: of the batch.
    """
    risk = Risk(problem, network)
    nodes = nodes_of(problem, search_grid(problem, 40))
    fixed, _ = fixed_parameters(network)
    given = [np.where(network.trainable, np.asarray(s, float), fixed) for s in starts]
    given = [s for s in given if np.isfinite(s).all()]
    drawn = _drawn(network, scale_of(problem), nodes, max(members - len(given), 4))
    theta = np.stack([*given, *np.where(network.trainable, drawn, fixed)])
    with np.errstate(all="ignore"):
        theta = _adam(risk, nodes, theta, budget.share(0.6))
        risks = risk(nodes, theta)[0]
        candidates = [*given, *theta[np.argsort(risks)[:_POLISHED]]]
        rated = []
        for start in candidates:
            rated.append(_polished(risk, nodes, start, budget))
            if budget.spent:
                break
    rated = [r for r in rated if np.isfinite(r[0])]
    return min(rated, key=lambda r: r[0])[1] if rated else None


def _drawn(network: Network, scale: tuple[float, float], nodes: Nodes, count: int) -> np.ndarray:
    """Return parameters [count, P] whose first kinks lie on the line."""
    rng = np.random.default_rng(network.size)
    centre, half = scale
    theta = np.zeros((count, network.size))
    for number, (spec, place) in enumerate(
        zip(network.layer_specs, network.layout.places, strict=True)
    ):
        factor = spec.multiplier or 1.0
        shape = (count, spec.fan_in * spec.fan_out)
        weights = rng.normal(size=shape) * (2 / spec.fan_in) ** 0.5
        if number == 0:
            weights = rng.choice([-1.0, 1.0], size=shape) * (1 + rng.random(shape)) / half
        theta[:, place.weights] = weights / factor
        if place.biases is not None:
            biases = 0.3 * rng.normal(size=(count, spec.fan_out))
            if number == 0:
                knots = centre + half * rng.uniform(-1, 1, size=biases.shape)
                biases = -weights * knots
            theta[:, place.biases] = biases
    last = network.layout.places[-1]
    if last.biases is not None:
        theta[:, last.biases] = nodes.weight @ nodes.y / nodes.weight.sum()
    return theta


def _adam(
    risk: Callable, nodes: Nodes, theta: np.ndarray, budget: Budget, steps: int = _STEPS
) -> np.ndarray:
    """Return the best parameters of every member on the way."""
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    best, least = theta.copy(), np.full(len(theta), np.inf)
    for step in range(1, steps + 1):
        value, gradient = risk(nodes, theta)
        better = value < least
        best[better], least[better] = theta[better], value[better]
        if budget.spent:
            break
        gradient = np.where(np.isfinite(gradient), gradient, 0.0)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        rate = _RATE * min(1.0, 2 * (1 - step / steps) + 0.02)
        move = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-12)
        theta = theta - rate * move
    return best


def _polished(
    risk: Risk, nodes: Nodes, start: np.ndarray, budget: Budget
) -> tuple[float, np.ndarray]:
    """Return (risk, theta) after L-BFGS."""
    best = [float(risk(nodes, start[None])[0][0]), start]
    scale = best[0] if np.isfinite(best[0]) and best[0] > 0 else 1.0

    class _Spent(Exception):
        pass

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = risk(nodes, theta[None])
        if value[0] < best[0]:
            best[:] = float(value[0]), theta.copy()
        if budget.spent:
            raise _Spent
        return float(value[0]) / scale, gradient[0] / scale

    try:
        scipy.optimize.minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1500, "maxfun": 2000, "ftol": 1e-13, "gtol": 1e-10},
        )
    except _Spent:
        pass
    return best[0], best[1]
