"""The symmetric laws of single weights and biases, through the law of their absolute value.

An entry W with a symmetric law is +-s X with a fair sign, a scale s and X >= 0: half-normal,
half-normal cut at an end, or uniform on [0, 1]. The suprema of w.x over boxes are sums of multiples
of such X, so all that is needed of X is its distribution function and its Laplace transform
E exp(-z X), for complex z and in logarithms because it is used far out in both directions:

    uniform       (1 - e^{-z}) / z
    half-normal   erfcx(z / sqrt 2), erfcx(z) = e^{z^2} erfc(z)
    cut at c      [erfcx(z / sqrt 2) - e^{-c^2/2 - z c} erfcx((z + c) / sqrt 2)] / erf(c / sqrt 2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.initializers import Initializer
from jaxsim.theory.panels import HEIGHT, PANEL, REACH

_ROOT2 = math.sqrt(2.0)
# Beyond 38 standard deviations a normal law has less than 1e-314 of its mass.
_FAR = 38.0


class HalfLaw(Protocol):
    """The law of X = |W| / scale.

    Attributes:
        end: supremum of X.
    """

    @property
    def end(self) -> float:
        """Supremum of X."""
        ...

    def log_transform(self, z: np.ndarray) -> np.ndarray:
        """Return log E exp(-z X) for complex z."""
        ...

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return P(X <= x)."""
        ...

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """Return the density at x in [0, end]."""
        ...

    def log_peak(self, growth: float) -> float:
        """Return log max_x e^{growth x} pdf(x)."""
        ...

    def log_bounds(self) -> tuple[float, float]:
        """Return logarithms of bounds of |pdf| and |cdf| in the ellipses of `panels`."""
        ...


@dataclass(frozen=True)
class HalfUniform:
    """X uniform on [0, 1]."""

    end: float = 1.0

    def log_transform(self, z: np.ndarray) -> np.ndarray:
        """Return log((1 - e^{-z}) / z)."""
        left = np.real(z) < 0
        y = np.where(left, -z, z)
        return np.where(left, y, 0.0) + np.log(-np.expm1(-y) / y)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return P(X <= x)."""
        return np.clip(x, 0.0, 1.0)

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """Return 1 on [0, 1]."""
        return np.ones_like(x)

    def log_peak(self, growth: float) -> float:
        """Return log max e^{growth x}."""
        return max(growth, 0.0)

    def log_bounds(self) -> tuple[float, float]:
        """Return those of 1 and of the identity, over panels between 0 and 1."""
        return 0.0, math.log(1 + PANEL * REACH)


@dataclass(frozen=True)
class HalfNormal:
    """|Z| for standard normal Z, conditioned on |Z| <= end."""

    end: float = math.inf

    @property
    def _mass(self) -> float:
        return math.erf(self.end / _ROOT2)

    def log_transform(self, z: np.ndarray) -> np.ndarray:
        """Return the logarithm of the formula in the head of the file."""
        z = np.asarray(z, complex)
        if self.end > _FAR:
            return _log_erfcx(z / _ROOT2)
        # x -> end - x turns growth beyond e^{end x} into decay.
        turned = np.real(z) <= -self.end
        y = np.where(turned, -z - self.end, z)
        shift = np.where(turned, -self.end * (z + self.end / 2), 0.0)
        return shift + np.log(self._integral(y)) - math.log(self._mass)

    def _integral(self, z: np.ndarray) -> np.ndarray:
        """Return sqrt(2 / pi) int_0^end e^{-z x - x^2/2} dx for Re z > -end."""
        left = np.real(z) < 0
        start = _erfcx(np.where(left, -z, z) / _ROOT2)
        # exp only where it is used: it may overflow elsewhere.
        start = np.where(left, 2 * np.exp(np.where(left, z * z / 2, 0.0)) - start, start)
        stop = np.exp(-self.end * (z + self.end / 2)) * _erfcx((z + self.end) / _ROOT2)
        return start - stop

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return P(X <= x)."""
        return scipy.special.erf(np.clip(x, 0.0, self.end) / _ROOT2) / self._mass

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """Return the density at x in [0, end]."""
        return math.sqrt(2 / math.pi) / self._mass * np.exp(-x * x / 2)

    def log_peak(self, growth: float) -> float:
        """Return log max e^{growth x} pdf(x), at x = growth or an end."""
        x = min(max(growth, 0.0), self.end)
        return growth * x - x * x / 2 + 0.5 * math.log(2 / math.pi) - math.log(self._mass)

    def log_bounds(self) -> tuple[float, float]:
        """Return those from |e^{-z^2/2}| <= e^{y^2/2} and |erf z| <= min(1 + e^{y^2}, ...).

        The last is the length of the path from 0 times its steepest slope, 2 |z| e^{y^2} / sqrt pi.
        """
        width = min(PANEL, self.end)
        square = (width / 2 * HEIGHT) ** 2
        size = min(self.end, _FAR) + width / 2 * REACH
        erf = min(
            1 + math.exp(square / 2), 2 * size / math.sqrt(2 * math.pi) * math.exp(square / 2)
        )
        mass = math.log(self._mass)
        return square / 2 + 0.5 * math.log(2 / math.pi) - mass, math.log(erf) - mass


def _erfcx(z: np.ndarray) -> np.ndarray:
    return scipy.special.wofz(1j * z)


def _log_erfcx(z: np.ndarray) -> np.ndarray:
    """Return log erfcx(z), with erfcx(z) = 2 e^{z^2} - erfcx(-z) where Re z < 0."""
    left = np.real(z) < 0
    right = _erfcx(np.where(left, -z, z))
    square = z * z
    grows = left & (np.real(square) > 0)
    falls = left & ~grows
    value = np.where(left, 1.0, right)
    value = np.where(grows, 2 - np.exp(np.where(grows, -square, 0.0)) * right, value)
    value = np.where(falls, 2 * np.exp(np.where(falls, square, 0.0)) - right, value)
    return np.where(grows, square, 0.0) + np.log(value)


@dataclass(frozen=True)
class Entry:
    """The law of one weight or bias: +-scale X with a fair sign, or a constant.

    Attributes:
        half: law of X; None for a constant.
        scale: s > 0.
        constant: the value of a constant.
    """

    half: HalfLaw | None
    scale: float = 1.0
    constant: float = 0.0

    @property
    def normal(self) -> bool:
        """Whether the law is N(0, scale^2)."""
        return isinstance(self.half, HalfNormal) and self.half.end > _FAR

    def reflected(self) -> Entry:
        """Return the law of -W."""
        return Entry(self.half, self.scale, -self.constant)

    def below(self, t: float) -> float:
        """Return P(W <= t).

        Example:
            >>> Entry(HalfUniform(), 2.0).below(1.0)
            0.75
        """
        if self.half is None:
            return float(self.constant <= t)
        half = 0.5 * float(self.half.cdf(np.asarray(abs(t) / self.scale)))
        if self.normal:
            return float(scipy.special.ndtr(t / self.scale))
        return 0.5 + math.copysign(half, t)


def entry_law(
    initializer: Initializer | None, fan_in: int, fan_out: int, factor: float = 1.0
) -> Entry | None:
    """Return the law of one entry of a layer's weights or biases, times a factor.

    Args:
        initializer: the law of the weights or biases; None stands for zeros.
        fan_in: inputs of the layer.
        fan_out: outputs of the layer.
        factor: the multiplier of the parametrization.

    Returns:
        The law, or None if the entries are not independent or their law is not a symmetric normal,
        truncated normal or uniform one.
    """
    if initializer is None or factor == 0:
        return Entry(None)
    if initializer.constant is not None:
        return Entry(None, constant=factor * initializer.constant)
    if initializer.marginal is None or initializer.draw_joint is not None:
        return None
    law: Any = initializer.marginal(fan_in, fan_out)
    low, high = (float(v) for v in law.support())
    name = getattr(getattr(law, "dist", None), "name", "")
    if name == "norm" and float(law.mean()) == 0:
        return Entry(HalfNormal(), abs(factor) * float(law.std()))
    if not math.isclose(-low, high, rel_tol=1e-14):
        return None
    if name == "uniform":
        return Entry(HalfUniform(), abs(factor) * high)
    if name == "truncnorm" and not law.kwds.get("loc") and len(law.args) == 2:
        cut = float(law.args[1])
        return Entry(HalfNormal(cut), abs(factor) * high / cut)
    return None
