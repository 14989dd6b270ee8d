"""A problem on finitely many points as plain arrays: what every strategy for data sets works on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from jaxsim.problem.problem import Problem
from jaxsim.risk.target_error import point_errors


@dataclass(frozen=True, eq=False)
class WeightedPoints:
    """Points of a finite input law with what is to be predicted there.

    Attributes:
        x: inputs [n, d].
        weights: probabilities [n].
        y: values [n, outputs] of a regression, else classes [n], integers.
        errors: bounds on the errors of the values [n, outputs]; None for exact ones and labels.
        kind: of the loss: "regression", "binary" or "classes".
        outputs: of a network for it.
    """

    x: np.ndarray
    weights: np.ndarray
    y: np.ndarray
    errors: np.ndarray | None
    kind: str
    outputs: int

    @property
    def signs(self) -> np.ndarray:
        """-1 or 1 for the labels 0 and 1 [n]."""
        return 2.0 * self.y - 1.0

    @cached_property
    def group(self) -> np.ndarray:
        """A number for each point [n], the same for points of equal inputs."""
        return np.unique(self.x, axis=0, return_inverse=True)[1].ravel()

    @property
    def distinct(self) -> int:
        """Number of different inputs."""
        return int(self.group.max()) + 1

    @property
    def contradictory(self) -> bool:
        """Whether points of equal inputs have different labels or values."""
        rows = self.y.reshape(len(self.x), -1)
        first = np.zeros((self.distinct, rows.shape[1]), rows.dtype)
        first[self.group] = rows
        return bool((first[self.group] != rows).any())

    def columns(self, constant: bool) -> np.ndarray:
        """Return the inputs, with a column of ones behind them if there is a constant."""
        return np.column_stack([self.x, np.ones(len(self.x))]) if constant else self.x


@lru_cache(maxsize=64)
def points_of(problem: Problem) -> WeightedPoints | None:
    """Return the points of a problem's input law, None if it is no finite one."""
    if problem.law.finite is None:
        return None
    x, weights = problem.law.finite
    y = np.asarray(problem.targets_at_points())
    errors = point_errors(problem.target, x, y)
    if problem.loss.kind != "regression":
        y = y.ravel().astype(np.int64)
    else:
        y = y.reshape(len(x), -1)
    return WeightedPoints(
        np.asarray(x, float),
        np.asarray(weights, float),
        y,
        errors,
        problem.loss.kind,
        problem.outputs,
    )
