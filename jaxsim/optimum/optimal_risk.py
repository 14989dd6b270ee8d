"""The optimal true risk inf_theta L(theta), always as a bracket with its reason.

If lower <= inf L <= upper, then P(L > upper + eps) <= P(L > inf L + eps) <= P(L > lower + eps):
what is not known of the optimum makes statements weaker, never wrong.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsim.errors import InputError
from jaxsim.evidence import Bound, stated
from jaxsim.network.activations import Activation
from jaxsim.network.network import Network
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.parabola import parabola_of
from jaxsim.optimum.relu_sums import represents
from jaxsim.problem.problem import Problem
from jaxsim.risk.constants import bayes_risk, best_constant_risk
from jaxsim.risk.teacher import TeacherTarget
from jaxsim.runtime import at_once


class Stated(NamedTuple):
    """What the user knows of the optimal risk.

    Attributes:
        low: at least this, -inf if nothing is stated.
        high: at most this, inf if nothing is stated.
        reason: how it is known, in the user's words.
    """

    low: float
    high: float
    reason: str = ""


def optimal_risk(
    problem: Problem,
    network: Network,
    given: float | tuple[float, float] | Stated | None = None,
) -> Bracket:
    """Return what is known of the infimum of the true risk over all parameters.

    A realizable target, the parabola, and else the Bayes risk as lower end; what the user states
    is added to it where it does not contradict it.

    Args:
        problem: law of (X, Y) and loss.
        network: the family of functions.
        given: the value, or (lower, upper), as stated by the user, perhaps with a reason.

    Raises:
        InputError: for a stated interval that is empty or contradicts what is known.
    """
    bayes = bayes_risk(problem)
    known = Bracket((bayes.lower,))
    parabola = parabola_of(problem, network)
    reason = _attains_bayes_risk(problem, network)
    if reason is not None:
        reason = f"{reason}: the infimum is the Bayes risk"
        ends = bayes.value - bayes.error, bayes.value + bayes.error
        known = Bracket.of(*ends, reason, bayes.evidence)
    elif parabola is not None:
        known = parabola.bracket(network.hidden[0])
    elif only_constants(network):
        best = best_constant_risk(problem)
        high = best.value + best.error
        known = known.with_lower(best.lower).with_upper(Bound(high, best.evidence, best.reason))
    return known if given is None else _with_stated(known, given)


def only_constants(network: Network) -> bool:
    """Return whether the family is that of all constants: a bias alone is trained."""
    if not network.fully_connected or network.hidden or not network.layer_specs:
        return False
    (layer,) = network.layer_specs
    blind = layer.multiplier == 0 or (not layer.train_weights and layer.weights.constant == 0)
    return blind and layer.biases is not None and layer.train_biases


def _with_stated(known: Bracket, given: float | tuple[float, float] | Stated) -> Bracket:
    """Return what is known together with what the study states, after checking that they agree.

    Raises:
        InputError: for an interval that is empty or contradicts what is known.
    """
    if not isinstance(given, Stated):
        given = Stated(*given) if isinstance(given, tuple | list) else Stated(given, given)
    low, high = float(given.low), float(given.high)
    subject = f"problem.optimum = {optimum_text(low, high)}"
    if not low <= high:
        raise InputError(f"{subject} is empty; accepted: a number, or [lower, upper]")
    for wrong, bound, side in (
        (_clearly_less(high, known.lower.value), known.lower, "at least"),
        (_clearly_less(known.upper.value, low), known.upper, "at most"),
    ):
        if wrong:
            raise InputError(
                f"{subject} is not accepted: the optimal risk is {side} {bound.value:.6g} "
                f"({bound.reason})"
            )
    evidence = stated(f"the study states the optimal risk, {optimum_text(low, high)}")
    reason = f"stated in the study: {given.reason}" if given.reason else "stated in the study"
    # Within the digits that a person writes the known end stands for the stated one.
    lower, upper = known.lower.value, known.upper.value
    if -math.inf < low <= upper:
        known = known.with_lower(Bound(low, evidence, reason))
    return known.with_upper(Bound(high, evidence, reason)) if math.inf > high >= lower else known


def optimum_text(low: float, high: float) -> str:
    """Return a stated optimum as the user wrote it."""
    if low == -math.inf or high == math.inf:
        return f"at most {high:.12g}" if high < math.inf else f"at least {low:.12g}"
    return f"{low:.12g}" if low == high else f"[{low:.12g}, {high:.12g}]"


def _clearly_less(a: float, b: float) -> bool:
    """Return whether a < b by more than the digits of a number that a person writes."""
    return a < b - 1e-5 * max(abs(a), abs(b)) and math.isfinite(b)


def realizes(network: Network, teacher: TeacherTarget) -> bool:
    """Return whether the student's family certainly contains the teacher's function.

    Both are fully connected, equally deep, with equal activations, the student is at least as wide
    in every layer, has biases wherever the teacher's are not zero, and trains all parameters.
    """
    master = teacher.network
    if not (network.fully_connected and master.fully_connected and network.trainable.all()):
        return False
    if (network.inputs, network.outputs) != (master.inputs, master.outputs):
        return False
    if len(network.hidden) != len(master.hidden):
        return False
    if any(n < k for n, k in zip(network.hidden, master.hidden, strict=True)):
        return False
    if network.hidden and not _same_activation(network.activation, master.activation):
        return False
    return _biases_fit(network, master, np.asarray(teacher.theta))


def _attains_bayes_risk(problem: Problem, network: Network) -> str | None:
    """Return why a network of the family makes the best prediction for every input, if one does.

    That is the target plus the best constant for the noise alone, which is 0 for symmetric losses
    and else needs a bias of the output layer.
    """
    loss, target = problem.loss, problem.target
    if loss.residual is None or loss.best is None:
        return None
    r = np.linspace(0.0, 4.0, 41)
    values = at_once(loss.residual, np.stack([r, -r]))
    symmetric = bool(np.all(values[0] == values[1]))
    shifts = network.fully_connected and network.layer_specs[-1].biases is not None
    if not (symmetric or shifts or problem.noise.variance == 0):
        return None
    if isinstance(target, TeacherTarget) and realizes(network, target):
        return "the teacher is a network of the student's class"
    if represents(network, target):
        return "the target is a sum of ReLU terms that a network of the class represents"
    return None


def _same_activation(one: Activation | None, other: Activation | None) -> bool:
    """Return whether two activations agree, their parameters included."""
    if one is None or other is None:
        return False
    if one.function is other.function:
        return True
    if "function" in (one.name, other.name):
        return False  # of a user's own functions nothing is known between any points
    facts = [(a.name, a.breakpoints, a.flat) for a in (one, other)]
    points = jnp.linspace(-8.0, 8.0, 41)
    return facts[0] == facts[1] and bool(jnp.all(one.function(points) == other.function(points)))


def _biases_fit(network: Network, master: Network, theta: np.ndarray) -> bool:
    taught = master.layers(jnp.asarray(theta, jnp.float64))
    return all(
        spec.multiplier != 0 and (spec.biases is not None or not np.any(np.asarray(biases)))
        for spec, (_, biases) in zip(network.layer_specs, taught, strict=True)
    )
