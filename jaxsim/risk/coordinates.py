"""Laws of X in coordinates whose cells have known masses and images, for stratified points.

A cell is a box [low, high] of coordinates. With coordinates that are independent its mass is a
product, its uniform points are mapped to points of the law restricted to the cell, and interval
arithmetic encloses where they lie:

uniform            the coordinates of the unit cube
normal             standardized values, cut off at 38 standard deviations: a mass below 1e-315
ball, sphere       radius, height and angle as uniforms (d = 2 and 3)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.problem.input_laws import InputLaw, NormalLaw, UniformLaw
from jaxsim.problem.rotation_invariant import BallLaw, SphereLaw

_FAR = 38.0
_EPS = float(np.finfo(float).eps)

Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Coordinates:
    """A law of X by its cells.

    Attributes:
        low: lower ends of all coordinates [k].
        high: upper ends [k].
        mass: (low [k, n], high [k, n]) -> probabilities [n] of cells.
        image: (low [k, n], high [k, n]) -> boxes (low [d, n], high [d, n]) that hold X.
        points: (low [m, k], high [m, k], u [m, k] in [0, 1)) -> points [m, d] of the cells.
    """

    low: np.ndarray
    high: np.ndarray
    mass: Callable[[np.ndarray, np.ndarray], np.ndarray]
    image: Callable[[np.ndarray, np.ndarray], Ends]
    points: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def coordinates_of(law: InputLaw) -> Coordinates | None:
    """Return coordinates of a law, None where no cells are known."""
    if isinstance(law, NormalLaw):
        return _normal(law)
    if isinstance(law, UniformLaw):
        return _unit(law, lambda low, high: _affine(law, low, high))
    if isinstance(law, BallLaw | SphereLaw) and law.dimension in (2, 3):
        return _unit(law, lambda low, high: _polar(law, low, high))
    return None


def _unit(law: InputLaw, image: Callable[[np.ndarray, np.ndarray], Ends]) -> Coordinates:
    """Return the coordinates of the unit cube that a law's transport starts from."""
    k = law.unit_dimension
    return Coordinates(
        np.zeros(k),
        np.ones(k),
        mass=lambda low, high: np.prod(high - low, axis=0),
        image=lambda low, high: _outward(*image(low, high)),
        points=lambda low, high, u: law.from_unit(low + (high - low) * u),
    )


def _affine(law: UniformLaw, low: np.ndarray, high: np.ndarray) -> Ends:
    start, stop = np.array(law.low)[:, None], np.array(law.high)[:, None]
    size = np.maximum(np.abs(start), np.abs(stop)) * 4 * _EPS
    a, b = start + (stop - start) * low - size, start + (stop - start) * high + size
    return np.maximum(a, start), np.minimum(b, stop)


def _normal(law: NormalLaw) -> Coordinates:
    mean, std = np.array(law.mean), np.array(law.std)

    def tails(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, Ends]:
        """Return (whether a cell is reflected, the probabilities below its ends)."""
        reflected = low > 0  # the lower tail keeps its relative precision, the upper one does not
        return reflected, (
            scipy.special.ndtr(np.where(reflected, -high, low)),
            scipy.special.ndtr(np.where(reflected, -low, high)),
        )

    def mass(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        below = tails(low, high)[1]
        return np.prod(below[1] - below[0], axis=0)

    def image(low: np.ndarray, high: np.ndarray) -> Ends:
        return _outward(mean[:, None] + std[:, None] * low, mean[:, None] + std[:, None] * high)

    def points(low: np.ndarray, high: np.ndarray, u: np.ndarray) -> np.ndarray:
        reflected, (start, stop) = tails(low, high)
        z = scipy.special.ndtri(np.maximum(start + (stop - start) * u, 1e-320))
        return mean + std * np.clip(np.where(reflected, -z, z), low, high)

    k = law.dimension
    return Coordinates(np.full(k, -_FAR), np.full(k, _FAR), mass, image, points)


def _polar(law: BallLaw | SphereLaw, low: np.ndarray, high: np.ndarray) -> Ends:
    """Return boxes of points by radius, height and angle as `from_unit` has them."""
    shape = low[0].shape
    radius = np.full(shape, law.radius), np.full(shape, law.radius)
    if isinstance(law, BallLaw):
        power = 1 / law.dimension
        radius = law.radius * low[0] ** power, law.radius * high[0] ** power
        low, high = low[1:], high[1:]
    across: Ends = (np.ones(shape), np.ones(shape))
    heights: list[Ends] = []
    if law.dimension == 3:
        height = 2 * low[0] - 1, 2 * high[0] - 1
        heights = [_product(radius, height)]
        size = np.abs(height[0]), np.abs(height[1])
        least = np.where(height[0] * height[1] < 0, 0.0, np.minimum(*size))
        ends = [np.sqrt(np.maximum(0.0, (1 - h) * (1 + h))) for h in (np.maximum(*size), least)]
        across = ends[0], ends[1]
    angle = 2 * np.pi * low[-1], 2 * np.pi * high[-1]
    flat = _product(radius, across)
    quarter = angle[0] - np.pi / 2, angle[1] - np.pi / 2
    both = [_product(flat, _cosine(*angle)), _product(flat, _cosine(*quarter)), *heights]
    return np.stack([p[0] for p in both]), np.stack([p[1] for p in both])


def _product(a: Ends, b: Ends) -> Ends:
    products = [s * t for s in a for t in b]
    return np.minimum.reduce(products), np.maximum.reduce(products)


def _cosine(low: np.ndarray, high: np.ndarray) -> Ends:
    """Return the range of the cosine, a little wider."""
    turns = low / (2 * np.pi) - 1e-12, high / (2 * np.pi) + 1e-12
    ends = np.cos(low), np.cos(high)
    top = np.floor(turns[1]) >= np.ceil(turns[0])
    bottom = np.floor(turns[1] - 0.5) >= np.ceil(turns[0] - 0.5)
    return np.where(bottom, -1.0, np.minimum(*ends)), np.where(top, 1.0, np.maximum(*ends))


def _outward(low: np.ndarray, high: np.ndarray) -> Ends:
    """Return boxes wider by a few units in the last place of their ends."""
    size = 8 * _EPS * np.maximum(np.abs(low), np.abs(high))
    return low - size, high + size
