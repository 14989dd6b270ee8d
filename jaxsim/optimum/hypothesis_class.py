"""What inf L belongs to: a problem and the functions that a network can represent.

Neither the law of the initialization (but for frozen parameters), nor optimizer or batch size have
a part in it: all experiments of a grid over optimizers share one search. The key names the files of
its certificates.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp

from jaxsim.network.network import Layer, Network, fully_connected
from jaxsim.problem.problem import Problem
from jaxsim.risk.constants import best_constant_risk


@dataclass(frozen=True)
class HypothesisClass:
    """A problem and a family of networks.

    Attributes:
        text: everything that inf L depends on besides the layers' shapes, as one text: contents of
            data files and own modules by their hashes.
        problem: law of (X, Y) and loss.
        network: the family; of its parameters' laws only those of frozen ones matter.
    """

    text: str
    problem: Problem
    network: Network

    @cached_property
    def key(self) -> str:
        """Thirty-two hexadecimal digits, equal for equal classes."""
        shapes = [_shape(layer) for layer in self.network.layer_specs]
        content = json.dumps([self.text, shapes, self.network.size], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    @property
    def scale(self) -> float:
        """The risk of the best constant, 0 where it is not known; computed once per problem."""
        if self.text not in _SCALES:
            value = abs(best_constant_risk(self.problem).value)
            _SCALES[self.text] = value if math.isfinite(value) else 0.0
            if len(_SCALES) > _MOST_SCALES:
                _SCALES.popitem(last=False)
        return _SCALES[self.text]

    def with_first_width(self, m: int) -> HypothesisClass:
        """Return the class with m neurons in the first hidden layer, m >= 1."""
        if m == self.network.hidden[0]:
            return self
        return replace(self, network=narrowed(self.network, m))


_SCALES: OrderedDict[str, float] = OrderedDict()
_MOST_SCALES = 256


def _shape(layer: Layer) -> list[Any]:
    trained = [layer.train_weights, layer.train_biases]
    return [layer.fan_in, layer.fan_out, layer.biases is not None, layer.multiplier, *trained]


def narrowed(network: Network, m: int) -> Network:
    """Return a fully-connected network with m neurons in its first hidden layer.

    Factors of the parametrization stay: with those it represents what is left of the network when
    the other neurons are silent.

    Args:
        network: with at least one hidden layer and a known form.
        m: at least 1.

    Example:
        >>> from jaxsim.network.activations import relu
        >>> from jaxsim.network.initializers import uniform
        >>> layers = Layer(1, 4, uniform(), uniform()), Layer(4, 1, uniform(), uniform())
        >>> narrowed(fully_connected(layers, relu()), 2).size
        7
    """
    first, second, *others = network.layer_specs
    assert network.activation is not None
    layers = (replace(first, fan_out=m), replace(second, fan_in=m), *others)
    return fully_connected(layers, network.activation)


def has_levels(network: Network) -> bool:
    """Return whether dead first-layer neurons leave a network of the same form, only narrower.

    And whether a narrower network's functions are a wider one's. All parameters are free, then, and
    a dead neuron's constant output is zero, or within reach of the next layer's biases.
    """
    activation = network.activation
    if not network.fully_connected or not network.hidden or activation is None:
        return False
    if not network.trainable.all():
        return False
    if network.layer_specs[1].biases is not None:
        return True
    ends = [low if high == math.inf else high for low, high in activation.flat]
    return all(float(activation.function(jnp.float64(end))) == 0.0 for end in ends)
