"""E[a+ b+] for jointly normal (a, b): the one integral behind Gaussian inputs and ReLU neurons.

Without means this is the arc-cosine kernel of order 1 (Cho and Saul 2009, "Kernel methods for deep
learning"). With means m, standard deviations s, correlation r, q = sqrt(1 - r^2), h = m_a / s_a and
k = m_b / s_b (Rosenbaum 1961, "Moments of a truncated bivariate normal distribution"),

    E[a+ b+] / (s_a s_b) = (h k + r) Phi2(h, k; r) + h phi(k) Phi((h - r k) / q)
                           + k phi(h) Phi((k - r h) / q) + q^2 phi2(h, k; r).

Phi2 comes from Owen's T function (Owen 1956), an integral over [0, 1] at most, for which 16
Gauss-Legendre nodes suffice. Derivatives are those of Price's theorem (Price 1958), which stay
finite where the formula itself is singular, at r = -1 and r = 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.stats import norm

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


@jax.custom_jvp
def centred_moment(aa: Array, bb: Array, ab: Array) -> Array:
    """Return E[a+ b+] for centred (a, b) with variances aa, bb and covariance ab."""
    angle, cross = _angle(aa, bb, ab)
    return (cross + (jnp.pi - angle) * ab) / (2 * jnp.pi)


@centred_moment.defjvp
def _centred_moment_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    aa, bb, ab = primals
    angle, cross = _angle(aa, bb, ab)
    d_aa = _ratio(cross, aa) / (4 * jnp.pi)
    d_bb = _ratio(cross, bb) / (4 * jnp.pi)
    d_ab = _both_positive(angle, aa, bb)
    return centred_moment(aa, bb, ab), d_aa * tangents[0] + d_bb * tangents[1] + d_ab * tangents[2]


def centred_parts(aa: Array, bb: Array, ab: Array) -> tuple[Array, Array, Array]:
    """Return m = E[a+ b+] for centred (a, b), aa dm/daa = bb dm/dbb, and dm/dab."""
    angle, cross = _angle(aa, bb, ab)
    return centred_moment(aa, bb, ab), cross / (4 * jnp.pi), _both_positive(angle, aa, bb)


def _both_positive(angle: Array, aa: Array, bb: Array) -> Array:
    """Return P(a > 0, b > 0)."""
    # A neuron without weights is never active, as ReLU's derivative at 0 is 0.
    return jnp.where((aa == 0) | (bb == 0), 0.0, (jnp.pi - angle) / (2 * jnp.pi))


@jax.custom_jvp
def moment(a: Array, b: Array, aa: Array, bb: Array, ab: Array) -> Array:
    """Return E[A+ B+] for normal (A, B) with means a, b, variances aa, bb and covariance ab."""
    p = _standardize(a, b, aa, bb, ab)
    regular = (
        (a * b + ab) * upper_orthant(p)
        + a * p.s_b * norm.pdf(p.k) * norm.cdf(p.beta)
        + b * p.s_a * norm.pdf(p.h) * norm.cdf(p.alpha)
        + p.s_a * p.s_b * p.q * p.corner
    )
    # A neuron without weights is a constant: E[A+ B+] = a+ E[B+].
    fixed_a = jax.nn.relu(a) * positive_mean(b, bb)
    fixed_b = jax.nn.relu(b) * positive_mean(a, aa)
    return jnp.where(aa <= 0, fixed_a, jnp.where(bb <= 0, fixed_b, regular))


@moment.defjvp
def _moment_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    a, b, aa, bb, ab = primals
    p = _standardize(a, b, aa, bb, ab)
    both = upper_orthant(p)
    on_a, on_b = norm.pdf(p.h) * norm.cdf(p.alpha), norm.pdf(p.k) * norm.cdf(p.beta)
    # E[1{A > 0} B+], E[A+ 1{B > 0}], and E[delta(A) B+] / 2, E[A+ delta(B)] / 2.
    d_a = b * both + p.s_b * (on_b + p.r * on_a)
    d_b = a * both + p.s_a * (on_a + p.r * on_b)
    alpha = jnp.where(jnp.isfinite(p.alpha), p.alpha, 0)
    beta = jnp.where(jnp.isfinite(p.beta), p.beta, 0)
    rise_b = jnp.where(p.q == 0, jax.nn.relu(p.k - p.r * p.h) * norm.pdf(p.h), p.q * alpha * on_a)
    rise_a = jnp.where(p.q == 0, jax.nn.relu(p.h - p.r * p.k) * norm.pdf(p.k), p.q * beta * on_b)
    d_aa = _ratio(p.s_b * (rise_b + p.q * p.corner), p.s_a) / 2
    d_bb = _ratio(p.s_a * (rise_a + p.q * p.corner), p.s_b) / 2
    zero_a, zero_b = aa <= 0, bb <= 0
    chance_a = jnp.where(zero_a, (a > 0).astype(a.dtype), norm.cdf(p.h))
    chance_b = jnp.where(zero_b, (b > 0).astype(b.dtype), norm.cdf(p.k))
    either = zero_a | zero_b
    d_a = jnp.where(either, chance_a * positive_mean(b, bb), d_a)
    d_b = jnp.where(either, chance_b * positive_mean(a, aa), d_b)
    both = jnp.where(either, chance_a * chance_b, both)
    d_aa, d_bb = jnp.where(either, 0, d_aa), jnp.where(either, 0, d_bb)
    t_a, t_b, t_aa, t_bb, t_ab = tangents
    tangent = d_a * t_a + d_b * t_b + d_aa * t_aa + d_bb * t_bb + both * t_ab
    return moment(*primals), tangent


@jax.custom_jvp
def positive_mean(a: Array, aa: Array) -> Array:
    """Return E[A+] for normal A with mean a and variance aa."""
    s = jnp.sqrt(jax.nn.relu(aa))
    h = _ratio(a, s)
    return jnp.where(aa <= 0, jax.nn.relu(a), a * norm.cdf(h) + s * norm.pdf(h))


@positive_mean.defjvp
def _positive_mean_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    a, aa = primals
    s = jnp.sqrt(jax.nn.relu(aa))
    h = _ratio(a, s)
    d_a = jnp.where(aa <= 0, (a > 0).astype(a.dtype), norm.cdf(h))
    d_aa = jnp.where(aa <= 0, 0.0, _ratio(norm.pdf(h), s) / 2)
    return positive_mean(a, aa), d_a * tangents[0] + d_aa * tangents[1]


def upper_orthant(p: Standard) -> Array:
    """Return Phi2(h, k; r) = P(A > 0, B > 0).

    Owen 1956: (Phi(h) + Phi(k)) / 2 - T(h, alpha / h) - T(k, beta / k) - d with d = 1/2 if
    h k < 0, or h k = 0 and h + k < 0, else 0.
    """
    h, k = p.h, p.k
    wedge = owen_t(h, p.alpha, h) + owen_t(k, p.beta, k)
    opposite = (h * k < 0) | ((h * k == 0) & (h + k < 0))
    value = (norm.cdf(h) + norm.cdf(k)) / 2 - wedge - jnp.where(opposite, 0.5, 0.0)
    centre = (h == 0) & (k == 0)
    value = jnp.where(centre, 0.25 + jnp.arctan2(p.r, p.q) / (2 * jnp.pi), value)
    return jnp.clip(value, 0.0, jnp.minimum(norm.cdf(h), norm.cdf(k)))


def owen_t(h: Array, rise: Array, run: Array) -> Array:
    """Return Owen's T(h, rise / run) = int_0^a exp(-h^2 (1 + x^2) / 2) / (1 + x^2) dx / (2 pi).

    For a > 1 by T(h, a) = (Phi(h) + Phi(a h)) / 2 - Phi(h) Phi(a h) - T(a h, 1 / a), h, a >= 0.
    A quotient 0 / 0 counts as 0.
    """
    negative = (rise < 0) != (run < 0)
    rise, run, h = jnp.abs(rise), jnp.abs(run), jnp.abs(h)
    steep = rise > run
    small = jnp.where(steep, _ratio(run, rise), _ratio(rise, run))
    infinite = steep & (run == 0)
    stretched = jnp.where(infinite, jnp.inf, h * _ratio(rise, run))
    # 0 * inf: for h = 0 the value is atan(a) / (2 pi), which the swapped integral gives at 0.
    stretched = jnp.where(h == 0, 0.0, stretched)
    at = jnp.where(steep, stretched, h)
    integral = _short_t(at, small)
    p, other = norm.cdf(h), norm.cdf(stretched)
    value = jnp.where(steep, (p + other) / 2 - p * other - integral, integral)
    return jnp.where(negative, -value, value)


def _short_t(h: Array, a: Array) -> Array:
    """Return T(h, a) for 0 <= a <= 1."""
    x = a[..., None] * jnp.asarray(_NODES, a.dtype)
    square = 1 + x**2
    h = jnp.where(jnp.isfinite(h), h, 100.0)
    values = jnp.exp(-0.5 * h[..., None] ** 2 * square) / square
    return (values @ jnp.asarray(_WEIGHTS, a.dtype)) * a / (2 * jnp.pi)


def _angle(aa: Array, bb: Array, ab: Array) -> tuple[Array, Array]:
    """Return (angle between the two vectors, |a| |b| sin(angle))."""
    cross = jnp.sqrt(jax.nn.relu(aa * bb - ab**2))
    return jnp.arctan2(cross, ab), cross


class Standard(NamedTuple):
    """A standardized pair: h, k means over deviations; r, q cosine and sine; and what follows.

    Attributes:
        h: mean of A over its deviation.
        k: mean of B over its deviation.
        r: correlation.
        q: sqrt(1 - r^2).
        alpha: (k - r h) / q, which may be infinite.
        beta: (h - r k) / q.
        corner: exp(-(h^2 + alpha^2) / 2) / (2 pi) = q times the joint density at (0, 0).
        s_a: deviation of A.
        s_b: deviation of B.
    """

    h: Array
    k: Array
    r: Array
    q: Array
    alpha: Array
    beta: Array
    corner: Array
    s_a: Array
    s_b: Array


def _standardize(a: Array, b: Array, aa: Array, bb: Array, ab: Array) -> Standard:
    s_a, s_b = jnp.sqrt(jax.nn.relu(aa)), jnp.sqrt(jax.nn.relu(bb))
    angle, _ = _angle(aa, bb, ab)
    # Near r = 1 the terms of the moment cancel. They do so to rounding only if r and q belong to
    # one angle, and alpha and beta to one pair (h, k): hence beta = q h - r alpha.
    r, q = jnp.cos(angle), jnp.sin(angle)
    q = jnp.where((angle == 0) | (aa * bb - ab**2 <= 0), 0.0, q)
    h, k = _ratio(a, s_a), _ratio(b, s_b)
    distance = k - r * h
    limit = jnp.where(distance == 0, 0.0, jnp.sign(distance) * jnp.inf)
    alpha = jnp.where(q == 0, limit, distance / jnp.where(q == 0, 1.0, q))
    beta = q * h - r * alpha
    corner = jnp.exp(-0.5 * (h**2 + alpha**2)) / (2 * jnp.pi)
    return Standard(*jnp.broadcast_arrays(h, k, r, q, alpha, beta, corner, s_a, s_b))


def _ratio(a: Array, b: Array) -> Array:
    """Return a / b, 0 where b is 0."""
    return jnp.where(b == 0, 0.0, a / jnp.where(b == 0, 1.0, b))
