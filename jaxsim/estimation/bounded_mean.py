"""The mean of bounded numbers from independent runs, by betting: it holds for every law.

For X_1, ..., X_n in [0, 1] with mean mu and stakes l_1, ..., l_J >= 0 fixed beforehand

    E(m) = 1/J sum_j prod_i (1 + min(l_j, 1/m) (X_i - m))

has no negative factor and an expectation of at most 1 if mu <= m, so that P(E(m) >= 1/a) <= a
(Markov). It decreases in m: the lower end at error a is where it falls to 1/a, and the upper one
that of 1 - X. The order of the runs has no part in it. For stakes that do not depend on n it is a
supermartingale, and the ends hold at all n at once (Ville). Stakes of the order of
sqrt(log(1/a) / (n V)) are best for a variance V, which is not known: several are mixed.
(Waudby-Smith and Ramdas, JRSS B 86, 2024; Orabona and Jun, IEEE Trans. Inf. Theory 70, 2024.)

Of a published mean less is known: with the sample's variance the bound of Maurer and Pontil (COLT
2009, theorem 4), else Chernoff's, whose worst law is on 0 and 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.roots import region_end

_HALVINGS = 60
_GRID = 1 << 20
"""Steps of [0, 1] to which numbers are rounded outward, so that few of them are different."""


class BoundedSample(NamedTuple):
    """Numbers in [0, 1], each as often as it was seen.

    Attributes:
        values: the different ones, float64 [V], increasing.
        counts: of each, int64 [V].
    """

    values: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: ArrayLike, side: int = 0) -> Self:
        """Return a sample.

        Args:
            values: numbers in [0, 1], any shape.
            side: -1 to round them down to a grid of 2^-20, 1 to round them up, 0 for neither.

        Raises:
            InputError: for a number that is not in [0, 1].
        """
        x = np.asarray(values, np.float64).ravel()
        if not ((x >= 0) & (x <= 1)).all():
            raise InputError("numbers of a bounded mean should be from 0 to 1")
        if side:
            scaled = np.round(x * _GRID, 6)  # k / m of whole k and m is left as it is
            whole = np.floor(scaled) if side < 0 else np.ceil(scaled)
            x = np.where(x * _GRID == whole, x, whole / _GRID)
        return cls(*np.unique(x, return_counts=True))

    @property
    def runs(self) -> int:
        """Number of all."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of all."""
        return math.fsum(self.values * self.counts) / max(self.runs, 1)

    def joined(self, other: BoundedSample) -> BoundedSample:
        """Return the numbers of both."""
        values, where = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        return BoundedSample(values, counts)

    def turned(self) -> BoundedSample:
        """Return 1 - X."""
        return BoundedSample(1 - self.values[::-1], self.counts[::-1])


def fixed_stakes(runs: int) -> np.ndarray:
    """Return stakes for a number of runs that is fixed beforehand."""
    return 4 / math.sqrt(max(runs, 1)) * 2.0 ** np.arange(7)


SEQUENCE_STAKES = 2.0 ** np.arange(-11, 7)
"""Stakes for all numbers of runs at once, up to some millions."""


def log_evidence(sample: BoundedSample, mean: float, stakes: np.ndarray) -> float:
    """Return log E(m): how strongly a sample speaks against a mean of at most m."""
    bets = np.minimum(stakes, 1 / mean if mean > 0 else np.inf)[:, None]
    seen = sample.counts > 0
    with np.errstate(divide="ignore"):
        logs = np.log1p(np.maximum(bets * (sample.values[seen] - mean), -1.0))
    logs = logs @ sample.counts[seen]
    return float(np.logaddexp.reduce(logs) - math.log(len(stakes)))


def mean_lower(sample: BoundedSample, error: float, stakes: np.ndarray) -> float:
    """Return the lower end: it is above the mean with a probability of at most `error`."""
    if not sample.runs or log_evidence(sample, 0.0, stakes) < -math.log(error):
        return 0.0
    enough = -math.log(error)
    return region_end(
        lambda m: log_evidence(sample, m, stakes) < enough, sample.mean, 0.0, _HALVINGS
    )[1]


def mean_interval(
    least: BoundedSample,
    most: BoundedSample,
    confidence: float,
    stakes: np.ndarray | None = None,
) -> tuple[float, float]:
    """Return an interval for a mean, guaranteed for every law on [0, 1].

    Args:
        least: what the numbers are at least.
        most: what they are at most; the same where they are known.
        confidence: 1 - alpha, each side misses with probability alpha / 2 at most.
        stakes: those for the number of runs by default.

    Raises:
        InputError: for a confidence outside (0, 1).

    Example:
        >>> sample = BoundedSample.of(np.repeat([0.25, 0.5, 0.75], [300, 400, 300]))
        >>> lower, upper = mean_interval(sample, sample, 0.95)
        >>> f"{lower:.3f} {upper:.3f}"
        '0.480 0.520'
    """
    error = (1 - checked_level(confidence, "confidence")) / 2
    bets = fixed_stakes(least.runs) if stakes is None else stakes
    return mean_lower(least, error, bets), 1 - mean_lower(most.turned(), error, bets)


def published_mean_interval(
    mean: float, runs: int, deviation: float | None, confidence: float
) -> tuple[float, float]:
    """Return an interval for the mean of numbers in [0, 1] of which only the sample's mean is told.

    Args:
        mean: of the sample, in [0, 1].
        runs: at least 2 if the deviation is known, else at least 1.
        deviation: standard deviation of the sample (of n - 1), None if it is not known.
        confidence: 1 - alpha.

    Raises:
        InputError: for a confidence outside (0, 1).

    Example:
        >>> [f"{end:.3f}" for end in published_mean_interval(0.5, 1000, 0.2, 0.95)]
        ['0.471', '0.529']
    """
    error = (1 - checked_level(confidence, "confidence")) / 2
    if deviation is not None:
        slack = math.log(2 / error)
        reach = deviation * math.sqrt(2 * slack / runs) + 7 * slack / (3 * (runs - 1))
        return max(mean - reach, 0.0), min(mean + reach, 1.0)
    return _chernoff(mean, runs, error), 1 - _chernoff(1 - mean, runs, error)


def _chernoff(mean: float, runs: int, error: float) -> float:
    """Return the least m with exp(-n KL(mean, m)) >= error."""
    enough = -math.log(error)
    return region_end(lambda m: runs * _divergence(mean, m) < enough, mean, 0.0, _HALVINGS)[1]


def _divergence(p: float, q: float) -> float:
    """Return the relative entropy of two laws on 0 and 1."""
    total = 0.0
    for a, b in ((p, q), (1 - p, 1 - q)):
        if a > 0:
            total += a * math.log(a / b) if b > 0 else math.inf
    return total
