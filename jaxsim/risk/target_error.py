"""What rounding does to the target's values, beyond a few units of the values themselves.

Where a formula cancels, its value in float64 is off by far more than its last place: the error is
followed along the formula (see `problem.rounding`), point by point. Where all errors are a few
units of the value itself, the bounds of the network's rounding and of the sum hold them already.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.problem.piecewise import places
from jaxsim.problem.rounding import with_rounding
from jaxsim.problem.targets import ExpressionTarget, Target
from jaxsim.risk.forward import forward
from jaxsim.risk.teacher import TeacherTarget

TargetError = Callable[[Any, Any], Any]
"""(x [n, d], bounds of the errors of x [n, 1]) -> bounds of the target's errors [n, outputs]."""

_RELATIVE = 16
"""Units in the last place of the value that need no bound of their own."""
_PROBES = 2048
_IN_A_PIECE = 16


def expression_error(target: ExpressionTarget, x: Any, x_error: Any, xp: Any) -> Any:
    """Return bounds [n, outputs] on the errors of a formula's values at x [n, d].

    Args:
        target: the formulas.
        x: points.
        x_error: bounds of their own errors [n, 1].
        xp: numpy or jax.numpy; infinite where nothing is known.
    """
    columns = [x[:, i] for i in range(x.shape[1])]
    x_errors = [x_error[:, 0]] * len(columns)
    errors = []
    for node in target.expression.nodes:
        error = with_rounding(node, columns, x_errors, xp).error
        error = xp.broadcast_to(xp.asarray(error, x.dtype), columns[0].shape)
        # The bound itself is computed with rounding, of far less than a thousandth.
        errors.append(xp.where(xp.isnan(error), xp.inf, 1.001 * error))
    return xp.stack(errors, axis=-1)


def point_errors(target: Target, points: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """Return bounds on the errors of a target at points [n, outputs], None for exact labels.

    Args:
        target: of the problem.
        points: [n, d].
        values: of the target there [n, outputs].
    """
    if isinstance(target, TeacherTarget):
        error = forward(target.network, jnp.asarray(target.theta), jnp.asarray(points))[1]
        return np.broadcast_to(np.asarray(error), values.shape)
    if not isinstance(target, ExpressionTarget):
        return None
    points = np.asarray(points, float)
    with np.errstate(all="ignore"):
        errors = expression_error(target, points, np.zeros((len(points), 1)), np)
    return None if _few_units(errors, values) else errors


def target_error_on(target: Target, low: float, high: float) -> TargetError | None:
    """Return the bound of a target's errors on an interval, None if it needs none of its own."""
    if isinstance(target, TeacherTarget):
        theta = jnp.asarray(target.theta, jnp.float64)
        breakpoints = target.pieces(low, high).breakpoints
        x = np.array([*breakpoints, *np.linspace(low, high, _PROBES + 1)])[:, None]
        with jax.ensure_compile_time_eval():
            # Between its kinks a teacher is largest at them, or hardly larger elsewhere.
            bound = 2 * np.asarray(forward(target.network, theta, jnp.asarray(x))[1])
        return lambda x, x_error: jnp.broadcast_to(bound, (len(x), len(bound)))
    if not isinstance(target, ExpressionTarget):
        return None
    x = _probes(low, high, _PROBES)
    # What is computed otherwise on a narrow piece is probed there, too.
    edges = [low, *places(target.expression, low, high), high]
    if len(edges) > 2:
        x = np.concatenate([x, *(_probes(a, b, _IN_A_PIECE) for a, b in pairwise(edges))])
    x = x[:, None]
    with np.errstate(all="ignore"):
        errors = expression_error(target, x, 2 * np.finfo(float).eps * np.abs(x), np)
        columns = target(jnp.asarray(x))
    if _few_units(errors, np.asarray(columns)):
        return None
    return lambda x, x_error: expression_error(target, x, x_error, jnp)


def _probes(low: float, high: float, count: int) -> np.ndarray:
    """Return irregular points: at round ones errors may vanish."""
    share = (np.arange(count) * (np.sqrt(5) - 1) / 2 + 1e-3) % 1.0
    return low + (high - low) * share


def _few_units(errors: np.ndarray, values: np.ndarray) -> bool:
    unit = np.finfo(float).eps
    return bool((errors <= _RELATIVE * unit * np.abs(values) + np.finfo(float).tiny).all())
