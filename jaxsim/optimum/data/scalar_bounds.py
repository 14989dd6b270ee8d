"""Bounds of inf_w sum_i p_i phi_i(x_i.w) from given weights and from a given dual point.

Above: the value at the weights, with the rounding of x.w and of the sum. Below: weak duality (see
`duality`), if slopes q_i that meet sum_i p_i q_i x_i = 0 up to rounding can be changed, within
their domains, into slopes that meet it exactly (see `equations`); D is concave, hence least at an
end of every interval that the change may lie in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxsim.optimum.data.duality import ScalarLoss
from jaxsim.optimum.data.equations import exact_change, independent_columns
from jaxsim.optimum.data.rounding import UNIT, gamma, sum_above, sum_below

VALUE_UNITS = 64 * UNIT
"""Relative error of values of losses and duals, with the rounding of residuals."""

_ENOUGH = 40
"""Slopes per equation that are tried first."""


class DualBound(NamedTuple):
    """A lower bound from slopes.

    Attributes:
        value: of the bound.
        proved: whether the slopes were shown to be near exactly feasible ones.
        violation: the largest entry of sum_i p_i q_i x_i, relative to what it could be.
    """

    value: float
    proved: bool
    violation: float


def value_above(
    loss: ScalarLoss,
    z: np.ndarray,
    slack: np.ndarray,
    weights: np.ndarray,
    y: np.ndarray,
    errors: np.ndarray | None,
) -> float:
    """Return an upper bound of the risk of given outputs.

    Args:
        loss: convex.
        z: outputs [n].
        slack: bounds of their errors [n].
        weights: p_i [n].
        y: labels or values [n].
        errors: bounds of the errors of the values [n]; None for none.
    """
    # z + slack and z - slack, as floats, then hold all that z may be.
    slack = 1.001 * (slack + (0 if errors is None else errors)) + 4 * UNIT * np.abs(z)
    above = np.maximum(loss.value(z + slack, y), loss.value(z - slack, y))
    return sum_above(weights, above * (1 + VALUE_UNITS))


def dual_below(
    loss: ScalarLoss,
    x: np.ndarray,
    weights: np.ndarray,
    y: np.ndarray,
    errors: np.ndarray | None,
    slopes: np.ndarray,
) -> DualBound:
    """Return the lower bound that slopes q [n] show for inputs x [n, p].

    Other arguments as in `value_above`.
    """
    low, high = loss.domain(y)
    q = np.clip(slopes, low, high)
    used = q != 0
    columns = independent_columns(x[used]) if used.any() else np.arange(0)
    rows = x[:, columns]
    weighted = weights * q
    residual = weighted @ rows
    error = gamma(len(q) + 2) * (np.abs(weighted) @ np.abs(rows))
    room = np.where(used, np.minimum(q - low, high - q), 0.0)
    free = room > 0
    change = np.zeros(len(q))
    proved = True
    if residual.size and (np.abs(residual) + error).any():
        # Entries of a bounded domain move in proportion to their room; the freest are enough.
        freedom = np.where(np.isfinite(room), np.minimum(room, 1.0), 1.0)
        order = np.flatnonzero(free)
        order = order[np.argsort(-freedom[order], kind="stable")]
        proved = False
        for most in (_ENOUGH * len(columns), len(order)):
            some = order[:most]
            correction = exact_change(
                weights[some, None] * rows[some], freedom[some], residual, error
            )
            proved = correction is not None and bool((1.001 * correction < room[some]).all())
            if correction is not None and proved:
                change[some] = 1.001 * correction
            if proved or most >= len(order):
                break
    ends = []
    for end in (q - change, q + change):
        value, size = loss.dual(np.clip(end, low, high), y)
        # Ends are rounded, where D may be as steep as -log of the smallest number.
        ends.append(value - VALUE_UNITS * (size + np.abs(q)))
    below = np.minimum(*ends)
    if errors is not None:
        below = below - (np.abs(q) + change) * errors
    scale = np.abs(q).max() * (weights @ np.abs(rows))
    return DualBound(sum_below(weights, below), proved, relative(np.abs(residual) + error, scale))


def relative(sizes: np.ndarray, scale: np.ndarray) -> float:
    """Return the largest of some numbers relative to a scale [..., p]; 0 for no numbers."""
    scale = np.broadcast_to(scale, sizes.shape)
    return float((sizes / np.where(scale > 0, scale, 1.0)).max()) if sizes.size else 0.0
