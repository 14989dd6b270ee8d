"""P(L(Theta_n) > inf L + eps) at the study's eps and every checkpoint, with pointwise intervals."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from jaxsim.estimation import Counts, Estimate, estimates
from jaxsim.evidence import weakest
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.provable import lower_bounds_of
from jaxsim.questions.quantities import Quantity, quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.theory import LowerBound
from jaxsim.training.records import Records


class LowerBoundAnswer(Data):
    """A lower bound of the exceedance probability for every n, from inactive neurons.

    Attributes:
        eps: threshold of the event.
        value: the bound.
        inactive: first-layer neurons whose inactivity suffices; None if no number of them does.
        reason: what it rests on.
        evidence: how strong that is.
        rests_on_runs: whether a run's risk is the upper end of inf L; else it needs no run.
        event: kind of the event.
    """

    eps: float
    value: float
    inactive: int | None
    reason: str
    evidence: EvidenceAnswer
    rests_on_runs: bool
    event: str = ABOVE_OPTIMUM

    @property
    def asked(self) -> Event:
        """The event."""
        return Event(self.event, self.eps)


class ExceedanceAnswer(Data):
    """The exceedance probabilities of an experiment.

    Attributes:
        estimates: for G events and T checkpoints, [G][T].
        lower_bounds: for every n, [G].
        evidence: what decides whether a run fails at any event: its risk, and both ends of inf L.
        by_event: the same for each event, [G]; empty for `evidence` throughout.
    """

    estimates: list[list[Estimate]]
    lower_bounds: list[LowerBoundAnswer]
    evidence: EvidenceAnswer
    by_event: list[EvidenceAnswer] = Field(default_factory=list)

    def evidence_of(self, g: int) -> EvidenceAnswer:
        """Return what decides whether a run fails at one event."""
        return self.by_event[g] if self.by_event else self.evidence


class Exceedance(Question):
    """How often runs fail, by default: how often the risk exceeds the optimal risk by eps."""

    name = "exceedance"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.quantities = quantities(subject)
        times = len(subject.checkpoints)
        self.counts = [Counts.zero(len(q.events), times) for q in self.quantities]

    def add(self, records: Records, stratum: int = 0) -> None:
        """Count the runs of a shard."""
        rows = zip(self.counts, self.quantities, strict=True)
        self.counts = [counts + quantity.counts(records) for counts, quantity in rows]

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    def finish(self) -> ExceedanceAnswer:
        """Return the estimates."""
        rows, bounds, by_event = [], [], []
        for quantity, counts in zip(self.quantities, self.counts, strict=True):
            floors = self._lower_bounds(quantity)
            rows_of_event = estimates(
                counts,
                self.subject.checkpoints,
                quantity.thresholds,
                experiment=self.subject.experiment.label,
                confidence=self.subject.confidence,
                interval=self.subject.interval,
                optimum=self.subject.optimum,
                risk=quantity.evidence,
                lower_bounds=floors,
                event=quantity.kind,
                reference=quantity.reference.evidence,
            )
            rows += [list(row) for row in rows_of_event]
            closed = self.subject.closed_by_run and quantity.kind == ABOVE_OPTIMUM
            bounds += [_answer(b, quantity.kind, closed) for b in floors]
            evidence = EvidenceAnswer.of(quantity.evidence & quantity.reference.evidence)
            by_event += [evidence] * len(quantity.events)
        every = weakest([q.evidence & q.reference.evidence for q in self.quantities])
        return ExceedanceAnswer(
            estimates=rows,
            lower_bounds=bounds,
            evidence=EvidenceAnswer.of(every),
            by_event=by_event if len(self.quantities) > 1 else [],
        )

    def _lower_bounds(self, quantity: Quantity) -> tuple[LowerBound, ...]:
        levels = None if quantity.of_error_rate else self.subject.levels
        return lower_bounds_of(self.subject.experiment, quantity, levels)


def _answer(bound: LowerBound, kind: str, closed_by_run: bool) -> LowerBoundAnswer:
    return LowerBoundAnswer(
        eps=bound.eps,
        value=bound.value,
        inactive=bound.k,
        reason=bound.reason,
        evidence=EvidenceAnswer.of(bound.evidence),
        rests_on_runs=bound.value > 0 and closed_by_run,
        event=kind,
    )
