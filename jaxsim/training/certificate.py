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
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.training.experiment import Experiment
from jaxsim.training.inactive import make_ranges
from jaxsim.training.train import State, Train

# Enough for momentum 0.99 to fall below the resolution of float32 (0.99^4000 < 1e-17).
COASTING_STEPS = 4000


def make_certificate(
    experiment: Experiment, train: Train, forward_passes: ForwardPasses | None = None
) -> Callable[[State, Any], tuple[Array, Array]]:
    """Return (states of members, learning rate) -> (dead_layer, dead_neurons), int32 [members].

    `dead_layer` is the first hidden layer (from 1) that is certified to stay wholly inactive, 0 if
    none; `dead_neurons` counts the first-layer neurons certified to stay inactive.

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

        return nothing
    ranges = make_ranges(
        network,
        experiment.problem.law.support,
        experiment.dtype,
        experiment.risk.pieces,
        forward_passes,
    )
    # What moves a pre-activation moves the next layer's inputs by no more than this factor.
    lipschitz = activation.lipschitz

    def certificate(states: State, learning_rate: Array) -> tuple[Array, Array]:
        path, settled = train.coast(states, learning_rate, COASTING_STEPS)
        return jax.vmap(one)(states.theta.astype(jnp.float64), path, settled)

    def one(theta: Array, path: Array, settled: Array) -> tuple[Array, Array]:
        moves = network.layers(jnp.where(settled, path, jnp.inf))
        support = experiment.problem.law.support
        dead_layer = dead_neurons = jnp.zeros((), jnp.int32)
        slack: Array | None = None
        for number, (layer, (weights, biases)) in enumerate(
            zip(ranges.of(theta), moves[:-1], strict=True), start=1
        ):
            weights, biases = jnp.abs(weights), jnp.abs(biases)
            if slack is None:
                finite = jnp.isfinite(weights).all(0)
                moved = support.magnitude(jnp.where(jnp.isfinite(weights), weights, 0.0))
                slack = jnp.where(finite, moved, jnp.inf) + biases
            else:
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
            if not math.isfinite(lipschitz):
                break
        return dead_layer.astype(jnp.int32), dead_neurons

    return certificate
