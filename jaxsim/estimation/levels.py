"""Levels: the distinct values at which runs end, their probabilities, and what was never seen.

The runs are taken in the order of their indices. A level is *discovered* by the first run that ends
there, and of the runs after that one, which are independent of everything before, the number at the
level is binomial with the level's probability. The k-th discovered level has the exact interval of
Clopper and Pearson from those later runs at error beta / (k (k + 1)). These errors add up to less
than beta, whatever the number of levels is, so that all intervals hold together with probability
1 - beta at least; an interval that counted the discovering runs would not, for among many rare
levels the ones that are seen are seen too often.

The mass of levels that no run has ended at is at most the mass of those unseen in the first half.
Of the second half the number of runs at such levels is binomial with that mass, given the first
half: its exact one-sided limit at error alpha - beta bounds the unseen mass (the idea of Robbins,
Ann. Math. Stat. 39, 1968, with an exact interval in place of an expectation), and the probability
of every level that was discovered in the second half. With beta = alpha / 2 everything holds
together with confidence 1 - alpha.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.intervals import lower_limit, upper_limit

GAP = 1e-8
"""Values belong to one level if they differ by less, relatively,"""
ROUNDING = 1e-12
"""or by less than this fraction of their scale."""
NONE = -1
"""Label of a run that is at no level."""


class LevelIntervals(NamedTuple):
    """Probabilities of L levels, in the order of their labels; everything holds together.

    Attributes:
        counts: runs at each level, int64 [L].
        lower: lower ends, float64 [L].
        upper: upper ends, float64 [L].
        elsewhere: runs at no level.
        elsewhere_lower: lower end of their probability.
        elsewhere_upper: upper end.
        unseen: upper limit of the mass of all levels that no run is at.
    """

    counts: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    elsewhere: int
    elsewhere_lower: float
    elsewhere_upper: float
    unseen: float


def level_labels(risk: ArrayLike, settled: ArrayLike, scale: float = 0.0) -> np.ndarray:
    """Return the level of every run, 0 for the least, `NONE` for runs that are not settled, [R].

    Args:
        risk: of the runs, [R].
        settled: whether a run has reached a level, bool [R].
        scale: of the risks, such as the best constant's; at least the largest of those settled.

    Example:
        >>> level_labels([0.5, 0.25, 0.25 + 1e-12, 0.3], [True, True, True, False]).tolist()
        [1, 0, 0, -1]
    """
    value, included = np.asarray(risk, np.float64), np.asarray(settled, bool)
    labels = np.full(len(value), NONE)
    chosen = np.flatnonzero(included & np.isfinite(value))
    if not len(chosen):
        return labels
    chosen = chosen[np.argsort(value[chosen], kind="stable")]
    ordered = value[chosen]
    apart = GAP * np.abs(ordered[:-1]) + ROUNDING * max(scale, np.abs(ordered).max())
    labels[chosen] = np.concatenate([[0], np.cumsum(np.diff(ordered) > apart)])
    return labels


def level_intervals(labels: ArrayLike, confidence: float) -> LevelIntervals:
    """Return simultaneous intervals for the probabilities of all levels, and of unseen ones.

    Args:
        labels: of `level_labels`, in the order of the runs' indices, [R].
        confidence: with which all of them hold.

    Raises:
        InputError: for a confidence outside (0, 1).

    Example: "two of 200 runs at a rare level"
        >>> found = level_intervals([0] * 50 + [1] + [0] * 100 + [1] + [0] * 48, 0.95)
        >>> found.counts.tolist(), f"{found.lower[1]:.1g} {found.upper[1]:.2f} {found.unseen:.3f}"
        ([198, 2], '1e-05 0.06 0.036')
    """
    beta = (1 - checked_level(confidence, "confidence")) / 2
    label = np.asarray(labels, np.int64)
    runs, half = len(label), len(label) // 2
    early = np.unique(label[:half])
    new = int((~np.isin(label[half:], early)).sum())
    unseen = float(upper_limit(new, runs - half, beta))
    names, first = np.unique(label, return_index=True)
    ends: dict[int, tuple[int, float, float]] = {}
    for k, place in enumerate(np.argsort(first), start=1):
        name, later = int(names[place]), label[first[place] + 1 :]
        tail = beta / (k * (k + 1)) / 2
        hits = int((later == name).sum())
        low = float(lower_limit(hits, len(later), tail))
        high = float(upper_limit(hits, len(later), tail))
        if first[place] >= half:
            high = min(high, unseen)
        ends[name] = int((label == name).sum()), min(low, high), high
    elsewhere = ends.pop(NONE, (0, 0.0, unseen))
    intervals = [ends[name] for name in sorted(ends)]
    return LevelIntervals(
        counts=np.array([f[0] for f in intervals], np.int64),
        lower=np.array([f[1] for f in intervals], np.float64),
        upper=np.array([f[2] for f in intervals], np.float64),
        elsewhere=elsewhere[0],
        elsewhere_lower=elsewhere[1],
        elsewhere_upper=elsewhere[2],
        unseen=unseen,
    )
