"""P(the second hidden layer is dead) for one input and no biases: proved, in training's arithmetic.

The first layer of such a ReLU network maps the rays x > 0 and x < 0 to multiples of two vectors u
and v, of the neurons with positive and with negative weights: no neuron is in both. Given the
first layer, a neuron of the second is inactive with probability 1/2 for each of them that is not 0,
independently, since different weights decide:

    P(dead) = sum_j C(N_1, j) 2^-N_1 q_j^N_2,    q_j = 1/4 for 0 < j < N_1, else 1/2,

with inputs of one sign q_j = 1/2 for j > 0, and j = 0 has a dead layer already. It is the exact
case of two hidden layers in Lu, Shin, Su and Karniadakis (arXiv:1903.06733), for all symmetric
laws.

Training computes w.u with an error of at most eta sum_i |w_i| u_i. A neuron that clears this margin
is inactive in any arithmetic; by symmetry 1/2 loses P(|w.u| < eta sum_i |w_i| u_i) / 2 to it:

    normal weights       P(|cos(w, u)| < eta), as sum_i |w_i| u_i <= |w| |u|
    weights up to B      2 eta B N_1 f, with f their largest density: all but the weight of the
                         largest u_i are given, and sum_i |w_i| u_i <= B N_1 max_i u_i

(Not counted: products too small to be represented.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer
from jaxsim.problem.support import Support
from jaxsim.theory.dead_layers import LayerLaw, rays_of
from jaxsim.theory.image import strip
from jaxsim.theory.laws import Entry
from jaxsim.theory.rounding import training_rounding


def second_layer_dead(
    layers: Sequence[Layer], activation: Activation, support: Support, precision: str
) -> float:
    """Return a lower bound of P(one of the first two hidden layers is wholly inactive).

    Args:
        layers: of a fully-connected network, the output layer last.
        activation: of the hidden layers.
        support: of the input law.
        precision: of the training.

    Returns:
        The bound; 0 where the rays do not decide.
    """
    rays = rays_of(layers, activation, support)
    if not rays or len(layers) < 3 or activation.flat != ((-math.inf, 0.0),):
        return 0.0
    first, second = map(LayerLaw.of, layers[:2])
    symmetric = first.weights is not None and first.weights.half is not None
    rounding = training_rounding(support, precision)
    if not symmetric or not rounding.representable or second.weights is None:
        return 0.0
    width = first.fan_out
    row_error = rounding.unit * (width + 2)
    half = 0.5 - lost(second.weights, width, row_error + rounding.relative * (1 + row_error))
    if not half > 0:
        return 0.0
    positive = np.arange(width + 1)
    images = (positive > 0).astype(int)
    if len(rays) > 1:
        images += positive < width
    dead = np.where(images > 0, half ** (images * second.fan_out), 1.0)
    # The hair is for the rounding of this sum.
    return float(scipy.stats.binom.pmf(positive, width, 0.5) @ dead) * (1 - 1e-12)


def lost(weights: Entry, width: int, eta: float) -> float:
    """Return a bound of P(|w.u| < eta sum_i |w_i| u_i) / 2 for every u >= 0."""
    if weights.half is None:
        return math.inf
    if width == 1:
        return 0.0
    if weights.normal:
        return float(strip(np.asarray(eta), width))
    end = weights.half.end
    density = float(weights.half.pdf(np.zeros(1))[0])
    return eta * width * end * density / 2 if math.isfinite(end) else math.inf
