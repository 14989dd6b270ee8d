"""Permanent failures: runs that fail in all further training, whatever is drawn."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from jaxsim.evidence import PROVED, Evidence, weakest
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.questions.provable import remaining_risk
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.training.records import Records


class PermanentAnswer(Data):
    """Permanent failures of an experiment.

    Attributes:
        eps: thresholds of the events, [G].
        runs: of the experiment.
        count: runs certified to fail in all further training, to exceed inf L + eps, say, [G].
        evidence: what their certificates rest on, [G].
        dead_layer: runs with a hidden layer certified to stay wholly inactive.
        dead_neurons: runs with 0, 1, ... first-layer neurons certified to stay inactive.
        constant: runs whose network is constant on the whole support, at every checkpoint, [T];
            diverged ones are not.
    """

    eps: list[float]
    runs: int
    count: list[int]
    evidence: list[EvidenceAnswer]
    dead_layer: int
    dead_neurons: list[int]
    constant: list[int]

    @property
    def hidden(self) -> bool:
        """Whether the network has a hidden layer."""
        return len(self.dead_neurons) > 1


class Certified(NamedTuple):
    """Runs certified to exceed inf L + eps in all further training.

    Attributes:
        runs: how many.
        evidence: what their certificates rest on.
    """

    runs: int
    evidence: Evidence


class PermanentFailures(Question):
    """How many runs are certified to fail in all further training."""

    name = "permanent"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.quantities = quantities(subject)
        self.remaining = [
            remaining_risk(subject.experiment, subject.levels, q) for q in self.quantities
        ]
        widest = len(self.remaining[0].bounds)
        # Runs by the bound that their certificate gives; the last entry: none.
        self.by_bound = np.zeros((len(self.quantities), widest + 1), np.int64)
        self.dead_neurons = np.zeros(widest - 1, np.int64)
        self.constant = np.zeros(len(subject.checkpoints), np.int64)
        self.widths = np.array(subject.experiment.network.hidden, int)
        self.dead_layer = self.runs = 0

    def add(self, records: Records, stratum: int = 0) -> None:
        """Count the certificates of a shard."""
        places = self.by_bound.shape[1]
        for place, remaining in enumerate(self.remaining):
            which = remaining.which(records)
            self.by_bound[place] += np.bincount(which % places, minlength=places)
        neurons = np.minimum(records.dead_neurons, len(self.dead_neurons) - 1)
        self.dead_neurons += np.bincount(neurons, minlength=len(self.dead_neurons))
        self.dead_layer += int((records.dead_layer > 0).sum())
        # Shards of earlier versions do not say, but a wholly inactive layer does.
        by_layer = (records.inactive == self.widths).any(2) if len(self.widths) else False
        # What overflows is no function, though neurons of it are inactive.
        known = np.isfinite(records.risk)
        self.constant += (((records.constant == 1) | by_layer) & known).sum(0)
        self.runs += len(records.replicate)

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.by_bound = self.by_bound + other.by_bound
        self.dead_neurons = self.dead_neurons + other.dead_neurons
        self.constant = self.constant + other.constant
        self.dead_layer += other.dead_layer
        self.runs += other.runs

    def certified(self) -> list[Certified]:
        """Return how many runs fail for ever, for every event, [G]."""
        counts = []
        for quantity, remaining, runs in zip(
            self.quantities, self.remaining, self.by_bound[:, :-1], strict=True
        ):
            upper = quantity.reference.upper
            for threshold in quantity.thresholds:
                used = (remaining.values > upper.value + threshold) & (runs > 0)
                bounds = [b for b, u in zip(remaining.bounds, used, strict=True) if u]
                rests_on = [upper.evidence, *(b.evidence for b in bounds)] if bounds else [PROVED]
                counts.append(Certified(int(runs[used].sum()), weakest(rests_on)))
        return counts

    def finish(self) -> PermanentAnswer:
        """Return the counts for every event."""
        certified = self.certified()
        return PermanentAnswer(
            eps=[event.threshold for event in self.subject.asked],
            runs=self.runs,
            count=[count.runs for count in certified],
            evidence=[EvidenceAnswer.of(count.evidence) for count in certified],
            dead_layer=self.dead_layer,
            dead_neurons=self.dead_neurons.tolist(),
            constant=self.constant.tolist(),
        )
