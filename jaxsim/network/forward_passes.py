"""Forward passes over points, with what is to be known of the values on the way.

Two questions are asked of a fully-connected network over many points: its values, with how large
everything on the way became (for bounds of the rounding error), and the extremes of its
pre-activations (for inactive neurons). The passes here are plain JAX; engines may have faster ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.network.network import Network

_CHUNK = 512
"""Points of which the pre-activations are kept at once."""


class Values(NamedTuple):
    """N_theta at n points.

    Attributes:
        values: N_theta(x) [n, outputs].
        sizes: per layer, the largest |h_i| over the points of each of its inputs [fan_in].
        slopes: per hidden layer, the largest |A'(z_i)| over the points of each neuron; empty for
            piecewise linear activations.
    """

    values: Array
    sizes: tuple[Array, ...]
    slopes: tuple[Array, ...]


PreactivationRange = tuple[tuple[Array, Array], ...]
"""Per hidden layer, the least and the largest pre-activation over the points of each neuron."""


class ForwardPasses(NamedTuple):
    """The passes of a fully-connected network, functions of (theta [P], x [n, inputs]).

    Attributes:
        outputs: its values and how large everything became.
        preactivation_range: the extremes of its pre-activations.
    """

    outputs: Callable[[Array, Array], Values]
    preactivation_range: Callable[[Array, Array], PreactivationRange]


def plain_forward_passes(network: Network) -> ForwardPasses:
    """Return the passes in plain JAX."""
    activation = network.activation
    assert activation is not None

    def outputs(theta: Array, x: Array) -> Values:
        layers = network.layers(theta)

        def hidden(h: Array, layer: Any) -> tuple[Array, tuple[Array, Array | None]]:
            z = h @ layer[0] + layer[1]
            if activation.piecewise_linear:
                h = activation.function(z)
                return h, (jnp.abs(h).max(0), None)
            h, slope = jax.jvp(activation.function, (z,), (jnp.ones_like(z),))
            return h, (jnp.abs(h).max(0), jnp.abs(slope).max(0))

        h, per_layer = over_layers(hidden, x, layers[:-1])
        sizes = (jnp.abs(x).max(0), *(size for size, _ in per_layer))
        slopes = tuple(slope for _, slope in per_layer if slope is not None)
        return Values(h @ layers[-1][0] + layers[-1][1], sizes, slopes)

    def preactivation_range(theta: Array, x: Array) -> PreactivationRange:
        def every(x: Array) -> tuple[list[Array], list[Array]]:
            lows, highs, h = [], [], x
            for weights, biases in network.layers(theta)[:-1]:
                z = h @ weights + biases
                lows.append(z.min(0))
                highs.append(z.max(0))
                h = activation.function(z)
            return lows, highs

        chunks = -(-x.shape[0] // _CHUNK)
        if chunks == 1:
            return tuple(zip(*every(x), strict=True))
        # Repeating the last point fills the last chunk without changing an extremum.
        padding = jnp.repeat(x[-1:], chunks * _CHUNK - x.shape[0], axis=0)
        parts = jnp.concatenate([x, padding]).reshape(chunks, _CHUNK, -1)
        lows, highs = jax.lax.map(every, parts)
        return tuple((a.min(0), b.max(0)) for a, b in zip(lows, highs, strict=True))

    return ForwardPasses(outputs, preactivation_range)


def over_layers(
    step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, layers: Sequence[Any]
) -> tuple[Any, list[Any]]:
    """Return the last carry and the outputs of step(carry, layer) from layer to layer.

    Inner layers of equal shapes run as a loop, so that a deep network compiles as a shallow one.
    """
    outputs: list[Any] = []
    inner = layers[1:]
    if layers:
        carry, output = step(carry, layers[0])
        outputs.append(output)
    shapes = [[a.shape for a in jax.tree.leaves(layer)] for layer in inner]
    if len(inner) > 2 and all(shape == shapes[0] for shape in shapes):
        stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *inner)
        carry, stacked_outputs = jax.lax.scan(step, carry, stacked)
        outputs += [jax.tree.map(lambda a, i=i: a[i], stacked_outputs) for i in range(len(inner))]
    else:
        for layer in inner:
            carry, output = step(carry, layer)
            outputs.append(output)
    return carry, outputs
