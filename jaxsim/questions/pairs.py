"""Paired comparisons: which of two experiments with common random numbers fails more often.

Runs are paired by the index of their replicate, whatever engines, widths and shards computed them;
those that only one of the two has are left out. What cannot be compared is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from jaxsim.estimation import (
    Outcome,
    PairedComparison,
    PairedCounts,
    compare_all,
    holm,
    outcomes,
)
from jaxsim.questions.data import Data
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.quantities import Quantity, quantities
from jaxsim.questions.question import Subject
from jaxsim.results.results import Results
from jaxsim.results.store import Shard
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

LARGEST_GROUP = 150
"""Experiments that are compared pair by pair; of larger groups each with the first one only."""
CHUNK = 1 << 15
"""Replicates of which all outcomes are held at once."""


class ComparisonAnswer(Data):
    """Two experiments that share random numbers, at one eps and the last step.

    Attributes:
        first: label.
        second: label.
        shared: what the two have in common: "initializations and mini-batches", ...
        step: the last checkpoint.
        eps: threshold of the event: above the optimal risk, or of risk or error rate.
        event: its kind.
        pairs: replicates that both have.
        result: difference of the failure probabilities, first minus second, with its interval.
        simultaneous_lower: lower end of an interval that holds for all comparisons together.
        simultaneous_upper: upper end.
        p_holm: exact McNemar P value adjusted for all comparisons of the study (Holm).
        differ: whether it is at most 1 - confidence.
    """

    first: str
    second: str
    shared: str
    step: int
    eps: float
    event: str = ABOVE_OPTIMUM
    pairs: int
    result: PairedComparison
    simultaneous_lower: float
    simultaneous_upper: float
    p_holm: float
    differ: bool

    @property
    def asked(self) -> Event:
        """The event."""
        return Event(self.event, self.eps)


class PairsAnswer(Data):
    """All paired comparisons of a study.

    Attributes:
        comparisons: pair by pair, for every event.
        not_compared: sentences on what shares random numbers and is not among them.
    """

    comparisons: list[ComparisonAnswer]
    not_compared: list[str]


def compare_pairs(results: Results, subjects: Sequence[Subject], confidence: float) -> PairsAnswer:
    """Compare all pairs of experiments that draw the same random numbers.

    Args:
        results: of the study.
        subjects: its experiments, all asked for the same events, [G].
        confidence: of each interval, for itself, and of the tests together.
    """
    compared: list[tuple[Experiment, Experiment, Event, PairedCounts]] = []
    decide = {s.experiment.id: quantities(s) for s in subjects}
    events = subjects[0].asked if subjects else ()
    gaps: list[str] = []
    for group in _groups(results.experiments):
        if len(group) > LARGEST_GROUP:
            gaps.append(
                f"{len(group):,} experiments share random numbers: each is compared with "
                f"{group[0].label} only, since there are more than {LARGEST_GROUP}"
            )
        lost = []
        for members, pairs in _blocks(group):
            tables = _tables(results, members, decide)
            for i, j in pairs:
                for g, event in enumerate(events):
                    counts = _counts(tables[g], i, j)
                    if counts.runs:
                        compared.append((members[i], members[j], event, counts))
                    elif g == 0:
                        lost.append(f"{members[i].label} and {members[j].label}")
        if lost:
            rest = f" and {len(lost) - 3:,} more pairs" if len(lost) > 3 else ""
            gaps.append(f"no replicate is finished in both: {'; '.join(lost[:3])}{rest}")
    gaps += _other_steps(results.experiments)
    return PairsAnswer(comparisons=_compared(compared, confidence), not_compared=gaps)


def _other_steps(experiments: Sequence[Experiment]) -> list[str]:
    """Return a sentence if experiments share random numbers but not their number of steps."""
    steps: dict[tuple[int, int], set[int]] = {}
    for e in experiments:
        steps.setdefault(e.key_words, set()).add(e.steps)
    if all(len(values) == 1 for values in steps.values()):
        return []
    return ["experiments with different numbers of steps share random numbers"]


def _blocks(
    group: Sequence[Experiment],
) -> Iterator[tuple[Sequence[Experiment], list[tuple[int, int]]]]:
    """Yield experiments that are read together, and which pairs of them are compared."""
    if len(group) <= LARGEST_GROUP:
        yield group, list(combinations(range(len(group)), 2))
        return
    for begin in range(1, len(group), LARGEST_GROUP):
        members = [group[0], *group[begin : begin + LARGEST_GROUP]]
        yield members, [(0, j) for j in range(1, len(members))]


def _compared(
    found: Sequence[tuple[Experiment, Experiment, Event, PairedCounts]], confidence: float
) -> list[ComparisonAnswer]:
    if not found:
        return []
    alpha = 1 - confidence
    tables = [counts for *_, counts in found]
    plain = compare_all(tables, confidence)
    together = compare_all(tables, 1 - alpha / len(found))
    adjusted = holm([result.p_exact for result in plain])
    rows = []
    for (a, b, event, counts), result, wide, p in zip(
        found, plain, together, adjusted, strict=True
    ):
        rows.append(
            ComparisonAnswer(
                first=a.label,
                second=b.label,
                shared=shared(a, b),
                step=a.steps,
                eps=event.threshold,
                event=event.kind,
                pairs=counts.runs,
                result=result,
                simultaneous_lower=wide.lower,
                simultaneous_upper=wide.upper,
                p_holm=float(p),
                differ=bool(p <= alpha),
            )
        )
    return rows


def shared(a: Experiment, b: Experiment) -> str:
    """Return what two experiments with the same random keys have in common."""

    def same(*keys: str) -> bool:
        return all(a.spec.get(key) == b.spec.get(key) for key in keys)

    initializations = a.initialization_key == b.initialization_key
    batches = same("training", "precision") and _drawn(a) == _drawn(b)
    batches = batches and a.samples_per_step > 0
    if initializations and batches:
        return "initializations and mini-batches"
    if initializations:
        return "initializations"
    return "mini-batches" if batches else "random keys"


def _drawn(experiment: Experiment) -> dict:
    """Return the part of a problem that samples depend on."""
    problem = experiment.spec.get("problem", {})
    drawn = {k: v for k, v in problem.items() if k not in ("loss", "risk", "optimum")}
    if isinstance(drawn.get("data"), dict):
        drawn["data"] = {k: v for k, v in drawn["data"].items() if k != "risk_over"}
    return drawn


def _groups(experiments: Sequence[Experiment]) -> Iterator[list[Experiment]]:
    """Yield the experiments that share random numbers and run equally long."""
    groups: dict[tuple, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault((experiment.key_words, experiment.steps), []).append(experiment)
    yield from (group for group in groups.values() if len(group) > 1)


def _tables(
    results: Results,
    group: Sequence[Experiment],
    decide: Mapping[str, Sequence[Quantity]],
) -> np.ndarray:
    """Return, per event, how often experiment i had outcome p where j had q: [G, 3, 3, E, E].

    Args:
        results: of the study.
        group: experiments that share random numbers.
        decide: what decides the events, by the experiments' ids.
    """
    events = sum(len(q.events) for q in decide[group[0].id])
    tables = np.zeros((events, 3, 3, len(group), len(group)), np.int64)
    readers = [_Reader(results, experiment) for experiment in group]
    stop = max((reader.stop for reader in readers), default=0)
    for begin in range(0, stop, CHUNK):
        width = min(CHUNK, stop - begin)
        known = np.full((events, len(group), width), -1, np.int8)
        for place, (reader, experiment) in enumerate(zip(readers, group, strict=True)):
            for index, records in reader.within(begin, begin + width):
                known[:, place, index] = _outcomes(decide[experiment.id], records)
        for g in range(events):
            # Products of 0s and 1s are counts, exact in float64.
            masks = [(known[g] == outcome).astype(np.float64) for outcome in Outcome]
            for p in Outcome:
                for q in Outcome:
                    tables[g, p, q] += (masks[p] @ masks[q].T).astype(np.int64)
    return tables


def _outcomes(decide: Sequence[Quantity], records: Records) -> np.ndarray:
    """Return the outcomes of runs at the last step for every event, [G, R]."""
    rows = []
    for quantity in decide:
        value, error = (array[:, -1:] for array in quantity.values(records))
        for threshold in quantity.thresholds:
            rows.append(outcomes(value, error, *quantity.ends, float(threshold))[:, 0])
    return np.stack(rows)


class _Reader:
    """The finished shards of an experiment by replicate; the last one read is kept."""

    def __init__(self, results: Results, experiment: Experiment) -> None:
        self.store = results.store
        self.shards = results.finished(experiment)
        self.stop = max((s.stop for s in self.shards), default=0)
        self.last: tuple[Shard, Records] | None = None

    def within(self, begin: int, end: int) -> Iterator[tuple[np.ndarray, Records]]:
        """Yield (place of each replicate after `begin`, records) of the replicates in a range."""
        for shard in self.shards:
            if shard.stop <= begin or shard.first >= end:
                continue
            if self.last is None or self.last[0] != shard:
                self.last = shard, self.store.read(shard)
            records = self.last[1]
            inside = (records.replicate >= begin) & (records.replicate < end)
            chosen = Records(*(column[inside] for column in records))
            yield chosen.replicate - begin, chosen


def _counts(table: np.ndarray, i: int, j: int) -> PairedCounts:
    """Return the outcomes of a pair from the table [3, 3, E, E] of its eps."""
    cell = table[:, :, i, j]
    passes, fails, unknown = Outcome.PASS, Outcome.FAIL, Outcome.UNDECIDED
    decided = int(cell[np.ix_([passes, fails], [passes, fails])].sum())
    maybe_first = cell[np.ix_([fails, unknown], [passes, unknown])].sum() - cell[fails, passes]
    maybe_second = cell[np.ix_([passes, unknown], [fails, unknown])].sum() - cell[passes, fails]
    return PairedCounts(
        both=int(cell[fails, fails]),
        only_first=int(cell[fails, passes]),
        only_second=int(cell[passes, fails]),
        neither=int(cell[passes, passes]),
        undecided=int(cell.sum()) - decided,
        maybe_only_first=int(maybe_first),
        maybe_only_second=int(maybe_second),
    )
