"""The best network of one hidden layer by variable projection: descent over its kinks alone.

With neurons relu(s_j (x - t_j)), s_j = -1 or 1, the output layer that is best for given kinks t and
orientations s is a linear least-squares problem; the risk that it leaves has the derivative

    dR / dt_j = -2 s_j v_j E[ (g - f) A'(s_j (X - t_j)) ]

(Golub and Pereyra 1973, "The differentiation of pseudo-inverses and nonlinear least squares
problems whose variables separate"). All orientations are ranked at some rows of kinks, the best are
descended from. It serves every activation with A(c z) = c A(z) for c > 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.network import Network
from jaxsim.optimum.line.nodes import Nodes, nodes_of, scale_of, search_grid
from jaxsim.optimum.strategy import Budget
from jaxsim.problem.problem import Problem

_ALL_ORIENTATIONS = 8
"""Neurons up to which every orientation is ranked."""
_EACH = 4
_ROUNDS = 3
_POLISHED = 4
_RCOND = 1e-11


def positive_homogeneous(network: Network) -> tuple[float, float] | None:
    """Return the slopes (below, above) of an activation that has its only kink at 0."""
    activation = network.activation
    if activation is None or not activation.piecewise_linear or activation.breakpoints != (0.0,):
        return None
    below, at, above = (float(v) for v in activation.function(jnp.asarray([-1.0, 0.0, 1.0])))
    return None if at != 0 else (-below, above)


def searchable(network: Network) -> bool:
    """Return whether the search over kinks serves a network: all parameters free, one layer."""
    layers = network.layer_specs
    if len(network.hidden) != 1 or positive_homogeneous(network) is None:
        return False
    free = bool(network.trainable.all()) and all(spec.multiplier != 0 for spec in layers)
    return free and layers[0].biases is not None


def search_knots(
    problem: Problem,
    network: Network,
    rows: Sequence[np.ndarray],
    budget: Budget,
) -> np.ndarray | None:
    """Return the best parameters [P] found for the squared loss, None without any.

    Args:
        problem: with the squared loss.
        network: one that is `searchable`.
        rows: kinks to start from, of any number.
        budget: looked at between descents.
    """
    width = network.hidden[0]
    slopes = positive_homogeneous(network)
    assert slopes is not None
    centre, half = scale_of(problem)
    grid = search_grid(problem)
    nodes = nodes_of(problem, grid)
    bias = network.layer_specs[1].biases is not None
    low, high = float(nodes.x[0]), float(nodes.x[-1])
    model = _Model(slopes, bias, centre, half)
    starts = _starts(rows, width, low, high, centre, half)
    bounds = [(low, high)] * width
    candidates: list[tuple[float, np.ndarray, np.ndarray]] = []
    # The best orientations of every row of kinks first, then those at the best kinks found.
    tries = [(knots, s) for knots in starts for _, s in model.ranked(nodes, knots)[:_EACH]]
    for _ in range(_ROUNDS):
        for knots, signs in tries:
            candidates.append(model.descended(lambda _: nodes, knots, signs, bounds, 60))
            if budget.spent:
                break
        candidates.sort(key=lambda entry: entry[0])
        done = {tuple(s) for _, _, s in candidates[:_EACH]}
        ranked = model.ranked(nodes, candidates[0][1])
        tries = [(candidates[0][1], s) for _, s in ranked if tuple(s) not in done][: 2 * _EACH]
        if budget.spent:
            break
    candidates.sort(key=lambda entry: entry[0])
    polished = []
    for _, knots, signs in _different(candidates)[:_POLISHED]:
        exact = lambda t: nodes_of(problem, grid, t)  # noqa: E731
        polished.append(model.descended(exact, knots, signs, bounds, 200))
        if budget.spent:
            break
    if not polished:
        return None
    _, knots, signs = min(polished, key=lambda entry: entry[0])
    values, _ = model.solve(nodes_of(problem, grid, knots), knots, signs)
    return _parameters(network, knots, signs, values, bias)


class _Model:
    """Least squares over output layers."""

    def __init__(self, slopes: tuple[float, float], bias: bool, centre: float, half: float):
        self.slopes, self.bias, self.centre, self.half = slopes, bias, centre, half

    def features(self, x: np.ndarray, knots: np.ndarray, signs: np.ndarray) -> np.ndarray:
        z = (x[:, None] - knots) * signs
        values = np.where(z > 0, self.slopes[1], self.slopes[0]) * z
        return np.column_stack([np.ones(len(x)), values]) if self.bias else values

    def solve(self, nodes: Nodes, knots: np.ndarray, signs: np.ndarray):
        """Return (coefficients [1 + N, outputs], residuals [n, outputs])."""
        a = self.features(nodes.x, knots, signs)
        root = np.sqrt(nodes.weight)[:, None]
        values = np.linalg.lstsq(a * root, nodes.y * root, rcond=_RCOND)[0]
        return values, a @ values - nodes.y

    def ranked(self, nodes: Nodes, knots: np.ndarray) -> list[tuple[float, np.ndarray]]:
        """Return the risks of all or some orientations for given kinks, best first."""
        width = len(knots)
        if width <= _ALL_ORIENTATIONS:
            signs = np.array(list(product((-1.0, 1.0), repeat=width))).reshape(-1, width)
        else:
            signs = np.where(np.random.default_rng(width).random((256, width)) < 0.5, -1.0, 1.0)
            signs[0], signs[1] = 1.0, np.where(np.arange(width) % 2, 1.0, -1.0)
            signs[2] = np.where(np.arange(width) < width // 2, -1.0, 1.0)
        both = np.concatenate([-np.ones(width), np.ones(width)])
        a = self.features(nodes.x, np.tile(knots, 2), both)
        root = np.sqrt(nodes.weight)[:, None]
        start = int(self.bias)
        norm = np.linalg.norm(a * root, axis=0)
        scaled = a * root / np.where(norm > 0, norm, 1.0)
        gram, moment = scaled.T @ scaled, scaled.T @ (nodes.y * root)
        chosen = start + np.arange(width) + width * (signs > 0)
        if self.bias:
            chosen = np.column_stack([np.zeros(len(signs), int), chosen])
        sub = gram[chosen[:, :, None], chosen[:, None, :]] + 1e-11 * np.eye(chosen.shape[1])
        right = moment[chosen]
        values = np.linalg.solve(sub, right)
        risks = ((nodes.y * root) ** 2).sum() - (values * right).sum((1, 2))
        order = np.argsort(risks, kind="stable")
        return [(float(risks[i]), signs[i]) for i in order]

    def descended(self, nodes_at, knots, signs, bounds, iterations):
        """Return (risk, kinks, signs) after L-BFGS over the kinks."""
        start = int(self.bias)

        def objective(t: np.ndarray) -> tuple[float, np.ndarray]:
            nodes = nodes_at(t)
            values, residual = self.solve(nodes, t, signs)
            z = (nodes.x[:, None] - t) * signs
            slope = np.where(z > 0, self.slopes[1], self.slopes[0])
            weighted = nodes.weight[:, None] * residual
            risk = float((weighted * residual).sum())
            gradient = -2 * signs * ((slope.T @ weighted) * values[start:]).sum(1)
            return risk, gradient

        first = objective(knots)[0]
        if not first > 0:
            return first, knots, signs
        scale = self.half
        result = scipy.optimize.minimize(
            lambda u: (lambda r: (r[0] / first, r[1] * scale / first))(objective(u * scale)),
            knots / scale,
            jac=True,
            method="L-BFGS-B",
            bounds=[(a / scale, b / scale) for a, b in bounds],
            options={"maxiter": iterations, "ftol": 1e-14, "gtol": 1e-12},
        )
        end = result.x * scale
        risk = objective(end)[0]
        return (risk, end, signs) if risk < first else (first, knots, signs)


def _starts(rows, width: int, low: float, high: float, centre: float, half: float):
    """Return rows of `width` kinks: the given ones with more or fewer, equal ones, a few random."""
    ends = max(low, centre - half), min(high, centre + half)
    equal = np.linspace(*ends, width + 2)[1:-1]
    starts = [equal]
    rng = np.random.default_rng(width)
    for row in rows:
        row = np.clip(np.asarray(row, float), low, high)
        if len(row) > width:
            row = row[np.sort(rng.permutation(len(row))[:width])]
        extra = width - len(row)
        if extra > 0:
            starts.append(np.sort(np.concatenate([row, np.full(extra, low)])))
            row = np.concatenate([row, rng.uniform(*ends, extra)])
        starts.append(np.sort(row))
    starts += [np.sort(rng.uniform(*ends, width)) for _ in range(3)]
    return starts


def _different(found: list) -> list:
    kept: list = []
    for entry in found:
        if all(abs(entry[0] - other[0]) > 1e-6 * abs(entry[0]) for other in kept):
            kept.append(entry)
    return kept


def _parameters(
    network: Network, knots: np.ndarray, signs: np.ndarray, values: np.ndarray, bias: bool
) -> np.ndarray:
    """Return theta [P] of the neurons A(s (x - t))."""
    theta = np.zeros(network.size)
    first, second = network.layout.places
    one, two = network.layer_specs
    assert first.biases is not None
    theta[first.weights] = signs / one.multiplier
    theta[first.biases] = -signs * knots
    theta[second.weights] = (values[int(bias) :] / two.multiplier).ravel()
    if bias:
        theta[second.biases] = values[0]
    return theta
