"""What a question is: something asked of every experiment, accumulated over its shards.

A question is made for one experiment (`Subject`), is given the records of its shards one after the
other, in any order and with the stratum of initializations they are of, and returns plain data: the
runs of a stratum count with its weight. Two of them over disjoint runs can be merged. To add
one: a file with a subclass, and a line in `QUESTIONS`; its answer then stands in `answer.json`
under its name, and its sentence, if it has one, in the report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxsim.design.stratum import Design, plain_design
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.published_number import Published
from jaxsim.results.polished import Sample
from jaxsim.risk import RiskRule
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records


@dataclass(frozen=True)
class Subject:
    """An experiment that is asked about, and what must be known of it beforehand.

    Attributes:
        experiment: what was simulated.
        optimum: bracket of its optimal risk, closed from above by the best run.
        risk: how its true risk was computed.
        eps: thresholds above the optimal risk among the events, increasing.
        confidence: of every interval.
        interval: name of the pointwise interval's method.
        before: bracket of its optimal risk without the study's runs; the experiment's own if None.
        levels: brackets of the optimal risk with m = 0, 1, ... neurons in the first hidden layer;
            None if they are not known.
        sample: of its runs, polished; None if there is none.
        events: all that is asked; if empty, whether the risk exceeds inf L by more than each eps.
        design: strata of its initializations; None for the plain one.
        published: numbers that others published of it.
    """

    experiment: Experiment
    optimum: Bracket
    risk: RiskRule
    eps: np.ndarray
    confidence: float
    interval: str
    before: Bracket | None = None
    levels: tuple[Bracket, ...] | None = None
    sample: Sample | None = None
    events: tuple[Event, ...] = ()
    design: Design | None = None
    published: tuple[Published, ...] = ()

    @property
    def strata(self) -> Design:
        """The strata that records belong to."""
        return self.design or plain_design(self.experiment)

    @property
    def asked(self) -> tuple[Event, ...]:
        """All events that are asked about, [G]."""
        return self.events or tuple(Event(ABOVE_OPTIMUM, float(e)) for e in self.eps)

    @property
    def guaranteed(self) -> str:
        """Name of the interval that covers by a theorem; at every look, if runs go on by looks."""
        return "sequence" if self.interval == "sequence" else "clopper-pearson"

    @property
    def closed_by_run(self) -> bool:
        """Whether the best run is the upper end of the optimal risk."""
        before = self.experiment.optimum if self.before is None else self.before
        return self.optimum.upper != before.upper

    @property
    def checkpoints(self) -> np.ndarray:
        """Steps n of the checkpoints, int [T]."""
        return np.asarray(self.experiment.checkpoints)

    @property
    def ends(self) -> tuple[float, float]:
        """Lower and upper end of the optimal risk."""
        return self.optimum.lower.value, self.optimum.upper.value


class Question(ABC):
    """A question about one experiment, with what it has accumulated so far."""

    name: ClassVar[str]
    """Key of its answer."""

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        self.subject = subject

    @abstractmethod
    def add(self, records: Records, stratum: int = 0) -> None:
        """Take the runs of a shard into account, all of one stratum."""

    def add_families(  # noqa: B027
        self, records: Records, stratum: int, size: int, reverse: bool = False
    ) -> None:
        """Take families of clones into account, each `size` rows; most questions have no use.

        Args:
            records: whole families.
            stratum: they begin in.
            size: particles of a family.
            reverse: whether they are a guard, led the other way.
        """

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Take into account what the same question about the same subject saw of other runs."""

    @abstractmethod
    def finish(self) -> Any:
        """Return the answer, a `Data`."""
