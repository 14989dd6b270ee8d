"""Paired comparisons: which of two experiments with common random numbers fails more often.

Runs are paired by the index of their replicate, whatever engines, widths and shards computed them;
those that only one of the two has are left out. What cannot be compared is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from jaxsim.design.stratum import Design
from jaxsim.estimation import PairedComparison, PairedCounts, compare_all, holm
from jaxsim.estimation.stratified_paired import stratified_paired
from jaxsim.questions.data import Data
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.questions.pair_tables import counts_of_pair, outcome_tables
from jaxsim.questions.provable import decided_by_proof
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Subject
from jaxsim.results.results import Results
from jaxsim.training.experiment import Experiment

LARGEST_GROUP = 150
"""Experiments that are compared pair by pair; of larger groups each with the first one only."""
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
            tables = [outcome_tables(results, members, decide, k) for k in range(len(strata))]
            for i, j in pairs:
                for g, event in enumerate(events):
                    counts = tuple(counts_of_pair(table[g], i, j) for table in tables)
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

    def both(self, pair: _Pair) -> np.ndarray:
        """Return the strata in which both experiments fail by proof, bool [S]."""
        if self.design(pair).plain:
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
    together = _comparisons(pairs, 1 - alpha / len(pairs), of, proofs, tests=False)
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
    pairs: Sequence[_Pair],
    confidence: float,
    of: Mapping[str, Subject],
    proofs: _Proofs,
    tests: bool = True,
) -> list[_Compared]:
    """Return the difference of each pair with its interval, and its P value if it is to be used."""
    answers: dict[int, _Compared] = {}
    alone: list[int] = []
    alike: dict[tuple, list[int]] = {}
    for place, pair in enumerate(pairs):
        method, design = of[pair.first.id].guaranteed, proofs.design(pair)
        if method != "sequence" and design.plain:
            alone.append(place)
        else:
            known = design.weights.tobytes(), design.errors.tobytes()
            runs = tuple(table.runs for table in pair.counts)
            alike.setdefault((method, *known, runs), []).append(place)
    plain = compare_all([pairs[i].counts[0] for i in alone], confidence) if alone else []
    for place, result in zip(alone, plain, strict=True):
        answers[place] = _Compared(result, result.p_exact, MCNEMAR)
    for (method, *_), places in alike.items():
        together = [pairs[i] for i in places]
        found = _of_strata(together, confidence, method, proofs, tests)
        answers |= zip(places, found, strict=True)
    return [answers[place] for place in range(len(pairs))]


def _of_strata(
    pairs: Sequence[_Pair], confidence: float, method: str, proofs: _Proofs, tests: bool
) -> Iterator[_Compared]:
    """Yield the differences of pairs by strata, or of such as were looked at again and again.

    Args:
        pairs: with strata of the same probabilities and numbers of runs.
        confidence: of each interval.
        method: of the guaranteed limits.
        proofs: strata that fail by proof.
        tests: whether P values are used.
    """
    design = proofs.design(pairs[0])

    def cells(name: str) -> np.ndarray:
        return np.array([[getattr(table, name) for table in pair.counts] for pair in pairs]).T

    found = stratified_paired(
        design.weights,
        cells("only_first"),
        cells("only_second"),
        [table.runs for table in pairs[0].counts],
        confidence,
        errors=design.errors,
        maybe_first=cells("maybe_only_first"),
        maybe_second=cells("maybe_only_second"),
        equal=np.stack([proofs.both(pair) for pair in pairs], axis=1),
        method=method,
        tests=tests,
    )
    for place, pair in enumerate(pairs):
        result = PairedComparison(
            counts=sum(pair.counts[1:], pair.counts[0]),
            difference=float(found.difference[place]),
            lower=float(found.lower[place]),
            upper=float(found.upper[place]),
            confidence=confidence,
            method=found.method,
            p_exact=float(found.p_exact[place]),
            p_mid=float(found.p_mid[place]),
        )
        yield _Compared(result, float(found.p_overall[place]), BY_INTERVAL)


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
