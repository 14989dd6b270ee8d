"""Neurons that are certified to stay inactive in all further training.

An inactive neuron has gradient exactly zero, but an optimizer with memory may still move it. With
vanishing gradients that movement is deterministic, so it is computed: the optimizer coasts until
its parameters rest, and the length of each one's path is recorded. A neuron (a layer) is certified
if its pre-activations stay flat for all parameters within that reach. A wholly inactive layer
makes the network constant and stops the gradients of everything before it, so upstream parameters
coast too.

The certificate assumes an optimizer that keeps inactive neurons fixed, acts coordinatewise, and
has a non-increasing learning rate; otherwise nothing is certified.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.network import Network
from jaxsim.problem.support import Ball, Box, Points, Support
from jaxsim.training.experiment import Experiment
from jaxsim.training.inactive import make_ranges
from jaxsim.training.train import State, Train

# Enough for momentum 0.99 to fall below the resolution of float32 (0.99^4000 < 1e-17).
COASTING_STEPS = 4000
_DOUBT = 1e-9
"""Relative error of pre-activations in float64, of any sums in any order, with much to spare."""


class Certificate(NamedTuple):
    """Certificates of members, (dead_layer, dead_neurons), int32 [members].

    `dead_layer` is the first hidden layer (from 1) that is certified to stay wholly inactive, 0 if
    none; `dead_neurons` counts the first-layer neurons certified to stay inactive.

    Attributes:
        first_layer: (states of members, learning rate) -> certificates as far as the first layer
            goes, for which only its parameters coast.
        all_layers: the same with regard to all layers; None if the first layer says it all.
        may_be_deeper: theta [P] -> whether `all_layers` may say more: no deeper layer can stay
            inactive if one of its neurons is active at some point.
        parameters: how many parameters coast for the first layer.
    """

    first_layer: Callable[[State, Any], tuple[Array, Array]]
    all_layers: Callable[[State, Any], tuple[Array, Array]] | None
    may_be_deeper: Callable[[Array], Array]
    parameters: int


def make_certificate(
    experiment: Experiment, train: Train, forward_passes: ForwardPasses | None = None
) -> Certificate:
    """Return the certificates of an experiment.

    Args:
        experiment: what is trained.
        train: its training run.
        forward_passes: an engine's own over points; None for the plain ones.
    """
    network, optimizer = experiment.network, experiment.optimizer
    activation = network.activation
    if (
        activation is None
        or not activation.flat
        or not network.hidden
        or not optimizer.keeps_inactive
        or not optimizer.coordinatewise
        or not optimizer.non_increasing
    ):

        def nothing(states: State, learning_rate: Array) -> tuple[Array, Array]:
            none = jnp.zeros(len(states.theta), jnp.int32)
            return none, none

        return Certificate(nothing, None, lambda theta: jnp.asarray(False), 1)
    support = experiment.problem.law.support
    ranges = make_ranges(network, support, experiment.dtype, experiment.risk.pieces, forward_passes)
    # What moves a pre-activation moves the next layer's inputs by no more than this factor.
    lipschitz = activation.lipschitz
    first = network.layout.places[0].stop

    def moved_by_first(weights: Array, biases: Array) -> Array:
        """Return by how much pre-activations of the first layer move if its parameters do."""
        weights, biases = jnp.abs(weights), jnp.abs(biases)
        finite = jnp.isfinite(weights).all(0)
        moved = support.magnitude(jnp.where(jnp.isfinite(weights), weights, 0.0))
        return jnp.where(finite, moved, jnp.inf) + biases

    def first_layer(states: State, learning_rate: Array) -> tuple[Array, Array]:
        path, settled = train.coast(states, learning_rate, COASTING_STEPS, first)

        def one(theta: Array, path: Array, settled: Array) -> tuple[Array, Array]:
            reach = jnp.where(settled, path, jnp.inf)
            moves = network.layers(jnp.concatenate([reach, jnp.zeros(network.size - first)]))
            stays = ranges.first(theta).clears(activation, moved_by_first(*moves[0]))
            return stays.all().astype(jnp.int32), stays.sum().astype(jnp.int32)

        return jax.vmap(one)(states.theta.astype(jnp.float64), path, settled)

    def all_layers(states: State, learning_rate: Array) -> tuple[Array, Array]:
        path, settled = train.coast(states, learning_rate, COASTING_STEPS, network.size)
        return jax.vmap(one)(states.theta.astype(jnp.float64), path, settled)

    def one(theta: Array, path: Array, settled: Array) -> tuple[Array, Array]:
        moves = network.layers(jnp.where(settled, path, jnp.inf))
        dead_layer = dead_neurons = jnp.zeros((), jnp.int32)
        slack: Array | None = None
        for number, (layer, (weights, biases)) in enumerate(
            zip(ranges.of(theta), moves[:-1], strict=True), start=1
        ):
            if slack is None:
                slack = moved_by_first(weights, biases)
            else:
                weights, biases = jnp.abs(weights), jnp.abs(biases)
                slack = lipschitz * slack
                passed_on = jnp.where(
                    weights == 0, 0.0, (layer.size + slack)[:, None] * weights
                ).sum(0)
                passed = jnp.where(
                    layer.weights == 0, 0.0, slack[:, None] * jnp.abs(layer.weights)
                ).sum(0)
                slack = passed_on + passed + biases
            stays = layer.clears(activation, slack)
            if number == 1:
                dead_neurons = stays.sum().astype(jnp.int32)
            dead_layer = jnp.where((dead_layer == 0) & stays.all(), number, dead_layer)
        return dead_layer.astype(jnp.int32), dead_neurons

    # Errors of slopes that are not bounded reach everything behind them.
    deeper = len(network.hidden) > 1 and math.isfinite(lipschitz)
    return Certificate(
        first_layer, all_layers if deeper else None, _make_possible(network, support), first
    )


def _make_possible(network: Network, support: Support) -> Callable[[Array], Array]:
    """Return theta [P] (float64) -> whether a layer behind the first may be wholly inactive.

    It is not, whatever is certified, if one of its neurons lies outside of all flat pieces, or not
    always in the same one, at some points of the support. Rounding is allowed for generously.
    """
    activation = network.activation
    assert activation is not None
    x = jnp.asarray(_some_points(support))

    def possible(theta: Array) -> Array:
        layers = network.layers(theta)[:-1]
        h, size, result = x, jnp.abs(x), jnp.asarray(False)
        for number, (weights, biases) in enumerate(layers):
            z = h @ weights + biases
            # How large everything would be if nothing cancelled.
            size = size @ jnp.abs(weights) + jnp.abs(biases)
            doubt = _DOUBT * size
            if number:
                flat = jnp.zeros(z.shape[1], bool)
                for low, high in activation.flat:
                    flat |= ~((z > high + doubt) | (z < low - doubt)).any(0)
                result |= flat.all()
            h = activation.function(z)
            size = jnp.abs(h) + activation.lipschitz * size
        return result

    return possible


def _some_points(support: Support) -> np.ndarray:
    """Return a few points of a support, or of its convex hull if it has an interior: [n, d]."""
    if isinstance(support, Points):
        some = np.linspace(0, len(support.points) - 1, min(8, len(support.points)))
        return support.points[some.astype(int)]
    if isinstance(support, Box):
        low, high = np.asarray(support.low), np.asarray(support.high)
        return np.stack([low, low / 2 + high / 2, high])
    axis = np.eye(1, support.dimension) * (support.radius if isinstance(support, Ball) else 1.0)
    return np.concatenate([-axis, 0 * axis, axis])
