"""Parts of an answer: immutable plain data with a JSON form."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from jaxsim.evidence import Bound, Evidence, estimated
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.events import Event


class Data(BaseModel):
    """A part of an answer: immutable plain data with a JSON form; infinities are texts there."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class EvidenceAnswer(Data):
    """What a number rests on, as text.

    Attributes:
        kind: "proved", "confidence", "estimated" or "stated".
        mark: what stands behind the number in tables.
        adverb: the opening of a sentence about it.
        clause: all reservations; empty for a proof.
        delta: probability that random draws behind it mislead.
    """

    kind: str
    mark: str
    adverb: str
    clause: str
    delta: float

    @classmethod
    def of(cls, evidence: Evidence) -> EvidenceAnswer:
        """Return the texts of some evidence."""
        return cls(
            kind=evidence.word,
            mark=evidence.mark,
            adverb=evidence.adverb,
            clause=evidence.clause,
            delta=evidence.delta,
        )

    @property
    def proved(self) -> bool:
        """Whether it is a proof."""
        return self.kind == "proved"


class BoundAnswer(Data):
    """A bound with its evidence.

    Attributes:
        value: of the bound.
        evidence: what it rests on.
        reason: how it is known.
    """

    value: float
    evidence: EvidenceAnswer
    reason: str

    @classmethod
    def of(cls, bound: Bound) -> BoundAnswer:
        """Return a bound as data."""
        return cls(
            value=bound.value, evidence=EvidenceAnswer.of(bound.evidence), reason=bound.reason
        )


class EventAnswer(Data):
    """What it means that a run fails.

    Attributes:
        kind: one of `jaxsim.questions.events.KINDS`: "above_optimum", "risk_above", ...
        threshold: above the optimal risk, of risk or error rate, or a number of neurons.
        text: the event as a clause.
    """

    kind: str
    threshold: float
    text: str

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        """Return an event as data."""
        return cls(kind=event.kind, threshold=event.threshold, text=event.clause())

    @property
    def event(self) -> Event:
        """The event itself."""
        return Event(self.kind, self.threshold)


class OptimumAnswer(Data):
    """What is known of the optimal risk.

    Attributes:
        lower: lower end.
        upper: upper end; infinite if nothing is known.
        reason: how both are known.
        width: upper minus lower end.
        not_searched: why no search bounds it from below, if none does.
    """

    lower: BoundAnswer
    upper: BoundAnswer
    reason: str
    width: float
    not_searched: str = ""

    @classmethod
    def of(cls, bracket: Bracket, not_searched: str = "") -> OptimumAnswer:
        """Return a bracket as data."""
        return cls(
            lower=BoundAnswer.of(bracket.lower),
            upper=BoundAnswer.of(bracket.upper),
            reason=bracket.reason,
            width=bracket.width,
            not_searched=not_searched if bracket.width > 0 else "",
        )


CONTRADICTED = EvidenceAnswer.of(estimated("something contradicts it, see the first line"))
"""Evidence of whatever would be a proof in an answer that contradicts itself."""
