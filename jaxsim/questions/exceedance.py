"""P(L(Theta_n) > inf L + eps) at the study's eps and every checkpoint, with pointwise intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from pydantic import Field

from jaxsim.design.stratum import Stratum
from jaxsim.estimation import Counts, Estimate, Outcome, clopper_pearson, outcomes
from jaxsim.estimation.exceedance import About, plain_estimates
from jaxsim.estimation.exceedance_strata import Sampled, Split, stratified_estimates
from jaxsim.estimation.families import Resolution
from jaxsim.evidence import weakest
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.questions.design import DesignAnswer, StratumAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.provable import (
    DecidedStrata,
    decided_at,
    lower_bounds_of,
)
from jaxsim.questions.quantities import Quantity, quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.questions.weights import sampled
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


class Broken(NamedTuple):
    """A proof that runs contradict.

    Attributes:
        event: that all runs of the stratum have by proof.
        stratum: the stratum.
        passes: its runs that do not have it.
        runs: all of its runs.
        step: at which.
    """

    event: Event
    stratum: Stratum
    passes: int
    runs: int
    step: int


class Exceedance(Question):
    """How often runs fail, by default: how often the risk exceeds the optimal risk by eps."""

    name = "exceedance"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.quantities = quantities(subject)
        strata, times = range(len(subject.strata.strata)), len(subject.checkpoints)
        self.counts = [[Counts.zero(len(q.events), times) for _ in strata] for q in self.quantities]
        # Of the families of clones, and of those that are a guard: [2][kinds][S][shards].
        self.families: tuple[list[list[list[np.ndarray]]], ...] = tuple(
            [[[] for _ in strata] for _ in self.quantities] for _ in range(2)
        )

    def add(self, records: Records, stratum: int = 0) -> None:
        """Count the runs of a shard."""
        for counts, quantity in zip(self.counts, self.quantities, strict=True):
            counts[stratum] = counts[stratum] + quantity.counts(records)

    def add_families(
        self, records: Records, stratum: int, size: int, reverse: bool = False
    ) -> None:
        """Take the estimates of families of clones."""
        for families, quantity in zip(self.families[reverse], self.quantities, strict=True):
            families[stratum].append(family_shares(quantity, records, size))

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        for mine, theirs in zip(self.counts, other.counts, strict=True):
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]
        for kinds, of_other in zip(self.families, other.families, strict=True):
            for mine, theirs in zip(kinds, of_other, strict=True):
                mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]

    def finish(self) -> ExceedanceAnswer:
        """Return the estimates."""
        rows, bounds, by_event = [], [], []
        for place, quantity in enumerate(self.quantities):
            floors = self._lower_bounds(quantity)
            asked = self.subject.confidence, self.subject.interval
            rows += [list(row) for row in self._estimates(place, floors, *asked)]
            closed = self.subject.closed_by_run and quantity.kind == ABOVE_OPTIMUM
            bounds += [_answer(b, quantity.kind, closed) for b in floors]
            decides = quantity.evidence & quantity.reference.evidence
            by_event += [decides & proof.evidence for proof in self._decided(quantity)]
        every = weakest(
            [q.evidence & q.reference.evidence for q in self.quantities]
            + [proof.evidence for q in self.quantities for proof in self._decided(q)]
        )
        kinds = len(self.quantities) > 1 or len({evidence.clause for evidence in by_event}) > 1
        return ExceedanceAnswer(
            estimates=rows,
            lower_bounds=bounds,
            evidence=EvidenceAnswer.of(every),
            by_event=[EvidenceAnswer.of(evidence) for evidence in by_event] if kinds else [],
        )

    def ends(self, g: int, t: int, confidence: float) -> tuple[float, float]:
        """Return the guaranteed interval at an event and a checkpoint, at any confidence."""
        events = [(p, i) for p, q in enumerate(self.quantities) for i in range(len(q.events))]
        place, within = events[g]
        about, interval = self._about(place, confidence), self.subject.guaranteed
        counts = self.counts[place]
        if self.subject.strata.plain:
            only = about.at(within, t), counts[0].at(within, t)
            ((one,),) = plain_estimates(*only, interval)
        else:
            known = self._sampled(place).at(within, t)
            ((one,),) = stratified_estimates(about.at(within, t), known, interval)
        return one.lower, one.upper_guaranteed

    def broken_proofs(self) -> Iterator[Broken]:
        """Yield strata that fail by proof but have runs that pass, once for each event."""
        design = self.subject.strata
        for quantity, counts in zip(self.quantities, self.counts, strict=True):
            proofs = self._decided(quantity)
            for g, (event, proof) in enumerate(zip(quantity.events, proofs, strict=True)):
                for k in np.flatnonzero(proof.strata):
                    passes = counts[k].runs - counts[k].possible[g]
                    if passes.any():
                        t = int(passes.argmax())
                        step = int(self.subject.checkpoints[t])
                        yield Broken(event, design.strata[k], int(passes[t]), counts[k].runs, step)

    def _estimates(
        self,
        place: int,
        floors: tuple[LowerBound, ...] | None,
        confidence: float,
        interval: str,
    ) -> tuple[tuple[Estimate, ...], ...]:
        """Return the estimates of the events of one kind, [g][T]."""
        about = self._about(place, confidence, floors)
        if self.subject.strata.plain:
            return plain_estimates(about, self.counts[place][0], interval)
        return stratified_estimates(about, self._sampled(place), interval)

    def _about(
        self, place: int, confidence: float, floors: tuple[LowerBound, ...] | None = None
    ) -> About:
        """Return what the estimates of the events of one kind have in common."""
        subject, quantity = self.subject, self.quantities[place]
        return About(
            experiment=subject.experiment.label,
            steps=subject.checkpoints,
            eps=quantity.thresholds,
            confidence=confidence,
            optimum=subject.optimum,
            evidence=quantity.evidence & quantity.reference.evidence,
            lower_bounds=floors,
            event=quantity.kind,
        )

    def _sampled(self, place: int) -> Sampled:
        """Return what is known of the strata at the events of one kind."""
        proofs = self._decided(self.quantities[place])
        return sampled(self.subject.strata, self.counts[place], proofs, self._split(place))

    def _resolutions(self, place: int) -> dict[int, Resolution]:
        """Return by stratum whether its families resolve its part, and why not."""
        return self._sampled(place).resolutions()

    def _split(self, place: int) -> dict[int, Split]:
        """Return the estimates of families by stratum, where there are any."""
        events, times = len(self.quantities[place].events), len(self.subject.checkpoints)
        nothing = np.zeros((0, 2, events, times))
        found = {}
        for k in range(len(self.subject.strata.strata)):
            values, guard = (np.concatenate([nothing, *kinds[place][k]]) for kinds in self.families)
            if len(values):
                found[k] = Split(values, guard, self.counts[place][k])
        return found

    def _decided(self, quantity: Quantity) -> list[DecidedStrata]:
        return decided_at(self.subject, quantity, quantity.thresholds)

    def design(self) -> DesignAnswer | None:
        """Return the strata with what their runs say, None for the plain design."""
        design = self.subject.strata
        if design.plain:
            return None
        decided = [p.strata for quantity in self.quantities for p in self._decided(quantity)]
        split = [self._split(place) for place in range(len(self.quantities))]
        answers = [self._resolutions(place) for place in range(len(self.quantities))]
        strata = []
        for k, stratum in enumerate(design.strata):
            failures = np.concatenate([c[k].failures[:, -1] for c in self.counts])
            possible = np.concatenate([c[k].possible[:, -1] for c in self.counts])
            runs = self.counts[0][k].runs
            of_families = [kinds[k] for kinds in split if k in kinds]
            estimate: list[float | None] = [None] * len(failures)
            doubts = [""] * len(failures)
            if of_families:
                means = [part.values[:, 0, :, -1].mean(0) for part in of_families]
                estimate = np.concatenate(means).tolist()
                reasons = [kinds[k].reason[:, -1] for kinds in answers if k in kinds]
                doubts = np.concatenate(reasons).tolist()
            elif runs:
                estimate = (failures / runs).tolist()
            ends = clopper_pearson([failures, possible], runs, self.subject.confidence)
            hidden = stratum.experiment.network.hidden
            strata.append(
                StratumAnswer(
                    text=stratum.text,
                    probability=stratum.probability,
                    error=stratum.error,
                    least=stratum.least,
                    most=stratum.most,
                    width=hidden[0] if hidden else None,
                    runs=runs,
                    families=len(of_families[0].values) if of_families else 0,
                    decided=[bool(event[k]) for event in decided],
                    failures=failures.tolist(),
                    undecided=(possible - failures).tolist(),
                    estimate=estimate,
                    lower=ends[0][0].tolist(),
                    upper=ends[1][1].tolist(),
                    doubts=doubts,
                )
            )
        return DesignAnswer(name=design.name, note=design.note, strata=strata)

    def _lower_bounds(self, quantity: Quantity) -> tuple[LowerBound, ...]:
        levels = None if quantity.of_error_rate else self.subject.levels
        return lower_bounds_of(self.subject.experiment, quantity, levels)


def family_shares(quantity: Quantity, records: Records, size: int) -> np.ndarray:
    """Return the estimates of families of clones, at least and at most, [F, 2, g, T].

    The mean over the particles of a family of weight times whether it fails, and whether it may.

    Args:
        quantity: what decides the events.
        records: of whole families, `size` rows each.
        size: particles of a family.
    """
    value, error = quantity.values(records)
    weight = np.broadcast_to(records.weight if records.weight.size else 1.0, value.shape)
    shares = []
    for threshold in quantity.thresholds:
        outcome = outcomes(value, error, *quantity.ends, float(threshold))
        least, most = (
            weight * which for which in (outcome == Outcome.FAIL, outcome != Outcome.PASS)
        )
        shares.append([a.reshape(-1, size, a.shape[1]).mean(1) for a in (least, most)])
    return np.moveaxis(np.array(shares), 2, 0).swapaxes(1, 2)


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
