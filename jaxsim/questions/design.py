"""The design of an experiment as data: its strata, and what their runs say."""

from __future__ import annotations

from jaxsim.design.stratum import POST_STRATIFIED
from jaxsim.questions.data import Data


class StratumAnswer(Data):
    """One stratum of the initializations, and the failures of its runs at the last checkpoint.

    Attributes:
        text: which initializations.
        probability: of the stratum.
        error: bound on the error of `probability`.
        least: first-layer neurons inactive at initialization, at least.
        most: the same, at most.
        width: of the first hidden layer of the trained network; None without one.
        runs: finished, of this stratum.
        families: of clones, finished.
        decided: whether all of its runs fail by proof, for every event, [G].
        failures: runs that certainly fail, [G].
        undecided: runs of which it is not known, [G].
        estimate: of the failure probability in the stratum, from its runs, or from families if it
            has any, [G]; None without either.
        lower: lower end of the exact interval of that from its runs, for itself, [G].
        upper: upper end.
        doubts: why the estimate of families is not one, [G]; empty where it is.
    """

    text: str
    probability: float
    error: float
    least: int
    most: int
    width: int | None
    runs: int
    families: int
    decided: list[bool]
    failures: list[int]
    undecided: list[int]
    estimate: list[float | None]
    lower: list[float]
    upper: list[float]
    doubts: list[str]

    def share(self, g: int) -> float | None:
        """Return how often runs of the stratum fail at an event; None if that is not known.

        It is where all fail by proof, where runs say so, and where families of clones do.
        """
        if self.decided[g]:
            return 1.0
        return None if self.doubts[g] else self.estimate[g]

    def product(self, g: int) -> float | None:
        """Return what the stratum adds to the probability of an event; None if not known."""
        share = self.share(g)
        return None if share is None else share * self.probability


class DesignAnswer(Data):
    """How the initializations of an experiment were drawn.

    Attributes:
        name: "strata", "splitting" or "post-stratified".
        note: which networks are trained, and why; a sentence or nothing.
        strata: in their order; their probabilities add up to 1.
    """

    name: str
    note: str
    strata: list[StratumAnswer]

    @property
    def one_sample(self) -> bool:
        """Whether the runs are those of the plain design, sorted into strata afterwards."""
        return self.name == POST_STRATIFIED
