"""Exact coverage of an interval for a probability: P(lower(S) <= p <= upper(S)), S ~ Bin(n, p).

Enumerated over all S, no simulation (Brown, Cai and DasGupta, Statistical Science 16, 2001).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.intervals import interval_of

_CELLS = 1 << 20


def coverage(
    interval: str | Callable[[ArrayLike, ArrayLike, float], tuple[np.ndarray, np.ndarray]],
    n: int,
    p: ArrayLike,
    confidence: float,
) -> np.ndarray:
    """Return the probability that the interval after n runs holds p.

    Args:
        interval: a name in `INTERVALS`, or (failures, runs, confidence) -> (lower, upper).
        n: runs.
        p: probabilities, any shape.
        confidence: asked of the interval.

    Returns:
        Coverage, float64 of the shape of p.

    Raises:
        InputError: for p outside [0, 1], n < 1 or an unknown name.

    Example:
        >>> float(coverage("clopper-pearson", 10, 0.5, 0.95).round(6))
        0.978516
    """
    p = np.asarray(p, float)
    if n < 1:
        raise InputError(f"n = {n} is not accepted; accepted: at least one run")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("p is not accepted; accepted: probabilities in [0, 1]")
    function = interval_of(interval).function if isinstance(interval, str) else interval
    counts = np.arange(n + 1)
    lower, upper = function(counts, n, confidence)
    flat = p.ravel()[:, None]
    rows = max(1, _CELLS // (n + 1))
    parts = [
        (scipy.stats.binom.pmf(counts, n, part) * ((lower <= part) & (part <= upper))).sum(1)
        for part in (flat[i : i + rows] for i in range(0, flat.size, rows))
    ]
    return np.concatenate([*parts, np.empty(0)]).reshape(p.shape)
