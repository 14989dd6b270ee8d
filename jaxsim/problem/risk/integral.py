"""The integral over one input variable, piece by piece.

    L(theta) = sum_i int_{t_i}^{t_{i+1}} l(N_theta(x), f(x)) rho(x) dx

between the points t_i where network or target are not smooth. Pieces are written in the local
coordinate s in [-1, 1], x = middle + half s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.problem.risk.finite import loss_with_error, rounding_of_sum
from jaxsim.problem.risk.integrand import Integrand
from jaxsim.problem.risk.quadrature import Quadrature

INNER = np.array([-np.sqrt(0.6), 0.0, np.sqrt(0.6)])
"""Local coordinates of three inner points: ends may be jumps of the target."""


class Line(NamedTuple):
    """The law of a single input variable.

    Attributes:
        low: left end of the interval of integration.
        high: right end.
        density: of the law with respect to dx; None for the uniform one.
        edges: points inside at which quadrature panels shall end.
    """

    low: float
    high: float
    density: Callable[[Array], Array] | None
    edges: tuple[float, ...]

    def weight(self, x: Array) -> Array:
        """Return the density at x."""
        if self.density is None:
            return jnp.full(x.shape, 1 / (self.high - self.low), x.dtype)
        return self.density(x).astype(x.dtype)


def integrate(
    line: Line,
    averaged: Integrand,
    target: Callable[[Array], Array],
    prediction: Callable[[Array, Array], Array],
    edges: tuple[Array, Array],
    rule: Quadrature,
    slack: Array | None,
) -> tuple[Array, Array]:
    """Return (value, error) of the integral of the loss over pieces.

    Args:
        line: law of the input.
        averaged: the loss.
        target: x [n, 1] -> [n, outputs].
        prediction: (x [C, S, q], local coordinates of the same shape) -> [C, S, q, outputs].
        edges: (points t [C + 1], local coordinates [C, S + 1] that cut piece i further).
        rule: quadrature on every cut piece.
        slack: bound on the error of predictions and targets [outputs]; None asks for no error.
    """
    grid, cuts = edges
    half = (grid[1:] - grid[:-1]) / 2
    middle = (grid[1:] + grid[:-1]) / 2
    half_cut = (cuts[:, 1:] - cuts[:, :-1]) / 2
    middle_cut = (cuts[:, 1:] + cuts[:, :-1]) / 2
    s = middle_cut[..., None] + half_cut[..., None] * jnp.asarray(rule.nodes, grid.dtype)
    x = middle[:, None, None] + half[:, None, None] * s
    mass = (half[:, None] * half_cut)[..., None] * line.weight(x)
    predicted = prediction(x, s)
    wanted = target(x.reshape(-1, 1))
    flat = predicted.reshape(-1, predicted.shape[-1])
    weights = (mass * jnp.asarray(rule.weights, grid.dtype)).ravel()
    if slack is None:
        return weights @ averaged.function(flat, wanted), jnp.zeros((), grid.dtype)
    losses, bounds = loss_with_error(averaged, flat, wanted, slack)
    value = weights @ losses
    error = weights @ bounds + rounding_of_sum(64, value, grid.dtype)
    if rule.coarse is not None:
        difference = jnp.asarray(rule.weights - rule.coarse, grid.dtype)
        shape = x.shape
        error += jnp.abs((losses.reshape(shape) * mass) @ difference).sum()
    return value, error


def target_slack(target: Any, x: Array, degree: int | None) -> Array:
    """Return a bound on the rounding error of the target [outputs], from its size and degree."""
    unit = jnp.finfo(x.dtype).eps
    factor = 8 * (1 + (4 if degree is None else degree))
    return factor * unit * jnp.abs(target(x)).max(0)


def whole(grid: Array) -> Array:
    """Return the cuts that leave every piece whole."""
    return jnp.broadcast_to(jnp.asarray([-1.0, 1.0], grid.dtype), (grid.size - 1, 2))


def cut_at_residuals(
    grid: Array,
    averaged: Integrand,
    target: Callable[[Array], Array],
    prediction: Callable[[Array, Array], Array],
    degree: int | None,
) -> Array:
    """Return cuts where a residual N_theta(x) - f(x) of any output is one of the loss's kinks.

    Exact if the residual is a polynomial of degree at most 2 on every piece; otherwise roots of
    the interpolating parabola, improved by two Newton steps with its slope.
    """
    levels = averaged.kinks
    half = ((grid[1:] - grid[:-1]) / 2)[:, None, None]
    middle = ((grid[1:] + grid[:-1]) / 2)[:, None, None]

    def residual(s: Array) -> Array:
        x = middle + half * s
        p = prediction(x, s)
        return p - averaged.centre(target(x.reshape(-1, 1))).reshape(p.shape)

    inner = jnp.broadcast_to(jnp.asarray(INNER, grid.dtype), (grid.size - 1, 1, 3))
    left, centre, right = jnp.moveaxis(residual(inner)[:, 0], 1, 0)
    spread = float(INNER[2])
    slope = (right - left) / (2 * spread)
    bend = (right + left - 2 * centre) / (2 * spread**2)
    if degree is not None and degree <= 1:
        bend = jnp.zeros_like(bend)
    offset = centre[..., None] - jnp.asarray(levels, grid.dtype)  # [C, outputs, levels]
    slope, bend = slope[..., None], bend[..., None]
    roots = _quadratic_roots(offset, slope, bend, linear=degree is not None and degree <= 1)
    if degree is None or degree > 2:
        pieces, outputs, count, two = roots.shape
        for _ in range(2):
            flat = roots.reshape(pieces, 1, -1)
            value = residual(flat).reshape(pieces, outputs, count, two, outputs)
            own = jnp.moveaxis(jnp.diagonal(value, axis1=1, axis2=4), -1, 1)
            own = own - jnp.asarray(levels, grid.dtype)[:, None]
            steep = slope[..., None] + 2 * bend[..., None] * roots
            step = jnp.where(steep == 0, 0.0, own / jnp.where(steep == 0, 1.0, steep))
            moved = roots - step
            roots = jnp.where(jnp.abs(roots) < 1, jnp.clip(moved, -1, 1), roots)
    cuts = roots.reshape(grid.size - 1, -1)
    cuts = jnp.where((cuts > -1) & (cuts < 1), cuts, 1.0)
    ends = jnp.broadcast_to(jnp.asarray([-1.0, 1.0], grid.dtype), (grid.size - 1, 2))
    return jax.lax.stop_gradient(jnp.sort(jnp.concatenate([cuts, ends], axis=1), axis=1))


def _quadratic_roots(a: Array, b: Array, c: Array, linear: bool) -> Array:
    """Return the roots [..., 1 or 2] of a + b s + c s^2; 1 where there is none."""
    if linear:
        root = jnp.where(b == 0, 1.0, -a / jnp.where(b == 0, 1.0, b))
        return root[..., None]
    b = jnp.broadcast_to(b, a.shape)
    c = jnp.broadcast_to(c, a.shape)
    discriminant = b**2 - 4 * a * c
    real = discriminant >= 0
    # The stable form: no difference of nearly equal numbers (Higham 2002, section 1.8).
    q = -0.5 * (b + jnp.where(b < 0, -1.0, 1.0) * jnp.sqrt(jnp.where(real, discriminant, 0)))
    first = jnp.where(real & (c != 0), q / jnp.where(c == 0, 1.0, c), 1.0)
    second = jnp.where(real & (q != 0), a / jnp.where(q == 0, 1.0, q), 1.0)
    return jnp.stack([first, second], axis=-1)
