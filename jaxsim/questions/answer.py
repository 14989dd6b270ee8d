"""The answer of a study: one model of plain data, written as `answer.json`.

Terminal, CSV files, plots and page are views of it and compute nothing. Its JSON schema is
`jaxsim export --format answer-schema`.
"""

from __future__ import annotations

import html
from typing import Any, Literal

from pydantic import Field

from jaxsim.questions.band import BandAnswer
from jaxsim.questions.data import Data, EventAnswer, EvidenceAnswer, OptimumAnswer
from jaxsim.questions.design import DesignAnswer
from jaxsim.questions.distribution import DistributionAnswer
from jaxsim.questions.drift import DriftAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.exceedance import ExceedanceAnswer
from jaxsim.questions.grades import GradesAnswer
from jaxsim.questions.levels import LevelsAnswer
from jaxsim.questions.liminf import LiminfAnswer
from jaxsim.questions.pairs import PairsAnswer
from jaxsim.questions.permanent import PermanentAnswer
from jaxsim.questions.published import PublishedComparison
from jaxsim.questions.quantiles import QuantilesAnswer
from jaxsim.results.frame import LAW, Axis


class RiskAnswer(Data):
    """How the true risk was computed.

    Attributes:
        description: one sentence.
        evidence: of its stated error.
        over: which rows of a data set it is over, in words; empty for a law.
    """

    description: str
    evidence: EvidenceAnswer
    over: str = ""

    @property
    def rows(self) -> str:
        """The rows in few words: "all 150 rows" without what else is said of them."""
        return self.over.split(", ")[0]

    @property
    def named(self) -> str:
        """What it is over, as a column says it: rows of a data set or the law of X."""
        return self.over or LAW


class ExperimentAnswer(Data):
    """What is known of one experiment.

    Attributes:
        label: unique in the study.
        id: of its files.
        axes: what it is where the experiments of the study differ: "optimizer.name", ...
        steps: last step n.
        checkpoints: steps at which risks are known, [T].
        runs: finished replicates.
        planned: replicates of the plan.
        design: strata of its initializations and what their runs say; None for the plain design.
        diverged: replicates that diverged; they count as failures.
        risk: how the true risk was computed.
        optimum: what is known of inf L.
        exceedance: P(L(Theta_n) > inf L + eps), and bounds that need no run.
        permanent: runs certified to fail in all further training.
        liminf: lower bounds of liminf_n P(L(Theta_n) > inf L + eps).
        grades: why runs fail, by evidence.
        levels: at which runs end; None unless some were polished.
        drift: the mean of the parameters at the last step; None unless runs were polished and there
            are few parameters.
        band: the same probabilities for all thresholds and n together, of the first kind of events.
        bands: those of the other kinds.
        quantiles: learning curves.
        distribution: of the risk at the last step.
        until: the precision at which runs end, and whether it is reached; empty where their number
            was fixed beforehand.
        others: answers of further questions by their names.
    """

    label: str
    id: str
    axes: dict[str, Axis]
    steps: int
    checkpoints: list[int]
    runs: int
    planned: int
    diverged: int
    design: DesignAnswer | None = None
    risk: RiskAnswer
    optimum: OptimumAnswer
    exceedance: ExceedanceAnswer
    permanent: PermanentAnswer
    liminf: LiminfAnswer
    grades: GradesAnswer
    levels: LevelsAnswer | None = None
    drift: DriftAnswer | None = None
    band: BandAnswer
    bands: list[BandAnswer] = Field(default_factory=list)
    quantiles: QuantilesAnswer
    distribution: DistributionAnswer
    until: str = ""
    others: dict[str, Any] = Field(default_factory=dict)


class SpreadAnswer(Data):
    """The failure probabilities of experiments that run equally long, at one eps and the last step.

    Attributes:
        steps: n.
        eps: threshold of the event: above the optimal risk, or of risk or error rate.
        event: its kind.
        experiments: labels.
        lowest: labels of those with the least estimate.
        lowest_estimate: failures / runs of these.
        highest: labels of those with the greatest estimate.
        highest_estimate: (failures + undecided) / runs of these.
        lower: the least lower limit of intervals that hold for all experiments together.
        upper: the greatest upper limit.
        confidence: of those intervals together.
        separated: whether the runs show that the (first) highest fails more often than the (first)
            lowest.
    """

    steps: int
    eps: float
    event: str = ABOVE_OPTIMUM
    experiments: list[str]
    lowest: list[str]
    lowest_estimate: float
    highest: list[str]
    highest_estimate: float
    lower: float
    upper: float
    confidence: float
    separated: bool

    @property
    def asked(self) -> Event:
        """The event."""
        return Event(self.event, self.eps)


class Answer(Data):
    """What is known of a study.

    Attributes:
        format: version of this model.
        name: of the study.
        title: of the study.
        eps: thresholds above the optimal risk among the events, increasing.
        events: what it means that a run fails, [G]: all lists with an entry per event are in this
            order, whose first ones are those of `eps`.
        confidence: of every interval.
        interval: name of the pointwise interval's method.
        contradictions: sentences; if there are any, nothing in the answer is called proved.
        warnings: sentences on the study that a reader of the numbers should know.
        experiments: in the study's order.
        pairs: comparisons of experiments that share random numbers.
        spreads: how far experiments lie apart, by steps and eps.
        published: numbers that others published of the experiments, beside the measured ones.
        device_kinds: replicates computed per kind of device.
        jaxsim: version that made the answer.
    """

    format: Literal["1"] = "1"
    name: str
    title: str
    eps: list[float]
    events: list[EventAnswer] = Field(default_factory=list)
    confidence: float
    interval: str
    contradictions: list[str]
    warnings: list[str]
    experiments: list[ExperimentAnswer]
    pairs: PairsAnswer
    spreads: list[SpreadAnswer]
    published: tuple[PublishedComparison, ...] = ()
    device_kinds: dict[str, int]
    jaxsim: str

    @property
    def asked(self) -> list[Event]:
        """All events, [G]."""
        return [answer.event for answer in self.events] or [
            Event(ABOVE_OPTIMUM, e) for e in self.eps
        ]

    @property
    def finished(self) -> list[ExperimentAnswer]:
        """The experiments with at least one finished run."""
        return [e for e in self.experiments if e.runs]

    def __repr__(self) -> str:
        """Return what the answer is of, on one line."""
        done, planned = len(self.finished), len(self.experiments)
        runs = sum(e.runs for e in self.experiments)
        events = ", ".join(event.short for event in self.asked[:4])
        rest = f" and {len(self.asked) - 4} more" if len(self.asked) > 4 else ""
        of = f"{done:,} of {planned:,}" if done < planned else f"{planned:,}"
        return (
            f"Answer({self.name!r}: {of} experiment{'s' * (planned != 1)}, {runs:,} runs; "
            f"{events}{rest}; jaxsim.table(answer) shows it)"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Return the table of the terminal, for notebooks."""
        from jaxsim import table

        return table(self, "html") if self.finished else f"<p>{html.escape(repr(self))}</p>"
