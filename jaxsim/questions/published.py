"""Published numbers beside measured ones: the same event at the same step, and whether they agree.

A published number is a probability (printed, or as a count of runs), a bound of one, or a level of
the risk at which runs end. Counts are compared by exact tests (`jaxsim.estimation.agreement`),
whose P values are adjusted for all published numbers of a study (Holm); levels by their digits. A
verdict is

    agrees         no difference is found, and one larger than the tolerance is excluded;
    differs        the adjusted P value is at most 1 - confidence, or the digits of a level differ;
    undecided      none is found, but the runs do not exclude it either;
    not measured   no finished run is of this experiment, step or level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

import numpy as np

from jaxsim.estimation import classify, clopper_pearson
from jaxsim.estimation.agreement import binomial, fisher
from jaxsim.estimation.paired import holm
from jaxsim.questions.data import Data
from jaxsim.questions.events import KINDS, Event
from jaxsim.questions.published_number import CONSTANT, INACTIVE, LEVEL, Published
from jaxsim.questions.quantities import Quantity, quantities
from jaxsim.questions.question import Question, Subject
from jaxsim.training.polish import Basin
from jaxsim.training.records import Records

Verdict = Literal["agrees", "differs", "undecided", "not measured"]
MOST_KEPT = 10_000
"""Risks near a level, of which the median is taken."""
WINDOW = 0.02
"""Relative distance within which a run's risk belongs to a published level."""
GAP = 5e-4
"""Relative distance between neighbouring risks that separates two levels."""
SMALLEST = 0.1
"""Share of the runs of the largest cluster near a level that a level has at least."""


class PublishedComparison(Data):
    """A published number beside the measured one.

    Attributes:
        source: paper, report or theorem.
        place: page, table or file.
        quantity: in words.
        experiment: label.
        event: what is compared, as a clause.
        step: at which it was measured; None if it was not.
        published: as printed.
        published_lower: lower end of the interval of the published number: Clopper-Pearson's where
            its count is known, else of its rounding; as compared with the measured one.
        published_upper: upper end.
        published_runs: runs that it is of, None if not known.
        estimate: measured; None if it was not.
        lower: lower end of its interval; of a level, of the risks near it.
        upper: upper end.
        method: of that interval.
        runs: measured ones.
        count: of them, those that certainly have the event, or are at the level.
        undecided: of them, those of which it is not known.
        test: how both are compared.
        p: P value of it, None for levels and what was not measured.
        p_holm: adjusted for all published numbers of the study.
        difference: the greatest difference of probabilities that the intervals leave open.
        tolerance: which agreement has to exclude.
        verdict: "agrees", "differs", "undecided" or "not measured".
        discussion: why a difference is to be expected, or what else a reader should know.
    """

    source: str
    place: str
    quantity: str
    experiment: str
    event: str
    step: int | None
    published: str
    published_lower: float
    published_upper: float
    published_runs: int | None
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    method: str = ""
    runs: int = 0
    count: int = 0
    undecided: int = 0
    test: str = ""
    p: float | None = None
    p_holm: float | None = None
    difference: float | None = None
    tolerance: float
    verdict: Verdict
    discussion: str


class Measured(Data):
    """What the runs of an experiment say about a published number.

    Attributes:
        step: checkpoint; None if there is none like it.
        runs: finished ones.
        count: those that certainly have the event; at a level, those near it.
        undecided: those of which it is not known.
        estimate: of a level: the median of the risks near it.
        lower: of a level: the least of them.
        upper: the greatest.
        polished: whether these risks are those after polishing.
    """

    step: int | None
    runs: int
    count: int
    undecided: int
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    polished: bool = False


class PublishedNumbers(Question):
    """What an experiment's runs say about the published numbers that are of it."""

    name = "published"

    def __init__(self, subject: Subject) -> None:
        """Begin with no runs."""
        super().__init__(subject)
        self.entries = subject.published
        steps = [int(n) for n in subject.checkpoints]
        self.place = [
            len(steps) - 1 if e.step is None else steps.index(e.step) if e.step in steps else None
            for e in self.entries
        ]
        self.quantity = [_quantity(e, subject) for e in self.entries]
        self.runs = 0
        self.counts = np.zeros((len(self.entries), 2), np.int64)  # certain, undecided
        self.near: list[np.ndarray] = [np.empty(0)] * len(self.entries)

    def add(self, records: Records, stratum: int = 0) -> None:
        """Count the runs of a shard."""
        self.runs += len(records.replicate)
        for i, (entry, t) in enumerate(zip(self.entries, self.place, strict=True)):
            if t is None:
                continue
            if entry.kind == LEVEL:
                near = _near(records.risk[:, t], entry)
                self.counts[i, 0] += len(near)
                self.near[i] = np.concatenate([self.near[i], near])[:MOST_KEPT]
            else:
                self.counts[i] += self._counted(entry, self.quantity[i], records, t)

    def _counted(
        self, entry: Published, quantity: Quantity | None, records: Records, t: int
    ) -> tuple[int, int]:
        """Return how many runs have an event for certain, and of how many it is not known."""
        if entry.kind == CONSTANT:
            constant = records.constant[:, t]
            return int((constant == 1).sum()), int((constant == -1).sum())
        if entry.kind == INACTIVE:
            first = records.inactive[:, t, :1].sum(1)
            return int((first >= entry.thresholds[0]).sum()), 0
        if quantity is not None:
            value, error = (array[:, t : t + 1] for array in quantity.values(records))
            counts = classify(value, error, *quantity.ends, list(entry.thresholds or (0.0,)))
            return int(counts.failures[0, 0]), int(counts.undecided[0, 0])
        low, high = entry.thresholds
        value, error = records.risk[:, t], np.nan_to_num(records.error[:, t])
        certain = (value - error > low) & (value + error <= high)
        possible = (value + error > low) & (value - error <= high)
        return int(certain.sum()), int((possible & ~certain).sum())

    def merge(self, other: Self) -> None:
        """Add the other's counts."""
        self.runs += other.runs
        self.counts = self.counts + other.counts
        self.near = [
            np.concatenate([a, b])[:MOST_KEPT] for a, b in zip(self.near, other.near, strict=True)
        ]

    def finish(self) -> list[Measured]:
        """Return what was measured, in the order of the published numbers."""
        found = []
        for i, (entry, t) in enumerate(zip(self.entries, self.place, strict=True)):
            step = None if t is None else int(self.subject.checkpoints[t])
            certain, undecided = (int(c) for c in self.counts[i])
            one = Measured(step=step, runs=self.runs, count=certain, undecided=undecided)
            if entry.kind == LEVEL and t is not None:
                one = self._level(entry, self.near[i], one)
            found.append(one)
        return found

    def _level(self, entry: Published, near: np.ndarray, one: Measured) -> Measured:
        """Return the level near a published one: of polished runs where there are any."""
        polished = False
        if self.subject.sample is not None and entry.step is None:
            done = self.subject.sample.polished
            settled = _near(done.risk[done.basin >= Basin.STATIONARY], entry)
            if len(settled):
                near, polished = settled, True
        near = _nearest_cluster(near, entry)
        if not len(near):
            return one
        return one.model_copy(
            update={
                "count": len(near),
                "estimate": float(np.median(near)) / entry.factor,
                "lower": float(near.min()) / entry.factor,
                "upper": float(near.max()) / entry.factor,
                "polished": polished,
            }
        )


def comparisons(
    entries: Sequence[Published], measured: Sequence[Measured | None], confidence: float
) -> tuple[PublishedComparison, ...]:
    """Return the published numbers beside the measured ones.

    Args:
        entries: published numbers.
        measured: what the runs say about each, None where no experiment is meant.
        confidence: of the intervals, and 1 - the level of all tests together.
    """
    found = [
        _compared(entry, one, confidence) for entry, one in zip(entries, measured, strict=True)
    ]
    tested = {i: one.p for i, one in enumerate(found) if one.p is not None}
    adjusted = holm(list(tested.values())) if tested else []
    for i, p in zip(tested, adjusted, strict=True):
        one, level = found[i], 1 - confidence
        verdict: Verdict = "agrees"
        if p <= level:
            verdict = "differs"
        elif one.difference is None or one.difference > one.tolerance:
            verdict = "undecided"
        found[i] = one.model_copy(update={"p_holm": float(p), "verdict": verdict})
    return tuple(found)


def _compared(entry: Published, one: Measured | None, confidence: float) -> PublishedComparison:
    lower, upper = entry.lower, entry.upper
    if entry.count is not None and entry.runs and entry.relation == "equal":
        ends = clopper_pearson(list(entry.count), entry.runs, confidence)
        lower, upper = float(ends[0][0]), float(ends[1][1])
    blank = PublishedComparison(
        source=entry.source,
        place=entry.place,
        quantity=entry.quantity,
        experiment=entry.label,
        event=entry.event,
        step=None if one is None else one.step,
        published=entry.text,
        published_lower=lower,
        published_upper=upper,
        published_runs=entry.runs,
        tolerance=entry.tolerance,
        verdict="not measured",
        discussion=entry.discussion,
    )
    if one is None or one.step is None or not one.runs:
        return blank
    known = {"runs": one.runs, "count": one.count, "undecided": one.undecided}
    if entry.kind == LEVEL:
        return blank.model_copy(update=known | _of_level(entry, one))
    return blank.model_copy(update=known | _of_probability(entry, one, confidence, lower, upper))


def _of_level(entry: Published, one: Measured) -> dict[str, object]:
    """Return the fields of a level: it agrees if all printed digits do."""
    found: dict[str, object] = {
        "lower": one.lower,
        "upper": one.upper,
        "test": "rounding of the printed digits",
        "method": "risks after polishing" if one.polished else f"risks within {WINDOW:.0%} of it",
    }
    if one.estimate is None:
        return found
    slack = 1e-9 * abs(one.estimate)
    inside = entry.lower - slack <= one.estimate <= entry.upper + slack
    return found | {"estimate": one.estimate, "verdict": "agrees" if inside else "differs"}


def _of_probability(
    entry: Published, one: Measured, confidence: float, lower: float, upper: float
) -> dict[str, object]:
    """Return the fields of a probability."""
    count = one.count, one.count + one.undecided
    ends = clopper_pearson(list(count), one.runs, confidence)
    low, high = float(ends[0][0]), float(ends[1][1])
    if entry.count is not None and entry.runs:
        p, test = fisher(count, one.runs, entry.count, entry.runs), "Fisher, two-sided"
    else:
        p, test = binomial(count, one.runs, entry.lower, entry.upper), "exact binomial, two-sided"
    return {
        "estimate": one.count / one.runs,
        "lower": low,
        "upper": high,
        "method": "clopper-pearson",
        "test": test,
        "p": p,
        "difference": _open_difference(entry, one, (low, high), (lower, upper)),
    }


def _open_difference(
    entry: Published, one: Measured, ends: tuple[float, float], published: tuple[float, float]
) -> float:
    """Return the greatest difference that the intervals leave open.

    Of two counts by the square-and-add rule (Newcombe, Statistics in Medicine 17, 1998) over
    Clopper-Pearson limits; from a range of probabilities, the distance of the farther limit.
    """
    low, high = ends
    if entry.count is None or not entry.runs or entry.relation != "equal":
        return max(0.0, high - published[1], published[0] - low)
    other = sum(entry.count) / 2 / entry.runs
    most, least = (one.count + one.undecided) / one.runs, one.count / one.runs
    above = most - other + float(np.hypot(high - most, other - published[0]))
    below = other - least + float(np.hypot(least - low, published[1] - other))
    return max(above, below, 0.0)


def _near(risk: np.ndarray, entry: Published) -> np.ndarray:
    """Return the finite risks that belong to a published level."""
    middle = entry.factor * (entry.lower + entry.upper) / 2
    reach = max(WINDOW * abs(middle), entry.factor * (entry.upper - entry.lower))
    return risk[np.abs(np.nan_to_num(risk, nan=np.inf) - middle) <= reach]


def _nearest_cluster(near: np.ndarray, entry: Published) -> np.ndarray:
    """Return the risks of the cluster nearest to a level: others may be as close as a percent.

    Clusters of few runs beside one of many are runs on their way, and no level.
    """
    if not len(near):
        return near
    middle = entry.factor * (entry.lower + entry.upper) / 2
    risks = np.sort(near)
    clusters = np.split(risks, np.flatnonzero(np.diff(risks) > GAP * abs(middle)) + 1)
    least = SMALLEST * max(len(c) for c in clusters)
    levels = [c for c in clusters if len(c) >= least]
    return min(levels, key=lambda c: abs(float(np.median(c)) - middle))


def _quantity(entry: Published, subject: Subject) -> Quantity | None:
    """Return what decides an event of the usual kinds."""
    if entry.kind not in KINDS:
        return None
    event = Event(entry.kind, *(entry.thresholds or (0.0,)))
    return quantities(replace(subject, events=(event,)))[0]
