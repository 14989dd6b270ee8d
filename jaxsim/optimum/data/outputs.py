"""A network's values at points with a bound on the rounding of each, in NumPy.

Running error analysis (Higham 2002, section 3.3), entry by entry, with e the bounds for h:

    z = h W + b:    e |W| + gamma_{n+4} (|h| |W| + |b|),        A(z):    Lip(A) e + rounding of A.

`jaxsim.risk.forward` does the same for many networks at once inside of compiled programs; this is
for one network, without compilation.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jaxsim.network.activations import Activation
from jaxsim.network.network import Network
from jaxsim.optimum.data.rounding import SAFE, UNIT, gamma

Pair = tuple[np.ndarray, np.ndarray]


def features_of(network: Network, theta: np.ndarray, x: np.ndarray) -> Pair:
    """Return (features [n, H] of the last hidden layer, bounds of their errors [n, H])."""
    h, error = x, np.zeros(x.shape)
    for number in range(len(network.hidden)):
        assert network.activation is not None
        z, slack = _affine(network, theta, number, h, error)
        h, error = _activated(network.activation, z, slack)
    return h, error


def outputs_of(network: Network, theta: np.ndarray, x: np.ndarray) -> Pair:
    """Return (outputs [n, outputs], bounds of their errors [n, outputs]).

    Infinite bounds where nothing is known of how steep the activation is.
    """
    return _affine(network, theta, len(network.hidden), *features_of(network, theta, x))


def _affine(
    network: Network, theta: np.ndarray, number: int, h: np.ndarray, error: np.ndarray
) -> Pair:
    spec = network.layer_specs[number]
    weights, biases = network.layout.split(np.asarray(theta, float))[number]
    weights = weights * spec.multiplier
    offset = np.zeros(spec.fan_out) if biases is None else biases
    size = np.abs(h) @ np.abs(weights) + np.abs(offset)
    slack = gamma(len(weights) + 4) * size
    if error.any():
        with np.errstate(invalid="ignore"):  # nothing known times 0: made infinite below
            slack = slack + SAFE * (error @ np.abs(weights))
    return h @ weights + offset, np.where(np.isnan(slack), np.inf, slack)


def _activated(activation: Activation, z: np.ndarray, error: np.ndarray) -> Pair:
    if activation.name == "relu":
        return np.maximum(z, 0.0), error
    h = np.asarray(activation.function(jnp.asarray(z)))
    steepest = activation.lipschitz
    if not np.isfinite(steepest):
        return h, np.full(h.shape, np.inf)
    rounded = 2 * activation.rounding * UNIT * (np.abs(h) + steepest * np.abs(z))
    slack = SAFE * (steepest * error + rounded)
    return h, slack
