"""Runs of one sample that are sorted into strata afterwards: both intervals at once.

The runs are one sample of the whole law, whose failures are binomial, and a sample of each stratum,
whose exact probabilities are known. Limits that hold for every stratum and are joined are narrower
only where strata explain most of who fails; else they are wider, by up to a half. The better of two
intervals is no interval for who looks first. So the error is shared before any run is seen: most of
it goes to the interval of the whole sample, the rest to that of the strata, and both hold together
(Boole's inequality). What they have in common is at most a fortieth wider than the interval of the
whole sample, and far narrower where strata explain nearly all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.intervals import interval_of
from jaxsim.estimation.stratified import Stratified, stratified
from jaxsim.estimation.stratified_counts import OPEN, StratifiedCounts

WHOLE = 0.9
"""Share of the error for the interval of all runs as one sample."""


def shared_levels(confidence: float) -> tuple[float, float]:
    """Return the confidence of the whole sample's interval and of that of the strata.

    Example:
        >>> [round(level, 12) for level in shared_levels(0.95)]
        [0.955, 0.995]
    """
    alpha = 1 - checked_level(confidence, "confidence")
    return 1 - WHOLE * alpha, 1 - (1 - WHOLE) * alpha


def post_stratified(
    counts: StratifiedCounts, confidence: float, method: str = "clopper-pearson"
) -> Stratified:
    """Return the probability in three parts from one sample, sorted into strata.

    Args:
        counts: by stratum.
        confidence: of each two-sided interval.
        method: a name of `INTERVALS`; approximate ones are those of strata alone.

    Raises:
        InputError: as `stratified`.

    Example: two strata of which one always fails and the other never
        >>> counts = StratifiedCounts(
        ...     np.array([0.75, 0.25]), np.zeros(2), np.array([0, 260]), np.array([0, 260]),
        ...     np.array([740, 260]), np.zeros(2, np.int8),
        ... )
        >>> p = post_stratified(counts, 0.95)
        >>> f"{p.estimate:.2f} {p.lower:.3f} {p.upper:.3f}"
        '0.25 0.244 0.257'
    """
    if not interval_of(method).rigorous:
        return stratified(counts, confidence, method)
    of_whole, of_strata = shared_levels(confidence)
    one, parts = whole(counts), stratified(counts, of_strata, method)
    sample = stratified(one, of_whole, method)
    # The estimate is that of the strata, and within its interval whatever the other one says.
    lower = np.minimum(np.maximum(parts.lower, sample.lower), parts.estimate)
    upper = np.maximum(np.minimum(parts.upper, sample.upper), parts.estimate_upper)
    return replace(
        parts,
        lower=lower,
        upper=upper,
        upper_rigorous=upper,
        resolved_lower=np.maximum(parts.resolved_lower, lower - parts.provable),
        resolved_upper=np.minimum(parts.resolved_upper, np.maximum(upper - parts.provable, 0.0)),
        unresolved=np.minimum(parts.unresolved, upper),
        confidence=float(confidence),
        description=f"{sample.description} of all runs; {parts.description}, a tenth of the error",
    )


def whole(counts: StratifiedCounts) -> StratifiedCounts:
    """Return the same runs as one sample of the whole law."""
    failures, possible = (a.sum(0)[None] for a in (counts.failures, counts.possible))
    runs = np.array([np.sum(counts.runs)])
    fate = np.full(failures.shape, OPEN, np.int8)
    return StratifiedCounts(np.ones(1), np.zeros(1), failures, possible, runs, fate)
