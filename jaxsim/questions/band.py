"""P(L(Theta_n) > inf L + eps) for all eps and checkpoints together: a simultaneous band."""

from __future__ import annotations

from typing import Self

import numpy as np

from jaxsim.estimation import Counts, band, classify
from jaxsim.questions.data import Data
from jaxsim.questions.question import Question, Subject
from jaxsim.risk.constants import best_constant_risk
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

GRID = 60


class BandAnswer(Data):
    """The band of an experiment on M thresholds and T checkpoints.

    Between two thresholds the upper limit is that of the left one and the lower limit that of the
    right one, since the probability does not increase in eps.

    Attributes:
        eps: thresholds, increasing, [M].
        estimate: failures / runs, [M][T].
        estimate_upper: (failures + undecided) / runs, [M][T].
        lower: lower limits, [M][T].
        upper: upper limits, [M][T].
        confidence: that all limits hold.
        method: how they were made.
    """

    eps: list[float]
    estimate: list[list[float]]
    estimate_upper: list[list[float]]
    lower: list[list[float]]
    upper: list[list[float]]
    confidence: float
    method: str


class SimultaneousBand(Question):
    """Exceedance probabilities on a fine grid of eps."""

    name = "band"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.grid = thresholds(subject.experiment, subject.eps)
        self.counts = Counts.zero(len(self.grid), len(subject.checkpoints))

    def add(self, records: Records) -> None:
        """Count the runs of a shard."""
        ends = self.subject.ends
        self.counts = self.counts + classify(records.risk, records.error, *ends, self.grid)

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.counts = self.counts + other.counts

    def finish(self) -> BandAnswer:
        """Return the band."""
        found = band(self.counts, self.grid, self.subject.confidence)
        runs = max(self.counts.runs, 1)
        shape = self.counts.failures.shape
        most = np.asarray(self.counts.possible / runs if self.counts.runs else np.ones(shape))
        return BandAnswer(
            eps=self.grid.tolist(),
            estimate=(self.counts.failures / runs).tolist(),
            estimate_upper=most.tolist(),
            lower=found.lower.tolist(),
            upper=found.upper.tolist(),
            confidence=found.confidence,
            method=found.method,
        )


def thresholds(experiment: Experiment, eps: np.ndarray) -> np.ndarray:
    """Return the band's thresholds: fixed by the problem, so that no run has a say in them."""
    scale = best_constant_risk(experiment.problem, experiment.risk).value
    scale = min(max(scale, 1e-300), 1e300) if np.isfinite(scale) and scale > 0 else 1.0
    return np.union1d(np.geomspace(1e-5 * scale, 10 * scale, GRID), eps)
