"""The distribution of the true risk at the last checkpoint."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from jaxsim.estimation import RiskHistogram
from jaxsim.questions.data import Data
from jaxsim.questions.question import Question, Subject
from jaxsim.questions.runs import risks_of
from jaxsim.training.records import Records

MOST_BINS = 4096


class DistributionAnswer(Data):
    """Counts of the risk in bins that hold runs, increasing.

    Attributes:
        lower: lower edges.
        upper: upper edges.
        count: runs in each bin.
        diverged: runs whose risk is infinite or not a number, in no bin.
        mass: estimated probability of each bin, strata counting with their weights; empty for the
            plain design, under which it is count / runs.
        diverged_mass: the same of diverged runs.
    """

    lower: list[float]
    upper: list[float]
    count: list[int]
    diverged: int
    mass: list[float] = Field(default_factory=list)
    diverged_mass: float | None = None


class Distribution(Question):
    """Where the runs end."""

    name = "distribution"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.risks = [RiskHistogram() for _ in subject.strata.strata]

    def add(self, records: Records, stratum: int = 0) -> None:
        """File the last risks of a shard."""
        last = risks_of(records).column(records.risk.shape[1] - 1)
        self.risks[stratum].add_column(last, exact=True)

    def merge(self, other: Self) -> None:
        """Add the other's risks."""
        for mine, theirs in zip(self.risks, other.risks, strict=True):
            mine.merge(theirs)

    def finish(self) -> DistributionAnswer:
        """Return the bins, neighbours joined as far as there are too many."""
        whole = RiskHistogram()
        for histogram in self.risks:
            whole.merge(histogram)
        lower, upper, count = whole.bins()
        mass = self._mass(upper)
        finite = np.isfinite(upper)
        diverged, lost = int(count[~finite].sum()), float(mass[~finite].sum())
        lower, upper, count, mass = lower[finite], upper[finite], count[finite], mass[finite]
        step = -(-len(count) // MOST_BINS)
        if step > 1:
            first = np.arange(0, len(count), step)
            lower, count = lower[first], np.add.reduceat(count, first)
            mass = np.add.reduceat(mass, first)
            upper = upper[np.minimum(first + step, len(upper)) - 1]
        plain = self.subject.strata.plain
        return DistributionAnswer(
            lower=lower.tolist(),
            upper=upper.tolist(),
            count=count.tolist(),
            diverged=diverged,
            mass=[] if plain else mass.tolist(),
            diverged_mass=None if plain else lost,
        )

    def _mass(self, edges: np.ndarray) -> np.ndarray:
        """Return the weighted share of the runs in the bins with these upper edges."""
        mass = np.zeros(len(edges))
        for weight, histogram in zip(self.subject.strata.weights, self.risks, strict=True):
            _, upper, count = histogram.bins()
            mass[np.searchsorted(edges, upper)] += weight * count / max(histogram.total, 1)
        return mass
