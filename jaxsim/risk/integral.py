"""The integral over one input variable, piece by piece.

    L(theta) = sum_i int_{t_i}^{t_{i+1}} l(N_theta(x), f(x)) rho(x) dx

between the points t_i where network or target are not smooth. Pieces are written in the local
coordinate s in [-1, 1], x = middle + half s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.network.sorting import increasing
from jaxsim.problem.targets import Target
from jaxsim.risk.finite import loss_with_error, rounding_of_sum
from jaxsim.risk.integrand import Integrand
from jaxsim.risk.quadrature import Quadrature
from jaxsim.risk.target_error import TargetError

_INNER = 0.75
"""Local coordinate of the outer ones of three inner points: at ends the target may jump."""
_NOWHERE = 4.0
"""Local coordinate of roots that do not exist."""


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
    slack: Array | Callable[[Array], Array] | None,
    rough: bool = False,
    target_error: TargetError | None = None,
    singular: bool = False,
    jumps: bool = False,
) -> tuple[Array, Array]:
    """Return (value, error) of the integral of the loss over pieces.

    Args:
        line: law of the input.
        averaged: the loss.
        target: x [n, 1] -> [n, outputs].
        prediction: (x [C, S, q], local coordinates of the same shape) -> [C, S, q, outputs].
        edges: (points t [C + 1], local coordinates [C, S + 1] that cut piece i further).
        rule: quadrature on every cut piece.
        slack: bound on the error of predictions and targets [outputs], or such bounds at local
            coordinates, [C, S, q] -> [C, S, q, outputs]; None asks for no error.
        rough: the integrand may have kinks or jumps inside of pieces.
        target_error: bounds of the target's errors at points, where slack does not hold them.
        singular: the target may be infinite at ends of pieces.
        jumps: the target may jump at points that are not exactly where the grid has them.
    """
    grid, cuts = edges
    half = (grid[1:] - grid[:-1]) / 2
    middle = (grid[1:] + grid[:-1]) / 2
    half_cut = (cuts[:, 1:] - cuts[:, :-1]) / 2
    middle_cut = (cuts[:, 1:] + cuts[:, :-1]) / 2
    s = middle_cut[..., None] + half_cut[..., None] * jnp.asarray(rule.nodes, grid.dtype)
    x = middle[:, None, None] + half[:, None, None] * s
    if singular:
        # Pieces of no length lie at ends, where the target may be infinite.
        width = half[:, None] * half_cut
        empty = width <= 64 * jnp.finfo(grid.dtype).eps * jnp.abs(middle)[:, None]
        elsewhere = x.reshape(-1, x.shape[-1])[jnp.argmin(empty.ravel())]
        x = jnp.where(empty[..., None], elsewhere, x)
        half_cut = jnp.where(empty, 0.0, half_cut)
    mass = (half[:, None] * half_cut)[..., None] * line.weight(x)
    predicted = prediction(x, s)
    wanted = target(x.reshape(-1, 1))
    flat = predicted.reshape(-1, predicted.shape[-1])
    weights = (mass * jnp.asarray(rule.weights, grid.dtype)).ravel()
    if slack is None:
        return weights @ averaged.function(flat, wanted), jnp.zeros((), grid.dtype)
    doubt = slack(s).reshape(flat.shape) if callable(slack) else slack
    if target_error is not None:
        x_error = 2 * jnp.finfo(grid.dtype).eps * (jnp.abs(middle) + jnp.abs(half))
        x_error = jnp.broadcast_to(x_error[:, None, None], x.shape).reshape(-1, 1)
        doubt = doubt + target_error(x.reshape(-1, 1), x_error)
    losses, bounds = loss_with_error(averaged, flat, wanted, doubt)
    value = weights @ losses
    size = averaged.size(losses, weights, value)
    # n products add up to n / 2 units in the last place at the most.
    error = weights @ bounds + rounding_of_sum(max(64, len(weights) // 2), size, grid.dtype)
    if jumps:
        ends = losses.reshape(-1, len(rule.nodes))
        apart = jnp.abs(ends[1:, 0] - ends[:-1, -1]).sum()
        error += 2 * jnp.finfo(grid.dtype).eps * (jnp.abs(x) * line.weight(x)).max() * apart
    if rule.coarse is not None:
        error += quadrature_error(losses.reshape(x.shape), mass, rule, rough)
        if averaged.kinks:
            error += 1e-9 * value  # pairs of roots too close to be found
    return value, jnp.where(jnp.isnan(error), jnp.inf, error)


def quadrature_error(losses: Array, mass: Array, rule: Quadrature, rough: bool) -> Array:
    """Return an estimate of the error of a composite rule from the values [C, S, q] at its nodes.

    Twice the distance to the first embedded rule, for a rough integrand the largest distance to
    any of them, added up over the pieces. A rough integrand may also change between the outermost
    node of a piece and its end, where no rule sees it: a kink then costs less than 5e-5 of the
    piece's range of values, a jump 0.005 of the difference to the neighbouring piece.

    Args:
        losses: integrand without density.
        mass: density times half the length of the piece.
        rule: with embedded rules.
        rough: as in `integrate`.
    """
    assert rule.coarse is not None
    coarse = rule.coarse if rough else rule.coarse[:1]
    distances = jnp.asarray(rule.weights - coarse, losses.dtype)
    pieces = jnp.abs(jnp.einsum("csq,kq->csk", losses * mass, distances)).max(-1)
    error = 2 * pieces.sum()
    if rough:
        flat = losses.reshape(-1, len(rule.nodes))
        width = jnp.broadcast_to(mass, losses.shape).reshape(flat.shape).max(1)
        jumps = jnp.abs(flat[1:, 0] - flat[:-1, -1])
        error += 1e-4 * (width * (flat.max(1) - flat.min(1))).sum()
        error += 0.01 * (jnp.maximum(width[1:], width[:-1]) * jumps).sum()
    return error


def target_slack(target: Target, x: Array, degree: int | None) -> Array:
    """Return a bound on the rounding error of the target [outputs], from its size and degree."""
    unit = jnp.finfo(x.dtype).eps
    factor = 8 * (1 + (4 if degree is None else degree))
    size = jnp.abs(target(x))
    # An infinite value belongs to an empty piece at an end.
    return factor * unit * jnp.where(jnp.isfinite(size), size, 0).max(0)


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
    interpolating parabolas, one over the piece and one about the residual's extremum, where two
    roots may be close, improved by two Newton steps with the parabola's slope.
    """
    levels = jnp.asarray(averaged.kinks, grid.dtype)
    half = ((grid[1:] - grid[:-1]) / 2)[:, None, None]
    middle = ((grid[1:] + grid[:-1]) / 2)[:, None, None]

    def residual(s: Array) -> Array:
        """Return the residual of each output at its own points: s [C, outputs or 1, k]."""
        flat = s.reshape(len(s), 1, -1)
        x = middle + half * flat
        p = prediction(x, flat)
        r = p - averaged.centre(target(x.reshape(-1, 1))).reshape(p.shape)
        outputs = r.shape[-1]
        r = r.reshape(*s.shape, outputs)
        if s.shape[1] == 1:
            return jnp.moveaxis(r[:, 0], -1, 1)
        return jnp.moveaxis(jnp.diagonal(r, axis1=1, axis2=3), -1, 1)

    def parabola(centre: Array, spread: float) -> tuple[Array, Array, Array]:
        steps = jnp.asarray([-spread, 0.0, spread], grid.dtype)
        left, value, right = jnp.moveaxis(residual(centre[..., None] + steps), -1, 0)
        return value, (right - left) / (2 * spread), (right + left - 2 * value) / (2 * spread**2)

    linear, exact = degree is not None and degree <= 1, degree is not None and degree <= 2
    centre = jnp.zeros((len(grid) - 1, 1), grid.dtype)
    value, slope, bend = parabola(centre, _INNER)
    centre = jnp.zeros_like(value)
    if linear:
        bend = jnp.zeros_like(bend)
    crossings = [(centre, slope, bend, _roots(value, slope, bend, levels, linear))]
    if not exact:
        for spread in (0.1, 0.02):
            extremum = centre - 0.5 * slope / jnp.where(bend == 0, jnp.inf, bend)
            centre = jnp.clip(extremum, spread - 1, 1 - spread)
            value, slope, bend = parabola(centre, spread)
        crossings.append((centre, slope, bend, _roots(value, slope, bend, levels, False)))

    cuts = []
    for centre, slope, bend, offsets in crossings:
        roots = centre[..., None, None] + offsets
        if not exact:
            for _ in range(2):
                shape = (*roots.shape[:2], -1)
                own = residual(roots.reshape(shape)).reshape(roots.shape) - levels[:, None]
                offset = roots - centre[..., None, None]
                steep = slope[..., None, None] + 2 * bend[..., None, None] * offset
                moved = roots - jnp.where(steep == 0, 0.0, own / jnp.where(steep == 0, 1.0, steep))
                roots = jnp.where(jnp.abs(roots) < 1, jnp.clip(moved, -1, 1), roots)
        cuts.append(roots.reshape(len(grid) - 1, -1))
    inner = jnp.concatenate(cuts, axis=1)
    inner = jnp.where((inner > -1) & (inner < 1), inner, 1.0)
    edges = jax.lax.stop_gradient(jnp.concatenate([whole(grid), inner], axis=1))
    return jax.vmap(lambda row: increasing(row)[0])(edges)


def _roots(value: Array, slope: Array, bend: Array, levels: Array, linear: bool) -> Array:
    """Return where value + slope s + bend s^2 is a level, [C, outputs, levels, 1 or 2]."""
    offset = value[..., None] - levels
    return _quadratic_roots(offset, slope[..., None], bend[..., None], linear)


def _quadratic_roots(a: Array, b: Array, c: Array, linear: bool) -> Array:
    """Return the roots [..., 1 or 2] of a + b s + c s^2, or a number far away."""
    if linear:
        root = jnp.where(b == 0, _NOWHERE, -a / jnp.where(b == 0, 1.0, b))
        return root[..., None]
    b = jnp.broadcast_to(b, a.shape)
    c = jnp.broadcast_to(c, a.shape)
    discriminant = b**2 - 4 * a * c
    real = discriminant >= 0
    # The stable form: no difference of nearly equal numbers (Higham 2002, section 1.8).
    q = -0.5 * (b + jnp.where(b < 0, -1.0, 1.0) * jnp.sqrt(jnp.where(real, discriminant, 0)))
    first = jnp.where(real & (c != 0), q / jnp.where(c == 0, 1.0, c), _NOWHERE)
    second = jnp.where(real & (q != 0), a / jnp.where(q == 0, 1.0, q), _NOWHERE)
    return jnp.stack([first, second], axis=-1)
