"""An upper bound of the risk of given outputs, for every loss that has a dual here."""

from __future__ import annotations

import numpy as np

from jaxsim.optimum.data.duality import scalar_loss
from jaxsim.optimum.data.points import WeightedPoints
from jaxsim.optimum.data.rounding import UNIT
from jaxsim.optimum.data.scalar_bounds import value_above
from jaxsim.optimum.data.softmax_bounds import softmax_above
from jaxsim.problem.problem import Problem

SOFTMAX = "softmax_cross_entropy"


def unbounded_reason(problem: Problem) -> str:
    """Return why outputs have no risk with a bound here, one clause; empty if they have."""
    name = problem.loss.name
    if name != SOFTMAX and scalar_loss(problem.loss) is None:
        return f"no dual problem is known for the loss {name!r}"
    if problem.noise.variance > 0 and name != "squared":
        return f"the loss {name!r} is averaged over noise"
    return ""


def columns_of(points: WeightedPoints) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return (values or labels [n], bounds of their errors [n]) of every output."""
    if points.kind == "binary":
        return [(points.y, None)]
    return [
        (column, None if points.errors is None else points.errors[:, output])
        for output, column in enumerate(points.y.T)
    ]


def risk_above(problem: Problem, points: WeightedPoints, z: np.ndarray, slack: np.ndarray) -> float:
    """Return an upper bound of the risk of outputs z [n, outputs], noise included.

    Args:
        problem: one without `unbounded_reason`.
        points: of the problem.
        z: outputs at the points.
        slack: bounds of their errors [n, outputs].
    """
    if problem.loss.name == SOFTMAX:
        return softmax_above(z, slack, points.weights, points.y)
    loss = scalar_loss(problem.loss)
    assert loss is not None
    parts = [
        value_above(loss, z[:, output], slack[:, output], points.weights, y, errors)
        for output, (y, errors) in enumerate(columns_of(points))
    ]
    noise = problem.noise.variance * points.outputs
    return (sum(parts) + noise) * (1 + (8 + len(parts)) * UNIT)
