"""The loss averaged over the noise: what a risk rule integrates over the law of X.

With additive noise Y = f(X) + xi, independent in every output, and an additive loss
sum_o rho(prediction_o - y_o), the inner expectation is a smoothed residual function,

    E_xi l(prediction, f + xi) = sum_o rho~(prediction_o - f_o),   rho~(r) = E rho(r - xi).

rho~ is rho plus a constant for the squared loss, exact by Gauss quadrature for polynomial rho, and
otherwise a composite Gauss-Legendre rule split where rho(r - xi) has its kinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from jaxsim.evidence import PROVED, Evidence, estimated
from jaxsim.problem.losses import Loss
from jaxsim.problem.problem import Problem

NORMAL_REACH = 8.5
"""Standard deviations beyond which normal noise is ignored: a mass of 2e-17."""

_ROUNDING = 1e-13
"""Of sums of some hundred values that are not negative."""


@dataclass(frozen=True)
class Integrand:
    """A loss whose noise has been averaged out.

    Attributes:
        function: (prediction [n, outputs], target [n, ...]) -> [n].
        kinks: residuals at which it is not smooth.
        degree: of the polynomial in the residual between kinks; None if it is none.
        exact: whether the average over the noise is exact to rounding.
        relative_error: of the average over the noise.
        coarse: the same by a coarser average over the noise, where the error is not known.
        centre: y -> what a prediction is compared with; its difference is the residual.
        own: whether it is a function of the user's, of which nothing is known.
        signed: whether it may be negative, so that sums may cancel.
        cancels: whether it is evaluated as a difference of numbers of the prediction's size.
    """

    function: Callable[[Array, Array], Array]
    kinks: tuple[float, ...]
    degree: int | None
    exact: bool = True
    relative_error: float = 0.0
    coarse: Callable[[Array, Array], Array] | None = None
    centre: Callable[[Array], Array] = lambda y: y
    own: bool = False
    signed: bool = False
    cancels: bool = False

    @property
    def evidence(self) -> Evidence:
        """What a bound on the rounding of a finite sum of its values rests on."""
        evidence = PROVED if self.exact else estimated("the average over the noise")
        return evidence & estimated("rounding of the study's own loss") if self.own else evidence

    def size(self, losses: Array, weights: Array, value: Array) -> Array:
        """Return the sum of the moduli of the losses, whose rounding is relative to it."""
        return weights @ jnp.abs(losses) if self.signed else value


def noise_free(problem: Problem) -> Integrand:
    """Return the loss itself."""
    loss = problem.loss
    if loss.name == "hinge":
        # (1 - s p)+ has its kink where the logit p equals the sign s = 2 y - 1.
        return Integrand(loss.function, (0.0,), 1, centre=lambda y: 2 * y - 1)
    return Integrand(
        loss.function,
        tuple(loss.kinks),
        loss.degree,
        own=loss.name == "function",
        signed=loss.lower_bound < 0,
        cancels=loss.kind == "classes",
    )


def integrand(problem: Problem) -> Integrand:
    """Return the loss of a problem averaged over its noise."""
    loss, noise = problem.loss, problem.noise
    if noise.kind == "none" or noise.variance == 0:
        return noise_free(problem)
    if not loss.additive:
        fine, coarse = (_averaged(loss, *noise.quadrature(n)) for n in (64, 32))
        return Integrand(
            fine,
            (),
            None,
            exact=False,
            relative_error=1e-12,
            coarse=coarse,
            own=loss.name == "function",
            signed=loss.lower_bound < 0,
        )
    rho = loss.residual
    assert rho is not None
    if loss.degree is not None and not loss.kinks:
        if loss.degree <= 2:
            return _shifted(loss, 0.5 * noise.variance * float(_second_difference(rho)))
        nodes, weights = noise.quadrature(loss.degree // 2 + 1)
        smooth = _discrete(rho, np.asarray(nodes), np.asarray(weights))
        return Integrand(_sum_of(smooth), (), loss.degree, relative_error=_ROUNDING)
    deviation = float(np.sqrt(noise.variance))
    if noise.kind == "uniform":
        half = float(np.sqrt(3.0)) * deviation
        smooth = _split(rho, loss.kinks, np.array([-half, 0.0, half]), _box(half), 24)
        degree = None if loss.degree is None else loss.degree + 1
        kinks = tuple(sorted({k + s * half for k in loss.kinks for s in (-1, 1)}))
        exact = degree is not None
        return Integrand(_sum_of(smooth), kinks, degree, exact, _ROUNDING if exact else 1e-11)
    panels = np.linspace(-NORMAL_REACH, NORMAL_REACH, 18) * deviation
    smooth = _split(rho, loss.kinks, panels, _bell(deviation), 8)
    return Integrand(_sum_of(smooth), (), None, exact=False, relative_error=1e-11)


def _second_difference(rho: Callable[[Array], Array]) -> Array:
    """Return rho'' of a polynomial of degree at most 2."""
    return rho(jnp.asarray(1.0)) + rho(jnp.asarray(-1.0)) - 2 * rho(jnp.asarray(0.0))


def _averaged(loss: Loss, nodes: np.ndarray, weights: np.ndarray) -> Callable:
    """Return the average of any loss of one output over noise."""

    def function(prediction: Array, y: Array) -> Array:
        noisy = y + jnp.asarray(nodes, y.dtype)[:, None, None]
        losses = loss.function(jnp.broadcast_to(prediction, noisy.shape), noisy)
        return jnp.asarray(weights, y.dtype) @ losses

    return function


def _shifted(loss: Loss, constant: float) -> Integrand:
    def function(prediction: Array, y: Array) -> Array:
        return loss.function(prediction, y) + constant * prediction.shape[-1]

    return Integrand(function, (), loss.degree)


def _sum_of(rho: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    def function(prediction: Array, y: Array) -> Array:
        return rho(prediction - y).sum(-1)

    return function


def _discrete(rho: Callable, nodes: np.ndarray, weights: np.ndarray) -> Callable:
    def smooth(r: Array) -> Array:
        shifted = r[..., None] - jnp.asarray(nodes, r.dtype)
        return rho(shifted) @ jnp.asarray(weights, r.dtype)

    return smooth


def _split(
    rho: Callable, kinks: tuple[float, ...], panels: np.ndarray, density: Callable, order: int
) -> Callable:
    """Return r -> integral of rho(r - xi) density(xi), Gauss-Legendre between panels and kinks."""
    nodes, weights = np.polynomial.legendre.leggauss(order)

    def smooth(r: Array) -> Array:
        fixed = jnp.broadcast_to(jnp.asarray(panels, r.dtype), (*r.shape, panels.size))
        moving = r[..., None] - jnp.asarray(kinks, r.dtype)
        moving = jnp.clip(moving, panels[0], panels[-1])
        # Where the kinks lie is no part of the derivative: rho is continuous across them.
        edges = jnp.sort(jnp.concatenate([fixed, stop_gradient(moving)], axis=-1), axis=-1)
        half = (edges[..., 1:] - edges[..., :-1]) / 2
        middle = (edges[..., 1:] + edges[..., :-1]) / 2
        xi = middle[..., None] + half[..., None] * jnp.asarray(nodes, r.dtype)
        values = rho(r[..., None, None] - xi) * density(xi)
        return ((values @ jnp.asarray(weights, r.dtype)) * half).sum(-1)

    return smooth


def _box(half: float) -> Callable[[Array], Array]:
    return lambda xi: jnp.full_like(xi, 0.5 / half)


def _bell(deviation: float) -> Callable[[Array], Array]:
    scale = 1 / (deviation * np.sqrt(2 * np.pi))
    return lambda xi: scale * jnp.exp(-0.5 * (xi / deviation) ** 2)
