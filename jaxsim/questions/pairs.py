"""Paired comparisons: which of two experiments with common random numbers fails more often.

Runs are paired by the index of their replicate, whatever engines, widths and shards computed them;
those that only one of the two has are left out. What cannot be compared is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from jaxsim.design.stratum import Design, Stratum
from jaxsim.estimation import (
    Outcome,
    PairedComparison,
    PairedCounts,
    compare_all,
    holm,
)
from jaxsim.estimation.stratified_paired import stratified_paired
from jaxsim.questions.data import Data
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.provable import decided_by_proof
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


MCNEMAR = "McNemar's test"
BY_INTERVAL = "by the interval of the difference"


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
        test: how the P value is made: McNemar's exact one for runs of the plain design, else by
            the guaranteed interval of the difference.
        p_holm: P value adjusted for all comparisons of the study (Holm).
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
    test: str = MCNEMAR
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
    compared: list[_Pair] = []
    decide = {s.experiment.id: quantities(s) for s in subjects}
    proofs = _Proofs(results, subjects)
    events = subjects[0].asked if subjects else ()
    gaps: list[str] = []
    for group in _groups(results):
        if len(group) > LARGEST_GROUP:
            gaps.append(
                f"{len(group):,} experiments share random numbers: each is compared with "
                f"{group[0].label} only, since there are more than {LARGEST_GROUP}"
            )
        lost = []
        for members, pairs in _blocks(group):
            strata = results.design(members[0]).strata
            tables = [_tables(results, members, decide, k) for k in range(len(strata))]
            for i, j in pairs:
                for g, event in enumerate(events):
                    counts = tuple(_counts(table[g], i, j) for table in tables)
                    pair = _Pair(members[i], members[j], event, g, counts)
                    if sum(table.runs for table in counts):
                        compared.append(pair)
                    elif g == 0:
                        lost.append(f"{members[i].label} and {members[j].label}")
        if lost:
            rest = f" and {len(lost) - 3:,} more pairs" if len(lost) > 3 else ""
            gaps.append(f"no replicate is finished in both: {'; '.join(lost[:3])}{rest}")
    gaps += _other_steps(results.experiments)
    gaps += _other_strata(results)
    answers = _compared(compared, confidence, subjects, proofs)
    return PairsAnswer(comparisons=answers, not_compared=gaps)


def _other_steps(experiments: Sequence[Experiment]) -> list[str]:
    """Return a sentence if experiments share random numbers but not their number of steps."""
    steps: dict[tuple[int, int], set[int]] = {}
    for e in experiments:
        steps.setdefault(e.key_words, set()).add(e.steps)
    if all(len(values) == 1 for values in steps.values()):
        return []
    return ["experiments with different numbers of steps share random numbers"]


def _other_strata(results: Results) -> list[str]:
    """Return a sentence if experiments share random numbers but not their strata."""
    strata: dict[tuple, set[tuple]] = {}
    for e in results.experiments:
        strata.setdefault((e.key_words, e.steps), set()).add(_signature(results, e))
    if all(len(designs) == 1 for designs in strata.values()):
        return []
    return ["experiments with different strata share random numbers"]


def _signature(results: Results, experiment: Experiment) -> tuple:
    """Return what the strata of experiments have in common whose runs are pairs."""
    design = results.design(experiment)
    if design.plain:
        return ()
    return tuple((s.probability, s.least, s.most, s.dead_later) for s in design.strata)


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


class _Pair(NamedTuple):
    """Two experiments at one event.

    Attributes:
        first: experiment.
        second: experiment.
        event: that is compared.
        place: of the event among all, g.
        counts: of every stratum, [S].
    """

    first: Experiment
    second: Experiment
    event: Event
    place: int
    counts: tuple[PairedCounts, ...]


class _Proofs:
    """The strata of experiments, and which of them fail by proof at which events."""

    def __init__(self, results: Results, subjects: Sequence[Subject]) -> None:
        self.results = results
        self.decided: dict[str, np.ndarray] = {}
        for subject in subjects:
            if not results.design(subject.experiment).plain:
                self.decided[subject.experiment.id] = np.concatenate(
                    [decided_by_proof(subject, q, q.thresholds) for q in quantities(subject)], 1
                )

    def design(self, pair: _Pair) -> Design:
        """Return the strata of both experiments."""
        return self.results.design(pair.first)

    def plain(self, pair: _Pair) -> bool:
        """Whether all runs of the experiments are pairs of one stratum."""
        return self.design(pair).plain

    def both(self, pair: _Pair) -> np.ndarray:
        """Return the strata in which both experiments fail by proof, bool [S]."""
        if self.plain(pair):
            return np.zeros(1, bool)
        of_both = [self.decided[e.id][:, pair.place] for e in (pair.first, pair.second)]
        return of_both[0] & of_both[1]


def _compared(
    pairs: Sequence[_Pair], confidence: float, subjects: Sequence[Subject], proofs: _Proofs
) -> list[ComparisonAnswer]:
    if not pairs:
        return []
    alpha = 1 - confidence
    of = {s.experiment.id: s for s in subjects}
    each = _comparisons(pairs, confidence, of, proofs)
    together = _comparisons(pairs, 1 - alpha / len(pairs), of, proofs)
    adjusted = holm([one.p for one in each])
    rows = []
    for pair, one, broad, p in zip(pairs, each, together, adjusted, strict=True):
        (a, b, event), result, wide = pair[:3], one.result, broad.result
        rows.append(
            ComparisonAnswer(
                first=a.label,
                second=b.label,
                shared=shared(a, b),
                step=a.steps,
                eps=event.threshold,
                event=event.kind,
                pairs=result.counts.runs,
                result=result,
                simultaneous_lower=wide.lower,
                simultaneous_upper=wide.upper,
                test=one.test,
                p_holm=float(p),
                differ=bool(p <= alpha),
            )
        )
    return rows


class _Compared(NamedTuple):
    """The difference of a pair, and the P value of its being 0."""

    result: PairedComparison
    p: float
    test: str


def _comparisons(
    pairs: Sequence[_Pair], confidence: float, of: Mapping[str, Subject], proofs: _Proofs
) -> list[_Compared]:
    """Return the difference of each pair with its interval."""
    alone = [p for p in pairs if of[p.first.id].guaranteed != "sequence" and proofs.plain(p)]
    plain = compare_all([p.counts[0] for p in alone], confidence) if alone else []
    known = {id(p): result for p, result in zip(alone, plain, strict=True)}
    answers = []
    for pair in pairs:
        result = known.get(id(pair))
        if result is not None:
            answers.append(_Compared(result, result.p_exact, MCNEMAR))
        else:
            answers.append(_of_strata(pair, confidence, of[pair.first.id], proofs))
    return answers


def _of_strata(pair: _Pair, confidence: float, subject: Subject, proofs: _Proofs) -> _Compared:
    """Return the difference of a pair by strata, or of one that was looked at again and again."""
    tables, design = pair.counts, proofs.design(pair)
    one = stratified_paired(
        design.weights,
        [table.only_first for table in tables],
        [table.only_second for table in tables],
        [table.runs for table in tables],
        confidence,
        errors=design.errors,
        maybe_first=[table.maybe_only_first for table in tables],
        maybe_second=[table.maybe_only_second for table in tables],
        equal=proofs.both(pair),
        method=subject.guaranteed,
    )
    result = PairedComparison(
        counts=sum(tables[1:], tables[0]),
        difference=float(one.difference),
        lower=float(one.lower),
        upper=float(one.upper),
        confidence=confidence,
        method=one.method,
        p_exact=float(one.p_exact),
        p_mid=float(one.p_mid),
    )
    return _Compared(result, float(one.p_overall), BY_INTERVAL)


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


def _groups(results: Results) -> Iterator[list[Experiment]]:
    """Yield the experiments that share random numbers and strata and run equally long."""
    groups: dict[tuple, list[Experiment]] = {}
    for experiment in results.experiments:
        alike = experiment.key_words, experiment.steps, _signature(results, experiment)
        groups.setdefault(alike, []).append(experiment)
    yield from (group for group in groups.values() if len(group) > 1)


def _tables(
    results: Results,
    group: Sequence[Experiment],
    decide: Mapping[str, Sequence[Quantity]],
    stratum: int = 0,
) -> np.ndarray:
    """Return, per event, how often experiment i had outcome p where j had q: [G, 3, 3, E, E].

    Args:
        results: of the study.
        group: experiments that share random numbers.
        decide: what decides the events, by the experiments' ids.
        stratum: whose runs are counted.
    """
    events = sum(len(q.events) for q in decide[group[0].id])
    tables = np.zeros((events, 3, 3, len(group), len(group)), np.int64)
    readers = [_Reader(results, results.design(e).strata[stratum]) for e in group]
    # Replicates of a pilot are far from the others: only chunks that hold some are looked at.
    chunks = {
        chunk
        for reader in readers
        for shard in reader.shards
        for chunk in range(shard.first // CHUNK, -(-shard.stop // CHUNK))
    }
    stop = max((shard.stop for reader in readers for shard in reader.shards), default=0)
    for begin in sorted(chunk * CHUNK for chunk in chunks):
        width = min(CHUNK, stop - begin)
        known = np.full((events, len(group), width), -1, np.int8)
        for place, (reader, experiment) in enumerate(zip(readers, group, strict=True)):
            for index, records in reader.within(begin, begin + width):
                known[:, place, index] = np.concatenate(
                    [quantity.last(records) for quantity in decide[experiment.id]]
                )
        for g in range(events):
            # Products of 0s and 1s are counts, exact in float64.
            masks = [(known[g] == outcome).astype(np.float64) for outcome in Outcome]
            for p in Outcome:
                for q in Outcome:
                    tables[g, p, q] += (masks[p] @ masks[q].T).astype(np.int64)
    return tables


class _Reader:
    """The finished shards of a stratum by replicate; the last one read is kept."""

    def __init__(self, results: Results, stratum: Stratum) -> None:
        self.store = results.store
        self.shards = results.of_stratum(stratum)
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
