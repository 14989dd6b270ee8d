"""The distribution of the true risk at the last checkpoint."""

from __future__ import annotations

from typing import Self

import numpy as np

from jaxsim.estimation import RiskHistogram
from jaxsim.questions.data import Data
from jaxsim.questions.question import Question, Subject
from jaxsim.training.records import Records

MOST_BINS = 4096


class DistributionAnswer(Data):
    """Counts of the risk in bins that hold runs, increasing.

    Attributes:
        lower: lower edges.
        upper: upper edges.
        count: runs in each bin.
        diverged: runs whose risk is infinite or not a number, in no bin.
    """

    lower: list[float]
    upper: list[float]
    count: list[int]
    diverged: int


class Distribution(Question):
    """Where the runs end."""

    name = "distribution"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.risks = RiskHistogram()

    def add(self, records: Records, stratum: int = 0) -> None:
        """File the last risks of a shard."""
        self.risks.add(records.risk[:, -1])

    def merge(self, other: Self) -> None:
        """Add the other's risks."""
        self.risks.merge(other.risks)

    def finish(self) -> DistributionAnswer:
        """Return the bins, neighbours joined as far as there are too many."""
        lower, upper, count = self.risks.bins()
        finite = np.isfinite(upper)
        diverged = int(count[~finite].sum())
        lower, upper, count = lower[finite], upper[finite], count[finite]
        step = -(-len(count) // MOST_BINS)
        if step > 1:
            first = np.arange(0, len(count), step)
            lower, count = lower[first], np.add.reduceat(count, first)
            upper = upper[np.minimum(first + step, len(upper)) - 1]
        return DistributionAnswer(
            lower=lower.tolist(), upper=upper.tolist(), count=count.tolist(), diverged=diverged
        )
