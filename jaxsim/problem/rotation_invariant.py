"""Laws of X that no rotation changes: uniform on a ball and on a sphere, for d >= 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.problem.support import Ball


@dataclass(frozen=True)
class BallLaw:
    """The uniform law on the ball of a radius around 0, for d >= 2."""

    radius: float
    dimension: int
    finite = None
    density_1d = None

    @property
    def unit_dimension(self) -> int:
        """One for the distance, the others for the direction."""
        return 1 + _direction_dimension(self.dimension)

    @property
    def support(self) -> Ball:
        """The closed ball."""
        return Ball(self.radius, self.dimension)

    def sample(self, key: Array, batch: int, dtype: Any) -> Array:
        """Return independent draws [batch, d]."""
        direction, distance = jax.random.split(key)
        u = jax.random.uniform(distance, (batch, 1), dtype)
        return self.radius * u ** (1 / self.dimension) * _directions(direction, batch, self, dtype)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Return r u_0^(1/d) times the direction of the other coordinates, for u [n, k]."""
        u = np.asarray(u, np.float64)
        distance = self.radius * u[:, :1] ** (1 / self.dimension)
        return distance * _unit_directions(u[:, 1:], self.dimension)


@dataclass(frozen=True)
class SphereLaw:
    """The uniform law on the sphere of a radius around 0, for d >= 2."""

    radius: float
    dimension: int
    finite = None
    density_1d = None

    @property
    def unit_dimension(self) -> int:
        """For the direction."""
        return _direction_dimension(self.dimension)

    @property
    def support(self) -> Ball:
        """The ball, on which affine functions have the same range as on its sphere."""
        return Ball(self.radius, self.dimension)

    def sample(self, key: Array, batch: int, dtype: Any) -> Array:
        """Return independent draws [batch, d]."""
        return self.radius * _directions(key, batch, self, dtype)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Return r times the direction of u [n, k]."""
        return self.radius * _unit_directions(np.asarray(u, np.float64), self.dimension)


def normals(u: np.ndarray) -> np.ndarray:
    """Return Phi^-1(u), finite also for u = 0."""
    return scipy.special.ndtri(np.clip(np.asarray(u, np.float64), 2.0**-54, 1 - 2.0**-53))


def _direction_dimension(d: int) -> int:
    return d - 1 if d in (2, 3) else d


def _unit_directions(u: np.ndarray, d: int) -> np.ndarray:
    """Return uniform directions [n, d] for u [n, k].

    An angle for d = 2, height and angle for d = 3 (Archimedes), else g / |g| with g = Phi^-1(u).
    """
    if d == 2:
        angle = 2 * np.pi * u[:, 0]
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if d == 3:
        height, angle = 2 * u[:, 0] - 1, 2 * np.pi * u[:, 1]
        across = np.sqrt((1 - height) * (1 + height))
        return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)
    g = normals(u)
    g[~g.any(axis=1), 0] = 1.0  # the centre of the cube has no direction of its own
    return g / np.linalg.norm(g, axis=1, keepdims=True)


def _directions(key: Array, batch: int, law: BallLaw | SphereLaw, dtype: Any) -> Array:
    g = jax.random.normal(key, (batch, law.dimension), dtype)
    norm = jnp.sqrt((g**2).sum(1, keepdims=True))
    first = jnp.eye(1, law.dimension, dtype=dtype)
    return jnp.where(norm > 0, g / jnp.where(norm > 0, norm, 1), first)
