"""P(L(Theta_n) > inf L + eps) for all eps and checkpoints together: a simultaneous band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from pydantic import Field

from jaxsim.estimation import Counts, band
from jaxsim.estimation.band import stratified_band
from jaxsim.questions.data import Data
from jaxsim.questions.events import (
    ABOVE_OPTIMUM,
    ERROR_RATE_ABOVE,
    FLAGS,
    INACTIVE,
    NOT_ALL_RIGHT,
)
from jaxsim.questions.provable import decided_at
from jaxsim.questions.quantities import Quantity, quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.questions.weights import sampled
from jaxsim.risk.constants import best_constant_risk
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

GRID = 60
UNSPLIT = "from the runs that were not split"
"""What is said of a band beside families of clones."""


class BandAnswer(Data):
    """The band of an experiment on M thresholds and T checkpoints.

    Between two thresholds the upper limit is that of the left one and the lower limit that of the
    right one, since the probability does not increase in eps.

    Attributes:
        event: kind of the events whose probabilities these are.
        eps: thresholds, increasing, [M].
        estimate: failures / runs, [M][T].
        estimate_upper: (failures + undecided) / runs, [M][T].
        lower: lower limits, [M][T].
        upper: upper limits, [M][T].
        confidence: that all limits hold.
        method: how they were made.
        provable: part of the probability that needs no run, [M][T]; empty for the plain design.
        unresolved: part of `upper` without a failure to show for it, [M][T]; the same.
    """

    event: str = ABOVE_OPTIMUM
    eps: list[float]
    estimate: list[list[float]]
    estimate_upper: list[list[float]]
    lower: list[list[float]]
    upper: list[list[float]]
    confidence: float
    method: str
    provable: list[list[float]] = Field(default_factory=list)
    unresolved: list[list[float]] = Field(default_factory=list)


class SimultaneousBand(Question):
    """Failure probabilities on a fine grid of thresholds, for the first kind of events."""

    name = "band"
    kinds = slice(0, 1)

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        every = quantities(subject)
        rates = any(q.kind == ERROR_RATE_ABOVE for q in every)
        asked = [q for q in every if not (rates and q.kind == NOT_ALL_RIGHT)]
        self.quantities = asked[self.kinds]
        self.grids = [_grid(quantity) for quantity in self.quantities]
        strata, times = range(len(subject.strata.strata)), len(subject.checkpoints)
        self.counts = [[Counts.zero(len(grid), times) for _ in strata] for grid in self.grids]
        self.split = False

    def add(self, records: Records, stratum: int = 0) -> None:
        """Count the runs of a shard."""
        rows = zip(self.counts, self.quantities, self.grids, strict=True)
        for counts, quantity, grid in rows:
            counts[stratum] = counts[stratum] + quantity.counts(records, grid)

    def add_families(
        self, records: Records, stratum: int, size: int, reverse: bool = False
    ) -> None:
        """Leave them out: a limit of theirs at every threshold would cost more than the runs."""
        self.split = True

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.split |= other.split
        for mine, theirs in zip(self.counts, other.counts, strict=True):
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]

    def finish(self) -> Any:
        """Return the band."""
        return self.bands()[0]

    def bands(self) -> list[BandAnswer]:
        """Return a band for each kind of events."""
        rows = zip(self.quantities, self.grids, self.counts, strict=True)
        return [self._band(*row) for row in rows]

    def _band(self, quantity: Quantity, grid: np.ndarray, counts: Sequence[Counts]) -> BandAnswer:
        subject = self.subject
        parts: dict[str, Any] = {}
        if subject.strata.plain and subject.guaranteed == "clopper-pearson":
            runs = max(counts[0].runs, 1)
            band_values = band(counts[0], grid, subject.confidence)
            least = counts[0].failures / runs
            most = counts[0].possible / runs if counts[0].runs else np.ones_like(least)
        else:
            proofs = decided_at(subject, quantity, grid)
            strata = sampled(subject.strata, counts, proofs).stratified()
            limits = grid, subject.confidence, subject.guaranteed, subject.strata.one_sample
            band_values, of_each = stratified_band(strata, *limits)
            least, most = of_each.estimate, of_each.estimate_upper
            if not subject.strata.plain:
                # Where a limit of a smaller eps is lower, less of it is unresolved as well.
                left = np.minimum(of_each.unresolved, band_values.upper)
                parts = {"provable": of_each.provable.tolist(), "unresolved": left.tolist()}
        return BandAnswer(
            event=ERROR_RATE_ABOVE if quantity.of_error_rate else quantity.kind,
            eps=grid.tolist(),
            estimate=least.tolist(),
            estimate_upper=most.tolist(),
            lower=band_values.lower.tolist(),
            upper=band_values.upper.tolist(),
            confidence=band_values.confidence,
            method=band_values.method + (f", {UNSPLIT}" if self.split else ""),
            **parts,
        )


class OtherBands(SimultaneousBand):
    """The same for the further kinds of events, each kind for itself."""

    name = "bands"
    kinds = slice(1, None)

    def finish(self) -> Any:
        """Return the bands."""
        return self.bands()


def _grid(quantity: Quantity) -> np.ndarray:
    if quantity.of_error_rate:
        return np.union1d([0.0, *np.geomspace(1e-3, 1.0, GRID)], quantity.thresholds)
    if quantity.kind in FLAGS:
        return quantity.thresholds
    if quantity.kind == INACTIVE:
        width = (*quantity.experiment.network.hidden, 1)[0]
        counts = np.round(np.geomspace(1, max(width, 1), GRID))
        return np.union1d(counts, quantity.thresholds)
    return thresholds(quantity.experiment, quantity.thresholds)


def thresholds(experiment: Experiment, eps: np.ndarray) -> np.ndarray:
    """Return the band's thresholds: fixed by the problem, so that no run has a say in them."""
    scale = best_constant_risk(experiment.problem, experiment.risk).value
    scale = min(max(scale, 1e-300), 1e300) if np.isfinite(scale) and scale > 0 else 1.0
    return np.union1d(np.geomspace(1e-5 * scale, 10 * scale, GRID), eps)
