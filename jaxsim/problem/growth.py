"""Where a target grows without bound: near poles, and far out.

Near a point where the enclosure of its values stays infinite however small the panel, a target's
growth is measured: |f| at distances d from the point is about d^-a. The p-th power of such a target
is integrable if p a < 1. An exponent of 0 stands for bounded targets, too, whose enclosure is
infinite for want of a better one: sin(x) / x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.problem.expression import Expression
from jaxsim.problem.intervals import enclose
from jaxsim.problem.rounding import with_rounding
from jaxsim.problem.support import Ball, Box
from jaxsim.problem.targets import ExpressionTarget
from jaxsim.runtime import at_once

_OCTAVES = 14
"""Doublings of the distance over which growth is measured."""
_SKIPPED = 2
NEARLY_ONE = 0.97
"""Exponent of growth at which an integral counts as possibly infinite."""
_CERTAIN = 1.1
"""Exponent from which on it counts as infinite, for all that measuring it may err."""
_NORMAL_REACH = 13.0
_BROAD, _DEEP = 8, 36
"""Halvings of every coordinate of all boxes, and then of a few."""
_MOST_BOXES = 256
_DIRECTIONS = 6


class Growth(NamedTuple):
    """How a function grows near a point.

    Attributes:
        point: about where.
        exponent: a of d^-a, not a number where values are not finite.
    """

    point: float
    exponent: float

    def power(self, p: float) -> float:
        """Return the exponent of |f|^p; the power is integrable if it is below 1."""
        return p * max(self.exponent, 0.0)


def growth_near(
    function: Callable[[np.ndarray], np.ndarray],
    point: float,
    width: float,
    low: float,
    high: float,
) -> Growth:
    """Return how |f| grows towards a point.

    Args:
        function: x [n] -> values [n], or [n, outputs].
        point: where its enclosure is infinite.
        width: how well the point is known.
        low: left end of the interval on which the function is defined.
        high: right end.

    Example:
        >>> growth = growth_near(lambda x: 1 / x, 0.0, 1e-9, -1.0, 1.0)
        >>> round(growth.exponent, 6)
        1.0
    """
    octaves = np.arange(_SKIPPED, _SKIPPED + _OCTAVES + 1)
    distances = width * 2.0**octaves
    exponents = []
    for side in (-1, 1):
        x = point + side * distances
        with np.errstate(all="ignore"):
            values = np.abs(np.asarray(function(np.clip(x, low, high)), float))
            size = np.log2(values.reshape(len(x), -1).max(1))
        inside = (x >= low) & (x <= high) & ~np.isnan(size)
        if (size[inside] == np.inf).any():
            return Growth(point, np.nan)
        if inside.sum() < 3:
            continue
        shown = inside & np.isfinite(size)  # zeros do not grow
        slope = 0.0 if shown.sum() < 3 else np.polyfit(octaves[shown], size[shown], 1)[0]
        exponents.append(-float(slope))
    return Growth(point, max(exponents, default=np.nan))


def loss_growth(loss: Any) -> float:
    """Return the power of the residual as which a loss grows, at least 1.

    Example:
        >>> from jaxsim.problem.losses import LOSSES
        >>> loss_growth(LOSSES["squared"]()), loss_growth(LOSSES["huber"]())
        (2.0, 1.0)
    """
    if loss.residual is None:
        return 2.0 if loss.degree is None else float(max(loss.degree, 1))
    with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
        far = at_once(loss.residual, np.array([1e6, 1e7, -1e6, -1e7])).astype(float)
        rise = np.nanmax(np.log10(np.abs(far[1::2])) - np.log10(np.abs(far[::2])))
    return float(max(1.0, round(float(rise), 3))) if np.isfinite(rise) else 2.0


def unbounded_boxes(expression: Expression, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return small boxes [2, d, n] on which a formula may be unbounded, none if it is bounded.

    Boxes with an infinite enclosure are halved; a few of them stand for all.

    Example:
        >>> from jaxsim.problem.expression import parse_expression
        >>> boxes = unbounded_boxes(parse_expression("1/x", 1), np.array([-1.0]), np.array([3.0]))
        >>> bool(np.abs(boxes).max() < 1e-9)
        True
    """
    boxes = np.stack([low, high])[:, :, None]
    whole = (high - low)[:, None]
    boxes = _still_infinite(expression, boxes, whole, _BROAD * len(low), _MOST_BOXES)
    chosen = np.unique(np.linspace(0, max(boxes.shape[2] - 1, 0), 4).astype(int))
    parts = [
        _still_infinite(expression, boxes[:, :, [i]], whole, _DEEP * len(low), 8)[:, :, :2]
        for i in chosen[: boxes.shape[2]]
    ]
    return np.concatenate([boxes[:, :, :0], *parts], axis=2)


def _still_infinite(
    expression: Expression, boxes: np.ndarray, whole: np.ndarray, rounds: int, most: int
) -> np.ndarray:
    """Return the boxes whose enclosures stay infinite when they are halved, few of too many."""
    for number in range(rounds + 1):
        bad = np.zeros(boxes.shape[2], bool)
        for node in expression.nodes:
            bad |= np.isinf(enclose(node, boxes[0], boxes[1]).size[0])
        boxes = boxes[:, :, bad]
        if not boxes.shape[2] or number == rounds:
            break
        if 2 * boxes.shape[2] > most:
            if most == _MOST_BOXES:
                break
            boxes = boxes[:, :, : most // 2]
        side = np.argmax((boxes[1] - boxes[0]) / whole, axis=0)
        at = np.arange(boxes.shape[2])
        left, right = boxes.copy(), boxes.copy()
        middle = boxes[0, side, at] / 2 + boxes[1, side, at] / 2
        left[1, side, at] = right[0, side, at] = middle
        boxes = np.concatenate([left, right], axis=2)
    return boxes


def infinite_risks(problem: Any) -> tuple[str, str]:
    """Return (why every risk of a problem is infinite, why some could be), empty where not.

    Formulas only, and laws with a density.
    """
    target, law = problem.target, problem.law
    if not isinstance(target, ExpressionTarget) or law.finite is not None:
        return "", ""
    box = _box_of(law)
    if box is None:
        return "", ""
    low, high = box
    power = loss_growth(problem.loss)
    boxes = unbounded_boxes(target.expression, low, high)
    if isinstance(law.support, Ball) and boxes.shape[2]:
        nearest = np.clip(0.0, boxes[0], boxes[1])
        boxes = boxes[:, :, np.sqrt((nearest**2).sum(0)) <= law.support.radius]
    growths = [
        _growth_in(target.expression, boxes[:, :, i], low, high) for i in range(boxes.shape[2])
    ]
    growths = [g for g in growths if not g[1].power(power) < NEARLY_ONE]
    if growths:
        place, growth = max(growths, key=lambda g: np.nan_to_num(g[1].exponent, nan=-1.0))
        where = ", ".join(f"{v:.4g}" for v in place)
        where = f"x = {where}" if len(place) == 1 else f"x = ({where})"
        if growth.power(power) >= _CERTAIN and len(low) == 1:
            return (
                f"problem.target = {', '.join(target.expression.text)!r} grows like "
                f"d^-{growth.exponent:.2g} at the distance d from {where}, so that the risk of "
                f"every network is infinite with the loss {problem.loss.name!r}; accepted: a "
                "target with a finite mean loss"
            ), ""
        return "", f"problem.target grows without bound near {where}: risks could be infinite"
    if (
        law.density_1d is not None
        and law.density_1d[0] == "normal"
        and _tail_counts(problem, power)
    ):
        return "", (
            "problem.target grows so fast that risks could be infinite: their largest part lies "
            f"{_NORMAL_REACH:g} standard deviations out and beyond"
        )
    return "", ""


def _box_of(law: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a box that holds the inputs, for normal ones but for a negligible probability."""
    support = law.support
    if isinstance(support, Box):
        return np.array(support.low, float), np.array(support.high, float)
    if isinstance(support, Ball):
        reach = np.full(support.dimension, float(support.radius))
        return -reach, reach
    if not support.bounded and hasattr(law, "mean") and hasattr(law, "std"):
        middle = np.broadcast_to(np.asarray(law.mean, float), (law.dimension,))
        reach = _NORMAL_REACH * np.broadcast_to(np.asarray(law.std, float), (law.dimension,))
        return middle - reach, middle + reach
    return None


def _growth_in(
    expression: Expression, box: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, Growth]:
    """Return the middle of a box and how the formula grows towards it, the fastest of some ways."""
    # 0 where the box holds it: poles tend to lie there.
    middle = np.where((box[0] <= 0) & (box[1] >= 0), 0.0, box.mean(0))
    width = float((box[1] - box[0]).max())
    rng = np.random.default_rng(0)
    ways = [np.ones(1)] if len(low) == 1 else rng.normal(size=(_DIRECTIONS, len(low)))
    growths = []
    for way in ways:
        direction = way / np.abs(way).max()

        def along(t: np.ndarray, direction: np.ndarray = direction) -> np.ndarray:
            x = middle + t[:, None] * direction
            inside = ((x >= low) & (x <= high)).all(1)
            columns, none = list(x.T), [0.0] * len(low)
            with np.errstate(all="ignore"):
                parts = [with_rounding(n, columns, none, np) for n in expression.nodes]
                # What rounding makes of cancellation is no growth.
                values = [
                    np.where((np.abs(p.value) > 10 * p.error) | np.isinf(p.value), p.value, 0.0 * t)
                    for p in parts
                ]
            return np.where(inside, np.abs(np.stack(np.broadcast_arrays(*values))).max(0), np.nan)

        growths.append(growth_near(along, 0.0, width, -np.inf, np.inf))
    known = [g for g in growths if not np.isnan(g.exponent)] or growths
    return middle, max(known, key=lambda g: g.exponent)


def _tail_counts(problem: Any, power: float) -> bool:
    """Return whether E|f|^p still grows where a normal input is cut off."""
    _, mean, std = problem.law.density_1d
    units = np.linspace(-_NORMAL_REACH, _NORMAL_REACH, 8 * 26 + 1)
    with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
        values = np.asarray(problem.target(jnp.asarray(mean + std * units)[:, None]))
        sizes = (1 + np.abs(values).max(-1)) ** power * np.exp(-(units**2) / 2)
    inner = sizes[8:-8].sum()
    return not (sizes[:8].sum() <= 1e-12 * inner and sizes[-8:].sum() <= 1e-12 * inner)
