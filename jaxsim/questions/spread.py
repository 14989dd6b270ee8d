"""How far the failure probabilities of a study's experiments lie apart, and what is separated.

Experiments are ranked by their estimates only where the runs separate them: by a paired comparison
that Holm's adjustment leaves significant, else by intervals that hold for all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jaxsim.estimation import clopper_pearson
from jaxsim.questions.answer import ExperimentAnswer, SpreadAnswer
from jaxsim.questions.pairs import ComparisonAnswer, PairsAnswer

Compared = Mapping[tuple[frozenset[str], str, float, int], ComparisonAnswer]


def spreads(
    experiments: Sequence[ExperimentAnswer], pairs: PairsAnswer, confidence: float
) -> list[SpreadAnswer]:
    """Return the spread at every eps of the experiments that run equally long.

    Args:
        experiments: with at least one run each.
        pairs: their paired comparisons.
        confidence: of the intervals of all experiments of a spread together.
    """
    compared = {
        (frozenset((one.first, one.second)), one.event, one.eps, one.step): one
        for one in pairs.comparisons
    }
    groups: dict[int, list[ExperimentAnswer]] = {}
    for e in experiments:
        groups.setdefault(e.steps, []).append(e)
    found = []
    for _, group in sorted(groups.items(), reverse=True):
        for g in range(len(group[0].exceedance.estimates)):
            found.append(_spread(group, g, compared, confidence))
    return found


def _spread(
    group: Sequence[ExperimentAnswer], g: int, compared: Compared, confidence: float
) -> SpreadAnswer:
    last = [e.exceedance.estimates[g][-1] for e in group]
    level = 1 - (1 - confidence) / len(last)
    runs = np.array([one.runs for one in last])
    failures = np.array([one.failures for one in last])
    possible = failures + np.array([one.undecided for one in last])
    lower = clopper_pearson(failures, runs, level)[0]
    upper = clopper_pearson(possible, runs, level)[1]
    least = min(one.estimate for one in last)
    most = max(one.estimate_upper for one in last)
    lowest = [one.experiment for one in last if one.estimate == least]
    highest = [one.experiment for one in last if one.estimate_upper == most]
    first = next(i for i, one in enumerate(last) if one.experiment == lowest[0])
    final = next(i for i, one in enumerate(last) if one.experiment == highest[0])
    apart = bool(lower[final] > upper[first])
    names = frozenset((lowest[0], highest[0]))
    pair = compared.get((names, last[0].event, last[0].eps, last[0].step))
    if pair is not None and pair.differ:
        apart = highest[0] == (pair.first if pair.result.difference > 0 else pair.second)
    return SpreadAnswer(
        steps=last[0].step,
        eps=last[0].eps,
        event=last[0].event,
        experiments=[one.experiment for one in last],
        lowest=lowest,
        lowest_estimate=least,
        highest=highest,
        highest_estimate=most,
        lower=float(lower.min()),
        upper=float(upper.max()),
        confidence=confidence,
        separated=apart and least < most,
    )
