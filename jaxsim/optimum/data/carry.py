"""Which affine functions of x the hidden layers of a network can carry to its output.

On finitely many points, up to an error as small as one likes, for almost all frozen parameters and
by choice of the trainable ones. Let A be the activation, u_1, ..., u_q affine functions, and call a
layer biased if its biases are trainable.

A biased layer computes A(a + e u_j) for any e > 0 and a point a with A'(a) != 0, whatever multiples
and shifts of the u_j its inputs are, and (A(a + e u_j) - A(a)) / (e A'(a)) -> u_j as e -> 0 (for
ReLU, large a and e = 1 do it exactly). Hence

    q neurons                  carry them up to shifts, which the next layer's biases remove;
    q + 1 neurons              carry them without shifts: one neuron more computes A(a).

A layer without biases needs inputs without shifts. With A'(0-), A'(0+) the one-sided derivatives

    2 q neurons                (A(e u) - A(-e u)) / e -> (A'(0-) + A'(0+)) u, if that sum is not 0;
    q neurons                  if A(0) = 0 and A'(0-) = A'(0+) != 0.

Frozen biases count as absent where they are zero, or A is positively homogeneous: A(c u + b) / c ->
A(u) as c -> infinity. The output layer adds shifts if it is biased; frozen output weights V, drawn
from a density, have full rank almost surely, and if the last hidden layer is biased and A(z) = z
for z >= 0, its features A_j(x) + s with V' A_j = u and large s carry them exactly.

A strict margin, and the risk of a fixed linear model, survive a small error: separable points have
inf L = 0, and inf L of the network is at most inf L of the linear model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer, Network

_PLACES = (0.75, 0.3, -0.3, 1.6)
_CLEAR = 1e-3
"""Difference quotients of this modulus do not belong to a derivative 0."""


@dataclass(frozen=True)
class Carried:
    """What a network's output layer receives of the inputs.

    Attributes:
        constant: whether affine functions are carried; else linear ones.
        obstacle: why nothing is carried, one clause; empty if something is.
    """

    constant: bool
    obstacle: str = ""


@dataclass(frozen=True)
class _Slopes:
    """Facts of an activation: A'(a) != 0 somewhere, A'(0-) + A'(0+) != 0, A(u) ~ u near 0."""

    somewhere: bool
    two_sided: bool
    odd: bool


def carried(network: Network, functions: int, scaled: bool) -> Carried:
    """Return whether a network carries so many affine functions to its output.

    Args:
        network: fully connected.
        functions: q, the number of independent functions that the outputs are made of.
        scaled: whether outputs may be multiplied by any large number, so that a frozen output bias
            does not matter.
    """
    if not network.fully_connected:
        return Carried(
            False, "the layers of a module of your own, or with trained slopes, are not known"
        )
    *hidden, last = network.layer_specs
    if any(spec.multiplier == 0 for spec in network.layer_specs):
        return Carried(False, "a layer has the multiplier 0")
    if any(not spec.train_weights for spec in hidden):
        return Carried(False, "weights of a hidden layer are frozen")
    if not scaled and _fixed_bias(last):
        return Carried(False, "the output's biases are frozen")
    if not last.train_weights:
        return _through_frozen_output(network, functions)
    constant = _biased(last) or any(_biased(spec) for spec in hidden)
    if not hidden:
        return Carried(constant)
    assert network.activation is not None
    slopes = _slopes_of(network.activation)
    if slopes is None:
        return Carried(False, f"of the activation {network.activation.name!r} nothing is known")
    q = min(functions, network.inputs) if _biased(last) else functions
    for spec, after in zip(hidden, network.layer_specs[1:], strict=True):
        needed, obstacle = _neurons(spec, q, not _biased(after), network.activation, slopes)
        if obstacle:
            return Carried(False, obstacle)
        if spec.fan_out < needed:
            what = "one linear function" if q == 1 else f"{q} linear functions"
            return Carried(
                False, f"a layer of width {spec.fan_out} need not carry {what}, which take {needed}"
            )
    return Carried(constant)


def _neurons(
    spec: Layer, q: int, pure: bool, activation: Activation, slopes: _Slopes
) -> tuple[int, str]:
    """Return how many neurons of a hidden layer carry q functions, and what is in the way."""
    if _biased(spec):
        if not slopes.somewhere:
            return 0, f"the activation {activation.name!r} may be constant"
        return q + (pure and not slopes.odd), ""
    if _fixed_bias(spec) and not is_homogeneous(activation):
        return 0, "biases of a hidden layer are frozen"
    if not slopes.two_sided:
        return 0, f"the activation {activation.name!r} without biases carries no linear function"
    return (q if slopes.odd else 2 * q), ""


def _through_frozen_output(network: Network, functions: int) -> Carried:
    """Return what passes frozen output weights: all, if biased ReLU layers make up for them."""
    *hidden, last = network.layer_specs
    if not hidden:
        return Carried(False, "all weights are frozen")
    activation = network.activation
    assert activation is not None
    random = last.weights.marginal is not None
    if not (random and all(_biased(spec) for spec in network.layer_specs)):
        return Carried(False, "the output's weights are frozen, and not all biases are trained")
    if not (is_homogeneous(activation) and activation.function(jnp.asarray(1.0)) == 1):
        return Carried(False, "the output's weights are frozen: its values may be bounded")
    if min(network.hidden) < functions:
        return Carried(False, f"a layer is narrower than {functions} neurons")
    return Carried(True)


def _biased(spec: Layer) -> bool:
    return spec.biases is not None and spec.train_biases


def _fixed_bias(spec: Layer) -> bool:
    """Return whether a layer has biases that stay, and may not be zero."""
    return spec.biases is not None and not spec.train_biases and spec.biases.constant != 0


def is_homogeneous(activation: Activation) -> bool:
    """Return whether A(c z) = c A(z) for all c > 0."""
    if not activation.piecewise_linear or activation.breakpoints not in ((), (0.0,)):
        return False
    return float(activation.function(jnp.asarray(0.0))) == 0


@lru_cache(maxsize=64)
def _slopes_of(activation: Activation) -> _Slopes | None:
    """Return the facts of an activation, None for a user's own, whose smoothness nobody checked."""
    if activation.name == "function":
        return None
    # Differences are wrong by about 1e-6, for A is smooth on either side of its breakpoints.
    h = 1e-6
    places = np.array([z for z in _PLACES if z not in activation.breakpoints])
    z = np.concatenate([[-2 * h, -h, 0.0, h, 2 * h], places - h, places + h])
    with jax.ensure_compile_time_eval():
        values = np.asarray(activation.function(jnp.asarray(z, jnp.float64)))
    left, right = (values[1] - values[0]) / h, (values[4] - values[3]) / h
    below, above = np.split(values[5:], 2)
    somewhere = bool((np.abs(above - below) / (2 * h) > _CLEAR).any())
    smooth = 0.0 not in activation.breakpoints or abs(left - right) < 1e-4 * abs(left)
    odd = values[2] == 0 and smooth and abs(left) > _CLEAR and bool(np.isfinite(left))
    two_sided = bool(np.isfinite(left + right)) and abs(left + right) > _CLEAR
    return _Slopes(somewhere, bool(two_sided), bool(odd))
