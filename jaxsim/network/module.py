"""The fully-connected network as a flax module."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jaxsim.network.activations import Activation


class FullyConnected(nn.Module):
    """N_theta: x -> W_L A(... A(c_1 x W_1 + b_1) ...) c_L + b_L.

    Attributes:
        widths: neurons per layer, hidden layers first, the number of outputs last.
        activation: applied after every layer but the last; slopes that are learned are parameters
            slope1, slope2, ... of the hidden layers.
        use_bias: per layer.
        multipliers: the factor c_l in front of the weights of each layer (1 in the standard
            parametrization).
    """

    widths: tuple[int, ...]
    activation: Activation
    use_bias: tuple[bool, ...]
    multipliers: tuple[float, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return the outputs [batch, outputs] for inputs [batch, inputs]."""
        last = len(self.widths)
        for layer, width in enumerate(self.widths, start=1):
            factor = self.multipliers[layer - 1]
            if factor != 1.0:
                x = x * factor
            x = nn.Dense(width, use_bias=self.use_bias[layer - 1], name=f"layer{layer}")(x)
            if layer == last:
                continue
            learned = self.activation.learned
            if learned is None:
                x = self.activation.function(x)
                continue
            first = nn.initializers.constant(learned.initial)
            slope = self.param(f"slope{layer}", first, (width if learned.per_neuron else 1,))
            x = jnp.where(x > 0, x, slope * x)
        return x
