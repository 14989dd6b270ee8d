"""The squared risk of explicit parameters in NumPy, with a bound of its error.

Between the kinks of network and target the masses' sums are exact up to `Masses.doubt` (see
`masses`), so that with the norm over the nodes

    |f - g|  <=  (|f - g| over the nodes + doubt + rounding of g) / (1 - d).

Rounding of g is followed through the layers (Higham 2002, section 3.5): a product of n terms errs
by (n + 2) u of the product of moduli. Kinks are computed, too: next to one the network is off by
its own rounding, which counts four times for this.
"""

from __future__ import annotations

import math

import numpy as np

from jaxsim.evidence import Evidence, estimated
from jaxsim.network.network import Network
from jaxsim.optimum.line.descent import PiecewiseLinear
from jaxsim.optimum.line.masses import first_grid, masses_of
from jaxsim.problem.problem import Problem

_CELLS = 96
_UNIT = 2.0**-53
MOST_KINKS = 20_000


def forward(network: Network, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (outputs, bounds of their rounding) [n, outputs] at x [n]."""
    activation = PiecewiseLinear(network)
    h, error = x[:, None].astype(float), 2 * _UNIT * np.abs(x)[:, None]
    steepest = max(1.0, float(np.abs(activation.slopes).max()))
    layers = _layers(network, theta)
    for number, (weights, biases) in enumerate(layers):
        size = np.abs(h) @ np.abs(weights) + np.abs(biases)
        error = error @ np.abs(weights) + (weights.shape[0] + 4) * _UNIT * size
        h = h @ weights + biases
        if number < len(layers) - 1:
            h = activation(h)[0]
            error = steepest * error + 8 * _UNIT * (np.abs(h) + steepest * size)
    return h, error


def kinks(network: Network, theta: np.ndarray, low: float, high: float) -> np.ndarray | None:
    """Return the kinks inside (low, high), None for too many."""
    activation = PiecewiseLinear(network)
    points = np.array([low, high])
    layers = _layers(network, theta)
    for depth in range(len(layers) - 1):
        h = points[:, None]
        for number, (weights, biases) in enumerate(layers[: depth + 1]):
            z = h @ weights + biases
            h = activation(z)[0] if number < depth else z
        off = h[:, :, None] - activation.breakpoints
        left, right = off[:-1], off[1:]
        crosses = (left < 0) & (right > 0) | (left > 0) & (right < 0)
        place, *_ = np.nonzero(crosses)
        share = left[crosses] / (left[crosses] - right[crosses])
        fresh = points[place] + share * np.diff(points)[place]
        points = np.unique(np.concatenate([points, np.clip(fresh, low, high)]))
        if len(points) > MOST_KINKS:
            return None
    return points[1:-1]


def _layers(network: Network, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for spec, (weights, biases) in zip(
        network.layer_specs, network.layout.split(theta), strict=True
    ):
        zero = np.zeros(spec.fan_out)
        pairs.append((weights * spec.multiplier, zero if biases is None else biases))
    return pairs


def squared_risk(
    problem: Problem, network: Network, theta: np.ndarray
) -> tuple[float, Evidence] | None:
    """Return an upper bound of E |f - g|^2 for a law with a density, None if there is none."""
    assert problem.law.density_1d is not None
    grid = first_grid(problem, _CELLS)
    kink_places = kinks(network, theta, float(grid[0]), float(grid[-1]))
    if kink_places is None:
        return None
    masses = masses_of(problem, np.unique(np.concatenate([grid, kink_places])))
    value, error = forward(network, theta, masses.nodes.ravel())
    value = value.reshape(*masses.nodes.shape, -1)
    error = error.reshape(*masses.nodes.shape, -1)
    residual = value - masses.targets
    total = float((masses.shares[:, :, None] * residual**2).sum())
    rounding = 4 * math.sqrt(float((masses.shares[:, :, None] * error**2).sum()))
    relative = 1 + (masses.shares.size + 64) * _UNIT
    root = (math.sqrt(total) + masses.doubt + rounding) / (1 - masses.density_error)
    evidence = masses.exactness
    if problem.law.density_1d[0] == "normal":
        evidence = evidence & estimated("inputs beyond 13 standard deviations are left out")
    if masses.dropped:
        evidence = evidence & estimated("inputs next to poles of the target are left out")
    return root**2 * relative, evidence
