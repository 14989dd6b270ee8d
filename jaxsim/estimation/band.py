"""A simultaneous band for eps -> P(L(Theta_n) > inf L + eps), over all eps and several steps n.

On G thresholds and T checkpoints, fixed before the runs are seen, Clopper-Pearson intervals at
confidence 1 - alpha / (G T) hold together with probability at least 1 - alpha (Boole's inequality).
p(eps) does not increase, so that between thresholds eps_j <= eps <= eps_{j+1}

    lower(eps_{j+1}) <= p(eps) <= upper(eps_j):

the band holds for every eps. In the tail it is far narrower than the band of Dvoretzky, Kiefer and
Wolfowitz (Massart, Ann. Probab. 18, 1990), whose width is the same for all p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.counts import Counts
from jaxsim.estimation.intervals import lower_limit, upper_limit
from jaxsim.estimation.post_stratified import post_stratified
from jaxsim.estimation.stratified import Stratified, StratifiedCounts, stratified


@dataclass(frozen=True)
class Band:
    """Limits that hold for all eps and all checkpoints together.

    Attributes:
        eps: thresholds, increasing, [G].
        lower: lower limits, non-increasing in eps, [G, T].
        upper: upper limits, non-increasing in eps, [G, T].
        confidence: probability that all of them hold.
        method: how they were made.
    """

    eps: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    confidence: float
    method: str

    def at(self, eps: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the limits at any eps, by monotonicity, each of shape [*eps.shape, T].

        Below the first threshold the upper limit is 1, above the last one the lower limit is 0.
        """
        eps = np.asarray(eps, np.float64)
        ones = np.ones((1, self.upper.shape[1]))
        above = np.searchsorted(self.eps, eps, side="left")  # first threshold >= eps
        below = np.searchsorted(self.eps, eps, side="right")  # after the last threshold <= eps
        lower = np.concatenate([self.lower, 0 * ones])[above]
        upper = np.concatenate([ones, self.upper])[below]
        return lower, upper


def band(counts: Counts, eps: ArrayLike, confidence: float) -> Band:
    """Return the simultaneous band of one experiment.

    Args:
        counts: of `classify` on the grid, with failures [G, T]; undecided runs widen the band.
        eps: the grid [G], increasing, chosen without looking at the runs.
        confidence: probability that the whole band holds.

    Raises:
        InputError: for a grid that does not increase or does not fit the counts, or a confidence
            outside (0, 1).

    Example:
        >>> from jaxsim.estimation.counts import classify
        >>> risk = np.linspace(0, 1, 1000)[:, None]
        >>> b = band(classify(risk, 0 * risk, 0.0, 0.0, [0.25, 0.5]), [0.25, 0.5], 0.95)
        >>> lower, upper = b.at(0.4)
        >>> f"{lower[0]:.3f} {upper[0]:.3f}"
        '0.464 0.780'
    """
    grid = _checked_grid(eps, counts.failures)
    tail = (1 - checked_level(confidence, "confidence")) / (2 * max(counts.failures.size, 1))
    lower = lower_limit(counts.failures, counts.runs, tail)
    upper = upper_limit(counts.possible, counts.runs, tail)
    method = f"Clopper-Pearson, Bonferroni over {_places(counts.failures)}, monotone in eps"
    return Band(grid, *_monotone(lower, upper), float(confidence), method)


def stratified_band(
    counts: StratifiedCounts,
    eps: ArrayLike,
    confidence: float,
    interval: str,
    one_sample: bool = False,
) -> tuple[Band, Stratified]:
    """Return the simultaneous band of one experiment from strata, and its estimates.

    Args:
        counts: of every stratum on the grid, with failures [S, G, T].
        eps: the grid [G], increasing, chosen without looking at the runs.
        confidence: probability that the whole band holds.
        interval: "clopper-pearson", or "sequence" where the runs go on until something is seen.
        one_sample: whether all runs are one sample, sorted into strata afterwards.

    Raises:
        InputError: as `band`.
    """
    grid = _checked_grid(eps, counts.failures[0])
    alpha = (1 - checked_level(confidence, "confidence")) / max(counts.failures[0].size, 1)
    of_each = (post_stratified if one_sample else stratified)(counts, 1 - alpha, interval)
    places = _places(counts.failures[0])
    method = f"{of_each.description}, Bonferroni over {places}, monotone in eps"
    ends = _monotone(of_each.lower, of_each.upper)
    return Band(grid, *ends, float(confidence), method), of_each


def _checked_grid(eps: ArrayLike, failures: np.ndarray) -> np.ndarray:
    grid = np.asarray(eps, np.float64)
    if grid.ndim != 1 or not (np.diff(grid) > 0).all() or not np.isfinite(grid).all():
        raise InputError("the thresholds of a band must be finite and increase strictly")
    if failures.shape[0] != len(grid):
        raise InputError(
            f"counts for {failures.shape[0]} thresholds do not belong to a band "
            f"of {len(grid)} thresholds"
        )
    return grid


def _monotone(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return limits that do not increase in eps, as the truth does not.

    A limit at one threshold is one at all on its far side.
    """
    return np.maximum.accumulate(lower[::-1], axis=0)[::-1], np.minimum.accumulate(upper, axis=0)


def _places(failures: np.ndarray) -> str:
    return f"{failures.shape[0]} thresholds x {failures.shape[1]} checkpoints"
