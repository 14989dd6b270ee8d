"""Laws of the input X: how to draw from them, integrate against them, and where they live.

    uniform   on the box [low_1, high_1] x ... x [low_d, high_d]
    normal    N(mean, diag(std^2))
    ball      uniform on {|x| <= r}:  X = r U^(1/d) G / |G|,  G standard normal, U uniform
    sphere    uniform on {|x| = r}:   X = r G / |G|  (Muller 1959)
    points    finitely many points with weights: sums in place of integrals

Every law satisfies `InputLaw`, one of finitely many points `FiniteLaw` besides; a new one is a
factory that returns such an object, and a line in `INPUT_LAWS`. What it declares is checked over
the registry by property tests:
    dimension, support      d, and a `jaxsim.problem.support` set
    sample(key, batch, dtype) -> x [batch, d]
    unit_dimension, from_unit(u [n, k]) -> x [n, d]
                            the transport of uniform points of the cube, for quasi-Monte Carlo
    finite                  None, or (points [n, d], weights [n]) of an exactly summable law
    density_1d              ("uniform", low, high) or ("normal", mean, std) for d = 1, else None
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.errors import InputError
from jaxsim.problem.rotation_invariant import BallLaw, SphereLaw, normals
from jaxsim.problem.support import Box, Everything, Points, Support

Density = tuple[Literal["uniform", "normal"], float, float]
"""("uniform", low, high) or ("normal", mean, std)."""

MOST_COORDINATES = 20_000
Coordinates = float | tuple[float, ...]


class InputLaw(Protocol):
    """What every law of X offers (see the module's docstring)."""

    @property
    def dimension(self) -> int:
        """Number of coordinates d of X."""
        ...

    @property
    def support(self) -> Support:
        """The smallest closed set that holds X."""
        ...

    @property
    def unit_dimension(self) -> int:
        """Coordinates k of the unit cube that `from_unit` uses."""
        ...

    @property
    def finite(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(points [n, d], weights [n]) if the law has finitely many points."""
        ...

    @property
    def density_1d(self) -> Density | None:
        """The density, for d = 1."""
        ...

    def sample(self, key: Array, batch: int, dtype: Any) -> Array:
        """Return independent draws [batch, d]."""
        ...

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Map uniform points [n, k] of the cube to points [n, d] of the law, in float64."""
        ...


class FiniteLaw(InputLaw, Protocol):
    """What a law of finitely many points offers besides."""

    @property
    def finite(self) -> tuple[np.ndarray, np.ndarray]:
        """(points [n, d], positive weights [n] of sum 1)."""
        ...

    def sample_index(self, key: Array, batch: int) -> Array:
        """Return the indices [batch] of independent draws, int32; labels go with them."""
        ...


def finite_law(law: InputLaw) -> FiniteLaw | None:
    """Return a law as one of finitely many points, None if it is none.

    Example:
        >>> law = finite_law(points((0.0, 1.0)))
        >>> law is not None and law.finite[1].tolist(), finite_law(uniform())
        ([0.5, 0.5], None)
    """
    return None if law.finite is None else cast(FiniteLaw, law)


@dataclass(frozen=True)
class UniformLaw:
    """The uniform law on a box."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    finite = None

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return len(self.low)

    unit_dimension = dimension

    @property
    def support(self) -> Box:
        """The box."""
        return Box(self.low, self.high)

    @property
    def density_1d(self) -> Density | None:
        """("uniform", low, high) for d = 1."""
        return ("uniform", self.low[0], self.high[0]) if self.dimension == 1 else None

    def sample(self, key: Array, batch: int, dtype: Any) -> Array:
        """Return independent draws [batch, d]."""
        low, high = jnp.asarray(self.low, dtype), jnp.asarray(self.high, dtype)
        u = jax.random.uniform(key, (batch, self.dimension), dtype)
        # Rounding could put low + (high - low) u beyond the upper end.
        return jnp.clip(low + (high - low) * u, low, high)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Return low + (high - low) u for u [n, d]."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        return np.clip(low + (high - low) * np.asarray(u, np.float64), low, high)


@dataclass(frozen=True)
class NormalLaw:
    """The normal law with independent coordinates."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    dimension: int
    finite = None

    @property
    def unit_dimension(self) -> int:
        """One uniform per coordinate."""
        return self.dimension

    @property
    def support(self) -> Everything:
        """All of R^d."""
        return Everything(self.dimension)

    @property
    def density_1d(self) -> Density | None:
        """("normal", mean, std) for d = 1."""
        return ("normal", self.mean[0], self.std[0]) if self.dimension == 1 else None

    def sample(self, key: Array, batch: int, dtype: Any) -> Array:
        """Return independent draws [batch, d]."""
        z = jax.random.normal(key, (batch, self.dimension), dtype)
        return jnp.asarray(self.mean, dtype) + jnp.asarray(self.std, dtype) * z

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Return mean + std Phi^-1(u) for u [n, d]."""
        return np.asarray(self.mean) + np.asarray(self.std) * normals(u)


def uniform_index(key: Array, n: int, count: int) -> Array:
    """Return independent uniform draws [count] of 0, ..., n - 1, int32.

    floor(n u / 2^64) for 64 random bits u, so that no probability is off by more than 2^-64:
    multiplications, where `jax.random.randint` divides (Lemire 2019, "Fast random integer
    generation in an interval").
    """
    bits = jax.random.bits(key, (count,), jnp.uint64)
    half, size = jnp.uint64(32), jnp.uint64(n)
    high, low = bits >> half, bits & jnp.uint64(0xFFFFFFFF)
    return ((high * size + ((low * size) >> half)) >> half).astype(jnp.int32)


@dataclass(frozen=True, eq=False)
class PointsLaw:
    """The law of finitely many points [n, d] with positive weights [n] of sum 1.

    Attributes:
        points: [n, d].
        weights: [n].
        others: points of probability 0 that the support has besides, [m, d]: what is inactive or
            constant on the support is so there, too.
    """

    points: np.ndarray
    weights: np.ndarray
    others: np.ndarray | None = None
    unit_dimension = 1
    density_1d = None

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return self.points.shape[1]

    @property
    def support(self) -> Points:
        """The points, and the others."""
        if self.others is None:
            return Points(self.points)
        return Points(np.concatenate([self.points, self.others]))

    @property
    def finite(self) -> tuple[np.ndarray, np.ndarray]:
        """(points [n, d], weights [n])."""
        return self.points, self.weights

    def sample_index(self, key: Array, batch: int) -> Array:
        """Return the indices [batch] of independent draws, int32; labels go with them."""
        n = len(self.points)
        if np.all(self.weights == self.weights[0]):
            return uniform_index(key, n, batch)
        # float64: a float32 uniform has steps of 2^-23, as large as a small weight.
        u = jax.random.uniform(key, (batch,), jnp.float64)
        index = jnp.searchsorted(jnp.asarray(self._table()), u, side="right")
        return index.astype(jnp.int32)

    def sample(self, key: Array, batch: int, dtype: Any) -> Array:
        """Return independent draws [batch, d]."""
        return jnp.asarray(self.points, dtype)[self.sample_index(key, batch)]

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Return the point in whose share of [0, 1) u lies, for u [n, 1]."""
        u = np.asarray(u, np.float64)[:, 0]
        return self.points[np.searchsorted(self._table(), u, side="right")]

    def _table(self) -> np.ndarray:
        """Return the cumulative weights up to each point, the last without limit."""
        table = np.cumsum(self.weights)
        table[-1] = np.inf
        return table


def uniform(
    low: Coordinates = -1.0, high: Coordinates = 1.0, dimension: int | None = None
) -> UniformLaw:
    """Uniform on a box; numbers for all coordinates alike, or one per coordinate.

    Example:
        >>> uniform(0.0, 1.0, dimension=3).dimension
        3

    Raises:
        InputError: if not low < high, or lengths do not agree.
    """
    d = _dimension(dimension, low=low, high=high)
    lows, highs = _coordinates("low", low, d), _coordinates("high", high, d)
    for a, b in zip(lows, highs, strict=True):
        if not a < b:
            raise InputError(f"low = {a} must be less than high = {b}")
        if not math.isfinite(b - a):
            raise InputError(f"low = {a} and high = {b} are too far apart for float64")
    return UniformLaw(lows, highs)


def normal(
    mean: Coordinates = 0.0, std: Coordinates = 1.0, dimension: int | None = None
) -> NormalLaw:
    """Normal with independent coordinates; numbers for all alike, or one per coordinate.

    Raises:
        InputError: if a standard deviation is not positive, or lengths do not agree.
    """
    d = _dimension(dimension, mean=mean, std=std)
    stds = _coordinates("std", std, d)
    for value in stds:
        _positive("std", value)
    return NormalLaw(_coordinates("mean", mean, d), stds, d)


def ball(radius: float = 1.0, dimension: int = 2) -> BallLaw | UniformLaw:
    """Uniform on the ball of a radius around 0; the interval [-radius, radius] for dimension 1.

    Raises:
        InputError: if the radius is not positive.
    """
    _positive("radius", radius)
    d = _dimension(dimension)
    return BallLaw(float(radius), d) if d > 1 else uniform(-radius, radius)


def sphere(radius: float = 1.0, dimension: int = 2) -> SphereLaw | PointsLaw:
    """Uniform on the sphere of a radius around 0; -radius or radius for dimension 1.

    Raises:
        InputError: if the radius is not positive.
    """
    _positive("radius", radius)
    d = _dimension(dimension)
    return SphereLaw(float(radius), d) if d > 1 else points(((-radius,), (radius,)))


def points(points: tuple[Coordinates, ...], weights: tuple[float, ...] | None = None) -> PointsLaw:
    """Finitely many points, equally likely or in proportion to weights.

    Args:
        points: one list of coordinates per point; plain numbers in one dimension.
        weights: positive, one per point; they are divided by their sum.

    Example:
        >>> points(((0.0, 1.0), (2.0, 3.0)), weights=(1.0, 3.0)).weights
        array([0.25, 0.75])

    Raises:
        InputError: for no points, points of different lengths, or weights that do not fit.
    """
    rows = [tuple(p) if isinstance(p, tuple | list) else (p,) for p in points]
    if not rows or not rows[0]:
        raise InputError("points is empty; accepted: at least one point with one coordinate")
    for i, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise InputError(
                f"points: point {i} has {len(row)} coordinates, but point 1 has {len(rows[0])}"
            )
        for value in row:
            _finite("points", value)
    array = np.asarray(rows, np.float64)
    if weights is None:
        return PointsLaw(array, np.full(len(rows), 1 / len(rows)))
    if len(weights) != len(rows):
        raise InputError(f"weights has {len(weights)} entries; accepted: {len(rows)}, one a point")
    for value in weights:
        _positive("weights", value)
    share = np.asarray(weights, np.float64) / max(weights)
    share /= share.sum()
    if not share.min() > 0:
        raise InputError(f"weights = {min(weights)} is too small beside {max(weights)} for float64")
    return PointsLaw(array, share)


def _dimension(dimension: int | None, **coordinates: Coordinates) -> int:
    """Return d as stated or as the lists of coordinates have it."""
    lengths = {k: len(v) for k, v in coordinates.items() if isinstance(v, tuple | list)}
    d = dimension if dimension is not None else next(iter(lengths.values()), 1)
    if not 1 <= d <= MOST_COORDINATES:
        name = next(iter(lengths)) if dimension is None else "dimension"
        raise InputError(
            f"{name} gives {d:,} coordinates; accepted: at least 1 and at most {MOST_COORDINATES:,}"
        )
    for name, length in lengths.items():
        if length != d:
            raise InputError(f"{name} has {length} entries; accepted: a number, or {d} of them")
    return d


def _coordinates(name: str, value: Coordinates, d: int) -> tuple[float, ...]:
    values = value if isinstance(value, tuple | list) else (value,) * d
    return tuple(_finite(name, v) for v in values)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise InputError(f"{name} = {value} must be finite")
    return float(value)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} = {value} must be positive and finite")


INPUT_LAWS: dict[str, Callable[..., InputLaw]] = {
    "uniform": uniform,
    "normal": normal,
    "ball": ball,
    "sphere": sphere,
    "points": points,
}
"""Laws of the input by name."""
