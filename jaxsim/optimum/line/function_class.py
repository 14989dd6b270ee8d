"""How many kinks the functions of a network with one input can have, and what else binds them.

A piecewise linear activation with k breakpoints makes at most p_l = p_{l-1} (k n_l + 1) pieces out
of p_{l-1}: every pre-activation is affine on each of them and passes every breakpoint once (Serra,
Tjandraatmadja, Ramalingam 2018, "Bounding and counting linear regions", for one input). For ReLU
fewer are enough:

    n_1 = 1         one of its two pieces is dead: 1 + the pieces of the layers above
    n_1 = 2         a pre-activation of layer 2 crosses 0 at most twice: 3 + 2 n_2 after layer 2
    no biases       a layer without biases above the input has its kinks at 0 only: as one neuron's

A network with one hidden layer of ReLU besides satisfies the slope condition (see
`slope_families`): its first slope comes from left-facing neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxsim.network.network import Network

MOST_KINKS = 4096
"""More kinks than that are as good as any number."""


@dataclass(frozen=True)
class FunctionClass:
    """What binds the functions of a network with one input.

    Attributes:
        kinks: at most so many on the line; -1 for constants.
        neurons: of the only hidden layer if that is one of ReLU, and the slope condition holds;
            else 0.
    """

    kinks: int
    neurons: int = 0


def function_class(network: Network) -> FunctionClass:
    """Return what binds the functions of a fully-connected piecewise linear network."""
    activation = network.activation
    assert activation is not None
    layers = network.layer_specs
    if layers[0].multiplier == 0:
        return FunctionClass(-1)
    if not network.hidden or not activation.breakpoints:
        return FunctionClass(0)
    widths, per_neuron = list(network.hidden), len(activation.breakpoints)
    is_relu = activation.breakpoints == (0.0,) and activation.flat == ((-np.inf, 0.0),)
    if layers[0].biases is None:
        # Kinks where w x is a breakpoint; at 0 they coincide.
        if all(spec.biases is None for spec in layers[:-1]) and activation.breakpoints == (0.0,):
            return FunctionClass(1)
        if activation.breakpoints == (0.0,):
            pieces = 2
            for width in widths[1:]:
                pieces *= width + 1
            return FunctionClass(min(pieces - 1, MOST_KINKS))
    pieces = _relu_pieces(widths) if is_relu else _pieces(widths, per_neuron)
    shallow = is_relu and len(widths) == 1
    return FunctionClass(min(pieces - 1, MOST_KINKS), widths[0] if shallow else 0)


def _pieces(widths: list[int], per_neuron: int) -> int:
    pieces = 1
    for width in widths:
        pieces *= per_neuron * width + 1
    return pieces


def _relu_pieces(widths: list[int]) -> int:
    if not widths:
        return 1
    first, *rest = widths
    if first == 0:
        return 1
    if first == 1:
        return 1 + _relu_pieces(rest)
    if first == 2 and rest:
        return (3 + 2 * rest[0]) * _pieces(rest[1:], 1)
    return (first + 1) * _pieces(rest, 1)
