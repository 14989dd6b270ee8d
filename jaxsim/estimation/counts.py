"""Which runs failed: exceedance counts that respect what is not known exactly.

A run with true risk L fails at eps if L > inf L + eps. Known are a computed risk r with
|r - L| <= e and a bracket lower <= inf L <= upper, hence a run

    fails         if r - e > upper + eps,
    passes        if r + e <= lower + eps,
    is undecided  otherwise,

and the number of runs that truly fail is between `failures` and `failures + undecided`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.known_values import KnownValues


class Outcome(IntEnum):
    """What is known of one run at one eps."""

    PASS = 0
    FAIL = 1
    UNDECIDED = 2


@dataclass(frozen=True)
class Counts:
    """Exceedance counts of one experiment; those of disjoint sets of runs add up with `+`.

    Attributes:
        failures: runs that certainly fail, diverged ones included, int64 [G, T].
        undecided: runs of which it is not known, int64 [G, T].
        runs: all runs.
        diverged: runs whose risk is infinite or not a number, int64 [T].
    """

    failures: np.ndarray
    undecided: np.ndarray
    runs: int
    diverged: np.ndarray

    @classmethod
    def zero(cls, thresholds: int, checkpoints: int) -> Counts:
        """Return the counts of no runs, for G thresholds and T checkpoints."""
        shape = (thresholds, checkpoints)
        return cls(
            np.zeros(shape, np.int64), np.zeros(shape, np.int64), 0, np.zeros(checkpoints, np.int64)
        )

    @property
    def possible(self) -> np.ndarray:
        """Runs that fail or may fail, [G, T]."""
        return self.failures + self.undecided

    def at(self, g: int, t: int) -> Counts:
        """Return the counts at one threshold and one checkpoint, still [1, 1] and [1]."""
        chosen = self.failures[g, t], self.undecided[g, t]
        failures, undecided = (count.reshape(1, 1) for count in chosen)
        return Counts(failures, undecided, self.runs, self.diverged[t].reshape(1))

    def __add__(self, other: Counts) -> Counts:
        if not isinstance(other, Counts):
            return NotImplemented
        if self.failures.shape != other.failures.shape:
            raise InputError(
                f"counts of shapes {self.failures.shape} and {other.failures.shape} do not add up: "
                "the same thresholds and checkpoints are required"
            )
        return Counts(
            self.failures + other.failures,
            self.undecided + other.undecided,
            self.runs + other.runs,
            self.diverged + other.diverged,
        )


def classify(
    risk: ArrayLike, error: ArrayLike, lower: float, upper: float, eps: ArrayLike
) -> Counts:
    """Return how many runs fail, are undecided and diverged.

    A risk that is infinite or not a number is a divergence, and a failure at every eps. A finite
    risk whose error bound is infinite or not a number is undecided.

    Args:
        risk: computed true risks, [R, T].
        error: bounds on their numerical error, [R, T].
        lower: lower end of the optimal risk's bracket.
        upper: upper end.
        eps: thresholds, [G].

    Raises:
        InputError: for an empty bracket, an eps that is not finite, a negative error, or arrays
            whose shapes differ.

    Example: the last but one run depends on where in [0, 0.5] the optimum is
        >>> counts = classify([[0.1], [2.0], [1.2], [np.nan]], np.zeros((4, 1)), 0.0, 0.5, [1.0])
        >>> counts.failures.tolist(), counts.undecided.tolist(), counts.diverged.tolist()
        ([[2]], [[1]], [1])
    """
    return classify_known(KnownValues(risk, error), lower, upper, eps)


def classify_known(values: KnownValues, lower: float, upper: float, eps: ArrayLike) -> Counts:
    """Return the same of values of which other questions are asked, too.

    Raises:
        InputError: as `classify`.
    """
    thresholds = np.atleast_1d(np.asarray(eps, np.float64))
    _check(lower, upper, thresholds)
    runs, checkpoints = values.value.shape
    failures = np.empty((len(thresholds), checkpoints), np.int64)
    passes = np.empty_like(failures)
    lost = np.empty(checkpoints, np.int64)
    for t in range(checkpoints):
        column = values.column(t)
        failures[:, t] = column.failures(upper + thresholds)
        passes[:, t] = column.passes(lower + thresholds)
        lost[t] = column.gone
    return Counts(failures, runs - failures - passes, runs, lost)


def outcomes(
    risk: ArrayLike, error: ArrayLike, lower: float, upper: float, eps: float
) -> np.ndarray:
    """Return the `Outcome` of every run at one eps, int8 [R, T]; the rules are those of `classify`.

    Raises:
        InputError: as `classify`.

    Example:
        >>> outcomes([[0.1], [2.0], [1.2], [np.nan]], np.zeros((4, 1)), 0.0, 0.5, 1.0).tolist()
        [[0], [1], [2], [1]]
    """
    _check(lower, upper, np.asarray([eps], np.float64))
    values = KnownValues(risk, error)
    runs, checkpoints = values.value.shape
    result = np.full((runs, checkpoints), Outcome.UNDECIDED, np.int8)
    for t in range(checkpoints):
        column = values.column(t)
        result[column.passing(lower + eps), t] = Outcome.PASS
        result[column.failing(upper + eps), t] = Outcome.FAIL
    return result


def _check(lower: float, upper: float, eps: np.ndarray) -> None:
    if not lower <= upper:
        raise InputError(
            f"the bracket [{lower}, {upper}] of the optimal risk is empty; accepted: lower <= upper"
        )
    if eps.ndim != 1 or not np.isfinite(eps).all():
        raise InputError(f"eps = {eps.tolist()} is not accepted: a list of finite numbers is")
