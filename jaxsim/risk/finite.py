"""The true risk of a law with finitely many points: the exact weighted sum.

L(theta) = sum_i w_i E_xi l(N_theta(x_i), y_i + xi)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.risk.forward import forward
from jaxsim.risk.integrand import Integrand, integrand
from jaxsim.risk.rule import RiskRule
from jaxsim.risk.target_error import point_errors

CHUNK = 1024
"""Points evaluated at once, so that a member's memory does not grow with the data set."""


def finite_rule(
    problem: Problem, network: Network, forward_passes: ForwardPasses | None = None
) -> RiskRule:
    """Return the exact sum over the points of a finite input law."""
    assert problem.law.finite is not None
    points, weights = problem.law.finite
    averaged = integrand(problem)
    y = np.asarray(problem.targets_at_points())
    y_error = point_errors(problem.target, points, y)

    def evaluate(theta: Array) -> tuple[Array, Array]:
        return weighted_loss(network, averaged, theta, points, y, weights, forward_passes, y_error)

    def population_loss(theta: Array) -> Array:
        return mean_loss(network, averaged, theta, points, y, weights)

    return RiskRule(
        evaluate,
        population_loss,
        exact=averaged.exact,
        evidence=averaged.evidence,
        description=f"exact sum over {problem.over or f'the {len(points)} points of the input law'}"
        + ("" if averaged.exact else "; quadrature over the noise"),
    )


def weighted_loss(
    network: Network,
    averaged: Integrand,
    theta: Array,
    points: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    forward_passes: ForwardPasses | None = None,
    y_error: np.ndarray | None = None,
) -> tuple[Array, Array]:
    """Return sum_i w_i l(N_theta(x_i), y_i) and a bound on its rounding (and noise) error.

    The errors of the y_i [n, outputs] count where they are given.
    """

    def part(x: Array, target: Array, w: Array, *own: Array) -> tuple[Array, ...]:
        prediction, slack = forward(network, theta, x, forward_passes)
        losses, bounds = loss_with_error(averaged, prediction, target, sum(own, slack))
        value = w @ losses
        size = (averaged.size(losses, w, value),) if averaged.signed else ()
        return value, w @ jnp.where(jnp.isnan(bounds), jnp.inf, bounds), *size

    label_error = () if y_error is None else (jnp.asarray(y_error, theta.dtype),)
    value, bound, *size = chunked(part, points, y, weights, theta.dtype, *label_error)
    return value, bound + rounding_of_sum(len(points), size[0] if size else value, theta.dtype)


def mean_loss(
    network: Network,
    averaged: Integrand,
    theta: Array,
    points: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
) -> Array:
    """Return sum_i w_i l(N_theta(x_i), y_i) in theta's dtype, differentiable."""

    def part(x: Array, target: Array, w: Array) -> tuple[Array]:
        return (w @ averaged.function(network.apply(theta, x), target),)

    return chunked(part, points, y, weights, theta.dtype)[0]


def loss_with_error(
    averaged: Integrand, prediction: Array, y: Array, slack: Array
) -> tuple[Array, Array]:
    """Return losses [n] and bounds on their errors if predictions err by up to slack [outputs].

    The slack is one for all points [outputs], or each point has its own [n, outputs].

    For a loss convex in the prediction the bound holds to first order in the slack at smooth
    points, and exactly at kinks: |l'| slack + |l(p + slack) - l(p)| + |l(p - slack) - l(p)|.
    For a loss of the user's own it is an estimate: some units in the last place of predictions and
    losses are added, and what rounding in single precision lets expect.
    """
    unit = jnp.finfo(prediction.dtype).eps
    if averaged.own:
        slack = slack + 4 * unit * jnp.abs(prediction).max(0)
    losses, pullback = jax.vjp(lambda p: averaged.function(p, y), prediction)
    slopes = pullback(jnp.ones_like(losses))[0]
    up = averaged.function(prediction + slack, y)
    down = averaged.function(prediction - slack, y)
    first = (jnp.abs(slopes) * slack).sum(-1) if slack.ndim > 1 else jnp.abs(slopes) @ slack
    bounds = first + jnp.abs(up - losses) + jnp.abs(down - losses)
    bounds += averaged.relative_error * jnp.abs(losses)
    if averaged.own:
        bounds += 16 * unit * jnp.abs(losses) + _rounding_inside(averaged, prediction, y)
    if averaged.cancels:
        bounds += 8 * unit * (1 + jnp.abs(prediction).max(-1))
    if averaged.coarse is not None:
        bounds += jnp.abs(losses - averaged.coarse(prediction, y))
    return losses, bounds


def _rounding_inside(averaged: Integrand, prediction: Array, y: Array) -> Array | float:
    """Return how much rounding inside a loss seems to move its values [n].

    In single precision it moves them 2^29 times as much, and that can be seen, cancellation
    included: at the predictions and beside them, where the errors are others.
    """
    if prediction.dtype != jnp.float64:
        return 0.0
    if jnp.issubdtype(y.dtype, jnp.floating):
        y = y.astype(jnp.float32)
    moved = []
    for share in (-1e-3, 0.0, 1e-3):
        at = (prediction + share * (1 + jnp.abs(prediction))).astype(jnp.float32)
        fine = y.astype(jnp.float64) if y.dtype == jnp.float32 else y
        rough = averaged.function(at, y).astype(jnp.float64)
        moved.append(jnp.abs(rough - averaged.function(at.astype(jnp.float64), fine)))
    worst = jnp.stack(moved).max(0)
    # What overflows in single precision says nothing.
    return jnp.where(jnp.isfinite(worst), 4 * 2.0**-29 * worst, 0.0)


def rounding_of_sum(terms: int, value: Array, dtype: Any) -> Array:
    """Return a bound on the rounding error of a chunked sum of non-negative terms."""
    most = max(2 * CHUNK, CHUNK + -(-terms // CHUNK))
    return (16 + min(terms, most)) * jnp.finfo(dtype).eps * jnp.abs(value)


def chunked(
    part: Any, points: Any, y: Any, weights: Any, dtype: Any, *more: Array
) -> tuple[Array, ...]:
    """Add up part(x, y, w, ...) over chunks of the points."""
    n = len(points)
    y = np.asarray(y)
    y = jnp.asarray(y, dtype) if np.issubdtype(y.dtype, np.floating) else jnp.asarray(y)
    arrays = (jnp.asarray(points, dtype), y, jnp.asarray(weights, dtype))
    if n <= CHUNK:
        return part(*arrays, *more)
    # Repeats of the last point with weight zero fill the last chunk.
    chunks = -(-n // CHUNK)
    fill = chunks * CHUNK - n

    def pad(a: Array, repeat: bool) -> Array:
        tail = jnp.repeat(a[-1:], fill, axis=0)
        tail = tail if repeat else jnp.zeros_like(tail)
        return jnp.concatenate([a, tail]).reshape(chunks, CHUNK, *a.shape[1:])

    x, target, w = pad(arrays[0], True), pad(arrays[1], True), pad(arrays[2], False)
    parts = (x, target, w, *(pad(a, False) for a in more))
    sums = jax.lax.map(lambda a: jax.checkpoint(part)(*a), parts)
    return tuple(s.sum(0) for s in sums)
