"""Deeper layers that are silent by the signs of their weights: the chain, given what becomes of it.

A neuron of layer l >= 2 is structurally silent if its weights from all neurons of layer l - 1 that
are not silent are <= 0, and its bias is. Given K_{l-1} silent neurons the K_l are Bin(l_l, s_l)
(`theory.inactive_counts`), so that with D = {some layer from 2 on is wholly silent} and
h_l(k) = P(a layer after l is wholly silent | K_l = k), found backwards,

    P(K_l = j | K_{l-1} = i, D)      ~ Bin(j; l_l, s_l(i)) (1 if j = l_l, else h_l(j)),
    P(K_l = j | K_{l-1} = i, not D)  ~ Bin(j; l_l, s_l(i)) (0 if j = l_l, else 1 - h_l(j)),

and after a layer that is wholly silent the plain law. Given their number the silent neurons may
stand last: their weights from live neurons and their biases are those of the law turned negative,
as symmetric laws allow; the others are drawn by rejection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.design.rejection import draw_by_rejection
from jaxsim.network.network import Layer
from jaxsim.theory.inactive_counts import InactiveChain, binomial_pmf
from jaxsim.theory.laws import entry_law
from jaxsim.training.experiment import Experiment

ALIVE, DEAD, SETTLED = 0.0, 1.0, 2.0
"""What is given: no later layer is wholly silent, one is, or nothing any more."""
_MOST_ENTRIES = 1 << 19
"""Of the chain's tables, which are part of the compiled draw."""


@dataclass(frozen=True, eq=False)
class Structure:
    """The chain of structurally silent neurons.

    Attributes:
        later: h_1, given K_1 = 0, ..., N, [N + 1].
        tables: of layers 2, 3, ...: P(K_l <= j | K_{l-1} = i, what is given), [3, i, j].
    """

    later: np.ndarray
    tables: tuple[np.ndarray, ...]


def structure_of(experiment: Experiment) -> Structure | None:
    """Return the chain of a deep network; None where its laws or its activation have none."""
    network, activation = experiment.network, experiment.network.activation
    if activation is None or len(network.hidden) < 2 or not activation.non_negative:
        return None
    below = [piece for piece in activation.flat if piece[0] == -math.inf]
    if below != [(-math.inf, 0.0)] or float(activation.function(jnp.asarray(0.0))) != 0:
        return None
    if not all(_symmetric(layer) for layer in network.layer_specs[1:-1]):
        return None
    pairs = zip(network.hidden[:-1], network.hidden[1:], strict=True)
    if 3 * sum((a + 1) * (b + 1) for a, b in pairs) > _MOST_ENTRIES:
        return None
    chain = InactiveChain(
        network.layer_specs, activation, experiment.problem.law.support, experiment.precision
    )
    after = np.zeros(network.hidden[-1] + 1)
    tables = []
    for number in range(len(network.hidden), 1, -1):
        width = network.hidden[number - 1]
        silent, _ = chain.structural(number)
        plain = np.array([binomial_pmf(width, s) for s in silent])
        whole = np.arange(width + 1) == width
        dead = plain * np.where(whole, 1.0, after)
        alive = plain * np.where(whole, 0.0, 1.0 - after)
        tables.append(np.stack([_cumulated(rows) for rows in (alive, dead, plain)]))
        after = dead.sum(axis=1)
    return Structure(after, tuple(reversed(tables)))


def _symmetric(layer: Layer) -> bool:
    """Return whether entries are independent, with symmetric laws or constants."""
    fans = layer.fan_in, layer.fan_out
    laws = [entry_law(law, *fans) for law in (layer.weights, layer.biases)]
    return None not in laws and layer.weights.draw_joint is None


def _cumulated(rows: np.ndarray) -> np.ndarray:
    """Return distribution functions of rows that are laws but for a factor."""
    total = rows.sum(axis=1, keepdims=True)
    even = np.eye(1, rows.shape[1], rows.shape[1] - 1)  # of rows that never happen
    law = np.where(total > 0, rows / np.where(total > 0, total, 1.0), even)
    distribution = np.cumsum(law, axis=1)
    last = rows.shape[1] - 1 - np.argmax(law[:, ::-1] > 0, axis=1)
    return np.where(np.arange(rows.shape[1]) >= last[:, None], 1.0, distribution)


def draw_given_silent(layer: Layer, key: Array, silent: Array, live: Array) -> tuple[Array, Array]:
    """Return (weights [in, out], biases [out]) of a layer given its structurally silent neurons.

    Args:
        layer: from the second on.
        key: of the layer.
        silent: bool [out].
        live: bool [in], which neurons before are not silent.
    """
    sign = math.copysign(1.0, layer.multiplier)

    def fits(weights: Array, biases: Array) -> tuple[Array, Array, Array]:
        is_silent = ((sign * weights <= 0) | ~live[:, None]).all(0) & (biases <= 0)
        turned = jnp.where(live[:, None] & silent, -sign * jnp.abs(weights), weights)
        return turned, jnp.where(silent, -jnp.abs(biases), biases), silent | ~is_silent

    out = layer.fan_out
    return draw_by_rejection(layer, key, out, fits, jnp.zeros(out), jnp.zeros(out, bool))
