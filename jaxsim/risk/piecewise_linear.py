"""The true risk of a piecewise linear network with one input, exact wherever it can be.

The network is affine between its kinks, which are found exactly (see `kinks`). With a target that
is a polynomial of degree r between breakpoints and a loss that is one of degree p in the residual,
the integrand is a polynomial of degree p max(r, 1) on every piece, so that Gauss-Legendre
quadrature is exact. A loss with kinks in the residual is cut at the residual's roots, which
are exact for r <= 2. Otherwise Gauss-Kronrod quadrature gives value and error estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.evidence import estimated
from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.kinks import capacity, network_kinks
from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.risk.affine_pieces import AffinePieces, affine_pieces, saturates
from jaxsim.risk.forward import forward
from jaxsim.risk.integral import (
    Line,
    cut_at_residuals,
    integrate,
    target_slack,
    whole,
)
from jaxsim.risk.integrand import integrand
from jaxsim.risk.panels import degree_known, target_panels
from jaxsim.risk.quadrature import Quadrature, gauss_kronrod, gauss_legendre
from jaxsim.risk.rare import recomputed_where
from jaxsim.risk.rule import RiskOptions, RiskRule
from jaxsim.risk.target_error import target_error_on

PANELS = 8
"""Panels of the interval where the rule is not exact, besides those of the law itself."""
KINKED_PANELS = 32
"""The same for losses with kinks: a residual should have one extremum per panel at most."""
USELESS = 1e-6
"""Share of the risk at which its error is looked at again, where values at kinks may be bad."""
MUCH = 0.1
"""How much less the error is to become for the number to be replaced."""
_MOST_EXACT_NODES = 64


def piecewise_linear_rule(
    problem: Problem,
    network: Network,
    options: RiskOptions,
    line: Line,
    forward_passes: ForwardPasses | None = None,
) -> RiskRule:
    """Return the rule for a network with a piecewise linear activation and one input.

    Its error is infinite for a network with more kinks than there is room for.
    """
    averaged = integrand(problem)
    pieces = problem.target.pieces(line.low, line.high)
    degree: int | None = pieces.degree if pieces.complete else None
    degree = None if degree is None else max(1, degree)
    rule, exact = _choose(averaged, degree, options, line)
    extra = tuple(float(t) for t in pieces.breakpoints)
    if not exact:
        panels = KINKED_PANELS if averaged.kinks else PANELS
        count = panels * (1 if options.nodes is None else -(-options.nodes // 15))
        extra += tuple(np.linspace(line.low, line.high, count + 1)[1:-1]) + line.edges
    extra = tuple(sorted({float(t) for t in extra if line.low < t < line.high}))
    panels = None if exact or degree_known(degree) else target_panels(problem, line, extra)
    extra = extra if panels is None else panels.inner
    target = problem.target
    rough = not pieces.complete and not (panels is not None and panels.enclosed)
    target_error = target_error_on(target, line.low, line.high)
    if panels is not None:
        target_error = panels.with_doubt(target_error)
    singular = panels is not None and panels.singular
    jumps = any(pieces.breakpoints)

    def total(
        grid: Array,
        ends: tuple[Array, Array],
        slack: Array | Callable[[Array], Array] | None,
        known: AffinePieces | None = None,
    ) -> tuple[Array, Array]:
        constant, slope = ends

        def prediction(x: Array, s: Array) -> Array:
            return constant[:, None, None] + slope[:, None, None] * s[..., None]

        if averaged.kinks:
            cuts = cut_at_residuals(grid, averaged, target, prediction, degree)
        else:
            cuts = whole(grid)
        if known is not None:
            cuts = jnp.sort(jnp.concatenate([cuts, known.cuts], axis=1), axis=1)
        return integrate(
            line,
            averaged,
            target,
            prediction if known is None else known.values,
            (grid, cuts),
            rule,
            slack,
            rough,
            target_error,
            singular,
            jumps,
        )

    def from_inside(numbers: tuple[Array, Array], theta: Array, grid: Array):
        value, error = numbers
        known = affine_pieces(network, theta, grid)
        middle = ((grid[1:] + grid[:-1]) / 2)[:, None]
        slack = target_slack(target, middle, degree)
        again, doubt = total(
            grid, (known.constant, known.slope), lambda s: slack + known.errors(s), known
        )
        better = doubt < MUCH * error
        return jnp.where(better, again, value), jnp.where(better, doubt, error)

    improved = recomputed_where(
        lambda value, error: ~(error <= USELESS * jnp.abs(value)), from_inside
    )

    def evaluate(theta: Array) -> tuple[Array, Array]:
        grid, complete = network_kinks(network, theta, line.low, line.high, options.pieces, extra)
        values, slack = forward(network, theta, grid[:, None], forward_passes)
        middle = ((grid[1:] + grid[:-1]) / 2)[:, None]
        # Kinks err by rounding, too: as much in the network's value as its evaluation does.
        slack = 4 * slack + target_slack(target, middle, degree)
        ends = (values[1:] + values[:-1]) / 2, (values[1:] - values[:-1]) / 2
        value, error = total(grid, ends, slack)
        if saturates(network):
            value, error = improved((value, error), theta, grid)
        return value, jnp.where(complete, error, jnp.inf)

    def population_loss(theta: Array) -> Array:
        grid, _ = network_kinks(network, theta, line.low, line.high, options.pieces, extra)
        half, middle = (grid[1:] - grid[:-1]) / 2, (grid[1:] + grid[:-1]) / 2
        # Two inner points decide the affine piece and its derivative, without touching a kink.
        reach = 3**-0.5 * half
        inner = jnp.concatenate([middle - reach, middle + reach])
        left, right = network.apply(theta, inner[:, None]).reshape(2, middle.size, -1)
        ends = (left + right) / 2, (right - left) * (3**0.5 / 2)
        return total(grid, ends, None)[0]

    return RiskRule(
        evaluate,
        population_loss,
        exact=exact,
        evidence=averaged.evidence if exact else estimated("risks are quadratures"),
        description=_describe(exact, capacity(network, options.pieces), rule, line),
    )


def _choose(
    averaged: Any, degree: int | None, options: RiskOptions, line: Line
) -> tuple[Quadrature, bool]:
    """Return the quadrature rule and whether it is exact."""
    if line.density is not None or degree is None or averaged.degree is None:
        return gauss_kronrod(), False
    if averaged.exact and (not averaged.kinks or degree <= 2):
        order = averaged.degree * degree // 2 + 1
        if order <= _MOST_EXACT_NODES:
            return gauss_legendre(max(order, options.nodes or 1)), True
    return gauss_kronrod(), False


def _describe(exact: bool, room: int, rule: Quadrature, line: Line) -> str:
    nodes = len(rule.nodes)
    method = "Gauss-Legendre, exact" if exact else "Gauss-Kronrod with error estimate"
    return (
        f"all kinks in [{line.low:g}, {line.high:g}] (room for {room} pieces), "
        f"{nodes} nodes per piece: {method}"
    )
