"""A design: the initializations of an experiment in strata, each with its exact probability.

    P(F) = sum_k pi_k P(F | stratum k)

A stratum is trained as an experiment of its own, with a conditional law of Theta_0 and perhaps a
smaller network that is equal in law; engines, shards and workers know nothing of designs. The plain
design has one stratum: the experiment itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

POST_STRATIFIED = "post-stratified"
"""Name of the design of plain runs that are sorted into strata afterwards."""


@dataclass(frozen=True)
class Stratum:
    """Some of the initializations of an experiment.

    Attributes:
        number: its place in the design.
        text: which initializations, in words; empty where they are all there are.
        probability: pi_k, of the law of Theta_0.
        error: bound on the error of `probability`, absolute.
        experiment: what is trained for it, with an id and keys of its own.
        least: first-layer neurons inactive at initialization, at least.
        most: the same, at most.
        dead_later: of a deep network, whether a deeper layer is wholly inactive by its structure;
            None where that is not looked at.
        removed: first-layer neurons, all inactive, that the trained network leaves out.
    """

    number: int
    text: str
    probability: float
    error: float
    experiment: Experiment
    least: int = 0
    most: int = 0
    dead_later: bool | None = None
    removed: int = 0

    def whole(self, records: Records) -> Records:
        """Return records of the trained network as those of the whole one."""
        if not self.removed:
            return records
        inactive = records.inactive.copy()
        inactive[:, :, 0] += np.where(np.isfinite(records.risk), self.removed, 0).astype(np.int32)
        neurons = records.dead_neurons + np.int32(self.removed)
        return records._replace(inactive=inactive, dead_neurons=neurons)


@dataclass(frozen=True)
class Design:
    """The strata of one experiment.

    Attributes:
        name: "plain", "strata", "splitting" or "post-stratified".
        strata: in their order; their probabilities add up to 1.
        note: what a reader should know of what is trained, a sentence or nothing.
    """

    name: str
    strata: tuple[Stratum, ...]
    note: str = ""

    @property
    def plain(self) -> bool:
        """Whether the one stratum is the experiment itself."""
        return self.name == "plain"

    @property
    def one_sample(self) -> bool:
        """Whether the runs of all strata are one sample of the whole law, sorted afterwards."""
        return self.name == POST_STRATIFIED

    @property
    def weights(self) -> np.ndarray:
        """Probabilities of the strata, float64 [S]."""
        return np.array([stratum.probability for stratum in self.strata])

    @property
    def errors(self) -> np.ndarray:
        """Bounds on their errors, float64 [S]."""
        return np.array([stratum.error for stratum in self.strata])


def plain_design(experiment: Experiment) -> Design:
    """Return the design whose only stratum is the experiment itself."""
    return Design("plain", (Stratum(0, "", 1.0, 0.0, experiment),))
