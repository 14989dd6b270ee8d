"""What decides the events of one kind: a number of every run, and what thresholds are added to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxsim.errors import InputError
from jaxsim.estimation import Counts, classify, outcomes
from jaxsim.evidence import Bound, Evidence
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.events import ABOVE_OPTIMUM, NOT_ALL_RIGHT, Event
from jaxsim.questions.question import Subject
from jaxsim.risk.constants import best_constant_risk
from jaxsim.risk.error_rate import constant_error_rate, make_error_rate
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records


@dataclass(frozen=True)
class Quantity:
    """What events of one kind compare: the risk or the error rate.

    Attributes:
        events: of one kind, their thresholds increasing, [g].
        reference: what thresholds are added to: the bracket of inf L, or 0.
        evidence: of the errors of the values.
        experiment: whose runs have them.
    """

    events: tuple[Event, ...]
    reference: Bracket
    evidence: Evidence
    experiment: Experiment

    @property
    def kind(self) -> str:
        """Kind of the events."""
        return self.events[0].kind

    @property
    def thresholds(self) -> np.ndarray:
        """Of the events, float64 [g]."""
        return np.array([event.threshold for event in self.events])

    @property
    def ends(self) -> tuple[float, float]:
        """Lower and upper end of the reference."""
        return self.reference.lower.value, self.reference.upper.value

    @property
    def of_error_rate(self) -> bool:
        """Whether it is the error rate."""
        return self.events[0].of_error_rate

    def values(self, records: Records) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of all runs and bounds on their errors, [R, T] each.

        Raises:
            InputError: if these were not recorded.
        """
        if not self.of_error_rate:
            return records.risk, records.error
        if not records.error_rate.shape[1]:
            raise not_recorded(self.events[0])
        # A diverged run is one whose risk is not finite, whatever its outputs would say.
        rate, error = np.moveaxis(records.error_rate, 2, 0)
        return np.where(np.isfinite(records.risk), rate, np.nan), error

    def counts(self, records: Records, thresholds: np.ndarray | None = None) -> Counts:
        """Return how many runs fail, at the thresholds of the events or at others."""
        chosen = self.thresholds if thresholds is None else thresholds
        return classify(*self.values(records), *self.ends, chosen)

    def last(self, records: Records) -> np.ndarray:
        """Return the outcome of every run at the last step and each event, int8 [g, R]."""
        value, error = (array[:, -1:] for array in self.values(records))
        rows = [outcomes(value, error, *self.ends, float(e))[:, 0] for e in self.thresholds]
        return np.stack(rows)

    def of_constants(self) -> Bound:
        """Return a lower bound of the value of every constant network."""
        if self.of_error_rate:
            return constant_error_rate(self.experiment.problem)
        return best_constant_risk(self.experiment.problem, self.experiment.risk).lower


def quantities(subject: Subject) -> tuple[Quantity, ...]:
    """Return what decides the events of a subject, kind by kind in the order of its events."""
    experiment, quantity_list = subject.experiment, []
    for kind in dict.fromkeys(event.kind for event in subject.asked):
        events = tuple(event for event in subject.asked if event.kind == kind)
        reference = subject.optimum if kind == ABOVE_OPTIMUM else Bracket.of(0.0, 0.0, "")
        evidence = subject.risk.evidence
        if events[0].of_error_rate:
            options = experiment.risk
            evidence = make_error_rate(experiment.problem, experiment.network, options).evidence
        quantity_list.append(Quantity(events, reference, evidence, experiment))
    return tuple(quantity_list)


def not_recorded(event: Event) -> InputError:
    """Return the error for runs whose error rates are not known."""
    value = "true" if event.kind == NOT_ALL_RIGHT else f"{event.threshold:.12g}"
    return InputError(
        f"events.{event.kind} = {value} is not accepted: the error rates of these runs were not "
        "recorded; accepted: events of the risk, or the same study with these events, run in "
        "another directory"
    )
