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

from typing import Self

import numpy as np
from pydantic import Field

from jaxsim.estimation import Outcome, outcomes
from jaxsim.questions.data import Data
from jaxsim.questions.events import ABOVE_OPTIMUM
from jaxsim.questions.provable import decided_strata, remaining_risk
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.questions.weights import weighted_share
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
        last = records.risk[:, -1]
        self.runs[stratum] += len(last)
        gone = ~np.isfinite(last)
        bound = np.append(self.remaining.values, -np.inf)[self.remaining.which(records)]
        trend = self._falls(records, lower)
        done = None if self.subject.sample is None else self.subject.sample.polished
        settled_risk, slack = np.full((2, len(last)), np.nan)
        minimum, was_polished = np.zeros(len(last), bool), np.zeros(len(last), bool)
        if done is not None:
            inside = records.replicate < len(done.risk)
            place = records.replicate[inside]
            settled = done.basin[place] >= Basin.STATIONARY
            settled_risk[inside] = np.where(settled, done.risk[place], np.nan)
            slack[inside] = done.error[place]
            minimum[inside] = done.basin[place] == Basin.MINIMUM
            was_polished |= inside
        for g, event in enumerate(self.events):
            eps = event.threshold
            low, high = (lower, upper) if event.kind == ABOVE_OPTIMUM else (0.0, 0.0)
            fails = outcomes(records.risk[:, -1:], records.error[:, -1:], low, high, eps)
            rest = failing = fails[:, 0] == Outcome.FAIL
            grades = [
                bound > high + eps,
                minimum & (settled_risk - slack > high + eps),
                trend,
                settled_risk <= high + eps,
                gone,
                np.ones(len(last), bool),
            ]
            counts = [np.count_nonzero(failing)]
            for grade in grades:
                counts.append(np.count_nonzero(rest & grade))
                rest = rest & ~grade
            self.counts[stratum, :, g] += [*counts, np.count_nonzero(failing & was_polished)]

    def _falls(self, records: Records, lower: float) -> np.ndarray:
        """Return which runs have fallen over the last checkpoints, [R]."""
        risk = records.risk[:, -LOOKED_BACK:]
        if risk.shape[1] < LOOKED_BACK:
            return np.zeros(len(risk), bool)
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
