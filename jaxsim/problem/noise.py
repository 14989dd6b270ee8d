"""Laws of the noise xi in Y = f(X) + xi, independent of X and in every output, with mean 0.

none      xi = 0
normal    N(0, std^2)
uniform   U(-half_width, half_width), of variance half_width^2 / 3
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.errors import InputError

LARGEST_SCALE = 1e150
"""The square of it is a finite number."""


@dataclass(frozen=True)
class Noise:
    """A centred law of the noise.

    Attributes:
        kind: its name in the registry.
        scale: the standard deviation of normal, the half width of uniform noise; 0 for none.
    """

    kind: Literal["none", "normal", "uniform"]
    scale: float = 0.0

    @property
    def variance(self) -> float:
        """E xi^2."""
        return self.scale**2 / 3 if self.kind == "uniform" else self.scale**2

    def sample(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return independent draws of a shape."""
        if self.kind == "none":
            return jnp.zeros(shape, dtype)
        if self.kind == "normal":
            return jnp.asarray(self.scale, dtype) * jax.random.normal(key, shape, dtype)
        return jnp.asarray(self.scale, dtype) * jax.random.uniform(key, shape, dtype, -1.0, 1.0)

    def quadrature(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (nodes [n], weights [n]) of the Gauss rule: E p(xi) for degree p <= 2 n - 1.

        Gauss-Hermite for normal, Gauss-Legendre for uniform noise; one node 0 for none.

        Example:
            >>> nodes, weights = uniform(3.0).quadrature(2)
            >>> round(float(weights @ nodes**2), 12)
            3.0
        """
        if self.kind == "none":
            return np.zeros(1), np.ones(1)
        rules = scipy.special
        nodes, weights = (
            rules.roots_hermitenorm if self.kind == "normal" else rules.roots_legendre
        )(n)
        return self.scale * nodes, weights / weights.sum()


def none() -> Noise:
    """No noise."""
    return Noise("none")


def normal(std: float) -> Noise:
    """Normal noise N(0, std^2).

    Raises:
        InputError: if std is negative.
    """
    return Noise("normal", _scale("std", std))


def uniform(half_width: float) -> Noise:
    """Uniform noise on [-half_width, half_width].

    Raises:
        InputError: if half_width is negative.
    """
    return Noise("uniform", _scale("half_width", half_width))


def _scale(name: str, value: float) -> float:
    if not 0 <= value <= LARGEST_SCALE:
        raise InputError(
            f"{name} = {value} is not accepted: it should be >= 0 and at most {LARGEST_SCALE}"
        )
    return float(value)


NOISES: dict[str, Callable[..., Noise]] = {"none": none, "normal": normal, "uniform": uniform}
"""Laws of the noise by name."""
