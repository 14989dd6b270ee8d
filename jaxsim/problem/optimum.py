"""The optimal true risk inf_theta L(theta), always as a bracket with its reason.

If lower <= inf L <= upper, then P(L > upper + eps) <= P(L > inf L + eps) <= P(L > lower + eps):
what is not known of the optimum makes statements weaker, never wrong.

The parabola. Let X be uniform on an interval of half length H and f(x) = alpha x^2 plus an
affine function, with the squared loss. A ReLU network with one hidden layer of m neurons is
continuous and piecewise linear with at most m kinks, hence m + 1 pieces. On an interval of length h
the best affine fit of alpha x^2 has the error alpha^2 h^5 / 180 in the integral of the square, and
sum h_i^5 is least for equal h_i, so that

    inf L >= alpha^2 / (2 H) (m + 1) (2 H / (m + 1))^5 / 180 = 4 alpha^2 H^4 / (45 (m + 1)^4).

The optimal pieces meet, since their residuals are alpha h^2 / 6 at both ends, and slopes jump
by 2 alpha h. m neurons with all kinks inside, s of them left-facing, make the function if its first
slope is minus the sum of s jumps. With slope beta at the middle of the interval the first slope is
beta - alpha m h: the bound is attained if s = m / 2 - beta / (2 alpha h) is one of 0, 1, ..., m,
thus for even m and beta = 0. In general m neurons make every continuous piecewise linear function
with m - 1 inner kinks (the first slope takes one neuron), whence inf L <= 4 alpha^2 H^4 / (45 m^4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxsim.errors import InputError
from jaxsim.network.network import Network
from jaxsim.problem.input_laws import UniformLaw
from jaxsim.problem.problem import Problem
from jaxsim.problem.risk.constants import bayes_risk
from jaxsim.problem.targets import TeacherTarget


@dataclass(frozen=True)
class Bracket:
    """An interval that certainly holds a value.

    Attributes:
        lower: lower end.
        upper: upper end, infinity if nothing is known.
        reason: how the ends are known, one sentence.
    """

    lower: float
    upper: float
    reason: str

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if not self.lower <= self.upper:
            raise InputError(
                f"the bracket [{self.lower}, {self.upper}] of the optimal risk ({self.reason}) "
                "is empty; accepted: lower <= upper"
            )

    @property
    def width(self) -> float:
        """Length of the interval; zero if the value is known exactly."""
        return self.upper - self.lower if self.upper > self.lower else 0.0

    def tighten_upper(self, best: float, error: float, reason: str) -> Bracket:
        """Return the bracket with the upper end at most best + error.

        The true risk of any network of the family bounds the infimum from above.

        Args:
            best: a true risk found.
            error: bound on its numerical error.
            reason: how it was found.

        Raises:
            InputError: if even best + error is below the lower end, which therefore was wrong.
        """
        upper = best + error
        if not upper < self.upper:
            return self
        if upper < self.lower:
            # Rounding of an exactly attained optimum is no contradiction.
            if self.lower - upper > 1e-9 * abs(self.lower):
                raise InputError(
                    f"the true risk {best:.6g} (+- {error:.2g}) is below {self.lower:.6g}, the "
                    f"lower end of the optimal risk ({self.reason}); correct problem.optimum"
                )
            upper = self.lower
        return replace(self, upper=upper, reason=f"{self.reason}; upper end: {reason}")


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
    parabola = _parabola(problem, network)
    if parabola is not None:
        return parabola
    return Bracket(floor - floor_error, math.inf, f"lower end: {floor_name}")


def parabola_level(m: int, alpha: float = 1.0, half_length: float = 1.0) -> float:
    """Return 4 alpha^2 H^4 / (45 (m + 1)^4), a lower bound of the risk with m kinks.

    It bounds the squared risk of every function with at most m kinks for X uniform on an interval
    of half length H and a target alpha x^2 + affine; ReLU networks with an even number m of
    neurons attain it if the target is symmetric about the middle. With m = 0 it is the risk of
    the best affine function.

    Example:
        >>> round(parabola_level(4), 11)
        0.00014222222
    """
    return 4 * alpha**2 * half_length**4 / (45 * (m + 1) ** 4)


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


def _parabola(problem: Problem, network: Network) -> Bracket | None:
    """Return the bracket of the parabola family, None for other problems."""
    found = parabola_of(problem, network)
    if found is None:
        return None
    alpha, slope, half = found
    (m,) = network.hidden
    noise = problem.noise.variance
    lower = noise + parabola_level(m, alpha, half)
    left_facing = m / 2 - slope * (m + 1) / (4 * alpha * half)
    if abs(left_facing - round(left_facing)) < 1e-12 * (m + 1) and 0 <= round(left_facing) <= m:
        return Bracket(lower, lower, f"closed form for a parabola and {m} ReLU neurons")
    upper = noise + parabola_level(m - 1, alpha, half)
    reason = f"free-knot linear fits of a parabola with {m} and {m - 1} kinks"
    return Bracket(lower, upper, reason)


def parabola_of(problem: Problem, network: Network) -> tuple[float, float, float] | None:
    """Return (alpha, slope at the middle, H) if problem and network are of the parabola family.

    That is: X uniform on an interval, f a polynomial of degree 2, squared loss, and a ReLU network
    1-m-1 with all biases and nothing frozen.
    """
    if not isinstance(problem.law, UniformLaw) or problem.law.dimension != 1:
        return None
    if problem.loss.name != "squared" or not network.fully_connected:
        return None
    activation = network.activation
    if len(network.hidden) != 1 or activation is None or activation.name != "relu":
        return None
    if not network.trainable.all() or any(s.biases is None for s in network.layer_specs):
        return None
    support = problem.law.support
    pieces = problem.target.pieces(support.low[0], support.high[0])
    if pieces.polynomial is None or len(pieces.polynomial) != 3:
        return None
    _, linear, alpha = pieces.polynomial
    half = (support.high[0] - support.low[0]) / 2
    middle = (support.high[0] + support.low[0]) / 2
    slope = linear + 2 * alpha * middle
    if abs(slope) <= 1e-14 * (abs(linear) + 2 * abs(alpha * middle)):
        slope = 0.0
    return alpha, slope, half
