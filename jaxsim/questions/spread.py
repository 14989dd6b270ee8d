"""How far the failure probabilities of a study's experiments lie apart, and what is separated.

Experiments are ranked by their estimates only where the runs separate them: by a paired comparison
that Holm's adjustment leaves significant, else by intervals that hold for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxsim.estimation import clopper_pearson
from jaxsim.questions.answer import ExperimentAnswer, SpreadAnswer
from jaxsim.questions.pairs import ComparisonAnswer, PairsAnswer

Compared = Mapping[tuple[frozenset[str], str, float, int], ComparisonAnswer]


Ends = Callable[[int, float], tuple[float, float]]
"""(event, confidence) -> ends of the guaranteed interval at the last step."""


def spreads(
    experiments: Sequence[ExperimentAnswer],
    pairs: PairsAnswer,
    confidence: float,
    ends: Mapping[str, Ends] | None = None,
) -> list[SpreadAnswer]:
    """Return the spread at every eps of the experiments that run equally long.

    Args:
        experiments: with at least one run each.
        pairs: their paired comparisons.
        confidence: of the intervals of all experiments of a spread together.
        ends: intervals by the experiments' ids; Clopper and Pearson's of all runs where there is
            none.
    """
    compared = {
        (
            frozenset((comparison.first, comparison.second)),
            comparison.event,
            comparison.eps,
            comparison.step,
        ): comparison
        for comparison in pairs.comparisons
    }
    groups: dict[int, list[ExperimentAnswer]] = {}
    for e in experiments:
        groups.setdefault(e.steps, []).append(e)
    answers = []
    for _, group in sorted(groups.items(), reverse=True):
        for g in range(len(group[0].exceedance.estimates)):
            answers.append(_spread(group, g, compared, confidence, ends or {}))
    return answers


def _ends(e: ExperimentAnswer, g: int, level: float) -> tuple[float, float]:
    """Return the ends of the guaranteed interval of an experiment at an event and the last step."""
    last = e.exceedance.estimates[g][-1]
    possible = last.failures + last.undecided
    lower, upper = clopper_pearson([last.failures, possible], last.runs, level)
    return float(lower[0]), float(upper[1])


def _spread(
    group: Sequence[ExperimentAnswer],
    g: int,
    compared: Compared,
    confidence: float,
    ends: Mapping[str, Ends],
) -> SpreadAnswer:
    last = [e.exceedance.estimates[g][-1] for e in group]
    level = 1 - (1 - confidence) / len(last)
    lower, upper = np.array(
        [ends[e.id](g, level) if e.id in ends else _ends(e, g, level) for e in group]
    ).T
    least = min(estimate.estimate for estimate in last)
    most = max(estimate.estimate_upper for estimate in last)
    lowest = [estimate.experiment for estimate in last if estimate.estimate == least]
    highest = [estimate.experiment for estimate in last if estimate.estimate_upper == most]
    first = next(i for i, estimate in enumerate(last) if estimate.experiment == lowest[0])
    final = next(i for i, estimate in enumerate(last) if estimate.experiment == highest[0])
    apart = bool(lower[final] > upper[first])
    names = frozenset((lowest[0], highest[0]))
    pair = compared.get((names, last[0].event, last[0].eps, last[0].step))
    if pair is not None and pair.differ:
        apart = highest[0] == (pair.first if pair.result.difference > 0 else pair.second)
    return SpreadAnswer(
        steps=last[0].step,
        eps=last[0].eps,
        event=last[0].event,
        experiments=[estimate.experiment for estimate in last],
        lowest=lowest,
        lowest_estimate=least,
        highest=highest,
        highest_estimate=most,
        lower=float(lower.min()),
        upper=float(upper.max()),
        confidence=confidence,
        separated=apart and least < most,
    )
