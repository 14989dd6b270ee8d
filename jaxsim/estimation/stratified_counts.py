"""Which runs failed, stratum by stratum, with the exact probabilities of the strata."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxsim.errors import InputError
from jaxsim.estimation.checks import checked_counts
from jaxsim.estimation.counts import Counts

FAILS, OPEN, PASSES = 1, 0, -1
"""Fate of a stratum: fails by proof, not decided, passes by proof."""
_ROUNDING = 1e-9  # by which weights may miss 1 beyond their errors


@dataclass(frozen=True)
class StratifiedCounts:
    """Counts of runs by stratum; those of disjoint sets of runs add up with `+`.

    Attributes:
        weights: probabilities pi_k of the strata, which add up to 1, float64 [S].
        errors: absolute bounds on the errors of the weights, float64 [S].
        failures: runs that certainly fail, int64 [S, ...], such as [S, G, T].
        possible: runs that fail or may fail, int64 [S, ...].
        runs: all runs of each stratum, 0 where it was not sampled, int64 [S].
        decided: fate of each stratum by proof, int8 [S, ...]: 1 fails, -1 passes, 0 neither. Runs
            of a decided stratum are not used.

    Raises:
        InputError: for shapes that do not fit, counts that are not 0 <= failures <= possible <=
            runs, or weights that are negative or do not add up to 1.
    """

    weights: np.ndarray
    errors: np.ndarray
    failures: np.ndarray
    possible: np.ndarray
    runs: np.ndarray
    decided: np.ndarray

    def __post_init__(self) -> None:
        strata, shape = len(self.weights), np.shape(self.failures)
        fits = shape[:1] == (strata,) and shape == np.shape(self.possible) == np.shape(self.decided)
        if not fits or not np.shape(self.errors) == np.shape(self.runs) == (strata,):
            raise InputError(
                f"counts of shapes {shape} and {np.shape(self.possible)}, fates of shape "
                f"{np.shape(self.decided)} and {np.size(self.runs)} numbers of runs do not belong "
                f"to {strata} strata"
            )
        runs = _like(self.runs, np.ndim(self.failures))
        checked_counts(self.failures, self.possible)
        checked_counts(self.possible, np.broadcast_to(runs, shape))
        if not np.isin(self.decided, (FAILS, OPEN, PASSES)).all():
            raise InputError("decided is not accepted; accepted: 1 (fails), -1 (passes), 0 (open)")
        checked_weights(self.weights, self.errors)

    @classmethod
    def plain(cls, counts: Counts) -> StratifiedCounts:
        """Return the counts of runs that are not stratified: one stratum of weight 1."""
        return cls(
            np.ones(1),
            np.zeros(1),
            counts.failures[None],
            counts.possible[None],
            np.array([counts.runs]),
            np.zeros((1, *counts.failures.shape), np.int8),
        )

    def __add__(self, other: StratifiedCounts) -> StratifiedCounts:
        if not isinstance(other, StratifiedCounts):
            return NotImplemented
        same = (
            np.array_equal(self.weights, other.weights)
            and np.array_equal(self.errors, other.errors)
            and np.array_equal(self.decided, other.decided)
        )
        if not same:
            raise InputError("counts of different strata, thresholds or checkpoints do not add up")
        return StratifiedCounts(
            self.weights,
            self.errors,
            self.failures + other.failures,
            self.possible + other.possible,
            self.runs + other.runs,
            self.decided,
        )


def checked_weights(weights: np.ndarray, errors: np.ndarray) -> None:
    """Refuse weights that are no probabilities of strata.

    Raises:
        InputError: unless they and their errors are >= 0 and the weights add up to 1.
    """
    w, e = np.asarray(weights, np.float64), np.asarray(errors, np.float64)
    if not (np.isfinite(w) & (w >= 0) & np.isfinite(e) & (e >= 0)).all():
        raise InputError("weights of strata or their errors are not accepted; accepted: >= 0")
    if abs(w.sum() - 1) > e.sum() + _ROUNDING:
        raise InputError(
            f"weights of strata that add up to {w.sum():.12g} are not accepted; accepted: to 1"
        )


def _like(values: np.ndarray, dimensions: int) -> np.ndarray:
    return np.asarray(values).reshape((-1,) + (1,) * (dimensions - 1))
