"""Networks so wide that they have any values at the points: inf L is the Bayes risk.

Let n be the number of different inputs. A direction in general position maps them to n different
numbers t_1 < ... < t_n, and the functions 1, relu(t - t_1), ..., relu(t - t_{n-1}) are independent
on them (their table is triangular): n - 1 ReLU neurons and an output bias have any values at n
points, for any number of outputs. For every continuous A that is no polynomial n neurons do, with
an output bias or not (Pinkus 1999, "Approximation theory of the MLP model in neural networks",
theorem 5.1). Layers before the wide one have to pass one number on, layers behind it as many
functions as there are outputs (see `carry`); of softmax logits one less matters.

The infimum is that of every input by itself, then, which is the Bayes risk: where it takes infinite
logits they are approached.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer, Network
from jaxsim.optimum.data.points import WeightedPoints


def has_any_values(network: Network, points: WeightedPoints) -> bool:
    """Return whether a network is wide enough to have any values at the points."""
    *hidden, last = network.layer_specs
    activation = network.activation
    if not hidden or activation is None or not is_nonlinear(activation):
        return False
    if any(spec.multiplier == 0 or not spec.train_weights for spec in network.layer_specs):
        return False
    n = points.distinct
    functions = max(1, points.outputs - (points.kind == "classes"))
    for place, spec in enumerate(hidden):
        after = network.layer_specs[place + 1]
        needed = n - 1 if activation.name == "relu" and _biased(after) else n
        if spec.fan_out < needed or not all(_biased(s) for s in hidden[: place + 1]):
            continue
        behind = hidden[place + 1 :]
        if not behind:
            return True
        passes = all(_biased(s) and s.fan_out >= functions for s in behind)
        if passes and _biased(last):
            return True
    return False


def is_nonlinear(activation: Activation) -> bool:
    """Return whether a known activation is not affine: of those none is a polynomial."""
    if activation.name == "function":
        return False
    z = np.array([-7.0, -1.1, 0.0, 1.3, 7.7])
    values = np.asarray(activation.function(jnp.asarray(z)))
    slopes = np.diff(values) / np.diff(z)
    return bool(np.ptp(slopes) > 1e-3)


def _biased(spec: Layer) -> bool:
    return spec.biases is not None and spec.train_biases
