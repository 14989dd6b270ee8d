"""The activation pattern: on which piece of the activation each hidden neuron is at each point.

    bit (l, i, x, b) = 1  if  z_{l,i}(x) > b,        b a breakpoint of the activation

over hidden layers l, neurons i, the points x of the law that trainings see, with pre-activations
in float64. For a ReLU it says which neurons are active at which points; where it is the same at
two steps, no kink has crossed a point between them, or it came back.

The bits of a run are packed into bytes, [breakpoints, bytes]: what is recorded is only of how many
pairs of a neuron and a point they differ from those at step 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem

_CHUNK = 512
"""Points of which pre-activations are kept at once."""
MOST_BITS = 2**22
"""Of all patterns of a run, so that those of a block stay in memory."""


def pattern_refused(problem: Problem, network: Network, checkpoints: int) -> str | None:
    """Return what a run lacks to have activation patterns, as "has ...; accepted: ...", or None.

    Args:
        problem: the law that trainings see.
        network: what is trained.
        checkpoints: at which patterns are looked at.
    """
    activation = network.activation
    if not network.fully_connected or activation is None or not network.hidden:
        return "needs the hidden layers of a fully-connected network; accepted: one with some"
    if not activation.piecewise_linear or not activation.breakpoints:
        return (
            f"has no meaning for the activation {activation.name!r}, which has no linear pieces; "
            "accepted: a piecewise linear one, such as relu"
        )
    if problem.law.finite is None:
        return (
            "has no meaning for an input law with infinitely many points; accepted: a data set or "
            "points"
        )
    neurons, points = sum(network.hidden), len(problem.law.finite[0])
    bits = neurons * points * len(activation.breakpoints) * checkpoints
    if bits > MOST_BITS:
        return (
            f"gives {bits:,} bits of a run, of {neurons:,} neurons, {points:,} points and "
            f"{checkpoints:,} checkpoints; accepted: up to {MOST_BITS:,}"
        )
    return None


def make_pattern(network: Network, points: np.ndarray) -> Callable[[Array], Array]:
    """Return theta [P] (float64) -> its activation pattern, uint8 [breakpoints, bytes].

    Args:
        network: fully connected, with a piecewise linear activation that has breakpoints.
        points: x, [n, inputs].
    """
    activation = network.activation
    assert activation is not None
    ends = activation.breakpoints
    parts = -(-len(points) // _CHUNK)
    size = -(-len(points) // parts)
    # Copies of the last point fill the last part; their bits are 0.
    rest = np.repeat(points[-1:], parts * size - len(points), axis=0)
    grouped = np.concatenate([points, rest]).reshape(parts, size, -1)
    real = (np.arange(parts * size) < len(points)).reshape(parts, size)

    def of_part(layers: Sequence[tuple[Array, Array]], x: Array, real: Array) -> Array:
        h, sides = x, []
        for weights, biases in layers:
            z = h @ weights + biases
            sides.append(jnp.stack([(z > end) & real[:, None] for end in ends]))
            h = activation.function(z)
        return jnp.packbits(jnp.concatenate(sides, axis=2).reshape(len(ends), -1), axis=1)

    def pattern(theta: Array) -> Array:
        layers = network.layers(theta)[:-1]
        if parts == 1:
            return of_part(layers, jnp.asarray(grouped[0]), jnp.asarray(real[0]))
        each = (jnp.asarray(grouped), jnp.asarray(real))
        every = jax.lax.map(lambda part: of_part(layers, *part), each)
        return every.transpose(1, 0, 2).reshape(len(ends), -1)

    return pattern


def pattern_changes(patterns: Sequence[np.ndarray], known: np.ndarray) -> np.ndarray:
    """Return how many pairs of a neuron and a point have left their piece of step 0.

    Args:
        patterns: of R runs at each of T checkpoints, uint8 [R, breakpoints, bytes]; the first one
            at step 0.
        known: whether the parameters were finite, bool [R, T].

    Returns:
        int32 [R, T], -1 where they were not finite.
    """
    counts = [
        np.bitwise_count(np.bitwise_or.reduce(now ^ patterns[0], axis=1)).sum(1, dtype=np.int32)
        for now in patterns
    ]
    return np.where(known, np.stack(counts, axis=1), -1).astype(np.int32)
