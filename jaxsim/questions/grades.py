"""Why a run fails, by evidence: for ever, at a local minimum, while still falling, or not known.

A run that fails at the last step is

    permanent   if its inactive neurons keep it above inf L + eps for ever (`permanent`);
    minimum     if polishing led to a local minimum, checked numerically, above inf L + eps;
    falling     if its risk fell at each of the last checkpoints, and by at least a tenth of its
                excess over them;
    descends    if polishing led to or below inf L + eps: no minimum holds the run, but noise, the
                method or too few steps;
    diverged    if its risk is infinite or not a number;
    undecided   otherwise.

The first that applies counts. Where a risk above c is asked for, c stands for inf L + eps. Only
runs of the sample are polished; a minimum of a run is that of its basin, and noise may still carry
the run out of it.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from pydantic import Field

from jaxsim.questions.data import Data
from jaxsim.questions.events import ABOVE_OPTIMUM
from jaxsim.questions.provable import decided_strata, remaining_risk
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.questions.runs import risks_of
from jaxsim.questions.weights import weighted_share
from jaxsim.results.polished import Sample
from jaxsim.training.polish import Basin
from jaxsim.training.records import Records

LOOKED_BACK = 4
"""Checkpoints whose risks make a trend."""
FALLEN = 0.1
"""Of the excess at the last of them, what a falling run has lost over them."""


class GradesAnswer(Data):
    """Runs that fail at the last step, by what is known of them, [G].

    Attributes:
        eps: thresholds above the optimal risk, then of the risk; other events have no grades.
        failures: runs that certainly fail; the sum of the following but for `polished`.
        permanent: for ever, certified.
        minima: at a local minimum after polishing, checked numerically.
        falling: still falling.
        descends: which noise-free descent leads to or below inf L + eps.
        diverged: with an infinite or undefined risk.
        undecided: of which no more is known.
        polished: failing runs that were polished.
        shares: of `failures` and each grade, estimate of its probability, strata counting with
            their weights, [G] each; empty for the plain design, under which it is count / runs.
    """

    eps: list[float]
    failures: list[int]
    permanent: list[int]
    minima: list[int]
    falling: list[int]
    descends: list[int]
    diverged: list[int]
    undecided: list[int]
    polished: list[int]
    shares: dict[str, list[float]] = Field(default_factory=dict)


KINDS = (
    "failures",
    "permanent",
    "minima",
    "falling",
    "descends",
    "diverged",
    "undecided",
    "polished",
)


class Grades(Question):
    """What is known of the runs that fail."""

    name = "grades"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.remaining = remaining_risk(subject.experiment, subject.levels)
        self.quantities = [q for q in quantities(subject) if q.events[0].of_risk]
        self.events = [event for event in subject.asked if event.of_risk]
        strata = len(subject.strata.strata)
        self.counts = np.zeros((strata, len(KINDS), len(self.events)), np.int64)
        self.runs = np.zeros(strata, np.int64)

    def add(self, records: Records, stratum: int = 0) -> None:
        """Grade the runs of a shard."""
        lower, upper = self.subject.ends
        column = risks_of(records).column(records.risk.shape[1] - 1)
        self.runs[stratum] += column.runs
        bound = np.append(self.remaining.values, -np.inf)[self.remaining.which(records)]
        gone = ~np.isfinite(records.risk[:, -1]) if column.gone else None
        trend = self._falls(records, lower)
        sample = self.subject.sample
        polished = None if sample is None else _Polished.of(sample, records)
        for g, event in enumerate(self.events):
            eps = event.threshold
            limit = (upper if event.kind == ABOVE_OPTIMUM else 0.0) + eps
            rest = failing = np.flatnonzero(column.failing(limit))
            grades = [
                bound > limit,
                None if polished is None else polished.minimum_above(limit),
                trend,
                None if polished is None else polished.risk <= limit,
                gone,
            ]
            counts = [len(failing)]
            for grade in grades:
                had = len(rest)
                if grade is not None:
                    rest = rest[~grade[rest]]
                counts.append(had - len(rest))
            counts.append(len(rest))
            counts.append(0 if polished is None else int(polished.inside[failing].sum()))
            self.counts[stratum, :, g] += counts

    def _falls(self, records: Records, lower: float) -> np.ndarray | None:
        """Return which runs have fallen over the last checkpoints, [R]; None if these are few."""
        risk = records.risk[:, -LOOKED_BACK:]
        if risk.shape[1] < LOOKED_BACK:
            return None
        with np.errstate(invalid="ignore"):
            margin = records.error[:, -LOOKED_BACK:-1] + records.error[:, 1 - LOOKED_BACK :]
            each = (risk[:, :-1] - risk[:, 1:] > margin).all(1)
            excess = risk[:, -1] - (lower if np.isfinite(lower) else 0.0)
            return each & (risk[:, 0] - risk[:, -1] >= FALLEN * excess)

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.counts = self.counts + other.counts
        self.runs = self.runs + other.runs

    def finish(self) -> GradesAnswer:
        """Return the counts."""
        counts, design = self.counts.sum(0), self.subject.strata
        rows = {name: row.tolist() for name, row in zip(KINDS, counts, strict=True)}
        shares = {}
        if not design.plain:
            shares = {name: row for name, row in self._weighted().items() if name != "polished"}
        return GradesAnswer(eps=[event.threshold for event in self.events], **rows, shares=shares)

    def _weighted(self) -> dict[str, list[float]]:
        """Return the shares of all kinds; strata that fail by proof are permanent failures."""
        design = self.subject.strata
        proofs = [
            proof.strata
            for quantity in self.quantities
            for proof in decided_strata(design, quantity, self.remaining)
        ]
        rows: dict[str, list[float]] = {name: [] for name in KINDS}
        for g, decided in enumerate(proofs):
            for place, name in enumerate(KINDS):
                proved = decided if name in ("failures", "permanent") else None
                counts = self.counts[:, place, g]
                if proved is None:
                    counts = np.where(decided, 0, counts)
                rows[name].append(float(weighted_share(design, counts, self.runs, proved)))
        return rows


class _Polished(NamedTuple):
    """What polishing says of the runs of a shard, [R] each.

    Attributes:
        inside: whether they are of the sample.
        risk: where polishing led to, if it is settled; not a number otherwise.
        error: of that risk.
        minimum: whether that is a local minimum.
    """

    inside: np.ndarray
    risk: np.ndarray
    error: np.ndarray
    minimum: np.ndarray

    @classmethod
    def of(cls, sample: Sample, records: Records) -> _Polished:
        """Return what the sample of an experiment says of its records."""
        done, runs = sample.polished, len(records.replicate)
        inside = records.replicate < len(done.risk)
        place = records.replicate[inside]
        risk, error = np.full((2, runs), np.nan)
        minimum = np.zeros(runs, bool)
        risk[inside] = np.where(done.basin[place] >= Basin.STATIONARY, done.risk[place], np.nan)
        error[inside] = done.error[place]
        minimum[inside] = done.basin[place] == Basin.MINIMUM
        return cls(inside, risk, error, minimum)

    def minimum_above(self, limit: float) -> np.ndarray:
        """Return which are at a minimum above a limit for certain."""
        return self.minimum & (self.risk - self.error > limit)
