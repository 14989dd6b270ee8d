"""Lower bounds by simulating initializations, where no formula is known.

The bound is the Clopper-Pearson lower confidence limit at confidence 1 - 1e-6, from draws with a
fixed seed; neurons that depend on each other (orthogonal weights) give one draw per layer.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.evidence import confidence
from jaxsim.network.initializers import Initializer
from jaxsim.network.network import Layer
from jaxsim.problem.support import Support
from jaxsim.theory.probability import Probability
from jaxsim.theory.rounding import Rounding

DOUBT = 1e-6
_DRAWS = 1 << 15
_ENTRIES = 1 << 22  # of all weights of one batch of layers


def independent_neurons(initializer: Initializer | None) -> bool:
    """Return whether a law draws the neurons of a layer independently of each other.

    Entries with a marginal law are independent, and laws that draw weights and biases together
    draw them neuron by neuron.
    """
    if initializer is None or initializer.constant is not None:
        return True
    return initializer.marginal is not None or initializer.draw_joint is not None


@functools.lru_cache(maxsize=256)
def simulated_probability(
    layer: Layer,
    pieces: tuple[tuple[float, float], ...],
    support: Support,
    why: str,
    rounding: Rounding,
) -> Probability:
    """Return a lower bound on the probability that a neuron stays in one of the flat pieces.

    Args:
        layer: the first hidden layer.
        pieces: flat intervals of the activation.
        support: of the input law.
        why: the reason for simulating, for the method's text.
        rounding: of the training: a neuron counts if it is inactive in that arithmetic.
    """
    independent = independent_neurons(layer.weights) and independent_neurons(layer.biases)
    size = layer.fan_in * layer.fan_out
    per_layer = layer.fan_out if independent else 1
    layers = -(-_DRAWS // per_layer)
    batch = max(1, min(layers, _ENTRIES // size))

    @jax.jit
    def inactive(keys: Array) -> Array:
        """Return the number of inactive neurons in the layers drawn from the keys."""
        weights, biases = jax.vmap(lambda key: draw_layer(layer, key))(keys)
        low, high = jax.vmap(support.affine_range)(weights, biases)
        margin = rounding.absolute + rounding.relative * (
            jax.vmap(support.magnitude)(weights) + jnp.abs(biases)
        )
        sides = [(1, high, lambda piece: piece[1]), (-1, -low, lambda piece: -piece[0])]
        flat = jnp.zeros(low.shape, bool)
        for piece in pieces:
            inside = jnp.ones(low.shape, bool)
            for sign, sup, end in sides:
                c = rounding.end(end(piece))
                no_term = jax.vmap(support.positive_part)(sign * weights) == 0
                clears = (sup + margin <= c) | (no_term & (sign * biases <= c))
                inside &= clears | (c == math.inf)
            flat |= inside
        return flat[:, :per_layer].sum()

    # Large layers get fewer draws: at most 16 batches.
    batches = min(-(-layers // batch), 16)
    root = jax.random.key(0)
    count = sum(
        int(inactive(jax.random.split(jax.random.fold_in(root, i), batch))) for i in range(batches)
    )
    draws = batches * batch * per_layer
    count = count if rounding.representable else 0
    value = float(scipy.stats.beta.ppf(DOUBT, count, draws - count + 1)) if count else 0.0
    method = (
        f"simulated, {why}: Clopper-Pearson lower limit from {draws} draws, confidence 1 - {DOUBT}"
    )
    flat = ", ".join(f"[{low:g}, {high:g}]" for low, high in pieces)
    evidence = confidence(DOUBT, f"initializations were simulated (flat in {flat})")
    return Probability(value, 0.0, False, method, independent, evidence)


def draw_layer(layer: Layer, key: Array) -> tuple[Array, Array]:
    """Return (weights [in, out], biases [out]) as Network.init draws them, multiplier included."""
    first, second = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
    shape = (layer.fan_in, layer.fan_out)
    biases = None
    if layer.weights.draw_joint is not None:
        weights, biases = layer.weights.draw_joint(first, *shape)
    else:
        weights = layer.weights.draw(first, *shape, shape)
    if layer.biases is None:
        biases = jnp.zeros(layer.fan_out)
    elif biases is None:
        biases = layer.biases.draw(second, *shape, (layer.fan_out,))
    return weights * layer.multiplier, biases
