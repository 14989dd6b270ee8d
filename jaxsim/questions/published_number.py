"""A published number, as what is compared: a probability, mean, quantile, bound or level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jaxsim.questions.events import KINDS, Event

BETWEEN = "risk_between"
LEVEL, MEAN, QUANTILE = "level", "mean", "quantile"
EVENT_KINDS = (*KINDS, BETWEEN)
"""What a published probability may be of."""
RISK, ERROR_RATE, NEURONS, NEURON_SHARE = "risk", "error_rate", "inactive", "inactive_share"
_NAMES = {
    RISK: "the risk",
    ERROR_RATE: "the error rate",
    NEURONS: "the number of certified inactive neurons of the first layer",
    NEURON_SHARE: "the share of certified inactive neurons in the first layer",
}
"""What a published mean or quantile may be of."""


@dataclass(frozen=True)
class Published:
    """A published number.

    Attributes:
        quantity: in words.
        kind: a name of `EVENT_KINDS`, "level", "mean" or "quantile".
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
        tolerance: difference that agreement has to exclude.
        relation: "equal", or "at least" and "at most" for bounds, of `lower` and `upper`.
        factor: what a printed level, mean or quantile is multiplied by to be a risk as computed
            here.
        discussion: why a difference is to be expected, or what else a reader should know.
        of: what a mean or a quantile is of: "risk", "error_rate", "inactive" or "inactive_share".
        level: of the quantile, in (0, 1).
        most: the quantity is from 0 to it; None if it has no bound, or is of no experiment here.
        deviation: published standard deviation of the runs, None if it is not known.
        standard_error: of the published mean, where its runs are not known.
        other: id of the experiment whose mean is subtracted; None if there is none.
        other_label: of that experiment; empty for no difference.
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
    of: str = ""
    level: float | None = None
    most: float | None = None
    deviation: float | None = None
    standard_error: float | None = None
    other: str | None = None
    other_label: str = ""

    @property
    def event(self) -> str:
        """What is compared, as a clause."""
        if self.kind == LEVEL:
            return "the level at which runs end"
        if self.kind == MEAN:
            less = f", minus that of {self.other_label!r}" if self.other_label else ""
            return f"the mean of {_NAMES[self.of]}{less}"
        if self.kind == QUANTILE:
            return f"the quantile {self.level:.12g} of {_NAMES[self.of]}"
        if self.kind == BETWEEN:
            low, high = (f"{c:.12g}" for c in self.thresholds)
            return f"the risk is above {low} and at most {high}"
        return self.decided_by.clause()

    @property
    def decided_by(self) -> Event:
        """The event of a probability that is not one of a range."""
        return Event(self.kind, *(self.thresholds or (0.0,)))

    @property
    def subtracted(self) -> Published | None:
        """The same of the experiment that is subtracted, None if there is none."""
        return None if self.other is None else replace(self, experiment=self.other, other=None)


def of_experiment(entries: Iterable[Published], experiment: str) -> tuple[Published, ...]:
    """Return the published numbers that are of an experiment, in their order."""
    return tuple(entry for entry in entries if entry.experiment == experiment)
