"""The optimal true risk inf_theta L(theta), always as a bracket with its reason.

If lower <= inf L <= upper, then P(L > upper + eps) <= P(L > inf L + eps) <= P(L > lower + eps):
what is not known of the optimum makes statements weaker, never wrong.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxsim.network.network import Network
from jaxsim.problem.bracket import Bracket
from jaxsim.problem.parabola import parabola_of
from jaxsim.problem.problem import Problem
from jaxsim.problem.risk.constants import bayes_risk
from jaxsim.problem.targets import TeacherTarget


def optimal_risk(
    problem: Problem, network: Network, given: float | tuple[float, float] | None = None
) -> Bracket:
    """Return what is known of the infimum of the true risk over all parameters.

    In this order: what the user states, a realizable target, the parabola, and else the Bayes
    risk as lower end.

    Args:
        problem: law of (X, Y) and loss.
        network: the family of functions.
        given: the value, or (lower, upper), as stated by the user.

    Raises:
        InputError: for a stated interval that is empty.
    """
    if given is not None:
        low, high = given if isinstance(given, tuple | list) else (given, given)
        return Bracket(float(low), float(high), "stated in the study")
    floor, floor_error, floor_name = bayes_risk(problem)
    if _attains_bayes_risk(problem, network):
        reason = "the teacher is a network of the student's family: the infimum is the noise floor"
        return Bracket(floor - floor_error, floor + floor_error, reason)
    parabola = parabola_of(problem, network)
    if parabola is not None:
        return parabola.bracket(network.hidden[0])
    return Bracket(floor - floor_error, math.inf, f"lower end: {floor_name}")


def realizes(network: Network, teacher: Any) -> bool:
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


def _attains_bayes_risk(problem: Problem, network: Network) -> bool:
    """Return whether a network of the family makes the best prediction for every input.

    That is the teacher plus the best constant for the noise alone, which is 0 for symmetric losses
    and else needs a bias of the output layer.
    """
    loss = problem.loss
    if not isinstance(problem.target, TeacherTarget) or not realizes(network, problem.target):
        return False
    if loss.residual is None or loss.best is None:
        return False
    r = jnp.linspace(0.0, 4.0, 41)
    symmetric = bool(jnp.all(loss.residual(r) == loss.residual(-r)))
    shifts = network.layer_specs[-1].biases is not None
    return symmetric or shifts or problem.noise.variance == 0


def _same_activation(one: Any, other: Any) -> bool:
    """Return whether two activations agree, their parameters included."""
    facts = [(a.name, a.breakpoints, a.flat) for a in (one, other)]
    points = jnp.linspace(-8.0, 8.0, 41)
    return facts[0] == facts[1] and bool(jnp.all(one.function(points) == other.function(points)))


def _biases_fit(network: Network, master: Network, theta: np.ndarray) -> bool:
    taught = master.layers(jnp.asarray(theta, jnp.float64))
    return all(
        spec.multiplier != 0 and (spec.biases is not None or not np.any(np.asarray(biases)))
        for spec, (_, biases) in zip(network.layer_specs, taught, strict=True)
    )
