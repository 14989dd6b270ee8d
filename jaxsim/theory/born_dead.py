"""Bounds on the probability that a deep ReLU network is born dead: constant at initialization.

Weights are independent with symmetric continuous laws; N_l are the widths of the hidden layers.

Lu, Shin, Su and Karniadakis (arXiv:1903.06733), zero biases, L - 1 hidden layers of width N:

    upper, any d_in                1 - prod_l (1 - 2^-N_l)
    lower, d_in = 1, both signs    1 - a^(L-2) + (1 - 2^(1-N)) (1 - 2^-N) / (1 + (N-1) 2^-N)
                                     (b^(L-2) - a^(L-2)),   a = 1 - 2^-N,
                                   b = 1 - 2^(1-N) - (N-1) 2^(-2N)
    exact for L = 3                2^(-2N) (3 - 2^(1-N)), equal to the lower bound

Their lower bound is a chain with three states: both rays x > 0 and x < 0 alive, only one direction
left in the image (one ray dead, or both images parallel), dead. From the first, a layer of width N
is dead with probability q^N and leaves one direction with 2 (2^-N - q^N) + N q^N, where q, the
probability that a neuron is off on both rays, is at least 1/4: both pre-activations increase in
every weight, so that they are positively associated (Harris), for any symmetric laws. The bound
grows with q, so that 1/4 gives a lower bound; this holds for widths that vary too. With one ray
from the start (inputs of one sign, or one point) P(born dead) is the upper bound itself.

Rister and Rubin (arXiv:2007.06192), for the complementary event, with biases:

    prod_l (1 - 2^-N_l)  <=  P(alive)  <=  prod_l (1 - 2^(-N_l (N_{l-1} + 1)))

(N_{l-1} without biases). The left end fixes one input, at which each neuron is on with probability
1/2; on the right a layer is dead if all its weights and biases are negative, as its inputs are not,
so its first factor is for non-negative inputs only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxsim.errors import InputError


def born_dead_upper(widths: Sequence[int]) -> float:
    """Return an upper bound on P(born dead), for inputs of any dimension, with or without biases.

    It is the probability itself if all inputs lie on one ray from the origin, without biases.

    Args:
        widths: of the hidden layers.

    Raises:
        InputError: for a width below 1.

    Example:
        >>> round(born_dead_upper([2, 2]), 12)
        0.4375
    """
    return -float(np.expm1(np.log1p(-(2.0 ** -_checked(widths))).sum()))


def born_dead_lower(width: int, depth: int) -> float:
    """Return a lower bound on P(born dead) for one-dimensional inputs of both signs, zero biases.

    Args:
        width: N, the same for all hidden layers.
        depth: L, the number of layers with the output layer: L - 1 are hidden.

    Raises:
        InputError: for a width below 1 or a depth below 2.

    Example:
        >>> round(born_dead_lower(2, 10), 4)
        0.8703
    """
    n = float(_checked([width])[0])
    if depth < 2:
        raise InputError(f"depth = {depth} is not accepted: it must be at least 2")
    share = 2.0**-n
    a, b = 1 - share, 1 - 2 * share - (n - 1) * share**2
    factor = (1 - 2 * share) * (1 - share) / (1 + (n - 1) * share)
    return 1 - a ** (depth - 2) + factor * (b ** (depth - 2) - a ** (depth - 2))


def born_dead_on_rays(widths: Sequence[int], rays: int) -> tuple[float, float]:
    """Return (lower, upper) bounds of P(born dead) for one-dimensional inputs, zero biases.

    Args:
        widths: of the hidden layers.
        rays: 1 for inputs of one sign, for which both bounds are the probability; 2 for both signs.

    Raises:
        InputError: for a width below 1.

    Example:
        >>> lower, upper = born_dead_on_rays([5] * 19, 2)
        >>> round(lower, 4), round(upper, 4), round(born_dead_on_rays([2, 2], 1)[0], 4)
        (0.2138, 0.453, 0.4375)
    """
    upper = born_dead_upper(widths)
    if rays == 1 or not len(widths):
        return upper, upper
    shares = 2.0 ** -_checked(widths)
    one_alive = 2 * shares[0]  # one direction is left; after the first layer none are dead
    both, dead = 1 - one_alive, 0.0
    for n, share in zip(_checked(widths)[1:], shares[1:], strict=True):
        none = share**2
        fewer = 2 * (share - none) + n * none
        dead += both * none + one_alive * share
        one_alive = both * fewer + one_alive * (1 - share)
        both *= 1 - none - fewer
    return float(dead), upper


def born_dead_two_hidden(width: int) -> float:
    """Return P(born dead) for d_in = 1, inputs of both signs, two hidden layers, zero biases.

    Raises:
        InputError: for a width below 1.

    Example:
        >>> born_dead_two_hidden(2)
        0.15625
    """
    n = float(_checked([width])[0])
    return 4.0**-n * (3 - 2.0 ** (1 - n))


def alive_bounds(
    widths: Sequence[int], non_negative_inputs: int | None = None, biases: bool = True
) -> tuple[float, float]:
    """Return (lower, upper) bounds on the probability that no layer is dead on all inputs.

    Args:
        widths: of the hidden layers.
        non_negative_inputs: the dimension of the inputs if none of their coordinates can be
            negative; None otherwise.
        biases: whether the layers have random symmetric biases; else their biases are zero.

    Raises:
        InputError: for a width below 1.

    Example:
        >>> alive_bounds([2, 2], biases=False)
        (0.5625, 0.9375)
    """
    n = _checked(widths)
    before = n[:-1]
    if non_negative_inputs is not None:
        before = np.concatenate([_checked([non_negative_inputs]), before])
    signs = n[len(n) - len(before) :] * (before + float(biases))
    upper = np.exp(np.log1p(-(2.0**-signs)).sum())
    return float(np.prod(1 - 2.0**-n)), float(upper)


def _checked(widths: Sequence[int]) -> np.ndarray:
    for width in widths:
        if width < 1:
            raise InputError(f"width = {width} is not accepted: it must be at least 1")
    return np.asarray(widths, float)
