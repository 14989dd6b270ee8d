"""Permanent failures: runs that fail in all further training, whatever is drawn."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from pydantic import Field

from jaxsim.estimation.liminf import liminf_bound, stratified_liminf_bound
from jaxsim.estimation.post_stratified import shared_levels
from jaxsim.evidence import PROVED, Evidence, weakest
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.questions.provable import decided_strata, remaining_risk
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.questions.weights import weighted_share
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
        probability: estimate of the probability of a certificate, strata counting with their
            weights, [G]; empty for the plain design, under which it is count / runs.
        constant_probability: the same for constant networks, [T].
    """

    eps: list[float]
    runs: int
    count: list[int]
    evidence: list[EvidenceAnswer]
    dead_layer: int
    dead_neurons: list[int]
    constant: list[int]
    probability: list[float] = Field(default_factory=list)
    constant_probability: list[float] = Field(default_factory=list)

    @property
    def hidden(self) -> bool:
        """Whether the network has a hidden layer."""
        return len(self.dead_neurons) > 1


class Certified(NamedTuple):
    """Runs certified to exceed inf L + eps in all further training.

    Attributes:
        by_stratum: how many of each stratum, [S].
        evidence: what their certificates rest on.
        decided: strata all of whose runs fail for ever by proof, bool [S].
    """

    by_stratum: np.ndarray
    evidence: Evidence
    decided: np.ndarray

    @property
    def runs(self) -> int:
        """How many."""
        return int(self.by_stratum.sum())


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
        widest, strata = len(self.remaining[0].bounds), len(subject.strata.strata)
        # Runs by the bound that their certificate gives; the last entry: none.
        self.by_bound = np.zeros((strata, len(self.quantities), widest + 1), np.int64)
        self.dead_neurons = np.zeros(widest - 1, np.int64)
        self.constant = np.zeros((strata, len(subject.checkpoints)), np.int64)
        self.widths = np.array(subject.experiment.network.hidden, int)
        self.dead_layer = 0
        self.runs = np.zeros(strata, np.int64)

    def add(self, records: Records, stratum: int = 0) -> None:
        """Count the certificates of a shard."""
        places = self.by_bound.shape[2]
        for place, remaining in enumerate(self.remaining):
            of_bound = np.bincount(remaining.which(records) + 1, minlength=places)
            self.by_bound[stratum, place] += np.roll(of_bound, -1)
        neurons = np.minimum(records.dead_neurons, len(self.dead_neurons) - 1)
        self.dead_neurons += np.bincount(neurons, minlength=len(self.dead_neurons))
        self.dead_layer += int(np.count_nonzero(records.dead_layer > 0))
        # One checkpoint at a time: contiguous booleans are counted faster than those along an axis.
        for t in range(records.risk.shape[1]):
            # Shards of earlier versions do not say, but a wholly inactive layer does.
            constant = records.constant[:, t] == 1
            for layer, width in enumerate(self.widths):
                constant |= records.inactive[:, t, layer] == width
            # What overflows is no function, though neurons of it are inactive.
            constant &= np.isfinite(records.risk[:, t])
            self.constant[stratum, t] += np.count_nonzero(constant)
        self.runs[stratum] += len(records.replicate)

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.by_bound = self.by_bound + other.by_bound
        self.dead_neurons = self.dead_neurons + other.dead_neurons
        self.constant = self.constant + other.constant
        self.dead_layer += other.dead_layer
        self.runs = self.runs + other.runs

    def certified(self) -> list[Certified]:
        """Return how many runs fail for ever, for every event, [G]."""
        counts = []
        for place, (quantity, remaining) in enumerate(
            zip(self.quantities, self.remaining, strict=True)
        ):
            runs, upper = self.by_bound[:, place, :-1], quantity.reference.upper
            decided = decided_strata(self.subject.strata, quantity, remaining)
            for threshold, proof in zip(quantity.thresholds, decided, strict=True):
                above = remaining.values > upper.value + threshold
                used = above & runs.any(0)
                bounds = [b for b, u in zip(remaining.bounds, used, strict=True) if u]
                rests_on = [upper.evidence, *(b.evidence for b in bounds)] if bounds else [PROVED]
                evidence = weakest([*rests_on, proof.evidence])
                counts.append(Certified(runs[:, above].sum(1), evidence, proof.strata))
        return counts

    def lower_bound(self, certified: Certified, confidence: float) -> float:
        """Return a lower confidence bound of the probability of such a certificate, one-sided."""
        design, sequence = self.subject.strata, self.subject.guaranteed == "sequence"
        if design.plain and not sequence:
            return float(liminf_bound(certified.runs, int(self.runs.sum()), confidence))
        whole, level = 0.0, confidence
        if design.one_sample:
            share, level = shared_levels(confidence)
            of_all = np.ones(1), [certified.runs], [int(self.runs.sum())]
            whole = stratified_liminf_bound(*of_all, share, at_every_look=sequence)
        of_strata = stratified_liminf_bound(
            design.weights,
            certified.by_stratum,
            self.runs,
            level,
            certified.decided,
            sequence,
            design.errors,
        )
        return max(whole, of_strata)

    def by_proof(self, certified: Certified) -> float:
        """Return a lower bound of the probability of the strata that are certified by proof."""
        design = self.subject.strata
        return float(np.maximum(design.weights - design.errors, 0.0) @ certified.decided)

    def finish(self) -> PermanentAnswer:
        """Return the counts for every event."""
        certified = self.certified()
        return PermanentAnswer(
            eps=[event.threshold for event in self.subject.asked],
            runs=int(self.runs.sum()),
            count=[count.runs for count in certified],
            evidence=[EvidenceAnswer.of(count.evidence) for count in certified],
            dead_layer=self.dead_layer,
            dead_neurons=self.dead_neurons.tolist(),
            constant=self.constant.sum(0).tolist(),
            **self._weighted(certified),
        )

    def _weighted(self, certified: list[Certified]) -> dict[str, list[float]]:
        """Return the shares in which strata count with their weights; none for the plain design."""
        design = self.subject.strata
        if design.plain:
            return {}
        of = [weighted_share(design, c.by_stratum, self.runs, c.decided) for c in certified]
        return {
            "probability": [float(share) for share in of],
            "constant_probability": weighted_share(design, self.constant, self.runs).tolist(),
        }
