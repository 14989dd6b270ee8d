"""P(L(Theta_n) > inf L + eps) at the study's eps and every checkpoint, with pointwise intervals."""

from __future__ import annotations

from typing import Self

from jaxsim.estimation import Counts, Estimate, classify, estimates
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.questions.provable import lower_bounds_of
from jaxsim.questions.question import Question, Subject
from jaxsim.training.records import Records


class LowerBoundAnswer(Data):
    """A lower bound of the exceedance probability for every n, from inactive neurons.

    Attributes:
        eps: threshold.
        value: the bound.
        inactive: first-layer neurons whose inactivity suffices; None if no number of them does.
        reason: what it rests on.
        evidence: how strong that is.
        rests_on_runs: whether a run's risk is the upper end of inf L; else it needs no run.
    """

    eps: float
    value: float
    inactive: int | None
    reason: str
    evidence: EvidenceAnswer
    rests_on_runs: bool


class ExceedanceAnswer(Data):
    """The exceedance probabilities of an experiment.

    Attributes:
        estimates: for G values of eps and T checkpoints, [G][T].
        lower_bounds: for every n, [G].
        evidence: what decides whether a run fails: its risk, and both ends of inf L.
    """

    estimates: list[list[Estimate]]
    lower_bounds: list[LowerBoundAnswer]
    evidence: EvidenceAnswer


class Exceedance(Question):
    """How often the risk exceeds the optimal risk by more than eps."""

    name = "exceedance"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.counts = Counts.zero(len(subject.eps), len(subject.checkpoints))

    def add(self, records: Records) -> None:
        """Count the runs of a shard."""
        found = classify(records.risk, records.error, *self.subject.ends, self.subject.eps)
        self.counts = self.counts + found

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.counts = self.counts + other.counts

    def finish(self) -> ExceedanceAnswer:
        """Return the estimates."""
        subject = self.subject
        bounds = lower_bounds_of(subject.experiment, subject.optimum, subject.eps, subject.levels)
        rows = estimates(
            self.counts,
            subject.checkpoints,
            subject.eps,
            experiment=subject.experiment.label,
            confidence=subject.confidence,
            interval=subject.interval,
            optimum=subject.optimum,
            risk=subject.risk.evidence,
            lower_bounds=bounds,
        )
        return ExceedanceAnswer(
            estimates=[list(row) for row in rows],
            lower_bounds=[
                LowerBoundAnswer(
                    eps=b.eps,
                    value=b.value,
                    inactive=b.k,
                    reason=b.reason,
                    evidence=EvidenceAnswer.of(b.evidence),
                    rests_on_runs=b.value > 0 and subject.closed_by_run,
                )
                for b in bounds
            ],
            evidence=EvidenceAnswer.of(subject.risk.evidence & subject.optimum.evidence),
        )
