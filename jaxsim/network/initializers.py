"""Laws of the random initialization, drawn in float64.

A law draws the weights [fan_in, fan_out] or the biases [fan_out] of one layer from the fans of that
layer. `scale` parameters are standard deviations or bounds, multiplied by fan_in^fan_in_power
and fan_out^fan_out_power, so that every published scaling can be written down.

The scale may be given as data, so that laws that differ in nothing else share a compiled draw. XLA
makes one factor of the scale and the square root of 2 that a normal draw ends with: given as data,
the scale of a normal law is their product, for the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.errors import InputError

Draw = Callable[..., Array]
Scale = Callable[[int, int], float]


@dataclass(frozen=True)
class Initializer:
    """The law of the weights or biases of a layer at initialization.

    Attributes:
        name: its name in the registry.
        draw: (key, fan_in, fan_out, shape) -> float64 array of that shape; shape is
            (fan_in, fan_out) for weights and (fan_out,) for biases. Laws with a `structure` take
            a further argument `scale` in place of their own.
        marginal: (fan_in, fan_out) -> frozen scipy.stats law of one entry if the entries are
            independent and identically distributed with a density; None otherwise.
        draw_joint: for laws that draw weights and biases together, (key, fan_in, fan_out) ->
            (weights, biases); None otherwise.
        constant: the value if the law is deterministic, else None.
        weights_only: the law is one of matrices and cannot be that of biases.
        scale: (fan_in, fan_out) -> the number that its draw may be given as data.
        structure: what fixes the law besides `scale`; None if its draw takes no scale.
    """

    name: str
    draw: Draw
    marginal: Callable[[int, int], Any] | None = None
    draw_joint: Callable[[Array, int, int], tuple[Array, Array]] | None = None
    constant: float | None = None
    weights_only: bool = False
    scale: Scale = lambda fan_in, fan_out: 1.0
    structure: str | None = None


def _times_normal(
    key: Array, shape: tuple[int, ...], std: float, scale: Array | None = None
) -> Array:
    """Return std Z for standard normal Z; `scale` as data is sqrt(2) std."""
    if scale is None:
        return std * jax.random.normal(key, shape, jnp.float64)
    low = np.nextafter(-1.0, 0.0)
    return scale * jax.lax.erf_inv(jax.random.uniform(key, shape, jnp.float64, low, 1.0))


def _of_normal(std: Scale) -> Scale:
    return lambda fan_in, fan_out: std(fan_in, fan_out) * float(np.sqrt(2))


def _normal(name: str, std: Scale) -> Initializer:
    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        return _times_normal(key, shape, std(fan_in, fan_out), scale)

    return Initializer(
        name,
        draw,
        lambda i, o: scipy.stats.norm(0.0, std(i, o)),
        scale=_of_normal(std),
        structure="normal",
    )


def _uniform(name: str, bound: Scale) -> Initializer:
    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        b = bound(fan_in, fan_out) if scale is None else scale
        return jax.random.uniform(key, shape, jnp.float64, -b, b)

    return Initializer(
        name,
        draw,
        lambda i, o: scipy.stats.uniform(-bound(i, o), 2 * bound(i, o)),
        scale=bound,
        structure="uniform",
    )


def _truncated(name: str, std: Scale, cut: float) -> Initializer:
    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        unit = jax.random.truncated_normal(key, -cut, cut, shape, jnp.float64)
        return (std(fan_in, fan_out) if scale is None else scale) * unit

    return Initializer(
        name,
        draw,
        lambda i, o: scipy.stats.truncnorm(-cut, cut, scale=std(i, o)),
        scale=std,
        structure=f"truncated at {cut!r}",
    )


def _power(base: float, fan_in_power: float, fan_out_power: float, name: str) -> Scale:
    if base <= 0:
        raise InputError(f"{name} = {base} must be positive; use law = 'zero' for zeros")
    return lambda fan_in, fan_out: base * fan_in**fan_in_power * fan_out**fan_out_power


def normal(std: float = 1.0, fan_in_power: float = 0.0, fan_out_power: float = 0.0) -> Initializer:
    """N(0, s^2) with s = std fan_in^fan_in_power fan_out^fan_out_power."""
    return _normal("normal", _power(std, fan_in_power, fan_out_power, "std"))


def uniform(
    bound: float = 1.0, fan_in_power: float = 0.0, fan_out_power: float = 0.0
) -> Initializer:
    """U(-b, b) with b = bound fan_in^fan_in_power fan_out^fan_out_power."""
    return _uniform("uniform", _power(bound, fan_in_power, fan_out_power, "bound"))


def truncated_normal(
    std: float = 1.0, cut: float = 2.0, fan_in_power: float = 0.0, fan_out_power: float = 0.0
) -> Initializer:
    """The law of s Z, Z standard normal conditioned on |Z| <= cut, and s as in `normal`.

    The standard deviation is smaller than s: that of Z is 0.8796 for cut = 2.
    """
    if cut <= 0:
        raise InputError(f"cut = {cut} must be positive")
    return _truncated("truncated_normal", _power(std, fan_in_power, fan_out_power, "std"), cut)


def constant(value: float) -> Initializer:
    """The same value for all entries."""

    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        return jnp.full(shape, value if scale is None else scale, jnp.float64)

    return Initializer(
        "constant", draw, constant=value, scale=lambda i, o: value, structure="constant"
    )


def zero() -> Initializer:
    """All entries zero."""
    return constant(0.0)


def orthogonal(scale: float = 1.0) -> Initializer:
    """Uniformly distributed (semi-)orthogonal weights times a scale (Saxe et al. 2014)."""
    own = scale

    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        factor: Any = own if scale is None else scale
        return jax.nn.initializers.orthogonal(factor)(key, shape, jnp.float64)

    return Initializer(
        "orthogonal", draw, weights_only=True, scale=lambda i, o: own, structure="orthogonal"
    )


def pytorch() -> Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the default of torch.nn.Linear for weights and biases."""
    return _uniform("pytorch", lambda fan_in, fan_out: fan_in**-0.5)


def randomized_asymmetric() -> Initializer:
    """Randomized asymmetric initialization of Lu, Shin, Su and Karniadakis (arXiv:1903.06733).

    The augmented row (weights and bias of one neuron, fan_in + 1 entries) is drawn from
    N(0, 0.6007^2 / fan_in), then one entry, chosen uniformly, is replaced by a Beta(2, 1) draw.
    Draws the biases too: leave `biases` out.
    """

    def draw_joint(key: Array, fan_in: int, fan_out: int) -> tuple[Array, Array]:
        rows, places, values = (jax.random.fold_in(key, i) for i in range(3))
        v = jax.random.normal(rows, (fan_out, fan_in + 1), jnp.float64) * 0.6007 / fan_in**0.5
        place = jax.random.randint(places, (fan_out,), 0, fan_in + 1)
        # Beta(2, 1) has distribution function x^2: the root of a uniform draw.
        beta = jnp.sqrt(jax.random.uniform(values, (fan_out,), jnp.float64))
        v = v.at[jnp.arange(fan_out), place].set(beta, unique_indices=True)
        return v[:, :-1].T, v[:, -1]

    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        return draw_joint(key, fan_in, fan_out)[0]

    return Initializer(
        "randomized_asymmetric",
        draw,
        draw_joint=draw_joint,
        weights_only=True,
        structure="randomized asymmetric",
    )


def mirrored_normal(std: float = 1.0, fan_in_power: float = 0.0) -> Initializer:
    """Pairs of neurons with opposite weights: w_2j = -w_2j-1, each from N(0, s^2).

    s = std fan_in^fan_in_power. Of an odd number of neurons the last has no partner. At every point
    one neuron of a pair of ReLUs without biases is active.
    """
    own = _power(std, fan_in_power, 0.0, "std")

    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        half = jax.random.normal(key, (fan_in, -(-fan_out // 2)), jnp.float64)
        factor = own(fan_in, fan_out) if scale is None else scale
        pairs = factor * jnp.stack([half, -half], axis=-1)
        return pairs.reshape(fan_in, -1)[:, :fan_out]

    return Initializer(
        "mirrored_normal", draw, weights_only=True, scale=own, structure="mirrored normal"
    )


_TRIES = 4096
"""Draws by which it is seen whether a law that draws again until something holds ever ends."""


def covering_normal(
    points: tuple[tuple[float, ...], ...], std: float = 1.0, margin: float = 0.0
) -> Initializer:
    """N(0, std^2) given that at every point x some neuron of the layer has w . x > margin.

    Drawn again, the whole layer, until that holds: for layers without biases, the law of "draw
    anew until no data point is dead".

    Args:
        points: of as many coordinates as the layer has inputs.
        std: standard deviation of each entry before the condition.
        margin: least pre-activation that counts.
    """
    own = _power(std, 0.0, 0.0, "std")
    lengths = {len(point) for point in points}
    if len(lengths) != 1:
        raise InputError(f"points = {points!r} should be a list of points, all of the same length")
    at, inputs = np.asarray(points, float), lengths.pop()

    def covers(weights: Array) -> Array:
        return (jnp.asarray(at) @ weights > margin).any(-1).all(-1)

    def draw(
        key: Array, fan_in: int, fan_out: int, shape: tuple[int, ...], scale: Array | None = None
    ) -> Array:
        if fan_in != inputs:
            raise InputError(
                f"points have {inputs} coordinates, but the layer has {fan_in} inputs; "
                "accepted: a layer with as many inputs"
            )
        tries = np.random.default_rng(0).normal(0.0, std, (_TRIES, fan_in, fan_out))
        if not (at @ tries > margin).any(-1).all(-1).mean() > 16 / _TRIES:
            raise InputError(
                f"margin = {margin} is hardly ever exceeded at all points by {fan_out} neurons; "
                "accepted: one that at least one draw of 256 exceeds"
            )

        def normal(n: Array) -> Array:
            return _times_normal(jax.random.fold_in(key, n), shape, std, scale)

        def again(state: tuple[Array, Array]) -> tuple[Array, Array]:
            return state[0] + 1, normal(state[0] + 1)

        begin = jnp.asarray(0), normal(jnp.asarray(0))
        return jax.lax.while_loop(lambda state: ~covers(state[1]), again, begin)[1]

    return Initializer(
        "covering_normal",
        draw,
        weights_only=True,
        scale=_of_normal(own),
        structure=f"covering {points!r} by {margin!r}",
    )


# A truncated law is rescaled to the stated variance, as in JAX and Keras: that of a standard normal
# between -2 and 2 is 1 - 4 phi(2) / (2 Phi(2) - 1).
_TRUNCATED_STD = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
_FANS: dict[str, Callable[[int, int], float]] = {
    "he": lambda i, o: 2.0 / i,
    "glorot": lambda i, o: 2.0 / (i + o),
    "lecun": lambda i, o: 1.0 / i,
}


def _variance_scaling(name: str, shape: str) -> Callable[[], Initializer]:
    variance = _FANS[name]

    def factory() -> Initializer:
        full = f"{name}_{shape}"
        if shape == "normal":
            return _normal(full, lambda i, o: math.sqrt(variance(i, o)))
        if shape == "uniform":
            return _uniform(full, lambda i, o: math.sqrt(3 * variance(i, o)))
        return _truncated(full, lambda i, o: math.sqrt(variance(i, o)) / _TRUNCATED_STD, 2.0)

    source = {
        "he": "variance 2 / fan_in (He et al. 2015)",
        "glorot": "variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)",
        "lecun": "variance 1 / fan_in (LeCun et al. 1998)",
    }
    factory.__doc__ = f"{shape.replace('_', ' ')} law, {source[name]}."
    return factory


INITIALIZERS: dict[str, Callable[..., Initializer]] = {
    "normal": normal,
    "uniform": uniform,
    "truncated_normal": truncated_normal,
    "constant": constant,
    "zero": zero,
    "orthogonal": orthogonal,
    "pytorch": pytorch,
    "randomized_asymmetric": randomized_asymmetric,
    "mirrored_normal": mirrored_normal,
    "covering_normal": covering_normal,
    **{
        f"{name}_{shape}": _variance_scaling(name, shape)
        for name in _FANS
        for shape in ("normal", "uniform", "truncated_normal")
    },
}
