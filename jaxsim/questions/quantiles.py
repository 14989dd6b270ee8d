"""Quantiles of the true risk at every checkpoint, with distribution-free intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from jaxsim.estimation import RiskHistogram
from jaxsim.estimation.post_stratified import shared_levels
from jaxsim.estimation.weighted_quantiles import weighted_quantile, weighted_quantile_interval
from jaxsim.questions.data import Data
from jaxsim.questions.question import Question, Subject
from jaxsim.questions.runs import risks_of
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
        strata = subject.strata.strata
        self.risks = [[RiskHistogram() for _ in strata] for _ in subject.checkpoints]
        self.gradients = [RiskHistogram() for _ in strata]

    def add(self, records: Records, stratum: int = 0) -> None:
        """File the risks of a shard."""
        risks = risks_of(records)
        for t, histograms in enumerate(self.risks):
            histograms[stratum].add_column(risks.column(t))
        self.gradients[stratum].add(records.gradient_norm)

    def merge(self, other: Self) -> None:
        """Add the other's risks."""
        pairs = zip((*self.risks, self.gradients), (*other.risks, other.gradients), strict=True)
        for mine, theirs in pairs:
            for histogram, more in zip(mine, theirs, strict=True):
                histogram.merge(more)

    def finish(self) -> QuantilesAnswer:
        """Return quantiles and intervals."""
        confidence = self.subject.confidence
        rows: list[list[list[float]]] = [[], [], []]
        median = None
        if any(histogram.total for histogram in self.gradients):
            columns = [self._quantiles(histograms, LEVELS) for histograms in self.risks]
            rows = [np.stack([c[k] for c in columns], axis=1).tolist() for k in range(3)]
            of_median = self._quantiles(self.gradients, (0.5,))
            median = float(of_median[0][0]), float(of_median[1][0]), float(of_median[2][0])
        return QuantilesAnswer(
            levels=list(LEVELS),
            value=rows[0],
            lower=rows[1],
            upper=rows[2],
            confidence=confidence,
            method=self._method,
            gradient_norm=median,
        )

    @property
    def _by_limits(self) -> bool:
        """Whether intervals invert limits of the distribution function, and not ranks."""
        return not self.subject.strata.plain or self.subject.guaranteed == "sequence"

    @property
    def _method(self) -> str:
        """How the intervals are made."""
        if not self._by_limits:
            return "order statistics"
        return f"inversion of limits of the distribution function ({self.subject.guaranteed})"

    def _quantiles(
        self, histograms: Sequence[RiskHistogram], levels: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return quantiles and the ends of their intervals, [Q] each."""
        confidence, design = self.subject.confidence, self.subject.strata
        if not self._by_limits:
            (one,) = histograms
            return one.quantile(levels), *one.quantile_interval(levels, confidence)
        method = self.subject.guaranteed
        whole = None
        if design.one_sample:
            share, confidence = shared_levels(confidence)
            every = RiskHistogram()
            for histogram in histograms:
                every.merge(histogram)
            whole = weighted_quantile_interval([1.0], [every], levels, share, method=method)
        lower, upper = weighted_quantile_interval(
            design.weights, histograms, levels, confidence, errors=design.errors, method=method
        )
        value = weighted_quantile(design.weights, histograms, levels)
        if whole is not None:
            lower = np.minimum(np.maximum(lower, whole[0]), value)
            upper = np.maximum(np.minimum(upper, whole[1]), value)
        return value, lower, upper
