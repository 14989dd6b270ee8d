"""A published number, as what is compared: an event's probability, a bound of it, or a level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jaxsim.questions.events import KINDS, Event

BETWEEN = "risk_between"
CONSTANT = "constant"
INACTIVE = "inactive_at_least"
LEVEL = "level"
EVENT_KINDS = (*KINDS, BETWEEN, CONSTANT, INACTIVE)
"""What a published probability may be of."""


@dataclass(frozen=True)
class Published:
    """A published number.

    Attributes:
        quantity: in words.
        kind: a name of `EVENT_KINDS`, or "level".
        thresholds: of the event: none, one or two numbers.
        lower: least value that is printed like this, as compared.
        upper: greatest.
        text: as printed.
        source: paper, report or theorem.
        place: page, table or file.
        experiment: id of the experiment that it is of; None if the study has none such.
        label: of that experiment, or what it would be.
        step: at which; None for the last one.
        count: least and greatest number of failing runs, None if there is no number of runs.
        runs: published ones; None if they are not known.
        tolerance: difference of probabilities that agreement has to exclude.
        relation: "equal", or "at least" and "at most" for bounds, of `lower` and `upper`.
        factor: what a printed level is multiplied by to be a risk as computed here.
        discussion: why a difference is to be expected, or what else a reader should know.
    """

    quantity: str
    kind: str
    thresholds: tuple[float, ...]
    lower: float
    upper: float
    text: str
    source: str = ""
    place: str = ""
    experiment: str | None = None
    label: str = ""
    step: int | None = None
    count: tuple[int, int] | None = None
    runs: int | None = None
    tolerance: float = 0.1
    relation: str = "equal"
    factor: float = 1.0
    discussion: str = ""

    @property
    def event(self) -> str:
        """What is compared, as a clause."""
        if self.kind == LEVEL:
            return "the level at which runs end"
        if self.kind == BETWEEN:
            low, high = (f"{c:.12g}" for c in self.thresholds)
            return f"the risk is above {low} and at most {high}"
        if self.kind == INACTIVE:
            return f"at least {self.thresholds[0]:.0f} neurons of the first layer are inactive"
        if self.kind == CONSTANT:
            return "the network is constant"
        return Event(self.kind, *(self.thresholds or (0.0,))).clause()


def of_experiment(entries: Iterable[Published], experiment: str) -> tuple[Published, ...]:
    """Return the published numbers that are of an experiment, in their order."""
    return tuple(entry for entry in entries if entry.experiment == experiment)
