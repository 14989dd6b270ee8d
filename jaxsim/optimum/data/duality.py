"""Convex losses of one output as supporting lines: what weak duality for linear models needs.

For a convex loss phi(z) and a slope q let D(q) = inf_z phi(z) - q z, which is concave, and finite
on an interval: the domain. Whatever z is, phi(z) >= D(q) + q z, so that for z_i = x_i.w

    sum_i p_i phi_i(x_i.w) >= sum_i p_i D_i(q_i)   for all w    if    sum_i p_i q_i x_i = 0

(Rockafellar 1970, "Convex Analysis", section 31). With r = z - y for losses of regression, labels y
in {0, 1} and signs s = 2 y - 1 for the others, and H the entropy -a log a - (1 - a) log(1 - a):

    loss        phi(z)                       domain of q          D(q)
    squared     r^2                          all                  -q^2 / 4 - q y
    absolute    |r|                          [-1, 1]              -q y
    quantile    (1 - l) r+ + l (-r)+         [-l, 1 - l]          -q y
    huber       r^2 / 2, delta (|r| - d/2)   [-delta, delta]      -q^2 / 2 - q y
    log_cosh    log cosh r                   [-1, 1]              H((1 + q) / 2) - log 2 - q y
    power       |r|^k                        all                  -(k - 1) (|q| / k)^(k/(k-1)) - q y
    logistic    log(1 + e^(-s z))            q s in [-1, 0]       H(|q|)
    hinge       (1 - s z)+                   q s in [-1, 0]       |q|
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.problem.losses import Loss

Array = np.ndarray
Pair = tuple[Array, Array]


@dataclass(frozen=True)
class ScalarLoss:
    """A convex loss of one output z with label or value y.

    Attributes:
        value: (z, y) -> phi, relative error of a few units.
        slope: (z, y) -> a subgradient.
        curvature: (z, y) -> phi'' where it exists.
        dual: (q, y) -> (D(q), sum of the moduli of its terms).
        domain: y -> (least, largest) slope.
        freedom: (q, y) -> how freely q may be changed: phi'' as a function of the slope.
        linear: whether D is linear on its domain: then the dual problem is a linear program.
        interior: whether 0 lies inside of the domain.
    """

    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    curvature: Callable[[Array, Array], Array]
    dual: Callable[[Array, Array], Pair]
    domain: Callable[[Array], Pair]
    freedom: Callable[[Array, Array], Array]
    linear: bool = False
    interior: bool = True


def scalar_loss(loss: Loss) -> ScalarLoss | None:
    """Return a loss with its dual, None for one that has none here.

    The parameters of a loss are read off from its values.
    """
    match loss.name:
        case "squared":
            return _of_residual(
                np.square, lambda r: 2 * r, lambda r: 0 * r + 2, lambda q: -(q**2) / 4, math.inf
            )
        case "absolute":
            return _absolute()
        case "quantile":
            return _quantile(float(_rho(loss, -1.0)))
        case "huber":
            return _huber(float(loss.kinks[1]))
        case "log_cosh":
            return _log_cosh()
        case "power":
            return _power(loss)
        case "logistic":
            return logistic_dual()
        case "hinge":
            return _hinge()
    return None


def _rho(loss: Loss, r: float) -> float:
    assert loss.residual is not None
    return float(loss.residual(np.float64(r)))  # pyright: ignore[reportArgumentType]


def _of_residual(
    rho: Callable[[Array], Array],
    slope: Callable[[Array], Array],
    curvature: Callable[[Array], Array],
    dual: Callable[[Array], Array],
    reach: float | tuple[float, float],
    freedom: Callable[[Array], Array] | None = None,
    linear: bool = False,
) -> ScalarLoss:
    """Return a loss rho(z - y), where dual is inf_r rho(r) - q r."""
    low, high = reach if isinstance(reach, tuple) else (-reach, reach)

    def both(q: Array, y: Array) -> Pair:
        conjugate = dual(q)
        return conjugate - q * y, np.abs(conjugate) + np.abs(q * y)

    return ScalarLoss(
        value=lambda z, y: rho(z - y),
        slope=lambda z, y: slope(z - y),
        curvature=lambda z, y: curvature(z - y),
        dual=both,
        domain=lambda y: (np.full(len(y), low), np.full(len(y), high)),
        freedom=lambda q, y: (0 * q + 1.0) if freedom is None else freedom(q),
        linear=linear,
    )


def _absolute() -> ScalarLoss:
    return _of_residual(np.abs, np.sign, lambda r: 0 * r, lambda q: 0 * q, 1.0, linear=True)


def _quantile(level: float) -> ScalarLoss:
    return _of_residual(
        lambda r: np.where(r > 0, (1 - level) * r, -level * r),
        lambda r: np.where(r > 0, 1 - level, np.where(r < 0, -level, 0.5 - level)),
        lambda r: 0 * r,
        lambda q: 0 * q,
        (-level, 1 - level),
        linear=True,
    )


def _huber(delta: float) -> ScalarLoss:
    def rho(r: Array) -> Array:
        size = np.minimum(np.abs(r), delta)
        return size * size / 2 + delta * (np.abs(r) - size)

    return _of_residual(
        rho,
        lambda r: np.clip(r, -delta, delta),
        lambda r: 1.0 * (np.abs(r) < delta),
        lambda q: -(q**2) / 2,
        delta,
        lambda q: 1.0 * (np.abs(q) < delta),
    )


def _log_cosh() -> ScalarLoss:
    def rho(r: Array) -> Array:
        size = np.abs(r)
        near = np.log1p(2 * np.sinh(np.minimum(size, 1.0) / 2) ** 2)
        size = np.minimum(size, 1e300)
        return np.where(size < 1, near, size + np.log1p(np.exp(-2 * size)) - math.log(2.0))

    def dual(q: Array) -> Array:
        # H((1 + q)/2) - log 2, without the logarithms of 2 that cancel.
        return -0.5 * (scipy.special.xlog1py(1 + q, q) + scipy.special.xlog1py(1 - q, -q))

    return _of_residual(rho, np.tanh, lambda r: 1 - np.tanh(r) ** 2, dual, 1.0, lambda q: 1 - q * q)


def _power(loss: Loss) -> ScalarLoss | None:
    exponent = math.log2(_rho(loss, 2.0))
    if abs(exponent - round(exponent)) < 1e-12:
        exponent = float(round(exponent))
    if exponent == 1:
        return _absolute()
    if exponent < 1.5 or exponent > 16:
        return None
    k, conjugate = exponent, exponent / (exponent - 1)
    return _of_residual(
        lambda r: np.abs(r) ** k,
        lambda r: k * np.sign(r) * np.abs(r) ** (k - 1),
        lambda r: k * (k - 1) * np.maximum(np.abs(r), 1e-12) ** (k - 2),
        lambda q: -(k - 1) * (np.abs(q) / k) ** conjugate,
        math.inf,
    )


def _signed_domain(y: Array) -> Pair:
    return -1.0 * (y == 1), 1.0 * (y == 0)


def logistic_dual() -> ScalarLoss:
    """Return the logistic loss."""

    def dual(q: Array, y: Array) -> Pair:
        a = np.abs(q)
        entropy = -scipy.special.xlogy(a, a) - scipy.special.xlog1py(1 - a, -a)
        return entropy, np.abs(entropy)

    return ScalarLoss(
        value=lambda z, y: np.logaddexp(0.0, np.where(y == 1, -z, z)),
        slope=lambda z, y: np.where(y == 1, -scipy.special.expit(-z), scipy.special.expit(z)),
        curvature=lambda z, y: scipy.special.expit(z) * scipy.special.expit(-z),
        dual=dual,
        domain=_signed_domain,
        freedom=lambda q, y: np.abs(q) * (1 - np.abs(q)),
        interior=False,
    )


def _hinge() -> ScalarLoss:
    return ScalarLoss(
        value=lambda z, y: np.maximum(1 - np.where(y == 1, z, -z), 0.0),
        slope=lambda z, y: np.where(y == 1, -1.0 * (z < 1), 1.0 * (z > -1)),
        curvature=lambda z, y: 0 * z,
        dual=lambda q, y: (np.abs(q), np.abs(q)),
        domain=_signed_domain,
        freedom=lambda q, y: 0 * q + 1.0,
        linear=True,
        interior=False,
    )
