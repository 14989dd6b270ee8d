"""Theta_0 given how many first-layer neurons are inactive: the exact conditional law.

The neurons of the first layer are independent with one law, so that given their number the inactive
ones may stand last, the active ones are independent draws given that they are active, and all else
keeps its law. Each is found by rejection: attempt a of a layer draws all its neurons as
`Network.init` would, from fold_in(key, a), and a neuron takes the first attempt that fits.

An inactive neuron whose value is 0 does nothing at any step, if the optimizer leaves its parameters
alone and looks at no others for those that it moves. Then it need not be drawn: w = 0 and a bias
within the flat piece stand for it (*padding*), or it is left out of a narrower network, whose other
parameters keep the scales of the whole one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.design.rejection import draw_by_rejection
from jaxsim.design.structure import SETTLED, Structure, draw_given_silent
from jaxsim.network.initializers import Initializer
from jaxsim.network.network import Layer, Network, draw_layer, fully_connected
from jaxsim.theory.inactive_event import InactiveEvent

NUMBER = 2
"""Stream of a layer's key that the number of its inactive neurons is drawn from, beside 0 and 1."""


@dataclass(frozen=True)
class FirstLayer:
    """How the first layer is drawn, given which neurons are active.

    Attributes:
        layer: of the whole network.
        event: that a neuron is inactive.
        width: neurons that are drawn or stood for, the first ones of the layer.
        padding: bias of the neurons that stand for inactive ones; None where these are drawn too.
    """

    layer: Layer
    event: InactiveEvent
    width: int
    padding: float | None

    def draw(self, key: Array, active: Array) -> tuple[Array, Array]:
        """Return (weights [in, width], biases [width]) as parameters, for active [width] bool."""
        layer = self.layer

        def fits(weights: Array, biases: Array) -> tuple[Array, Array, Array]:
            inactive = self.event.holds(weights * layer.multiplier, biases)
            return weights, biases, inactive != active

        start, done = jnp.zeros(self.width), jnp.zeros(self.width, bool)
        if self.padding is not None:
            start, done = jnp.full(self.width, self.padding), ~active
        return draw_by_rejection(layer, key, self.width, fits, start, done)


def conditional_network(
    network: Network, first: FirstLayer, structure: Structure | None = None
) -> Network:
    """Return a network with `first.width` first-layer neurons, drawn given the inactive ones.

    Its `init` takes the conditional distribution function of their number, P(K <= k | stratum) for
    k = 0, ..., N, as `data`, and behind it, if there is a structure, what is given of later layers.
    Laws and multipliers of its layers are those of the whole network.
    """
    specs, m = network.layer_specs, first.width
    whole = specs[0].fan_out
    narrow = (
        replace(_with_fans_kept(specs[0]), fan_out=m),
        replace(_with_fans_kept(specs[1]), fan_in=m),
        *specs[2:],
    )
    assert network.activation is not None

    def init(key: Array, data: Array) -> Array:
        first_key = jax.random.fold_in(key, 0)
        number_key = jax.random.fold_in(first_key, NUMBER)
        inactive = number_by_inversion(number_key, data[: whole + 1])
        live = jnp.arange(whole) < whole - inactive
        parts = _flat(specs[0], *first.draw(first_key, live[:m]))
        given = data[-1]
        for number, layer in enumerate(specs[1:], start=1):
            layer_key = jax.random.fold_in(key, number)
            if structure is None or number == len(specs) - 1:
                weights, biases = draw_layer(layer, layer_key)
            else:
                table = structure.tables[number - 1]
                row = jnp.asarray(table)[given.astype(int), inactive]
                inactive = number_by_inversion(jax.random.fold_in(layer_key, NUMBER), row)
                before, live = live, jnp.arange(layer.fan_out) < layer.fan_out - inactive
                weights, biases = draw_given_silent(layer, layer_key, ~live, before)
                given = jnp.where(inactive == layer.fan_out, SETTLED, given)
            parts += _flat(layer, weights[:m] if number == 1 else weights, biases)
        return jnp.concatenate(parts)

    return replace(fully_connected(narrow, network.activation), init=init, scales=())


def number_by_inversion(key: Array, distribution: Array) -> Array:
    """Return the least k with distribution[k] > U for a uniform draw U of 52 bits."""
    uniform = jax.random.uniform(key, (), jnp.float64)
    return (distribution <= uniform).sum()


def _flat(layer: Layer, weights: Array, biases: Array | None) -> list[Array]:
    if layer.biases is None or biases is None:
        return [weights.ravel()]
    return [weights.ravel(), biases]


def _with_fans_kept(layer: Layer) -> Layer:
    """Return a layer whose laws keep their scales, whatever fans it will be given."""
    fans = layer.fan_in, layer.fan_out

    def fixed(law: Initializer) -> Initializer:
        def draw(key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...]) -> Array:
            return law.draw(key, *fans, shape)

        marginal = law.marginal
        return replace(
            law,
            draw=draw,
            marginal=None if marginal is None else lambda fan_in, fan_out: marginal(*fans),
        )

    biases = None if layer.biases is None else fixed(layer.biases)
    return replace(layer, weights=fixed(layer.weights), biases=biases)


def padding_bias(pieces: tuple[tuple[float, float], ...]) -> float:
    """Return a bias well within the first of some flat pieces."""
    low, high = pieces[0]
    if low == -math.inf:
        return high - max(1.0, abs(high))
    return low + max(1.0, abs(low))
