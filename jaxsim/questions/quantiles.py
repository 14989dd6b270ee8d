"""Quantiles of the true risk at every checkpoint, with distribution-free intervals."""

from __future__ import annotations

from typing import Self

import numpy as np

from jaxsim.estimation import RiskHistogram
from jaxsim.questions.data import Data
from jaxsim.questions.question import Question, Subject
from jaxsim.training.records import Records

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


class QuantilesAnswer(Data):
    """Quantiles of the risk for Q levels and T checkpoints; empty lists without runs.

    Attributes:
        levels: [Q].
        value: sample quantiles, [Q][T]; infinite for diverged runs.
        lower: lower ends of their intervals, [Q][T]; infinite where there are too few runs.
        upper: upper ends.
        confidence: of each interval.
        method: how they are made.
        gradient_norm: median norm of the gradient of the true risk at the last step with its
            interval, (value, lower, upper); None without runs.
    """

    levels: list[float]
    value: list[list[float]]
    lower: list[list[float]]
    upper: list[list[float]]
    confidence: float
    method: str
    gradient_norm: tuple[float, float, float] | None


class Quantiles(Question):
    """Learning curves as quantiles over the runs."""

    name = "quantiles"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.risks = [RiskHistogram() for _ in subject.checkpoints]
        self.gradients = RiskHistogram()

    def add(self, records: Records, stratum: int = 0) -> None:
        """File the risks of a shard."""
        for t, histogram in enumerate(self.risks):
            histogram.add(records.risk[:, t], records.error[:, t])
        self.gradients.add(records.gradient_norm)

    def merge(self, other: Self) -> None:
        """Add the other's risks."""
        for mine, theirs in zip(self.risks, other.risks, strict=True):
            mine.merge(theirs)
        self.gradients.merge(other.gradients)

    def finish(self) -> QuantilesAnswer:
        """Return quantiles and intervals."""
        confidence = self.subject.confidence
        rows: list[list[list[float]]] = [[], [], []]
        median = None
        if self.gradients.total:
            columns = [
                (h.quantile(LEVELS), *h.quantile_interval(LEVELS, confidence)) for h in self.risks
            ]
            rows = [np.stack([c[k] for c in columns], axis=1).tolist() for k in range(3)]
            ends = self.gradients.quantile_interval(0.5, confidence)
            median = float(self.gradients.quantile(0.5)), float(ends[0]), float(ends[1])
        return QuantilesAnswer(
            levels=list(LEVELS),
            value=rows[0],
            lower=rows[1],
            upper=rows[2],
            confidence=confidence,
            method="order statistics",
            gradient_norm=median,
        )
