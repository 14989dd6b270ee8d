"""Published numbers as a question: what the runs of an experiment say about its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from jaxsim.estimation import classify
from jaxsim.questions.events import KINDS
from jaxsim.questions.provable import decided_at
from jaxsim.questions.published_number import (
    LEVEL,
    MEAN,
    QUANTILE,
    RISK,
    Published,
)
from jaxsim.questions.published_tallies import BoundedMean, Quantile, RiskMean, Share, Tally
from jaxsim.questions.quantities import Quantity, quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.training.polish import Basin
from jaxsim.training.records import Records

MOST_KEPT = 10_000
"""Risks near a level, of which the median is taken."""
WINDOW = 0.02
"""Relative distance within which a run's risk belongs to a published level."""
GAP = 5e-4
"""Relative distance between neighbouring risks that separates two levels."""
SMALLEST = 0.1
"""Share of the runs of the largest cluster near a level that a level has at least."""


@dataclass(frozen=True)
class Measured:
    """What the runs of an experiment say about a published number.

    Attributes:
        step: checkpoint; None if there is none like it.
        runs: finished ones.
        tally: of them; None without a checkpoint.
    """

    step: int | None
    runs: int
    tally: Tally | None


@dataclass(frozen=True)
class FoundLevel:
    """The level of the risk near a published one, in the unit of that.

    Attributes:
        count: runs at it.
        median: of their risks.
        least: of their risks.
        most: of their risks.
        polished: whether these risks are those after polishing.
    """

    count: int
    median: float
    least: float
    most: float
    polished: bool


class Level(Tally):
    """The risks near a level."""

    def __init__(self, entry: Published, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(entry, subject)
        self.near = np.empty(0)

    def add(self, records: Records, t: int, stratum: int) -> None:
        """Keep the risks of a shard that are near."""
        del stratum
        near = _near(records.risk[:, t], self.entry)
        self.near = np.concatenate([self.near, near])[:MOST_KEPT]

    def merge(self, other: Self) -> None:
        """Add the other's risks."""
        self.near = np.concatenate([self.near, other.near])[:MOST_KEPT]

    def found(self) -> FoundLevel | None:
        """Return the level near the published one: of polished runs where there are any."""
        near, polished, factor = self.near, False, self.entry.factor
        if self.subject.sample is not None and self.entry.step is None:
            done = self.subject.sample.polished
            settled = _near(done.risk[done.basin >= Basin.STATIONARY], self.entry)
            if len(settled):
                near, polished = settled, True
        near = _nearest_cluster(near, self.entry)
        if not len(near):
            return None
        median, least, most = float(np.median(near)), float(near.min()), float(near.max())
        return FoundLevel(len(near), median / factor, least / factor, most / factor, polished)


class PublishedNumbers(Question):
    """What an experiment's runs say about the published numbers that are of it."""

    name = "published"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        steps = [int(n) for n in subject.checkpoints]
        self.place = [
            len(steps) - 1 if e.step is None else steps.index(e.step) if e.step in steps else None
            for e in subject.published
        ]
        self.tallies = [_tally(entry, subject) for entry in subject.published]
        self.runs = 0

    def add(self, records: Records, stratum: int = 0) -> None:
        """Count the runs of a shard."""
        self.runs += len(records.replicate)
        for tally, t in zip(self.tallies, self.place, strict=True):
            if t is not None:
                tally.add(records, t, stratum)

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.runs += other.runs
        for mine, theirs in zip(self.tallies, other.tallies, strict=True):
            mine.merge(theirs)

    def finish(self) -> list[Measured]:
        """Return what was measured, in the order of the published numbers."""
        return [
            Measured(None if t is None else int(self.subject.checkpoints[t]), self.runs, tally)
            for tally, t in zip(self.tallies, self.place, strict=True)
        ]


def _tally(entry: Published, subject: Subject) -> Tally:
    """Return what is to be accumulated for a published number."""
    if entry.kind == LEVEL:
        return Level(entry, subject)
    if entry.kind == MEAN:
        return (RiskMean if entry.of == RISK else BoundedMean)(entry, subject)
    if entry.kind == QUANTILE:
        return Quantile(entry, subject)
    quantity = _quantity(entry, subject)
    decided = None
    if quantity is not None and not subject.strata.plain and not subject.strata.one_sample:
        (proof,) = decided_at(subject, quantity, quantity.thresholds)
        decided = proof.strata
    return Share(entry, subject, lambda records, t: _counted(entry, quantity, records, t), decided)


def _counted(
    entry: Published, quantity: Quantity | None, records: Records, t: int
) -> tuple[int, int]:
    """Return how many runs have an event for certain, and of how many it is not known."""
    if quantity is not None:
        value, error = (array[:, t : t + 1] for array in quantity.values(records))
        counts = classify(value, error, *quantity.ends, list(entry.thresholds or (0.0,)))
        return int(counts.failures[0, 0]), int(counts.undecided[0, 0])
    low, high = entry.thresholds
    value, error = records.risk[:, t], np.nan_to_num(records.error[:, t])
    certain = (value - error > low) & (value + error <= high)
    possible = (value + error > low) & (value - error <= high)
    return int(certain.sum()), int((possible & ~certain).sum())


def _near(risk: np.ndarray, entry: Published) -> np.ndarray:
    """Return the finite risks that belong to a published level."""
    middle = entry.factor * (entry.lower + entry.upper) / 2
    reach = max(WINDOW * abs(middle), entry.factor * (entry.upper - entry.lower))
    return risk[np.abs(np.nan_to_num(risk, nan=np.inf) - middle) <= reach]


def _nearest_cluster(near: np.ndarray, entry: Published) -> np.ndarray:
    """Return the risks of the cluster nearest to a level: others may be as close as a percent.

    Clusters of few runs beside one of many are runs on their way, and no level.
    """
    if not len(near):
        return near
    middle = entry.factor * (entry.lower + entry.upper) / 2
    risks = np.sort(near)
    clusters = np.split(risks, np.flatnonzero(np.diff(risks) > GAP * abs(middle)) + 1)
    least = SMALLEST * max(len(c) for c in clusters)
    levels = [c for c in clusters if len(c) >= least]
    return min(levels, key=lambda c: abs(float(np.median(c)) - middle))


def _quantity(entry: Published, subject: Subject) -> Quantity | None:
    """Return what decides an event of the usual kinds."""
    if entry.kind not in KINDS:
        return None
    return quantities(replace(subject, events=(entry.decided_by,)))[0]
