"""Neurons drawn by rejection: each takes the first attempt that fits it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.network.network import Layer

Fits = Callable[[Array, Array], tuple[Array, Array, Array]]
"""(weights [in, out], biases [out]) of an attempt -> (weights, biases, which neurons fit [out])."""


def draw_by_rejection(
    layer: Layer, key: Array, width: int, fits: Fits, start: Array, done: Array
) -> tuple[Array, Array]:
    """Return (weights [in, width], biases [width]) as parameters of the first neurons of a layer.

    Attempt a draws all neurons as `Network.init` would, from fold_in(key, a) of each stream.

    Args:
        layer: whose laws and fans count.
        key: of the layer.
        width: neurons that are drawn.
        fits: which neurons of an attempt are taken, and what is made of them.
        start: biases before any attempt, [width]; weights are 0.
        done: which neurons need no attempt, bool [width].
    """
    weights_key, biases_key = (jax.random.fold_in(key, i) for i in range(2))
    fans, shape = (layer.fan_in, layer.fan_out), (layer.fan_in, width)

    def propose(attempt: Array) -> tuple[Array, Array]:
        w_key, b_key = (jax.random.fold_in(k, attempt) for k in (weights_key, biases_key))
        weights = layer.weights.draw(w_key, *fans, shape)
        if layer.biases is None:
            return weights, jnp.zeros(width)
        return weights, layer.biases.draw(b_key, *fans, (width,))

    def unfinished(carry: tuple[Array, ...]) -> Array:
        return ~carry[-1].all()

    def attempt(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        number, weights, biases, done = carry
        w, b, taken = fits(*propose(number))
        taken = ~done & taken
        weights = jnp.where(taken, w, weights)
        return number + 1, weights, jnp.where(taken, b, biases), done | taken

    begin = jnp.asarray(0, jnp.int32), jnp.zeros(shape), start, done
    _, weights, biases, _ = jax.lax.while_loop(unfinished, attempt, begin)
    return weights, biases
