"""Paired comparisons: which of two experiments with common random numbers fails more often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from jaxsim.estimation import PairedComparison, PairedCounts, compare, holm, outcomes, pair_outcomes
from jaxsim.optimum.bracket import Bracket
from jaxsim.results.results import Results
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records

LARGEST_GROUP = 24
"""Experiments that are compared pair by pair; larger groups are left to the user."""


@dataclass(frozen=True)
class Comparison:
    """Two experiments that share initializations and mini-batches, at one eps and the last step.

    Attributes:
        first: label.
        second: label.
        step: the last checkpoint.
        eps: threshold above the optimal risk.
        result: difference of the failure probabilities, first minus second, with its interval.
        p_holm: exact McNemar P value adjusted for all comparisons of the study (Holm).
    """

    first: str
    second: str
    step: int
    eps: float
    result: PairedComparison
    p_holm: float


def paired_comparisons(
    results: Results, brackets: Mapping[str, Bracket], eps: np.ndarray, confidence: float
) -> tuple[Comparison, ...]:
    """Compare all pairs of experiments that draw the same random numbers.

    Runs of which only one of the two is finished are left out. Shards are read one at a time.

    Args:
        results: of the study.
        brackets: of the optimal risk, by family.
        eps: thresholds, [G].
        confidence: of each interval, for itself.
    """
    found: list[tuple[Experiment, Experiment, float, PairedComparison]] = []
    for group in _groups(results.experiments):
        pairs = list(combinations(range(len(group)), 2))
        counts = {(g, pair): PairedCounts(0, 0, 0, 0) for g in range(len(eps)) for pair in pairs}
        for rows in _common(results, group):
            for g, threshold in enumerate(eps):
                failed = []
                for experiment, records in zip(group, rows, strict=True):
                    bracket = brackets[experiment.hypothesis_class]
                    last = records.risk[:, -1:], records.error[:, -1:]
                    ends = bracket.lower.value, bracket.upper.value
                    failed.append(outcomes(*last, *ends, float(threshold))[:, 0])
                for i, j in pairs:
                    counts[g, (i, j)] += pair_outcomes(failed[i], failed[j])
        found += [
            (group[i], group[j], float(eps[g]), compare(table, confidence))
            for (g, (i, j)), table in counts.items()
            if table.runs
        ]
    adjusted = holm([result.p_exact for *_, result in found])
    return tuple(
        Comparison(a.label, b.label, a.steps, threshold, result, float(p))
        for (a, b, threshold, result), p in zip(found, adjusted, strict=True)
    )


def _groups(experiments: Sequence[Experiment]) -> Iterator[list[Experiment]]:
    """Yield the experiments that share random numbers and run equally long."""
    groups: dict[tuple, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault((experiment.key_words, experiment.steps), []).append(experiment)
    for group in groups.values():
        if 2 <= len(group) <= LARGEST_GROUP:
            yield group


def _common(results: Results, group: Sequence[Experiment]) -> Iterator[list[Records]]:
    """Yield the records of the shards that all experiments of a group have finished."""
    shards = [{(s.first, s.stop): s for s in results.finished(e)} for e in group]
    for place in sorted(set.intersection(*(set(s) for s in shards))):
        yield [results.store.read(s[place]) for s in shards]
