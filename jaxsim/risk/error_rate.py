"""The error rate R(theta) = P(class of N_theta(X) != Y), the 0-1 risk of a classification.

The class is the output that is largest, the first of equal ones; of a single logit it is 1 if the
logit is positive, else 0. Over finitely many points the rate is an exact sum of weights, over equal
weights a quotient of two counts, so that 3 wrong points of 30 are not above 0.1; what rounding of
the network could decide otherwise is its error. For other laws it is an average over scrambled
Sobol' points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.errors import InputError
from jaxsim.evidence import PROVED, Bound, Evidence, estimated
from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.risk.finite import CHUNK, chunked, rounding_of_sum
from jaxsim.risk.forward import forward
from jaxsim.risk.quasi_monte_carlo import MISSED, scrambled_points
from jaxsim.risk.rule import RiskOptions


@dataclass(frozen=True)
class ErrorRate:
    """The error rate of a network as a pure function of theta [P].

    Attributes:
        evaluate: (theta, whether the network is known to be constant on the support) ->
            (rate, error), float64 scalars.
        evidence: of the error.
        description: one sentence for reports.
    """

    evaluate: Callable[[Array, Array], tuple[Array, Array]]
    evidence: Evidence
    description: str


def make_error_rate(
    problem: Problem,
    network: Network,
    options: RiskOptions | None = None,
    forward_passes: ForwardPasses | None = None,
) -> ErrorRate:
    """Return the error rate of a problem's networks.

    Args:
        problem: with a loss of classification.
        network: N_theta.
        options: of laws with infinitely many points: points and replicates.
        forward_passes: of a fully-connected network over points; None for the plain ones.

    Raises:
        InputError: for a loss of regression.
    """
    if problem.loss.kind == "regression":
        raise InputError(
            f"problem.loss = {problem.loss.name!r} is one of regression and has no error rate; "
            "accepted: a loss of classification"
        )
    if problem.law.finite is not None:
        return _finite(problem, network, forward_passes)
    return _sampled(problem, network, RiskOptions() if options is None else options, forward_passes)


def constant_error_rate(problem: Problem) -> Bound:
    """Return a lower bound of the error rate of every constant network: 1 - the largest share.

    Of laws with infinitely many points nothing is known but that it is not negative.
    """
    if problem.law.finite is None:
        return Bound(0.0, PROVED, "error rates are not negative")
    least, _ = _constant_rates(problem)
    return Bound(least, PROVED, "a constant network is right for one class alone")


def classified(kind: str, prediction: Array, y: Array, slack: Array) -> tuple[Array, Array]:
    """Return which points [n] have a wrong class, and of which it is not certain.

    Args:
        kind: of the loss: "binary" or "classes".
        prediction: outputs [n, outputs].
        y: labels [n] or [n, 1].
        slack: bounds on the errors of the outputs [outputs].
    """
    label = y.reshape(len(prediction))
    if kind == "binary":
        logit = prediction[:, 0]
        wrong = (logit > 0) != (label > 0.5)
        return wrong, ~(jnp.abs(logit) > slack[0]) & (slack[0] != 0)
    label = label.astype(jnp.int32)
    wrong = jnp.argmax(prediction, axis=1) != label
    classes = jnp.arange(prediction.shape[1])
    own_output = jnp.take_along_axis(prediction, label[:, None], axis=1)[:, 0]
    others = jnp.where(classes == label[:, None], -jnp.inf, prediction)
    certainly_right = own_output - slack[label] > (others + slack).max(1)
    certainly_wrong = (others - slack).max(1) > own_output + slack[label]
    return wrong, ~(certainly_right | certainly_wrong) & (slack != 0).any()


def _finite(problem: Problem, network: Network, forward_passes: ForwardPasses | None) -> ErrorRate:
    assert problem.law.finite is not None
    points, weights = problem.law.finite
    n = len(points)
    y = np.asarray(problem.targets_at_points())
    equal = bool((weights == weights[0]).all())
    shares = np.ones(n) if equal else weights
    # XLA may divide by multiplying: quotients are looked up.
    quotients = np.arange(n + 1) / n
    least, most = _constant_rates(problem)

    def part(x: Array, target: Array, w: Array, theta: Array) -> tuple[Array, Array]:
        prediction, slack = forward(network, theta, x, forward_passes)
        wrong, doubt = classified(problem.loss.kind, prediction, target, slack)
        return jnp.where(wrong, w, 0.0).sum(), jnp.where(doubt, w, 0.0).sum()

    def evaluate(theta: Array, constant: Array) -> tuple[Array, Array]:
        rate, error = chunked(lambda x, t, w: part(x, t, w, theta), points, y, shares, theta.dtype)
        if equal:
            rate, error = (jnp.asarray(quotients)[a.astype(jnp.int32)] for a in (rate, error))
        else:
            error += rounding_of_sum(n, rate + error, theta.dtype)
        # What is constant has one class, whichever rounding makes it.
        low = jnp.maximum(rate - error, jnp.where(constant, least, 0.0))
        high = jnp.minimum(rate + error, jnp.where(constant, most, 1.0))
        tight = jnp.maximum(rate - low, high - rate)
        return rate, jnp.where(error > 0, jnp.minimum(error, tight), 0.0)

    return ErrorRate(evaluate, PROVED, f"share of the {n} points that have a wrong class")


def _constant_rates(problem: Problem) -> tuple[float, float]:
    """Return the least and greatest error rate of a constant network over finitely many points."""
    assert problem.law.finite is not None
    weights = problem.law.finite[1]
    labels = np.asarray(problem.targets_at_points()).reshape(len(weights)).astype(int)
    classes = max(2, problem.outputs)
    if (weights == weights[0]).all():
        counts = np.bincount(labels, minlength=classes)
        wrong = (len(labels) - counts) / len(labels)
        return float(wrong.min()), float(wrong.max())
    shares = np.bincount(labels, weights, classes)
    unit = len(labels) * np.finfo(float).eps
    return max(0.0, 1 - float(shares.max()) - unit), min(1.0, 1 - float(shares.min()) + unit)


def _sampled(
    problem: Problem,
    network: Network,
    options: RiskOptions,
    forward_passes: ForwardPasses | None,
) -> ErrorRate:
    """Return the average over scrambled points, half an interval wide at the options' confidence.

    A mass that none of N points saw is at most 14 / N but with probability 1e-6: it is added.
    """
    points = scrambled_points(problem.law, options)
    replicates, n, dimension = points.shape
    size = min(n, CHUNK)
    flat = points.reshape(-1, size, dimension)
    with jax.ensure_compile_time_eval():
        y = np.asarray(problem.targets_at(jnp.asarray(points.reshape(-1, dimension))))
    y = y.reshape(len(flat), size)
    width = float(scipy.stats.t.ppf((1 + options.confidence) / 2, replicates - 1)) / replicates**0.5

    def evaluate(theta: Array, constant: Array) -> tuple[Array, Array]:
        def part(chunk: tuple[Array, Array]) -> tuple[Array, Array]:
            prediction, slack = forward(network, theta, chunk[0], forward_passes)
            wrong, doubt = classified(problem.loss.kind, prediction, chunk[1], slack)
            return wrong.mean(dtype=theta.dtype), doubt.mean(dtype=theta.dtype)

        data: Any = jnp.asarray(flat, theta.dtype), jnp.asarray(y)
        means, doubts = (a.reshape(replicates, -1).mean(1) for a in jax.lax.map(part, data))
        rate = means.mean()
        spread = jnp.sqrt(((means - rate) ** 2).sum() / (replicates - 1))
        return rate, width * spread + doubts.mean() + MISSED / (n * replicates)

    return ErrorRate(
        evaluate,
        estimated("error rates are averages over scrambled Sobol' points"),
        f"share of {replicates} scrambled Sobol' sequences of {n} points that have a wrong class",
    )
