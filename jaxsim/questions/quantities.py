"""What decides the events of one kind: a number of every run, and what thresholds are added to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jaxsim.errors import InputError
from jaxsim.estimation import Counts, classify, classify_known, outcomes
from jaxsim.evidence import PROVED, Bound, Evidence
from jaxsim.network.network import Network
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.events import (
    ABOVE_OPTIMUM,
    CONSTANT,
    FLAGS,
    INACTIVE,
    PATTERN_CHANGED,
    Event,
)
from jaxsim.questions.question import Subject
from jaxsim.questions.runs import risks_of
from jaxsim.risk.constants import best_constant_risk
from jaxsim.risk.error_rate import constant_error_rate, make_error_rate
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records


@dataclass(frozen=True)
class Quantity:
    """What events of one kind compare: the risk, the error rate, or what a network is like.

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

    @property
    def of_network(self) -> bool:
        """Whether it is what the network is like, of which no risk says anything."""
        return not self.events[0].of_risk and not self.of_error_rate

    def values(self, records: Records) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of all runs and bounds on their errors, [R, T] each.

        Raises:
            InputError: if these were not recorded.
        """
        return values_of_event(self.events[0], records)

    def counts(self, records: Records, thresholds: np.ndarray | None = None) -> Counts:
        """Return how many runs fail, at the thresholds of the events or at others."""
        chosen = self.thresholds if thresholds is None else thresholds
        if self.events[0].of_risk:
            return classify_known(risks_of(records), *self.ends, chosen)
        counts = classify(*self.values(records), *self.ends, chosen)
        return replace(counts, diverged=(~np.isfinite(records.risk)).sum(0, dtype=np.int64))

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
        elif not events[0].of_risk:
            evidence = (
                PROVED  # certificates, and patterns of the arithmetic that they are defined by
            )
        quantity_list.append(Quantity(events, reference, evidence, experiment))
    return tuple(quantity_list)


def values_of_event(event: Event, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that thresholds of a kind of events are compared with, and their errors.

    Whether a network has a property is the value 1 or 0, above 0 if it has it; a number of inactive
    neurons is counted half a neuron higher, so that it exceeds k if it is k.

    Returns:
        Both [R, T]; a value that is not a number is that of a diverged run, which fails.

    Raises:
        InputError: if these were not recorded.
    """
    if event.of_risk:
        return records.risk, records.error
    known = np.isfinite(records.risk)
    exact = np.zeros(known.shape)
    if event.of_error_rate:
        if not records.error_rate.shape[1]:
            raise not_recorded(event)
        # A diverged run is one whose risk is not finite, whatever its outputs would say.
        rate, error = np.moveaxis(records.error_rate, 2, 0)
        return np.where(known, rate, np.nan), error
    if event.kind == CONSTANT:
        # Where nobody looked (-1) both is possible; what overflows is no function.
        looked = known & (records.constant != -1)
        value = np.where(known, records.constant != 0, False).astype(np.float64)
        return value, np.where(looked | ~known, 0.0, 1.0)
    if event.kind == INACTIVE:
        return records.inactive[:, :, :1].sum(2) + 0.5, exact
    if not records.pattern_changes.shape[1]:
        raise not_recorded(event)
    # A diverged run has left all pieces; its changes are -1.
    changed = np.maximum.accumulate(records.pattern_changes != 0, axis=1)
    return (changed == (event.kind == PATTERN_CHANGED)).astype(np.float64), exact


def require_neurons(event: Event, network: Network) -> None:
    """Check that a network has the neurons that an event counts.

    Raises:
        InputError: if it is a module of the user's own, or has no hidden layer.
    """
    if event.kind == INACTIVE and not network.hidden:
        raise InputError(
            f"events.{event.kind} = {event.threshold:.12g} is not accepted for a network of which "
            "no hidden layer is known; accepted: a fully-connected one with hidden layers"
        )


def not_recorded(event: Event) -> InputError:
    """Return the error for runs of which that is not known which decides an event."""
    value = "true" if event.kind in FLAGS else f"{event.threshold:.12g}"
    what, how = "error rates", "with these events"
    if event.of_pattern:
        what, how = "activation patterns", 'with record = ["activation_pattern"]'
    return InputError(
        f"events.{event.kind} = {value} is not accepted: the {what} of these runs were not "
        f"recorded; accepted: events of the risk, or the same study {how}, run in another "
        "directory"
    )
