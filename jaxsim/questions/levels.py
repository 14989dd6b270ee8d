"""Levels: the distinct risks in whose basins runs end, with their probabilities.

From a sample of runs that were polished (`jaxsim levels`). A level may be the optimal risk with
fewer neurons, R*(m), as far as that is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxsim.estimation import level_intervals, level_labels
from jaxsim.estimation.levels import ROUNDING
from jaxsim.evidence import estimated
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.results.polished import Sample
from jaxsim.risk.constants import best_constant_risk
from jaxsim.training.experiment import Experiment
from jaxsim.training.polish import Basin

NARROW = 1e-3
"""A level is called R*(m) if it lies in a bracket of R*(m) no wider than this, relatively,"""
SLACK = 1e-8
"""widened by this, which is what the polished risks' rounding takes."""


class LevelAnswer(Data):
    """A level at which runs end.

    Attributes:
        risk: the least polished risk at this level.
        spread: the greatest less the least.
        count: runs at this level.
        estimate: count / runs.
        lower: lower end of the interval of its probability, simultaneous.
        upper: upper end.
        minima: runs whose point was checked to be a local minimum.
        least_active: the fewest active first-layer neurons of its runs; None without hidden layer.
        most_active: the most.
        equals: m, if the level is the optimal risk R*(m) with m first-layer neurons; None if it is
            not known to be one.
        name: in a few words.
    """

    risk: float
    spread: float
    count: int
    estimate: float
    lower: float
    upper: float
    minima: int
    least_active: int | None
    most_active: int | None
    equals: int | None
    name: str


class LevelsAnswer(Data):
    """The levels of an experiment; all intervals and bounds hold together.

    Attributes:
        runs: replicates 0, 1, ... that were polished.
        levels: by increasing risk.
        unsettled: runs that reached no level: still falling, not smooth, or diverged.
        unsettled_lower: lower end of the interval of their probability.
        unsettled_upper: upper end.
        unseen: upper bound of the probability that a run ends at a level that none of these did.
        confidence: of all of them together.
        evidence: what the levels themselves rest on.
    """

    runs: int
    levels: list[LevelAnswer]
    unsettled: int
    unsettled_lower: float
    unsettled_upper: float
    unseen: float
    confidence: float
    evidence: EvidenceAnswer


EVIDENCE = EvidenceAnswer.of(
    estimated("minima were found and checked in floating-point arithmetic")
)


def levels_answer(
    experiment: Experiment,
    sample: Sample,
    confidence: float,
    hierarchy: Sequence[Bracket] | None,
    optimum: Bracket,
) -> LevelsAnswer | None:
    """Return the levels of the polished runs of an experiment, None if there are none.

    Args:
        experiment: of the runs.
        sample: of its runs.
        confidence: of all intervals together.
        hierarchy: brackets of R*(m) for m = 0, 1, ...; None if they are not known.
        optimum: bracket of the optimal risk itself.
    """
    done = sample.polished
    if not len(done.risk):
        return None
    constant = best_constant_risk(experiment.problem, experiment.risk).value
    scale = constant if np.isfinite(constant) else 0.0
    labels = level_labels(done.risk, done.basin >= Basin.STATIONARY, scale)
    intervals = level_intervals(labels, confidence)
    width = experiment.network.hidden[0] if experiment.network.hidden else None
    values = [float(done.risk[labels == label].min()) for label in range(len(intervals.counts))]
    matches = matched(values, [*(hierarchy or ())], optimum, width or 0, scale)
    levels = []
    for label, (value, equals) in enumerate(zip(values, matches, strict=True)):
        at = labels == label
        risk, active = done.risk[at], done.active[at]
        ends = (None, None) if width is None else (int(active.min()), int(active.max()))
        minima = int((done.basin[at] == Basin.MINIMUM).sum())
        levels.append(
            LevelAnswer(
                risk=value,
                spread=float(risk.max()) - value,
                count=int(intervals.counts[label]),
                estimate=int(intervals.counts[label]) / len(labels),
                lower=float(intervals.lower[label]),
                upper=float(intervals.upper[label]),
                minima=minima,
                least_active=ends[0],
                most_active=ends[1],
                equals=equals,
                name=_name(equals, ends, width, minima > 0),
            )
        )
    return LevelsAnswer(
        runs=len(labels),
        levels=levels,
        unsettled=intervals.elsewhere,
        unsettled_lower=intervals.elsewhere_lower,
        unsettled_upper=intervals.elsewhere_upper,
        unseen=intervals.unseen,
        confidence=confidence,
        evidence=EVIDENCE,
    )


def matched(
    values: Sequence[float],
    hierarchy: Sequence[Bracket],
    optimum: Bracket,
    width: int,
    scale: float = 0.0,
) -> list[int | None]:
    """Return for every level the least m whose R*(m) it is, None where that is not known.

    A bracket that holds several levels tells none of them apart.

    Args:
        values: of the levels.
        hierarchy: brackets of R*(m) for m = 0, 1, ..., as far as they are known.
        optimum: bracket of the optimal risk, R*(width).
        width: of the first hidden layer, 0 without one.
        scale: of the risks' rounding.
    """
    optimal = [v <= optimum.lower.value + SLACK * abs(v) + ROUNDING * scale for v in values]
    widths: list[int | None] = []
    for value, least in zip(values, optimal, strict=True):
        names = [m for m, bracket in enumerate(hierarchy) if _holds(bracket, value)]
        names += [width] * _holds(optimum, value)
        widths.append(width if least else next(iter(names), None))
    often = Counter(widths)
    return [m if least or often[m] == 1 else None for m, least in zip(widths, optimal, strict=True)]


def _holds(bracket: Bracket, value: float) -> bool:
    """Return whether a bracket is narrow and holds a value."""
    low, high = bracket.lower.value, bracket.upper.value
    size = max(abs(low), abs(high))
    if not np.isfinite(low + high) or high - low > NARROW * size:
        return False
    return bool(low - SLACK * size <= value <= high + SLACK * size)


def _name(
    equals: int | None,
    ends: tuple[int | None, int | None],
    width: int | None,
    minimum: bool = False,
) -> str:
    """Return a level's name.

    Example:
        >>> _name(2, (2, 4), 4), _name(None, (2, 3), 4), _name(0, (0, 2), 4)
        ('2 of 4 neurons left', '2 to 3 of 4 neurons active', 'a constant')
    """
    if width is None:
        return "optimum" if equals is not None else "minimum" if minimum else "stationary"
    if equals is not None:
        if equals == width:
            return "optimum"
        return f"{equals} of {width} neurons left" if equals else "a constant"
    least, most = ends
    count = f"{least}" if least == most else f"{least} to {most}"
    return f"{count} of {width} neurons active"
