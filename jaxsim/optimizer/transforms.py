"""Gradient transformations that optax does not have, in its style.

Nadamax, and the forms in which PyTorch, Keras or the original papers define methods that optax
defines otherwise. All keep two moments of the gradients g_1, g_2, ..., componentwise:

    m_t = b1 m_{t-1} + (1 - b1) g_t,
    v_t = b2 v_{t-1} + (1 - b2) g_t^2     or     u_t = max(b2 u_{t-1}, |g_t|),

and differ in the ratio they form. Scalars are computed in the widest float there is; leaves keep
their dtype. A component whose gradients have all been zero moves by exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array


class MomentState(NamedTuple):
    """Moments of the gradients.

    Attributes:
        steps: how many were taken.
        first: m_t.
        second: v_t or u_t.
        largest: the largest v so far, for AMSGrad; else empty.
        product: mu_1 ... mu_t, for Nadam with a momentum schedule.
    """

    steps: Array
    first: Any
    second: Any
    largest: Any
    product: Array


class Step(NamedTuple):
    """What a ratio may use besides the leaves.

    Attributes:
        first: 1 - b1^t.
        next_first: 1 - b1^(t+1).
        second: 1 - b2^t.
        mu: mu_t.
        next_mu: mu_{t+1}.
        product: mu_1 ... mu_t.
    """

    first: Array
    next_first: Array
    second: Array
    mu: Array
    next_mu: Array
    product: Array


Ratio = Callable[[Array, Array, Array, Array, Step], Array]
"""(g, m, second moment, largest second moment, step) -> direction, for one leaf."""


def scale_by_moments(
    b1: float,
    b2: float,
    ratio: Ratio,
    *,
    infinity: bool = False,
    inner_eps: float = 0.0,
    largest: bool = False,
    momentum: Callable[[Array], Array] | None = None,
) -> optax.GradientTransformation:
    """Return the transformation that forms a ratio of moments.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.
        ratio: forms the direction of a leaf.
        infinity: the second moment is u, with max(b2 u, |g| + inner_eps).
        inner_eps: see `infinity`.
        largest: track the componentwise maximum of v_t.
        momentum: t -> mu_t, the momentum schedule of Nadam; None for constant b1.
    """
    schedule = momentum or (lambda t: jnp.asarray(b1, float))

    def init(params: Any) -> MomentState:
        zeros = optax.tree.zeros_like(params)
        return MomentState(
            steps=jnp.zeros((), jnp.int32),
            first=zeros,
            second=zeros,
            largest=zeros if largest else (),
            product=jnp.ones((), float),
        )

    def update(updates: Any, state: MomentState, params: Any = None) -> tuple[Any, MomentState]:
        del params
        steps = jnp.asarray(optax.safe_increment(state.steps))
        t = steps.astype(float)
        first = optax.tree.update_moment(updates, state.first, b1, 1)
        if infinity:
            second = optax.tree.update_infinity_moment(updates, state.second, b2, inner_eps)
        else:
            second = optax.tree.update_moment(updates, state.second, b2, 2)
        peak = jax.tree.map(jnp.maximum, state.largest, second) if largest else ()
        mu, next_mu = schedule(t), schedule(t + 1)
        product = state.product * mu
        step = Step(
            1 - jnp.power(b1, t),
            1 - jnp.power(b1, t + 1),
            1 - jnp.power(b2, t),
            mu,
            next_mu,
            product,
        )

        def leaf(g: Array, m: Array, v: Array, peak: Array) -> Array:
            narrow = Step(*(s.astype(g.dtype) for s in step))
            return ratio(g, m, v, peak, narrow).astype(g.dtype)

        direction = jax.tree.map(leaf, updates, first, second, peak if largest else second)
        return direction, MomentState(steps, first, second, peak, product)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def quotient(numerator: Array, denominator: Array) -> Array:
    """Return numerator / denominator, and 0 where the denominator vanishes."""
    zero = denominator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))


def scale_by_nadamax(
    b1: float, b2: float, eps: float, *, inner: bool = True, lookahead: bool = True
) -> optax.GradientTransformation:
    """Return Nadam's numerator over Adamax's denominator (Dozat 2015).

    d_t = [ b1 m_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t) ] / u_t, with
    u_t = max(b2 u_{t-1}, |g_t| + eps) if `inner`, else max(b2 u_{t-1}, |g_t|) + eps and 0/0 = 0.
    Without `lookahead` both terms are divided by 1 - b1^t.
    """

    def ratio(g: Array, m: Array, u: Array, _: Array, s: Step) -> Array:
        ahead = s.next_first if lookahead else s.first
        numerator = b1 * m / ahead + (1 - b1) * g / s.first
        return quotient(numerator, u if inner else u + eps)

    return scale_by_moments(b1, b2, ratio, infinity=True, inner_eps=eps if inner else 0.0)


def scale_by_adamax_outer(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Return d_t = m_t / (1 - b1^t) / (u_t + eps), u_t = max(b2 u_{t-1}, |g_t|), 0/0 = 0.

    Kingma and Ba (arXiv:1412.6980, Algorithm 2) with eps = 0; Keras with eps = 1e-7.
    """

    def ratio(g: Array, m: Array, u: Array, _: Array, s: Step) -> Array:
        return quotient(m / s.first, u + eps)

    return scale_by_moments(b1, b2, ratio, infinity=True)


def scale_by_adam_epsilon_hat(
    b1: float, b2: float, eps: float, *, largest: bool = False
) -> optax.GradientTransformation:
    """Return d_t = sqrt(1 - b2^t) / (1 - b1^t) m_t / (sqrt(v_t) + eps), or with max_s v_s.

    The order of computation suggested at the end of section 2 of Kingma and Ba; Keras's Adam and,
    with the largest v, its AMSGrad.
    """

    def ratio(g: Array, m: Array, v: Array, peak: Array, s: Step) -> Array:
        return jnp.sqrt(s.second) / s.first * m / (jnp.sqrt(peak if largest else v) + eps)

    return scale_by_moments(b1, b2, ratio, largest=largest)


def scale_by_amsgrad_raw(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Return d_t = m_t / (1 - b1^t) / ( sqrt(max_s v_s / (1 - b2^t)) + eps ): PyTorch's AMSGrad."""

    def ratio(g: Array, m: Array, _: Array, peak: Array, s: Step) -> Array:
        return m / s.first / (jnp.sqrt(peak) / jnp.sqrt(s.second) + eps)

    return scale_by_moments(b1, b2, ratio, largest=True)


def scale_by_nadam_scheduled(
    b1: float, b2: float, eps: float, momentum_decay: float
) -> optax.GradientTransformation:
    """Return Nadam with the momentum schedule mu_t = b1 (1 - 0.96^(momentum_decay t) / 2).

    d_t = [ mu_{t+1} m_t / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) g_t / (1 - mu_1 ... mu_t) ]
          / ( sqrt(v_t / (1 - b2^t)) + eps ).
    PyTorch with momentum_decay = 0.004, Keras with 1.
    """

    def schedule(t: Array) -> Array:
        return b1 * (1 - 0.5 * 0.96 ** (momentum_decay * t))

    def ratio(g: Array, m: Array, v: Array, _: Array, s: Step) -> Array:
        ahead = s.next_mu * m / (1 - s.product * s.next_mu)
        here = (1 - s.mu) * g / (1 - s.product)
        return (ahead + here) / (jnp.sqrt(v / s.second) + eps)

    return scale_by_moments(b1, b2, ratio, momentum=schedule)


class AccumulatorState(NamedTuple):
    """Sum of the squared gradients."""

    squares: Any


def scale_by_adagrad_outer(initial_accumulator: float, eps: float) -> optax.GradientTransformation:
    """Return d_t = g_t / (sqrt(S_t) + eps), S_t = S_{t-1} + g_t^2: PyTorch's Adagrad."""

    def init(params: Any) -> AccumulatorState:
        return AccumulatorState(optax.tree.full_like(params, initial_accumulator))

    def update(
        updates: Any, state: AccumulatorState, params: Any = None
    ) -> tuple[Any, AccumulatorState]:
        del params
        squares = jax.tree.map(lambda g, s: s + g * g, updates, state.squares)
        direction = jax.tree.map(lambda g, s: quotient(g, jnp.sqrt(s) + eps), updates, squares)
        return direction, AccumulatorState(squares)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]
