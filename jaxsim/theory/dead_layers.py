"""Lower bounds of P(a hidden layer from the second on is wholly inactive), by conditional sampling.

Given the layers before, the N neurons of layer l are inactive independently of each other, with a
probability q_l that depends on those layers only, so that

    P(a layer from 2 on is dead) = E[1 - prod_l (1 - q_l^N_l)],

where each layer is drawn given that it is not dead. What is sampled is thus not the rare event but
its conditional probability: values of 1e-13 and less take no more draws than 0.1.

q_l^N    from M extra neurons of which S are inactive, by C(S, N) / C(M, N): unbiased, which
         (S / M)^N is not
         Gaussian weights without biases, one input: for the two rays x > 0 and x < 0 with images u
         and v of the layer before, q = (pi - angle(u, v)) / (2 pi), and 1/2 if one of them is 0
inactive on the whole support: finitely many points; one input: at the kinks, for networks without
         biases on the two rays; otherwise by interval bounds, so that fewer neurons count

A neuron counts if it stays inactive in the arithmetic of the training: margins as in
`jaxsim.training.pointwise`. (Not counted: products too small to be represented.) The mean of the
independent draws is bounded from below at confidence 1 - 1e-6 (`mean_bound`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.evidence import confidence
from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer
from jaxsim.problem.support import Box, Everything, Points, Support
from jaxsim.theory.image import Image, PointImage, first_image, next_image
from jaxsim.theory.laws import Entry, HalfNormal, HalfUniform, entry_law
from jaxsim.theory.mean_bound import mean_lower_bound
from jaxsim.theory.probability import Probability
from jaxsim.theory.rounding import training_rounding
from jaxsim.theory.simulated import DOUBT, draw_layer, independent_neurons

_MOST_DRAWS = 1 << 16
_FEWEST_DRAWS = 1 << 8
_WORK = 3e8  # products of two numbers, of all draws
_ENTRIES = 1 << 22  # of weights or values at once
_NEURONS = 256  # extra neurons of a layer
_WIDEST = 64  # wider layers are never dead for all practical purposes
_TRIES = 200  # for a layer that is not dead


@dataclass(frozen=True)
class DeadLayers:
    """Independent draws whose mean is at most P(K_1 = k and a later layer is dead), summed over k.

    Attributes:
        inactive: first-layer neurons that are inactive in real numbers, [R].
        conditional: a probability of a dead later layer, or less, [R].
        rays: whether the neurons were looked at on one or two rays from the origin.
    """

    inactive: np.ndarray
    conditional: np.ndarray
    rays: bool

    def with_fewer(self, needed: int) -> Probability:
        """Return a lower bound of P(K_1 < needed and a later layer is dead)."""
        draws = np.where(self.inactive < needed, self.conditional, 0.0)
        n = len(draws)
        method = f"conditional Monte Carlo, {n} draws, confidence 1 - {DOUBT}"
        evidence = confidence(DOUBT, "initializations were simulated, layer by layer")
        return Probability(mean_lower_bound(draws, DOUBT), 0.0, False, method, True, evidence)


def homogeneous(layers: Sequence[Layer], activation: Activation) -> bool:
    """Return whether hidden layers without biases have A(c z) = c A(z) for c > 0."""
    without = all(layer.biases is None or layer.biases.constant == 0 for layer in layers[:-1])
    return without and activation.piecewise_linear and activation.breakpoints == (0.0,)


def rays_of(
    layers: Sequence[Layer], activation: Activation, support: Support
) -> tuple[float, ...] | None:
    """Return the rays, +1 and -1, that decide over one input; None where rays do not."""
    if support.dimension != 1 or not homogeneous(layers, activation):
        return None
    if isinstance(support, Everything):
        return (1.0, -1.0)
    if isinstance(support, Points):
        low, high = float(support.points.min()), float(support.points.max())
    elif isinstance(support, Box):
        low, high = support.low[0], support.high[0]
    else:
        low, high = -support.radius, support.radius
    return tuple([1.0] * (high > 0) + [-1.0] * (low < 0))


def sampled_dead_layers(
    layers: Sequence[Layer], activation: Activation, support: Support, precision: str
) -> DeadLayers | None:
    """Return draws for the layers from the second on, or None where they would say nothing.

    Args:
        layers: of a fully-connected network, the output layer last.
        activation: of the hidden layers.
        support: of the input law.
        precision: of the training.
    """
    rays = rays_of(layers, activation, support)
    return _sampled(tuple(map(LayerLaw.of, layers[:-1])), activation, support, precision, rays)


@dataclass(frozen=True)
class LayerLaw:
    """How a layer is initialized; equal laws are equal here, whoever made them.

    Attributes:
        fan_in: inputs.
        fan_out: neurons.
        weights: law of an effective weight, multiplier included; None if `layer` draws.
        biases: law of a bias; None if `layer` draws.
        layer: what draws where the laws of single entries do not say all.
    """

    fan_in: int
    fan_out: int
    weights: Entry | None
    biases: Entry | None
    layer: Layer | None

    @classmethod
    def of(cls, layer: Layer) -> LayerLaw:
        """Return the law of a layer."""
        fans = layer.fan_in, layer.fan_out
        weights = entry_law(layer.weights, *fans, layer.multiplier)
        biases = entry_law(layer.biases, *fans)
        if weights is None or biases is None or layer.weights.draw_joint is not None:
            return cls(*fans, None, None, layer)
        return cls(*fans, weights, biases, None)

    @property
    def independent(self) -> bool:
        """Whether the neurons are independent of each other."""
        if self.layer is None:
            return True
        return all(independent_neurons(law) for law in (self.layer.weights, self.layer.biases))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return (effective weights [count, in, out], biases [count, out])."""
        if self.layer is None:
            assert self.weights is not None
            assert self.biases is not None
            weights = _entries(self.weights, (count, self.fan_in, self.fan_out), rng)
            return weights, _entries(self.biases, (count, self.fan_out), rng)
        layer = self.layer
        keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), count)
        drawn = jax.vmap(lambda key: draw_layer(layer, key))(keys)
        weights, biases = (np.array(a, np.float64) for a in drawn)
        return weights, biases


@functools.lru_cache(maxsize=64)
def _sampled(
    hidden: tuple[LayerLaw, ...],
    activation: Activation,
    support: Support,
    precision: str,
    rays: tuple[float, ...] | None,
) -> DeadLayers | None:
    counted = [n for n, layer in enumerate(hidden) if n and layer.fan_out <= _WIDEST]
    usable = activation.piecewise_linear and activation.monotone and activation.flat
    if not counted or not usable or not math.isfinite(activation.lipschitz):
        return None
    rounding = training_rounding(support, precision)
    if not rounding.representable or rays == ():
        return None
    if rays is None and isinstance(support, Everything):
        return None
    hidden = hidden[: counted[-1] + 1]
    angles = rays is not None and all(
        layer.weights is not None and layer.weights.normal for layer in hidden[1:]
    )
    angles = angles and activation.flat == ((-math.inf, 0.0),)
    points = _points(support, rays, hidden)
    extra = [0 if angles else _extra(layer, n in counted) for n, layer in enumerate(hidden)]
    per_entry = 8 + points * (2 if rays is None else 2 + max(layer.fan_in for layer in hidden))
    work = sum(
        layer.fan_in * (per_entry * (layer.fan_out + extra_units))
        for layer, extra_units in zip(hidden, extra, strict=True)
    )
    draws = int(min(_MOST_DRAWS, _WORK / work))
    if draws < _FEWEST_DRAWS:
        return None
    largest = max(
        max(layer.fan_in, points) * (layer.fan_out + extra_units)
        for layer, extra_units in zip(hidden, extra, strict=True)
    )
    batch = max(1, min(draws, _ENTRIES // largest))
    inactive, values = [], []
    for number in range(-(-draws // batch)):
        rng = np.random.default_rng([0, number])
        size = min(batch, draws - number * batch)
        image = first_image(support, rays, activation, rounding, size)
        first, value = _one_batch(rng, hidden, extra, image, angles, counted)
        inactive.append(first)
        values.append(value)
    return DeadLayers(np.concatenate(inactive), np.concatenate(values), rays is not None)


def _points(support: Support, rays: tuple[float, ...] | None, hidden: Sequence[LayerLaw]) -> int:
    """Return how many points an image has room for."""
    if rays is not None:
        return len(rays)
    if isinstance(support, Points):
        return len(support.points)
    if support.dimension == 1:
        return 2 + 2 * sum(layer.fan_out for layer in hidden)
    return 2


def _extra(layer: LayerLaw, counted: bool) -> int:
    """Return the number of extra neurons of a layer: whole layers, for laws that draw them so."""
    if not counted:
        return 0
    return -(-max(_NEURONS, 8 * layer.fan_out) // layer.fan_out) * layer.fan_out


def _one_batch(
    rng: np.random.Generator,
    hidden: Sequence[LayerLaw],
    extra: Sequence[int],
    image: Image,
    angles: bool,
    counted: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return (inactive first-layer neurons [R], conditional probabilities [R])."""
    weights, biases = hidden[0].draw(image.draws, rng)
    first = image.inactive(weights, biases, exact=True).sum(1)
    image = next_image(image, weights, biases)
    log_alive = np.zeros(image.draws)
    alive = np.ones(image.draws, bool)  # whether a layer that is not dead was found so far
    for number, layer in enumerate(hidden[1:], start=1):
        dead = np.zeros(image.draws)
        if number in counted:
            if angles and isinstance(image, PointImage):
                dead = image.angle_probability() ** layer.fan_out
            else:
                dead = _unbiased(rng, layer, extra[number], image)
        with np.errstate(divide="ignore"):
            log_alive += np.where(alive, np.log1p(-dead), 0.0)
        if number == len(hidden) - 1:
            break
        weights, biases = layer.draw(image.draws, rng)
        again = np.flatnonzero(image.inactive(weights, biases).all(1))
        for _ in range(_TRIES):
            if not len(again):
                break
            weights[again], biases[again] = layer.draw(len(again), rng)
            part = image.rows(again)
            again = again[part.inactive(weights[again], biases[again]).all(1)]
        alive[again] = False
        image = next_image(image, weights, biases)
    return first, -np.expm1(log_alive)


def _unbiased(rng: np.random.Generator, layer: LayerLaw, extra: int, image: Image) -> np.ndarray:
    """Return an unbiased estimate of the conditional probability that the layer is dead, [R]."""
    width = layer.fan_out
    copies = extra // width
    weights, biases = layer.draw(image.draws * copies, rng)
    weights = weights.reshape(image.draws, copies, layer.fan_in, width)
    weights = weights.transpose(0, 2, 1, 3).reshape(image.draws, layer.fan_in, extra)
    inactive = image.inactive(weights, biases.reshape(image.draws, extra))
    if not layer.independent:
        return inactive.reshape(image.draws, copies, width).all(2).mean(1)
    # C(S, N) / C(M, N) as a product of N factors.
    steps = np.arange(width)
    return np.prod(np.maximum(inactive.sum(1)[:, None] - steps, 0) / (extra - steps), axis=1)


def _entries(law: Entry, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return independent draws of an entry's law."""
    match law.half:
        case None:
            return np.full(shape, law.constant)
        case HalfUniform():
            return rng.uniform(-law.scale, law.scale, shape)
        case HalfNormal() if law.normal:
            return law.scale * rng.standard_normal(shape)
        case HalfNormal(end):
            mass = scipy.special.erf(end / math.sqrt(2))
            return law.scale * math.sqrt(2) * scipy.special.erfinv(rng.uniform(-mass, mass, shape))
    raise TypeError(law)
