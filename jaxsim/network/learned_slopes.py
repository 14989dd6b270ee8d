"""Fully-connected networks whose activation has trained slopes: PReLU.

He, Zhang, Ren and Sun, Delving deep into rectifiers (ICCV 2015): A(x) = x for x > 0, else a x, with
a parameter a. Behind the weights and biases theta has the slopes, layer by layer. What is known
of an activation (flat pieces, slopes) holds for no theta after the first step, so that for risks,
certificates, theory and engines such a network is one of which only the function is known, as a
module of the user's own is. Nothing of it is certified to be inactive.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer, Network, fully_connected


def with_learned_slopes(layers: tuple[Layer, ...], activation: Activation) -> Network:
    """Return the network with the given layers, at least two, and slopes of the hidden ones.

    Example:
        >>> from jaxsim.network.activations import prelu
        >>> from jaxsim.network.initializers import uniform
        >>> layers = Layer(1, 4, uniform(), uniform()), Layer(4, 1, uniform(), uniform())
        >>> with_learned_slopes(layers, prelu()).size
        14
        >>> with_learned_slopes(layers, prelu(per_neuron=True)).size
        17
    """
    learned = activation.learned
    assert learned is not None
    plain = fully_connected(layers, activation)
    counts = [layer.fan_out if learned.per_neuron else 1 for layer in layers[:-1]]
    ends = np.cumsum([plain.size, *counts])

    def unravel(theta: Array) -> Any:
        tree = plain.unravel(theta[: plain.size])
        for number, (start, stop) in enumerate(pairwise(ends.tolist()), start=1):
            tree["params"][f"slope{number}"] = theta[start:stop]
        return tree

    def init(key: Array) -> Array:
        theta = plain.init(key)
        slopes = jnp.full(int(sum(counts)), learned.initial, theta.dtype)
        return jnp.concatenate([theta, slopes])

    return replace(
        plain,
        hidden=(),
        activation=None,
        size=int(ends[-1]),
        init=init,
        apply=lambda theta, x: plain.module.apply(unravel(theta), x),
        unravel=unravel,
        layer_specs=(),
        trainable=np.concatenate([plain.trainable, np.ones(sum(counts), bool)]),
        scales=(),
    )
