"""The true risk of any network with one input by composite quadrature with an error estimate.

Panels end at the kinks of the first layer, the breakpoints of the target and equidistant points;
on each the Gauss-Kronrod pair gives value and error estimate. Summing the moduli of the
panels' differences is far more than the error of the finer rule wherever the integrand is resolved.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.evidence import estimated
from jaxsim.network.kinks import network_kinks
from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.risk.forward import forward
from jaxsim.risk.integral import Line, cut_at_residuals, integrate, target_slack, whole
from jaxsim.risk.integrand import integrand
from jaxsim.risk.panels import degree_known, target_panels
from jaxsim.risk.quadrature import gauss_kronrod
from jaxsim.risk.rule import RiskOptions, RiskRule
from jaxsim.risk.target_error import target_error_on

PANELS = 32
"""Equidistant panels, unless options.nodes asks for more."""
_CHUNK = 1024


def smooth_rule(problem: Problem, network: Network, options: RiskOptions, line: Line) -> RiskRule:
    """Return the rule for a network with one input whose kinks are not all known."""
    averaged = integrand(problem)
    pieces = problem.target.pieces(line.low, line.high)
    rule = gauss_kronrod()
    count = PANELS if options.nodes is None else max(PANELS, -(-options.nodes // 15))
    panels = np.linspace(line.low, line.high, count + 1)[1:-1]
    extra = sorted(
        {float(t) for t in (*panels, *pieces.breakpoints, *line.edges) if line.low < t < line.high}
    )
    target = problem.target
    degree = pieces.degree if pieces.complete else None
    found = None if degree_known(degree) else target_panels(problem, line, tuple(extra))
    extra = extra if found is None else list(found.inner)
    activation = network.activation
    depth = len(network.hidden)
    # Kinks of deeper layers are not looked for.
    hidden_kinks = activation is None or (depth > 1 and bool(activation.breakpoints))
    rough = hidden_kinks or not (pieces.complete or (found is not None and found.enclosed))
    target_error = target_error_on(target, line.low, line.high)
    if found is not None:
        target_error = found.with_doubt(target_error)
    singular = found is not None and found.singular

    def edges(theta: Array) -> Array:
        if network.fully_connected:
            return network_kinks(network, theta, line.low, line.high, None, tuple(extra))[0]
        return jnp.asarray([line.low, *extra, line.high], theta.dtype)

    def cuts(grid: Array, prediction: Any) -> Array:
        if averaged.kinks:
            return cut_at_residuals(grid, averaged, target, prediction, None)
        return whole(grid)

    def evaluate(theta: Array) -> tuple[Array, Array]:
        grid = edges(theta)
        _, slack = forward(network, theta, grid[:, None])
        slack = slack + target_slack(target, grid[:, None], pieces.degree)

        def prediction(x: Array, s: Array) -> Array:
            return _chunked(lambda points: forward(network, theta, points)[0], x)

        cut = cuts(grid, prediction)
        return integrate(
            line,
            averaged,
            target,
            prediction,
            (grid, cut),
            rule,
            slack,
            rough,
            target_error,
            singular,
        )

    def population_loss(theta: Array) -> Array:
        grid = edges(theta)

        def prediction(x: Array, s: Array) -> Array:
            return _chunked(lambda points: network.apply(theta, points), x)

        cut = cuts(grid, prediction)
        return integrate(
            line, averaged, target, prediction, (grid, cut), rule, None, singular=singular
        )[0]

    return RiskRule(
        evaluate,
        population_loss,
        exact=False,
        evidence=estimated("risks are quadratures"),
        description=f"composite Gauss-Kronrod quadrature on [{line.low:g}, {line.high:g}] with at "
        f"least {len(extra) + 1} panels of 15 nodes, and error estimate",
    )


def _chunked(function: Any, x: Array) -> Array:
    """Return function of the points x [...] as [..., outputs], a thousand at a time."""
    points = x.reshape(-1, 1)
    if len(points) <= _CHUNK:
        values = function(points)
    else:
        at_point = jax.checkpoint(lambda point: function(point[None])[0])
        values = jax.lax.map(at_point, points, batch_size=_CHUNK)
    return values.reshape(*x.shape, -1)
