"""What is accumulated of runs for a published number: one tally for each kind of number.

A tally is given the records of shards, and says what was measured as an estimate and as an interval
at any confidence. Runs of one law are one sample, even if they are sorted into strata afterwards;
under a design of strata those of a stratum count with its probability. Where runs go on by looks at
them, intervals are confidence sequences.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.estimation import RiskHistogram, clopper_pearson
from jaxsim.estimation.bounded_mean import SEQUENCE_STAKES, BoundedSample, mean_interval
from jaxsim.estimation.stratified import stratified
from jaxsim.estimation.stratified_counts import FAILS, OPEN, StratifiedCounts
from jaxsim.estimation.weighted_quantiles import weighted_quantile, weighted_quantile_interval
from jaxsim.questions.published_number import ERROR_RATE, NEURON_SHARE, NEURONS, RISK, Published
from jaxsim.questions.question import Subject
from jaxsim.training.records import Records

Ends = tuple[float, float]


@dataclass(frozen=True)
class Sampling:
    """How the runs of an experiment were sampled.

    Attributes:
        weights: probabilities of the strata, [S].
        errors: bounds on their errors, [S].
        single: whether all runs are one sample of one law.
        method: of guaranteed intervals for a probability, a name of `INTERVALS`.
    """

    weights: np.ndarray
    errors: np.ndarray
    single: bool
    method: str

    @classmethod
    def of(cls, subject: Subject) -> Self:
        """Return how the runs of a subject are sampled."""
        design = subject.strata
        return cls(
            design.weights, design.errors, design.plain or design.one_sample, subject.guaranteed
        )

    @property
    def strata(self) -> int:
        """Number of the samples."""
        return 1 if self.single else len(self.weights)

    @property
    def fixed(self) -> bool:
        """Whether it is one sample of a number of runs that was fixed beforehand."""
        return self.single and self.method != "sequence"

    def weighted(
        self, by_stratum: np.ndarray, runs: np.ndarray, decided: np.ndarray | None = None
    ) -> float:
        """Return the weighted mean of the means of the strata.

        Strata without runs are left out, and the weights of the others scaled up.

        Args:
            by_stratum: means, [S].
            runs: of each, [S].
            decided: strata whose mean is 1 by proof, bool [S]; None for none.
        """
        if self.single:
            return float(by_stratum[0])
        proved = np.zeros(len(runs), bool) if decided is None else decided
        seen = (runs > 0) & ~proved
        if not seen.any():
            return float(self.weights[proved].sum())
        mean = float((self.weights * by_stratum)[seen].sum() / self.weights[seen].sum())
        return float(self.weights[proved].sum() + self.weights[~proved].sum() * mean)


class Tally(ABC):
    """What is accumulated for one published number."""

    def __init__(self, entry: Published, subject: Subject) -> None:
        """Begin with no runs."""
        self.entry, self.subject = entry, subject
        self.sampling = Sampling.of(subject)

    def place(self, stratum: int) -> int:
        """Return the sample that the runs of a stratum belong to."""
        return 0 if self.sampling.single else stratum

    @abstractmethod
    def add(self, records: Records, t: int, stratum: int) -> None:
        """Take the runs of a shard into account, at a checkpoint."""

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Take into account what another tally saw of other runs."""


class Share(Tally):
    """How many runs have a property: for certain, and perhaps."""

    def __init__(
        self,
        entry: Published,
        subject: Subject,
        counted: Callable[[Records, int], tuple[int, int]],
        decided: np.ndarray | None = None,
    ) -> None:
        """Begin with no runs.

        Args:
            entry: the published number.
            subject: what it is of.
            counted: (records, place of the checkpoint) -> runs that certainly have the property,
                and runs of which it is not known.
            decided: strata all of whose runs have it by proof, bool [S]; None for none.
        """
        super().__init__(entry, subject)
        self.counted, self.decided = counted, decided
        self.certain, self.possible, self.runs = np.zeros((3, self.sampling.strata), np.int64)

    def add(self, records: Records, t: int, stratum: int) -> None:
        """Count the runs of a shard."""
        certain, undecided = self.counted(records, t)
        k = self.place(stratum)
        self.certain[k] += certain
        self.possible[k] += certain + undecided
        self.runs[k] += len(records.replicate)

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.certain = self.certain + other.certain
        self.possible = self.possible + other.possible
        self.runs = self.runs + other.runs

    @property
    def range(self) -> tuple[int, int]:
        """Runs that have it at least, and at most."""
        return int(self.certain.sum()), int(self.possible.sum())

    @property
    def estimate(self) -> Ends:
        """The estimates at least and at most."""
        runs = np.maximum(self.runs, 1)
        least, most = (
            self.sampling.weighted(x / runs, self.runs, self.decided)
            for x in (self.certain, self.possible)
        )
        return least, most

    def ends(self, confidence: float) -> Ends:
        """Return the guaranteed interval of the probability."""
        sampling = self.sampling
        if sampling.fixed:
            low, high = clopper_pearson(list(self.range), int(self.runs.sum()), confidence)
            return float(low[0]), float(high[1])
        whole = sampling.single
        fate = np.full((len(self.runs), 1), OPEN, np.int8)
        if self.decided is not None and not whole:
            fate[self.decided] = FAILS
        counts = StratifiedCounts(
            weights=np.ones(1) if whole else sampling.weights,
            errors=np.zeros(1) if whole else sampling.errors,
            failures=self.certain[:, None],
            possible=self.possible[:, None],
            runs=self.runs,
            decided=fate,
        )
        found = stratified(counts, confidence, sampling.method)
        return float(found.lower[0]), float(found.upper[0])


class BoundedMean(Tally):
    """The mean of a quantity from 0 to a known number."""

    def __init__(self, entry: Published, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(entry, subject)
        self.scale = float(subject.experiment.network.hidden[0]) if entry.of == NEURONS else 1.0
        nothing = BoundedSample.of([])
        self.samples = [[nothing] * self.sampling.strata for _ in range(2)]

    def add(self, records: Records, t: int, stratum: int) -> None:
        """Count the values of a shard; of a diverged run nothing is known."""
        value, error = values_of(self.entry.of, records, t, self.subject)
        lost = ~np.isfinite(records.risk[:, t])
        k = self.place(stratum)
        for samples, side in zip(self.samples, (-1, 1), strict=True):
            x = np.where(lost, (side + 1) / 2, (value + side * error) / self.scale)
            grid = side if error.any() else 0  # whole numbers are few as they are
            samples[k] = samples[k].joined(BoundedSample.of(np.clip(x, 0.0, 1.0), grid))

    def merge(self, other: Self) -> None:
        """Add the other's values."""
        for mine, theirs in zip(self.samples, other.samples, strict=True):
            mine[:] = [a.joined(b) for a, b in zip(mine, theirs, strict=True)]

    @property
    def estimate(self) -> float:
        """The mean, half way between what it is at least and at most."""
        runs = np.array([sample.runs for sample in self.samples[0]])
        ends = [
            self.sampling.weighted(np.array([sample.mean for sample in samples]), runs)
            for samples in self.samples
        ]
        return self.scale * (ends[0] + ends[1]) / 2

    def ends(self, confidence: float) -> Ends:
        """Return the guaranteed interval: of strata the sum of their limits (Bonferroni)."""
        sampling = self.sampling
        stakes = SEQUENCE_STAKES if sampling.method == "sequence" else None
        each = 1 - (1 - confidence) / sampling.strata
        pairs = zip(self.samples[0], self.samples[1], strict=True)
        parts = np.array([mean_interval(low, high, each, stakes) for low, high in pairs])
        if sampling.single:
            low, high = parts[0]
        else:
            low = (np.maximum(sampling.weights - sampling.errors, 0.0) * parts[:, 0]).sum()
            high = min(((sampling.weights + sampling.errors) * parts[:, 1]).sum(), 1.0)
        return float(self.scale * low), float(self.scale * high)


class RiskMean(Tally):
    """The mean of the risk, which nothing bounds: its interval is approximate."""

    def __init__(self, entry: Published, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(entry, subject)
        self.runs, self.estimate, self.squares = 0, 0.0, 0.0  # of squares: around the mean

    def add(self, records: Records, t: int, stratum: int) -> None:
        """Take the risks of a shard, in the unit of the published number."""
        del stratum
        risk = records.risk[:, t] / self.entry.factor
        x = np.where(np.isfinite(risk), risk, np.inf)
        if len(x):
            mean = float(x.mean())
            self._join(len(x), mean, float(((x - mean) ** 2).sum()) if np.isfinite(mean) else 0.0)

    def merge(self, other: Self) -> None:
        """Add the other's risks."""
        self._join(other.runs, other.estimate, other.squares)

    def _join(self, runs: int, mean: float, squares: float) -> None:
        total = self.runs + runs
        if not runs or not math.isfinite(self.estimate):
            self.runs = total
            return
        step = mean - self.estimate
        self.estimate = mean if not self.runs else self.estimate + step * runs / total
        self.squares += squares + (step**2 * self.runs * runs / total if self.runs else 0.0)
        self.runs = total

    @property
    def deviation(self) -> float:
        """Standard deviation of the runs."""
        return math.sqrt(self.squares / (self.runs - 1)) if self.runs > 1 else math.inf

    @property
    def standard_error(self) -> float:
        """Of the mean."""
        return self.deviation / math.sqrt(max(self.runs, 1))

    def ends(self, confidence: float) -> Ends:
        """Return Student's interval."""
        if not math.isfinite(self.estimate) or self.runs < 2:
            return -math.inf, math.inf
        reach = float(scipy.stats.t.isf((1 - confidence) / 2, self.runs - 1)) * self.standard_error
        return self.estimate - reach, self.estimate + reach


class Quantile(Tally):
    """A quantile of the risk, or of another quantity, by order statistics."""

    def __init__(self, entry: Published, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(entry, subject)
        lower, upper = entry.lower * entry.factor, entry.upper * entry.factor
        self.up_to = Share(entry, subject, lambda records, t: self._counted(records, t, upper, 1))
        self.below = Share(entry, subject, lambda records, t: self._counted(records, t, lower, 0))
        self.histograms = [RiskHistogram() for _ in range(self.sampling.strata)]
        assert entry.level is not None
        self.level = entry.level
        width = float((*subject.experiment.network.hidden, 1)[0])
        self.size = width if entry.of == NEURON_SHARE else 1.0

    def _values(self, records: Records, t: int) -> tuple[np.ndarray, np.ndarray]:
        value, error = values_of(self.entry.of, records, t, self.subject)
        lost = ~np.isfinite(records.risk[:, t])
        if self.entry.of == RISK:  # that of a diverged run is infinite
            error = np.where(np.isnan(error), np.inf, error)
            return np.where(lost, np.inf, value), np.where(lost, 0.0, error)
        return np.where(lost, 0.0, value), np.where(lost, np.inf, error)

    def _counted(self, records: Records, t: int, end: float, equal: int) -> tuple[int, int]:
        """Return how many values are below an end, or equal to it, for certain and perhaps."""
        value, error = self._values(records, t)
        reached = np.less_equal if equal else np.less
        certain = int(reached(value + error, end).sum())
        return certain, int(reached(value - error, end).sum()) - certain

    def add(self, records: Records, t: int, stratum: int) -> None:
        """Count the values of a shard."""
        for share in (self.up_to, self.below):
            share.add(records, t, stratum)
        self.histograms[self.place(stratum)].add(*self._values(records, t))

    def merge(self, other: Self) -> None:
        """Add the other's values."""
        self.up_to.merge(other.up_to)
        self.below.merge(other.below)
        for mine, theirs in zip(self.histograms, other.histograms, strict=True):
            mine.merge(theirs)

    @property
    def estimate(self) -> float:
        """The sample quantile."""
        weights = [1.0] if self.sampling.single else self.sampling.weights
        value = weighted_quantile(weights, self.histograms, self.level)
        return self._unit(float(value))

    def ends(self, confidence: float) -> Ends:
        """Return the interval: order statistics, or limits of the distribution function."""
        sampling, level = self.sampling, self.level
        if sampling.fixed:
            low, high = self.histograms[0].quantile_interval(level, confidence)
        else:
            low, high = weighted_quantile_interval(
                [1.0] if sampling.single else sampling.weights,
                self.histograms,
                level,
                confidence,
                errors=0.0 if sampling.single else sampling.errors,
                method=sampling.method,
            )
        return self._unit(float(low)), self._unit(float(high))

    def _unit(self, value: float) -> float:
        """Return a value in the unit of the published number; a count where bins hold one only."""
        if self.entry.of not in (NEURONS, NEURON_SHARE) or not math.isfinite(value):
            return value / self.entry.factor
        return round(value * self.size) / self.size


def values_of(of: str, records: Records, t: int, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Return what a mean or a quantile is of, for every run at a checkpoint, and its error, [R]."""
    if of == RISK:
        return records.risk[:, t], records.error[:, t]
    if of == ERROR_RATE:
        rate, error = np.moveaxis(records.error_rate[:, t], 1, 0)
        return rate, np.nan_to_num(error, nan=1.0)
    first = records.inactive[:, t, 0].astype(np.float64)
    size = 1.0 if of == NEURONS else float(subject.experiment.network.hidden[0])
    return first / size, np.zeros(len(first))
