"""Activation functions, with what theory, certificates and quadrature must know of each.

A new one is a factory that returns an `Activation`, and a line in `ACTIVATIONS`: nothing else knows
its name. What an activation declares is checked over the registry by property tests, and proofs
rest on it: leave out what is not certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.errors import InputError

INF = math.inf


@dataclass(frozen=True)
class LearnedSlope:
    """Slopes of an activation for negative arguments that are trained with the other parameters.

    Attributes:
        initial: at initialization.
        per_neuron: one for each neuron of a layer; else one that the layer shares.
    """

    initial: float
    per_neuron: bool


@dataclass(frozen=True)
class Activation:
    """An activation function A: R -> R.

    Attributes:
        name: its name in the registry.
        function: A, elementwise, for any shape and floating dtype.
        breakpoints: all points where A is not smooth, in increasing order.
        flat: closed intervals on which A is constant *and* its derivative, as JAX computes it, is
            exactly zero, ends included: a neuron whose pre-activation stays in one of them on the
            whole support of X is inactive and receives no gradient.
        piecewise_linear: A is continuous, and affine between neighbouring breakpoints.
        non_negative: A >= 0 everywhere, also as computed.
        slope_from_value: A'(A(x)) = A'(x) for all x, so that the value tells the derivative.
        lipschitz: |A(x) - A(y)| <= lipschitz |x - y| for all x and y; infinite if none is known.
        monotone: A is non-decreasing.
        rounding: a computed A(x) is wrong by at most this many units in the last place of
            |A(x)| + lipschitz |x|; 0 if every value is x itself or a constant.
        learned: slopes that are trained; all other facts are of those at initialization, then, and
            a network with it has no activation that proofs could rest on.

    Example:
        >>> clipped_relu(0.0, 2.0).lipschitz, clipped_relu(0.0, 2.0).flat
        (1.0, ((-inf, 0.0), (2.0, inf)))
    """

    name: str
    function: Callable[[Array], Array]
    breakpoints: tuple[float, ...] = ()
    flat: tuple[tuple[float, float], ...] = ()
    piecewise_linear: bool = False
    non_negative: bool = False
    slope_from_value: bool = False
    lipschitz: float = INF
    monotone: bool = False
    rounding: float = 8.0
    learned: LearnedSlope | None = None


def relu() -> Activation:
    """max(x, 0), with derivative 0 at 0."""
    return Activation(
        "relu",
        jax.nn.relu,
        (0.0,),
        ((-INF, 0.0),),
        piecewise_linear=True,
        non_negative=True,
        slope_from_value=True,
        lipschitz=1.0,
        monotone=True,
        rounding=0.0,
    )


def clipped_relu(low: float = 0.0, high: float = 1.0) -> Activation:
    """min(max(x, low), high), with derivative 0 at both ends."""
    if not low < high:
        raise InputError(f"low = {low} must be less than high = {high}")

    def clip(x: Array) -> Array:
        # jnp.clip and jax.nn.relu6 have derivative 1/2 at the ends; a `where` has 0.
        return jnp.where(x <= low, low, jnp.where(x >= high, high, x))

    flat = ((-INF, low), (high, INF))
    return Activation(
        "clipped_relu",
        clip,
        (low, high),
        flat,
        piecewise_linear=True,
        non_negative=low >= 0,
        slope_from_value=True,
        lipschitz=1.0,
        monotone=True,
        rounding=0.0,
    )


def relu6() -> Activation:
    """min(max(x, 0), 6), with derivative 0 at 0 and 6 (jax.nn.relu6 has 1/2 there)."""
    return clipped_relu(0.0, 6.0)


def hard_tanh() -> Activation:
    """min(max(x, -1), 1), with derivative 0 at -1 and 1."""
    return clipped_relu(-1.0, 1.0)


def relu_power(power: float = 2.0) -> Activation:
    """max(x, 0)^power, for a power of at least 1."""
    if power < 1:
        raise InputError(f"power = {power} must be at least 1")
    exponent = int(power) if float(power).is_integer() else power
    return Activation(
        "relu_power",
        lambda x: jax.nn.relu(x) ** exponent,
        (0.0,),
        ((-INF, 0.0),),
        piecewise_linear=power == 1,
        non_negative=True,
        lipschitz=1.0 if power == 1 else INF,
        monotone=True,
    )


def leaky_relu(negative_slope: float = 0.01) -> Activation:
    """The identity for x >= 0, else negative_slope * x."""
    if negative_slope == 0:
        return replace(relu(), name="leaky_relu")
    return Activation(
        "leaky_relu",
        lambda x: jax.nn.leaky_relu(x, negative_slope),
        (0.0,),
        piecewise_linear=True,
        non_negative=negative_slope < 0,
        slope_from_value=negative_slope > 0,
        lipschitz=max(1.0, abs(negative_slope)),
        monotone=negative_slope >= 0,
    )


def prelu(initial_slope: float = 0.25, per_neuron: bool = False) -> Activation:
    """The identity for x > 0, else a x; a is trained, one for each layer or for each neuron.

    As in PyTorch, whose default is one of 0.25 for the layer (flax: 0.01).
    """
    return Activation(
        "prelu",
        lambda x: jnp.where(x > 0, x, initial_slope * x),
        (0.0,),
        piecewise_linear=True,
        lipschitz=max(1.0, abs(initial_slope)),
        monotone=initial_slope >= 0,
        learned=LearnedSlope(initial_slope, per_neuron),
    )


def elu(alpha: float = 1.0) -> Activation:
    """The identity for x > 0, else alpha (exp(x) - 1)."""
    steepest = max(1.0, abs(alpha))
    return Activation(
        "elu",
        lambda x: jax.nn.elu(x, alpha),
        (0.0,),
        lipschitz=steepest,
        monotone=alpha >= 0,
    )


def selu() -> Activation:
    """Scaled elu with the self-normalizing constants (Klambauer et al. 2017)."""
    return Activation("selu", jax.nn.selu, (0.0,), lipschitz=1.7581, monotone=True)


def celu(alpha: float = 1.0) -> Activation:
    """The identity for x > 0, else alpha (exp(x / alpha) - 1)."""
    if alpha <= 0:
        raise InputError(f"alpha = {alpha} must be positive")
    return Activation("celu", lambda x: jax.nn.celu(x, alpha), (0.0,), lipschitz=1.0, monotone=True)


def gelu(approximate: bool = False) -> Activation:
    """The product x Phi(x), or its tanh approximation (the default of jax.nn.gelu)."""
    return Activation("gelu", lambda x: jax.nn.gelu(x, approximate=approximate), lipschitz=1.13)


def softplus(beta: float = 1.0) -> Activation:
    """log(1 + exp(beta x)) / beta."""
    if beta <= 0:
        raise InputError(f"beta = {beta} must be positive")
    return Activation(
        "softplus",
        lambda x: jax.nn.softplus(beta * x) / beta,
        non_negative=True,
        lipschitz=1.0,
        monotone=True,
    )


def squareplus(b: float = 4.0) -> Activation:
    """(x + sqrt(x^2 + b)) / 2."""
    if b < 0:
        raise InputError(f"b = {b} must not be negative")
    return Activation(
        "squareplus",
        lambda x: jax.nn.squareplus(x, b),
        non_negative=True,
        lipschitz=1.0,
        monotone=True,
    )


def sine(frequency: float = 1.0) -> Activation:
    """sin(frequency x)."""
    return Activation("sine", lambda x: jnp.sin(frequency * x), lipschitz=abs(frequency))


def _smooth(name: str, function: Callable[[Array], Array], **facts: Any):
    def factory() -> Activation:
        return Activation(name, function, **facts)

    factory.__doc__ = f"{name}, as jax.nn defines it."
    return factory


def function(
    function: Callable[..., Any] | str,
    breakpoints: tuple[float, ...] = (),
    non_negative: bool = False,
) -> Activation:
    """Return an activation of your own: a pure elementwise JAX function of any floating array.

    No flat interval is claimed of it, so that nothing is called inactive or provable.

    Args:
        function: "module:function", which needs permission to run code, or the function itself.
        breakpoints: where it is not smooth; quadrature puts its nodes between them.
        non_negative: whether it is certainly never negative.

    Raises:
        InputError: for a reference in place of a function, or one that is not elementwise.
    """
    if not callable(function):
        raise InputError(
            f"function = {function!r} is not imported without permission: give --allow-code or "
            "allow_code=True"
        )
    example = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    try:
        result = jax.eval_shape(function, example)
    except Exception as error:
        raise InputError(f"function cannot be applied to an array: {error}") from error
    if getattr(result, "shape", None) != example.shape or result.dtype != example.dtype:
        raise InputError(
            f"function maps a float32 array of shape (2, 3) to {result}; accepted: one of the same "
            "shape and dtype"
        )
    return Activation("function", function, tuple(sorted(breakpoints)), non_negative=non_negative)


def identity() -> Activation:
    """The identity: the network is affine."""
    return Activation(
        "identity",
        lambda x: x,
        piecewise_linear=True,
        slope_from_value=True,
        lipschitz=1.0,
        monotone=True,
        rounding=0.0,
    )


ACTIVATIONS: dict[str, Callable[..., Activation]] = {
    "relu": relu,
    "clipped_relu": clipped_relu,
    "relu6": relu6,
    "hard_tanh": hard_tanh,
    "relu_power": relu_power,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "elu": elu,
    "function": function,
    "selu": selu,
    "celu": celu,
    "gelu": gelu,
    "silu": _smooth("silu", jax.nn.silu, lipschitz=1.1),
    "mish": _smooth("mish", jax.nn.mish, lipschitz=1.09),
    "softplus": softplus,
    "squareplus": squareplus,
    "tanh": _smooth("tanh", jnp.tanh, lipschitz=1.0, monotone=True),
    "sigmoid": _smooth("sigmoid", jax.nn.sigmoid, non_negative=True, lipschitz=0.25, monotone=True),
    "soft_sign": _smooth(
        "soft_sign", jax.nn.soft_sign, breakpoints=(0.0,), lipschitz=1.0, monotone=True
    ),
    "sine": sine,
    "identity": identity,
}
