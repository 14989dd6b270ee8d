"""Risks that need no network: of the best constant prediction, and of the best measurable one.

best constant risk   inf_c E l(c, Y)                        all a network with a dead layer can do
Bayes risk           E inf_c E[l(c, Y) | X]                 no network can do better
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.evidence import PROVED, Enclosure, Evidence, estimated, stated
from jaxsim.problem.losses import Loss, best_constant
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import Target
from jaxsim.risk.finite import loss_with_error
from jaxsim.risk.integral import Line, quadrature_error
from jaxsim.risk.integrand import NORMAL_REACH, Integrand, integrand
from jaxsim.risk.line import line_of
from jaxsim.risk.panels import Panels, degree_known, target_panels
from jaxsim.risk.quadrature import gauss_kronrod
from jaxsim.risk.quasi_monte_carlo import sample_of
from jaxsim.risk.rule import RiskOptions
from jaxsim.risk.target_error import point_errors, target_error_on

_PANELS = 128
_EXACT_DEGREE = 22
"""Polynomials that the Gauss-Kronrod rule integrates exactly."""
_ROUNDING = 64 * float(np.finfo(float).eps)


class Discretization(NamedTuple):
    """The law of (X, f(X)) by finitely many weighted values.

    Attributes:
        y: noise-free targets [n, ...].
        weights: [n].
        error: losses [n] -> estimate of the error of their mean; None where there is none.
        doubt: bounds on the errors of y [n, outputs]; None where there are none.
    """

    y: np.ndarray
    weights: np.ndarray
    error: Callable[[np.ndarray], float] | None
    doubt: np.ndarray | None = None


class Best(NamedTuple):
    """A best constant prediction.

    Attributes:
        constant: [outputs]; not finite where logits are infinite or the loss may not be convex.
        value: its risk.
        slack: by how much the infimum may be less, rounding and quadrature aside.
    """

    constant: np.ndarray
    value: float
    slack: float


@lru_cache(maxsize=256)
def best_constant_risk(problem: Problem, options: RiskOptions | None = None) -> Enclosure:
    """Return the infimum of the true risk over constant predictions.

    No network whose output does not depend on x can do better than its lower end. Exact to rounding
    for finite laws; else with the error estimate of a quadrature in one dimension, of scrambled
    Sobol' points in more.

    Args:
        problem: law of (X, Y) and loss.
        options: of the networks' risks: equal points cannot contradict each other.
    """
    averaged = integrand(problem)
    points = discretize(problem, options)
    if points.error is not None and points.error(np.zeros(len(points.y))) == math.inf:
        reason = "the risk of every constant could be infinite"
        return Enclosure(problem.loss.lower_bound, math.inf, _evidence(problem, averaged), reason)
    constant, value, slack = _best(problem, averaged, points.y, points.weights)
    error = _relative(averaged, value) + slack
    evidence = _evidence(problem, averaged)
    reason = "the best constant prediction"
    if not np.isfinite(constant).all() and math.isfinite(value):
        return Enclosure(value, error, evidence, reason)
    losses = _losses(averaged, constant, points.y)
    if points.error is not None:
        error += points.error(losses)
    if points.doubt is not None:
        prediction = jnp.broadcast_to(jnp.asarray(constant, float), (len(losses), len(constant)))
        doubt = jnp.asarray(points.doubt)
        bounds = loss_with_error(averaged, prediction, jnp.asarray(points.y), doubt)[1]
        error += float(points.weights @ np.asarray(bounds))
    if not (math.isfinite(value) and math.isfinite(error)):
        reason = "the best constant's risk is too large for float64"
        return Enclosure(problem.loss.lower_bound, math.inf, evidence, reason)
    return Enclosure(value, error, evidence, reason)


def _evidence(problem: Problem, averaged: Integrand) -> Evidence:
    """Return what an average over the law of X rests on."""
    evidence = averaged.evidence
    if problem.loss.best is None:
        return _stated_bound(problem)
    if problem.law.finite is not None:
        return evidence
    line = line_of(problem.law)
    if line is None:
        return evidence & estimated("the best constant's risk is an average over Sobol' points")
    pieces = problem.target.pieces(line.low, line.high)
    degree = pieces.degree if pieces.complete and line.density is None else None
    # The best constant cuts a loss with kinks at unknown places.
    if degree is not None and averaged.degree is not None and not averaged.kinks:
        if averaged.degree * max(degree, 1) <= _EXACT_DEGREE:
            return evidence
    return evidence & estimated("the best constant's risk is a quadrature")


def _stated_bound(problem: Problem) -> Evidence:
    """Return what the lower bound of a loss of the user's own rests on."""
    bound = problem.loss.lower_bound
    if bound == -math.inf:
        return PROVED
    return stated(f"the study's own loss is never less than {bound:g}")


@lru_cache(maxsize=256)
def bayes_risk(problem: Problem) -> Enclosure:
    """Return a lower bound of every true risk, with the error of its value.

    The conditional law of Y given X is that of the noise around the target, except where a finite
    law has repeated points with different labels.
    """
    averaged = integrand(problem)
    if problem.loss.best is None:
        bound = float(problem.loss.lower_bound)
        return Enclosure(bound, 0.0, _stated_bound(problem), "the loss is never less")
    if problem.law.finite is not None:
        return _finite_bayes_risk(problem, averaged)
    value, error = _noise_floor(problem, averaged)
    evidence = averaged.evidence
    if problem.noise.kind == "none":
        reason = "the loss is never less" if value else "risks are not negative"
        return Enclosure(value, error, evidence, reason)
    return Enclosure(value, error, evidence, "the risk of knowing the target (Bayes risk)")


def discretize(problem: Problem, options: RiskOptions | None = None) -> Discretization:
    """Return the law of (X, f(X)) as weighted values."""
    if problem.law.finite is not None:
        points, weights = problem.law.finite
        y = problem.targets_at_points()
        return Discretization(y, weights, None, point_errors(problem.target, points, y))
    line = line_of(problem.law)
    if line is not None:
        return _on_line(problem, line)
    return _sampled(problem, RiskOptions() if options is None else options)


def _sampled(problem: Problem, options: RiskOptions) -> Discretization:
    """Return the points of the networks' risks, with the error that those have."""
    sample = sample_of(problem, options)
    replicates, n = sample.y.shape[:2]
    share = np.full(n, 1 / n) if sample.weights is None else sample.weights
    y = sample.y.reshape(replicates * n, *sample.y.shape[2:])
    weights = np.tile(share, replicates) / replicates

    def error(losses: np.ndarray) -> float:
        if sample.unbounded:
            return math.inf
        means = losses.reshape(replicates, n) @ share
        quantile = scipy.stats.t.ppf((1 + options.confidence) / 2, replicates - 1)
        spread = float(quantile * means.std(ddof=1) / np.sqrt(replicates))
        return spread + float(np.max(weights * (losses - min(losses.min(), 0.0))))

    return Discretization(y, weights, error)


def _on_line(problem: Problem, line: Line) -> Discretization:
    pieces = problem.target.pieces(line.low, line.high)
    panels = np.linspace(line.low, line.high, _PANELS + 1)
    edges = np.unique(np.clip([*panels, *pieces.breakpoints, *line.edges], line.low, line.high))
    resolved = None
    if not degree_known(pieces.degree if pieces.complete else None):
        resolved = target_panels(problem, line, tuple(float(t) for t in edges[1:-1]))
        edges = resolved.edges
    rule = gauss_kronrod()
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    x = middle + half * rule.nodes
    density = half * np.asarray(line.weight(jnp.asarray(x)))
    y = np.asarray(problem.targets_at(jnp.asarray(x.reshape(-1, 1))))

    seen = pieces.complete or (resolved is not None and resolved.enclosed)
    rough = bool(problem.loss.kinks) or not seen
    doubt = _doubt_on_line(problem.target, line, x.reshape(-1, 1), resolved)

    def error(losses: np.ndarray) -> float:
        if doubt is not None and not np.isfinite(doubt).all():
            return math.inf
        values, mass = jnp.asarray(losses.reshape(-1, 1, 15)), jnp.asarray(density[:, None])
        # The best constant cuts the loss at unknown places: every panel may have a kink.
        return float(quadrature_error(values, mass, rule, rough=rough))

    return Discretization(y, (density * rule.weights).ravel(), error, doubt)


def _doubt_on_line(
    target: Target, line: Line, x: np.ndarray, resolved: Panels | None
) -> np.ndarray | None:
    """Return bounds on what rounding and panels leave open of the target [n, outputs]."""
    error = target_error_on(target, line.low, line.high)
    error = error if resolved is None else resolved.with_doubt(error)
    if error is None:
        return None
    x_error = 2 * np.finfo(float).eps * np.abs(x)
    doubt = np.asarray(error(jnp.asarray(x), jnp.asarray(x_error)))
    return np.where(np.isnan(doubt), np.inf, doubt)


def _best(problem: Problem, averaged: Integrand, y: np.ndarray, weights: np.ndarray) -> Best:
    """Return the best constant prediction for weighted targets with noise."""
    loss, noise = problem.loss, problem.noise
    weights = weights / weights.sum()
    constant, value = best_constant(loss, y, weights, problem.outputs)
    if loss.best is None:
        return Best(constant, value, 0.0)
    if loss.residual is None:
        return Best(constant, value, _rounding_of_shares(loss, y, weights, problem.outputs))
    slack = sum(
        _rounding_of_minimum(loss.residual, constant[output], y[:, output], weights)
        for output in range(problem.outputs)
    )
    if noise.variance == 0:
        return Best(constant, value, slack)
    if not (averaged.degree == 2 and not averaged.kinks):
        slack = 0.0
        # Averaged over the noise the loss is smooth: the best constant is sought as far as the
        # noise reaches, since quantiles of small level are far out.
        reach = NORMAL_REACH * noise.scale if noise.kind == "normal" else noise.scale
        for output in range(problem.outputs):
            column = y[:, [output]]

            def risk(c: float, column: np.ndarray = column) -> float:
                return float(weights @ _losses(averaged, np.array([c]), column))

            start, low, high = constant[output], column.min() - reach, column.max() + reach
            step = 1e-9 * (high - low)
            minimizer, *_ = scipy.optimize.fminbound(risk, low, high, xtol=step, full_output=True)
            chosen = min((start, float(minimizer)), key=risk)
            constant[output] = chosen
            # A convex function falls from here no faster than it rises on the other side.
            around = max(risk(chosen - 2 * step), risk(chosen + 2 * step))
            slack += max(around - risk(chosen), 0.0)
    return Best(constant, float(weights @ _losses(averaged, constant, y)), slack)


@lru_cache(maxsize=32)
def _derivative(rho: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return rho' at several residuals, compiled: it is asked for a hundred times."""
    return jax.jit(jax.vmap(jax.grad(rho)))


def _rounding_of_minimum(
    rho: Callable[[Array], Array], constant: float, y: np.ndarray, weights: np.ndarray
) -> float:
    """Return a bound on F(c) - min F, F(c) = sum_i w_i rho(c - y_i) with rho convex.

    A minimum lies within the least h, a power of two times the spacing of floating-point numbers
    at c, for which F' is certainly negative at c - h and positive at c + h; by convexity, with left
    and right derivatives,

        F(c) - min F <= h max(0, F'(c-), -F'(c+)).
    """
    unit = float(np.finfo(float).eps)
    relative = (16 + len(y)) * unit
    with jax.ensure_compile_time_eval():
        gradient = _derivative(rho)

        def slope(residual: np.ndarray) -> tuple[float, float]:
            """Return F' from the residuals, with a bound on its rounding."""
            slopes = np.asarray(gradient(jnp.asarray(residual)))
            return float(weights @ slopes), relative * float(weights @ np.abs(slopes))

        def beside(side: float) -> tuple[float, float]:
            residual = constant - y
            return slope(
                np.where(residual == 0, side * 1e-300, np.nextafter(residual, side * 1e300))
            )

        left, right = beside(-1.0), beside(1.0)
        value = float(weights @ np.asarray(rho(jnp.asarray(constant - y))))
        steepest = max(left[0] + left[1], right[1] - right[0], 0.0)
        if steepest == 0:
            return relative * value
        reach = max(y.max() - constant, constant - y.min(), 0.0)
        h = float(np.spacing(abs(constant)))
        while h < reach:
            below, above = slope((constant - h) - y), slope((constant + h) - y)
            if below[0] < -below[1] and above[0] > above[1]:
                break
            h *= 2
    return relative * value + min(h, reach) * steepest


def _rounding_of_shares(loss: Loss, y: np.ndarray, weights: np.ndarray, outputs: int) -> float:
    """Return a bound on the rounding of an entropy, or of the hinge loss's 2 min(p, 1 - p).

    A share p = sum of weights errs by (n + 8) u, and -p log p by 1 + |log p| times as much.
    """
    relative = (8 + len(weights)) * float(np.finfo(float).eps)
    shares = np.bincount(np.asarray(y, int).ravel(), weights, max(outputs, 2))
    slopes = 1 + np.abs(np.log(shares[shares > 0]))
    return relative * float(slopes.sum()) if (shares > 0).sum() > 1 else 0.0


def _losses(averaged: Integrand, constant: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the losses [n] of a constant prediction [outputs]."""
    prediction = jnp.broadcast_to(jnp.asarray(constant, float), (len(y), len(constant)))
    return np.asarray(averaged.function(prediction, jnp.asarray(y)))


def _noise_floor(problem: Problem, averaged: Integrand) -> tuple[float, float]:
    """Return min_c E l(c, xi) per input: the risk of the best prediction that knows the target."""
    if problem.loss.kind != "regression":
        return float(problem.loss.lower_bound), 0.0
    if averaged.degree == 2 and not averaged.kinks:
        zero = np.zeros(problem.outputs)
        return float(_losses(averaged, zero, zero[None])[0]), 0.0
    _, value, slack = _best(problem, averaged, np.zeros((1, problem.outputs)), np.ones(1))
    return value, _relative(averaged, value) + slack


def _relative(averaged: Integrand, value: float) -> float:
    """Return the error of a sum over few values, 0 for an infinite one."""
    return (_ROUNDING + averaged.relative_error) * abs(value) if np.isfinite(value) else 0.0


def _finite_bayes_risk(problem: Problem, averaged: Integrand) -> Enclosure:
    assert problem.law.finite is not None
    points, weights = problem.law.finite
    y = problem.targets_at_points()
    evidence = averaged.evidence
    _, group = np.unique(points, axis=0, return_inverse=True)
    group = group.ravel()
    sizes = np.bincount(group)
    if sizes.max() == 1 and problem.loss.kind == "regression":
        value, error = _noise_floor(problem, averaged)
        name = "risks are not negative" if value == 0 else "the Bayes risk"
        return Enclosure(value, error, evidence, name)
    value = error = 0.0
    for label in np.unique(group):
        inside = group == label
        best = _best(problem, averaged, y[inside], weights[inside])
        value += weights[inside].sum() * best.value
        error += weights[inside].sum() * best.slack
    error += _relative(averaged, value)
    rows = y.reshape(len(points), -1)
    first = np.unique(group, return_index=True)[1]
    contradictory = bool((rows[first][group] != rows).any())
    repeated = ", with repeated points of different labels" if contradictory else ""
    return Enclosure(value, error, evidence, f"the Bayes risk{repeated}")
