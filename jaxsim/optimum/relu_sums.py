"""Targets that are sums of ReLU ridge functions, as networks.

f(x) = sum_k u_k (w_k.x + b_k)+ + c is one hidden layer of ReLU neurons. Terms along one ray are one
neuron, (a v)+ = a v+ for a > 0, so that an affine part v = v+ - (-v)+ costs nothing where the same
hyperplane bends anyway. Further hidden layers pass it on: their neurons repeat the terms, which are
not negative, or hold the outputs' positive and negative parts.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsim.network.network import Network
from jaxsim.problem.relu_sums import exact_terms
from jaxsim.problem.targets import ExpressionTarget, Target
from jaxsim.risk.teacher import TeacherTarget

_MOST_NUMBERS = 100_000
"""Weights of a teacher up to which its neurons are compared as fractions."""


class ReluForm(NamedTuple):
    """What a network needs to be such a sum.

    Attributes:
        neurons: of the first hidden layer.
        hidden_biases: whether one of them has a bias.
        constants: whether an output has a constant.
    """

    neurons: int
    hidden_biases: bool
    constants: bool


def relu_form(target: Target) -> ReluForm | None:
    """Return what it takes to write a target as a sum of ReLU terms, None if it is not one.

    Example:
        >>> from jaxsim.problem.expression import parse_expression
        >>> relu_form(ExpressionTarget(parse_expression("relu(x1) + 2*relu(3*x1) + abs(x2)", 2)))
        ReluForm(neurons=3, hidden_biases=False, constants=False)
    """
    parts = _terms(target)
    if parts is None:
        return None
    terms, constants = parts
    rays: dict[tuple, dict[int, Fraction]] = {}
    for output, factor, ridge in terms:
        size = max((abs(w) for w in ridge), default=Fraction(0))
        if not size:
            continue
        outer = rays.setdefault(tuple(w / size for w in ridge), {})
        outer[output] = outer.get(output, Fraction(0)) + factor * size
    needed = [ray for ray, outer in rays.items() if any(outer.values())]
    return ReluForm(len(needed), any(ray[-1] for ray in needed), any(constants))


def represents(network: Network, target: Target) -> bool:
    """Return whether a ReLU network of the family certainly is the target, for every input."""
    activation = network.activation
    if not network.fully_connected or activation is None or activation.name != "relu":
        return False
    if not network.hidden or not network.trainable.all():
        return False
    if any(layer.multiplier == 0 for layer in network.layer_specs):
        return False
    form = relu_form(target)
    if form is None:
        return False
    first, *deeper = network.hidden
    has_bias = [layer.biases is not None for layer in network.layer_specs]
    neurons = form.neurons
    if form.constants and not has_bias[-1]:
        if not has_bias[0]:
            return False
        neurons += 1  # a neuron that is constant
    if form.hidden_biases and not has_bias[0]:
        return False
    return neurons <= first and min(neurons, 2 * network.outputs) <= min(deeper, default=neurons)


def _terms(target: Target) -> tuple[list, list] | None:
    if isinstance(target, ExpressionTarget):
        return exact_terms(target.expression)
    if not isinstance(target, TeacherTarget):
        return None
    network = target.network
    activation = network.activation
    if not network.fully_connected or activation is None or activation.name != "relu":
        return None
    exact = all(layer.multiplier == 1 for layer in network.layer_specs)
    if len(network.hidden) != 1 or network.size > _MOST_NUMBERS or not exact:
        return None
    layers = network.layers(jnp.asarray(target.theta, jnp.float64))
    (weights, biases), (outer, constant) = (map(np.asarray, layer) for layer in layers)
    ridges = [[Fraction(w) for w in row] for row in np.vstack([weights, biases]).T.tolist()]
    terms = [
        (output, Fraction(factor), ridge)
        for ridge, factors in zip(ridges, outer.tolist(), strict=True)
        for output, factor in enumerate(factors)
    ]
    return terms, constant.tolist()
