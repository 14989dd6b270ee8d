"""The probability that a neuron of the first hidden layer is inactive at initialization.

A neuron with weights w and bias b is inactive if w.x + b stays in a flat interval of the
activation for all x in the support D of X:

    P( b + sup_D w.x <= c )  for a flat (-inf, c],        P( b + inf_D w.x >= c )  for [c, inf),

by the formulas of `inactive_formulas` for boxes, balls and finite points; anything else has a lower
bound by simulation, labelled.

What is provable for a training is the same with its rounding errors as a margin (`rounding`): the
probability of an event that implies inactivity in the arithmetic of the training.

Gradients of an inactive neuron are exactly zero, so an optimizer that leaves parameters with zero
gradients alone keeps it inactive at every later step: the mechanism of Do, Jentzen and Riekert
(arXiv:2503.01660); Shin and Karniadakis (arXiv:1907.09696) bound the success of training by it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from jaxsim.errors import InputError
from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Everything, Support
from jaxsim.theory.inactive_formulas import everywhere, in_pieces
from jaxsim.theory.laws import entry_law
from jaxsim.theory.probability import Probability
from jaxsim.theory.rounding import EXACT, training_rounding
from jaxsim.theory.simulated import simulated_probability


def inactive_probability(
    layer: Layer,
    activation: Activation,
    support: Support,
    pieces: tuple[tuple[float, float], ...] | None = None,
    precision: str = "float32",
) -> Probability:
    """Return the probability that a neuron of the first hidden layer is inactive at initialization.

    Args:
        layer: the first hidden layer; the multiplier of its parametrization counts.
        activation: of the hidden layers.
        support: of the input law.
        pieces: the flat intervals to consider; None for all of the activation.
        precision: of the training, "float32" or "float64", in whose arithmetic `lower` holds; the
            value is that of real numbers.

    Raises:
        InputError: if the layer and the support have different dimensions.

    Example:
        >>> from jaxsim.network.activations import relu
        >>> from jaxsim.network.initializers import normal
        >>> from jaxsim.problem.support import Box
        >>> layer = Layer(1, 8, normal(), normal())
        >>> round(inactive_probability(layer, relu(), Box((-1.0,), (1.0,))).value, 12)
        0.25
    """
    if layer.fan_in != support.dimension:
        raise InputError(
            f"layer.fan_in = {layer.fan_in} differs from the dimension {support.dimension} of the "
            f"support; accepted: {support.dimension}"
        )
    pieces = activation.flat if pieces is None else pieces
    if not pieces:
        return Probability(0.0, 0.0, True, f"{activation.name} has no flat interval")
    shape = (layer.fan_in, layer.fan_out)
    weights = entry_law(layer.weights, *shape, layer.multiplier)
    biases = entry_law(layer.biases, *shape)
    rounding = training_rounding(support, precision)
    if isinstance(support, Everything):
        return everywhere(weights, biases, pieces, rounding)
    why = "no formula for this support"
    probability = certain = None
    if weights is None or biases is None or layer.weights.draw_joint is not None:
        why = "no formula for these laws"
    else:
        probability = in_pieces(weights, biases, support, pieces, EXACT)
        certain = in_pieces(weights, biases, support, pieces, rounding)
    if probability is None or certain is None:
        return simulated_probability(layer, pieces, support, why, rounding)
    lower = certain[0] - certain[1] if rounding.representable else 0.0
    return Probability(*probability[:2], True, probability[2], in_training=lower)


def certified_probability(
    layer: Layer, activation: Activation, support: Support, precision: str
) -> tuple[float, float] | None:
    """Return bounds of P(a first-layer neuron is counted as inactive when training begins).

    What is counted (`jaxsim.training.inactive`) is neither the event of real numbers nor the one
    whose probability is `inactive_probability(...).lower`: its margin is the largest on the
    support, and it sees parameters that were rounded to the training precision. It contains the
    event with that margin and room for this rounding, and is contained in the one in which all that
    rounding can do is in its favour.

    Returns:
        (lower, upper), or None where there is no formula, or neurons depend on each other.

    Example: P = 1/4 in real numbers
        >>> from jaxsim.network.activations import relu
        >>> from jaxsim.network.initializers import uniform
        >>> from jaxsim.problem.support import Box
        >>> layer = Layer(1, 4, uniform(), uniform())
        >>> bounds = certified_probability(layer, relu(), Box((-1.0,), (1.0,)), "float32")
        >>> bounds is not None and f"{bounds[0]:.6f} {bounds[1]:.6f}"
        '0.249999 0.250000'
    """
    shape = (layer.fan_in, layer.fan_out)
    weights = entry_law(layer.weights, *shape, layer.multiplier)
    biases = entry_law(layer.biases, *shape)
    if weights is None or biases is None or layer.weights.draw_joint is not None:
        return None
    rounding = training_rounding(support, precision)
    if isinstance(support, Everything) or not rounding.representable:
        return None
    relative = rounding.relative + (support.dimension + 2) * rounding.unit
    if isinstance(support, Ball):  # whose margin is by the sum of the weights' sizes
        relative *= math.sqrt(support.dimension)
    inner = replace(rounding, relative=relative, whole=True)
    drawn = 0.0 if precision == "float64" else rounding.unit
    outer = replace(rounding, relative=-drawn - 1e-15, absolute=-rounding.absolute, unit=0.0)
    ends = []
    for margin, side in ((inner, -1), (outer, 1)):
        found = in_pieces(weights, biases, support, activation.flat, margin)
        if found is None or found[2] == "Gaussian orthant":
            return None
        ends.append(min(max(found[0] + side * found[1], 0.0), 1.0))
    return ends[0], ends[1]


def event_probability(
    layer: Layer,
    support: Support,
    pieces: tuple[tuple[float, float], ...],
    precision: str = "float32",
) -> tuple[float, float] | None:
    """Return (probability, bound on its error) that a neuron is certainly inactive in training.

    The event is that of `InactiveEvent`: inactive with the margins of the training's arithmetic.

    Args:
        layer: the first hidden layer.
        support: of the input law.
        pieces: flat intervals, at least one.
        precision: of the training.

    Returns:
        None where there is no formula.

    Example: P(b + |w| <= 0) but for rounding:
        >>> from jaxsim.network.initializers import uniform
        >>> from jaxsim.problem.support import Box
        >>> layer = Layer(1, 8, uniform(), uniform())
        >>> p, error = event_probability(layer, Box((-1.0,), (1.0,)), ((-math.inf, 0.0),))
        >>> round(p, 5), 0 < 0.25 - p < 1e-6, error < 1e-12
        (0.25, True, True)
    """
    shape = (layer.fan_in, layer.fan_out)
    weights = entry_law(layer.weights, *shape, layer.multiplier)
    biases = entry_law(layer.biases, *shape)
    rounding = training_rounding(support, precision)
    if weights is None or biases is None or layer.weights.draw_joint is not None:
        return None
    if isinstance(support, Everything) or not rounding.representable:
        return None
    found = in_pieces(weights, biases, support, pieces, rounding, two_sided=True)
    return None if found is None else (float(found[0]), float(found[1]))
