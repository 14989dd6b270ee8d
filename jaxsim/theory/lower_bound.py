"""A lower bound of P(L(Theta_n) > inf L + eps), for every step n and a whole class of optimizers.

The class: neurons inactive at initialization stay as they are, because an optimizer leaves
parameters alone whose gradients have all been zero (SGD, momentum, Nesterov, Adagrad, RMSprop,
Adadelta, Adam, Adamax, Nadam, Nadamax, AMSGrad). With K_1 of the l_1 first-layer neurons inactive
the network realizes, at every step, a function of the same architecture with l_1 - K_1 of them, so
that

    L(Theta_n) >= R*(l_1 - K_1),
    P(L(Theta_n) > R*(l_1) + eps) >= P(K_1 >= k(eps)),
    k(eps) = min{k : R*(l_1 - k) - R*(l_1) > eps},

and with a wholly inactive layer it is a constant, with a risk of at least the best constant's.
R*(m) is the optimal risk with m first-layer neurons. This makes the mechanism of Do, Jentzen and
Riekert (arXiv:2503.01660) explicit; compare the trainability of Shin and Karniadakis
(arXiv:1907.09696).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxsim.errors import InputError
from jaxsim.evidence import PROVED, Bound, Evidence, largest, weakest
from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer
from jaxsim.problem.support import Support
from jaxsim.theory.inactive_counts import InactiveChain, failure_bound, failure_probability
from jaxsim.theory.probability import Probability


@dataclass(frozen=True)
class LowerBound:
    """A lower bound on P(L(Theta_n) > inf L + eps), whatever n is.

    Attributes:
        eps: the threshold.
        value: the lower bound.
        k: inactive first-layer neurons that suffice; None where no number of them is known to.
        reason: what the bound rests on, or why it is 0.
        evidence: what it rests on.
        unsampled: the bound without sampling deeper layers; the value itself where that adds
            nothing.
    """

    eps: float
    value: float
    k: int | None
    reason: str
    evidence: Evidence = PROVED
    unsampled: float = 0.0


def exceedance_lower_bound(
    eps: Sequence[float] | np.ndarray | float,
    layers: Sequence[Layer],
    activation: Activation,
    support: Support,
    *,
    optimum_upper: Bound,
    best_constant_lower: Bound | None = None,
    hierarchy: Callable[[int], Bound] | None = None,
    keeps_inactive: bool = True,
    precision: str = "float32",
) -> tuple[LowerBound, ...]:
    """Return a lower bound for every eps.

    Args:
        eps: thresholds, non-negative.
        layers: all layers of the fully-connected network, the output layer last.
        activation: of the hidden layers.
        support: of the input law.
        optimum_upper: an upper bound of inf L over the network.
        best_constant_lower: a lower bound of the risk of every constant; None if none is known.
        hierarchy: m -> a lower bound of the optimal risk with m neurons in the first hidden layer
            and the other widths unchanged, for 0 <= m < l_1; None if none is known.
        keeps_inactive: whether the optimizer leaves parameters alone whose gradients are all zero.
        precision: of the training, "float32" or "float64": what its rounding could undo does not
            count.

    Raises:
        InputError: for a negative eps, without a hidden layer, or if the network and the support
            have different dimensions.

    Example: x^2 on [-1, 1] with 4 ReLU neurons, R*(m) >= 4 / (45 (m + 1)^4):
        >>> from jaxsim.network.activations import relu
        >>> from jaxsim.network.initializers import uniform
        >>> from jaxsim.problem.support import Box
        >>> layers = Layer(1, 4, uniform(), uniform()), Layer(4, 1, uniform(), uniform())
        >>> bound, = exceedance_lower_bound(
        ...     0.0003, layers, relu(), Box((-1.0,), (1.0,)), optimum_upper=Bound(4 / 45 / 625),
        ...     best_constant_lower=Bound(4 / 45), hierarchy=lambda m: Bound(4 / 45 / (m + 1) ** 4))
        >>> bound.k, round(bound.value, 5)
        (2, 0.26172)
    """
    thresholds = [float(e) for e in np.atleast_1d(np.asarray(eps, float))]
    for e in thresholds:
        if not e >= 0:
            raise InputError(f"eps = {e} is not accepted: it must not be negative")
    nothing = _why_nothing(activation, keeps_inactive)
    if nothing is None and not math.isfinite(optimum_upper.value):
        nothing = "no upper bound of the optimal risk is known"
    if nothing is not None:
        return tuple(LowerBound(e, 0.0, None, nothing) for e in thresholds)
    chain = InactiveChain(layers, activation, support, precision)
    m = chain.hidden[0].fan_out
    gaps = _gaps(m, optimum_upper, best_constant_lower, hierarchy)
    # Constants of silent layers must be within reach of the narrower network's biases.
    absorbed = layers[1].biases is not None or chain.first_other.value == 0
    constant_gap = -math.inf
    if best_constant_lower is not None:
        constant_gap = best_constant_lower.value - optimum_upper.value
    values: dict[tuple[int | None, bool], tuple[Probability, float]] = {}
    bounds = []
    for e in thresholds:
        enough = np.flatnonzero([gap.value > e for gap in gaps])
        # R* does not increase with the width: what k inactive neurons cost, more cost too.
        k = int(enough[0]) + 1 if len(enough) and absorbed else None
        case = k, constant_gap > e
        if case not in values:
            unsampled = max(failure_probability(chain, *case), 0.0)
            values[case] = failure_bound(chain, *case), unsampled
        best, unsampled = values[case]
        rests_on = [best.evidence, optimum_upper.evidence]
        if k is not None:
            rests_on.append(gaps[k - 1].evidence)
        if constant_gap > e and best_constant_lower is not None:
            rests_on.append(best_constant_lower.evidence)
        evidence = weakest(rests_on) if best.value > 0 else PROVED
        reason = _reason(chain, m, *case, best, unsampled)
        bounds.append(LowerBound(e, best.value, k, reason, evidence, unsampled))
    return tuple(bounds)


def _why_nothing(activation: Activation, keeps_inactive: bool) -> str | None:
    """Return why there is no lower bound, if that is plain from the start."""
    if not keeps_inactive:
        return "the optimizer may move parameters whose gradients are all zero"
    if not activation.flat:
        return f"{activation.name} has no flat interval: no neuron is inactive"
    return None


def _gaps(
    m: int,
    optimum_upper: Bound,
    best_constant_lower: Bound | None,
    hierarchy: Callable[[int], Bound] | None,
) -> list[Bound]:
    """Return lower bounds of R*(m - k) - inf L for k = 1, ..., m."""
    bounds = [Bound(-math.inf)] * m
    if hierarchy is not None:
        bounds = [hierarchy(m - k) for k in range(1, m + 1)]
    if best_constant_lower is not None:
        bounds[-1] = largest((bounds[-1], best_constant_lower))
    return [bound - optimum_upper for bound in bounds]


def _reason(
    chain: InactiveChain,
    m: int,
    k: int | None,
    constant: bool,
    best: Probability,
    unsampled: float,
) -> str:
    """Return the sentence that goes with a lower bound."""
    if k is None and not constant:
        return "no number of inactive neurons is known to cost more than eps"
    independent = chain.first_silent.independent and chain.first_other.independent
    if best.value == 0 and not independent:
        return "the neurons of the first layer depend on each other: no law of their number"
    if best.value == 0:
        first = (chain.first_silent, chain.first_other)
        if max(p.value for p in first) > 0 == max(p.lower for p in first):
            return "what would force the exceedance is a tie, which rounding in training may break"
        return "the events that would force the exceedance have probability 0"
    parts = []
    if k is not None and k < m:
        parts.append(f"at least {k} of {m} first-layer neurons inactive at initialization")
    if constant or k == m:
        parts.append("a hidden layer wholly inactive at initialization")
    labels = {p.method for p in (chain.first_silent, chain.first_other) if not p.exact}
    if best.value > unsampled:
        labels.add(f"{best.method}; without sampling at least {unsampled:.3g}")
    return " or ".join(parts) + "".join(f" ({label})" for label in sorted(labels))
