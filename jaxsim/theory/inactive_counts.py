"""The laws of the numbers of inactive neurons at initialization.

First hidden layer: neurons are independent, so K_1 ~ Bin(l_1, p). An inactive neuron is *silent*
if its flat piece has the value 0 (ReLU), else it feeds a constant into the next layer.

Deeper layers, for activations A >= 0: a neuron is structurally silent if the weights from all
neurons that are not silent are <= 0 and its bias lies in the flat piece. Then its pre-activation
stays there whatever the earlier layers do in training. Given the earlier layers it has probability

    s_l(K_{l-1}) = P(w <= 0)^(l_{l-1} - K_{l-1}) P(b <= c),     2^-(live + 1) for symmetric laws,

so the numbers of structurally silent neurons form a Markov chain,

    K_l | K_{l-1} ~ Bin(l_l, s_l(K_{l-1})),

and every layer all of whose neurons are inactive keeps the network constant at every later step.
In the mirror case, weights >= 0 and a bias in an upper flat piece, a neuron is inactive but not
silent.

A neuron can be inactive in other ways in deeper layers: the laws from layer 2 on are lower bounds,
in the stochastic order, on the number of inactive neurons. How often a whole layer is inactive in
any way is sampled (`dead_layers`). For depth see Do, Hannibal and Jentzen
(arXiv:2410.10533) and Cheridito, Jentzen and Rossmannek (arXiv:2006.07075).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.errors import InputError
from jaxsim.network.activations import Activation
from jaxsim.network.initializers import Initializer
from jaxsim.network.network import Layer
from jaxsim.problem.support import Support
from jaxsim.theory.born_dead import born_dead_on_rays
from jaxsim.theory.dead_layers import rays_of, sampled_dead_layers
from jaxsim.theory.inactive import inactive_probability
from jaxsim.theory.laws import entry_law
from jaxsim.theory.probability import Probability
from jaxsim.theory.rounding import training_rounding
from jaxsim.theory.second_layer import second_layer_dead

# Sampling takes the place of a proof only where it adds that share.
_NOTICEABLE = 0.01


@dataclass(frozen=True)
class CountDistribution:
    """The law of the number K of inactive neurons of a layer with `width` neurons.

    Attributes:
        pmf: P(K = k) for k = 0, ..., width.
        error: bound on the numerical error of every P(K >= k).
        exact: whether this is the law of K up to `error`; else K is stochastically larger.
        method: how it is known, in words.
    """

    pmf: np.ndarray = field(repr=False)
    error: float
    exact: bool
    method: str

    @property
    def width(self) -> int:
        """Number of neurons."""
        return len(self.pmf) - 1

    @property
    def mean(self) -> float:
        """E K."""
        return float(np.arange(len(self.pmf)) @ self.pmf)

    def at_least(self, k: int) -> float:
        """Return P(K >= k)."""
        return 1.0 if k <= 0 else float(min(self.pmf[k:].sum(), 1.0))


def inactive_count_law(
    layer: Layer, activation: Activation, support: Support, precision: str = "float32"
) -> CountDistribution:
    """Return the law of the number of inactive neurons of the first hidden layer.

    The error covers rounding in a training of that precision.

    Example:
        >>> from jaxsim.network.activations import relu
        >>> from jaxsim.network.initializers import uniform
        >>> from jaxsim.problem.support import Box
        >>> layer = Layer(1, 4, uniform(), uniform())
        >>> round(inactive_count_law(layer, relu(), Box((-1.0,), (1.0,))).at_least(1), 8)
        0.68359375

    Raises:
        InputError: if the layer and the support have different dimensions.
    """
    p = inactive_probability(layer, activation, support, precision=precision)
    value = p.value if p.independent else 0.0
    method = p.method if p.independent else "neurons depend on each other: no law of their number"
    pmf = binomial_pmf(layer.fan_out, value)
    return CountDistribution(pmf, _count_error(layer.fan_out, p), p.exact and p.independent, method)


def binomial_pmf(n: int, p: float) -> np.ndarray:
    """Return the probabilities of 0, ..., n under Bin(n, p)."""
    return scipy.stats.binom.pmf(np.arange(n + 1), n, min(max(p, 0.0), 1.0))


class InactiveChain:
    """The Markov chain of structurally silent neurons, and the layers that are wholly inactive.

    Args:
        layers: all layers of a fully-connected network, the output layer last.
        activation: of the hidden layers.
        support: of the input law.
        precision: of the training, in whose arithmetic all lower bounds hold.

    Attributes:
        first_silent: probability that a first-layer neuron is silent, a `Probability`.
        first_other: probability that it is inactive with a value other than 0.

    Raises:
        InputError: without a hidden layer, or if the layer and the support have different
        dimensions.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        activation: Activation,
        support: Support,
        precision: str = "float32",
    ):
        if len(layers) < 2:
            raise InputError(f"layers = {len(layers)} layers; accepted: at least 2, one is hidden")
        self.hidden = tuple(layers[:-1])
        self.layers, self.support, self.precision = tuple(layers), support, precision
        self.activation = activation
        silent = tuple(piece for piece in activation.flat if _value(activation, piece) == 0)
        other = tuple(piece for piece in activation.flat if piece not in silent)
        self.rounding = training_rounding(support, precision)
        self.first_silent, self.first_other = (
            inactive_probability(self.hidden[0], activation, support, pieces, precision)
            for pieces in (silent, other)
        )

    @property
    def exact(self) -> bool:
        """Whether the probabilities of the first layer are exact and its neurons independent."""
        return all(p.exact and p.independent for p in (self.first_silent, self.first_other))

    @staticmethod
    def usable(p: Probability) -> float:
        """Return the lower bound of a probability, 0 where neurons depend on each other."""
        return p.lower if p.independent else 0.0

    def structural(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (silent, other) probabilities for a neuron of hidden layer `number` >= 2.

        Entry k of each is the probability given k silent neurons in the layer before. No term of
        the pre-activation is positive (negative), so that it is within the piece in any arithmetic.
        """
        layer = self.hidden[number - 1]
        live = layer.fan_in - np.arange(layer.fan_in + 1.0)
        silent, other = np.zeros_like(live), np.zeros_like(live)
        if not self.activation.non_negative:
            return silent, other
        for piece in self.activation.flat:
            if piece[0] == -math.inf:
                signs = _one_sided(layer.weights, layer, np.sign(layer.multiplier), 0.0)
                bias = _one_sided(layer.biases, layer, 1.0, self.rounding.end(piece[1]))
            elif piece[1] == math.inf:
                signs = _one_sided(layer.weights, layer, -np.sign(layer.multiplier), 0.0)
                bias = _one_sided(layer.biases, layer, -1.0, self.rounding.end(-piece[0]))
            else:
                continue
            total = silent if _value(self.activation, piece) == 0 else other
            total += bias * signs**live
        return silent, other

    def silent_laws(self) -> list[np.ndarray]:
        """Return the laws of the numbers of structurally silent neurons, per hidden layer."""
        laws = [binomial_pmf(self.hidden[0].fan_out, self.usable(self.first_silent))]
        for number in range(2, len(self.hidden) + 1):
            silent, _ = self.structural(number)
            width = self.hidden[number - 1].fan_out
            rows = np.array([binomial_pmf(width, p) for p in silent])
            laws.append(laws[-1] @ rows)
        return laws

    def dead_later(self) -> np.ndarray:
        """Return, given k silent neurons in layer 1, P(a layer from 2 on is all inactive), [k].

        A lower bound: only structurally inactive neurons are counted.
        """
        dead = np.zeros(self.hidden[-1].fan_out + 1)
        for number in range(len(self.hidden), 1, -1):
            silent, other = self.structural(number)
            width = self.hidden[number - 1].fan_out
            before = np.empty(len(silent))
            for k, (s, o) in enumerate(zip(silent, other, strict=True)):
                law = binomial_pmf(width, s)
                # Of i silent neurons the others are all inactive with (o / (1 - s))^(width - i).
                rest = o / (1 - s) if s < 1 else 0.0
                every = rest ** (width - np.arange(width + 1.0))
                before[k] = law @ (every + (1 - every) * dead)
            dead = before
        return dead


def structural_count_laws(
    layers: Sequence[Layer],
    activation: Activation,
    support: Support,
    precision: str = "float32",
) -> tuple[CountDistribution, ...]:
    """Return the laws of the numbers of structurally silent neurons in every hidden layer.

    From the second layer on, lower bounds in the stochastic order on the number of inactive
    neurons.

    Args:
        layers: all layers of a fully-connected network, the output layer last.
        activation: of the hidden layers.
        support: of the input law.
        precision: of the training.

    Raises:
        InputError: without a hidden layer, or if the layer and the support have different
        dimensions.
    """
    chain = InactiveChain(layers, activation, support, precision)
    first = chain.first_silent
    error = 2 * _count_error(chain.hidden[0].fan_out, first)
    laws = []
    for number, pmf in enumerate(chain.silent_laws(), start=1):
        exact = number == 1 and chain.exact
        method = (
            chain.first_silent.method if number == 1 else "chain of structurally silent neurons"
        )
        laws.append(CountDistribution(pmf, error, exact, method))
    return tuple(laws)


def _count_error(neurons: int, p: Probability) -> float:
    """Return the error of P(K >= k) for K ~ Bin(neurons, p): p moves it by at most that factor."""
    return neurons * max(p.error, p.value - p.lower)


def probability_layer_dead(
    layers: Sequence[Layer],
    activation: Activation,
    support: Support,
    precision: str = "float32",
    sampling: bool = True,
) -> Probability:
    """Return a lower bound on P(some hidden layer is wholly inactive at initialization).

    Such a network is constant in x, and stays so under every optimizer that keeps inactive neurons.

    Args:
        layers: all layers of a fully-connected network, the output layer last.
        activation: of the hidden layers.
        support: of the input law.
        precision: of the training.
        sampling: whether deeper layers are sampled, where that says more than their structure.

    Raises:
        InputError: without a hidden layer, or if the layer and the support have different
        dimensions.
    """
    chain = InactiveChain(layers, activation, support, precision)
    m = chain.hidden[0].fan_out
    bound = failure_bound(chain, m, sampling=sampling)
    if not (chain.exact and len(chain.hidden) == 1):
        return bound
    error = sum(_count_error(m, p) for p in (chain.first_silent, chain.first_other))
    return replace(bound, error=error, exact=True)


def failure_bound(
    chain: InactiveChain, k: int | None, constant: bool = True, sampling: bool = True
) -> Probability:
    """Return the best lower bound of P(K_1 >= k or some hidden layer is wholly inactive).

    `failure_probability`, or the law of the first layer with conditional sampling of deeper ones
    where that gives noticeably more.

    Args:
        chain: the chain of the network.
        k: number of inactive first-layer neurons; None for any number.
        constant: whether a wholly inactive layer counts.
        sampling: whether deeper layers may be sampled.
    """
    value = max(failure_probability(chain, k, constant), 0.0)
    evidence = chain.first_silent.evidence & chain.first_other.evidence
    bound = Probability(
        value, 0.0, False, "first layer and structurally inactive deeper layers", evidence=evidence
    )
    if not (constant and sampling) or len(chain.hidden) < 2:
        return bound
    draws = sampled_dead_layers(chain.layers, chain.activation, chain.support, chain.precision)
    if draws is None:
        return bound
    m = chain.hidden[0].fan_out
    needed = m if k is None else min(k, m)
    later = draws.with_fewer(needed)
    total = later.value + max(failure_probability(chain, needed, False), 0.0)
    if total <= value * (1 + _NOTICEABLE):
        return bound
    method = later.method
    if k is None or k == m:
        method += _in_real_numbers(chain)
    return Probability(total, 0.0, False, method, evidence=evidence & later.evidence)


def _in_real_numbers(chain: InactiveChain) -> str:
    """Return what is proved of P(born dead) where rounding does not count; else nothing."""
    rays = rays_of(chain.layers, chain.activation, chain.support)
    laws = [entry_law(layer.weights, layer.fan_in, layer.fan_out) for layer in chain.hidden]
    symmetric = all(law is not None and law.half is not None for law in laws)
    flat = chain.activation.flat == ((-math.inf, 0.0),)
    if not rays or not symmetric or not flat:
        return ""
    lower, upper = born_dead_on_rays([layer.fan_out for layer in chain.hidden], len(rays))
    if lower == upper:
        return f"; in real numbers it is {upper:.4g}"
    return f"; in real numbers it is in [{lower:.4g}, {upper:.4g}]"


def failure_probability(chain: InactiveChain, k: int | None, constant: bool = True) -> float:
    """Return a lower bound on P(K_1 >= k or some hidden layer is wholly inactive).

    Args:
        chain: the chain of the network.
        k: number of inactive first-layer neurons; None for any number.
        constant: whether a wholly inactive layer counts (a wholly inactive first layer with
            K_1 >= k always does).
    """
    if k is None and not constant:
        return 0.0
    m = chain.hidden[0].fan_out
    needed = m if k is None else min(k, m) if constant else k
    p, q = chain.usable(chain.first_silent), chain.usable(chain.first_other)
    silent = np.arange(m + 1)
    # Given i silent neurons, enough of the others are inactive with probability `enough`.
    enough = scipy.stats.binom.sf(needed - silent - 1, m - silent, q / (1 - p) if p < 1 else 0.0)
    later = chain.dead_later() if constant else 0.0
    first_or_later = float((binomial_pmf(m, p) * (enough + (1 - enough) * later)).sum())
    if not constant:
        return first_or_later
    network = chain.layers, chain.activation, chain.support, chain.precision
    return max(first_or_later, second_layer_dead(*network))


def _value(activation: Activation, piece: tuple[float, float]) -> float:
    """Return the constant value of the activation on a flat piece."""
    inside = piece[0] if math.isfinite(piece[0]) else piece[1]
    return float(activation.function(jnp.asarray(inside, jnp.float64)))


def _one_sided(initializer: Initializer | None, layer: Layer, sign: float, t: float) -> float:
    """Return P(sign W <= t) for one entry, 0 where its law is not known."""
    law = entry_law(initializer, layer.fan_in, layer.fan_out)
    if law is None or layer.weights.draw_joint is not None:
        return 0.0
    return (law if sign > 0 else law.reflected()).below(t)
