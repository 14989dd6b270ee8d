"""A lower confidence bound of a mean, for non-negative draws of any law and any size.

For independent Z_i >= 0 with mean mu and fixed shares lambda in (0, 1], the average over lambda of

    prod_i (1 - lambda + lambda Z_i / mu)

has mean 1, so that it reaches 1 / doubt with probability at most doubt (Markov). It falls as mu
grows: the m at which it is 1 / doubt bounds mu from below (Waudby-Smith and Ramdas 2024). Nothing
is assumed of the variance, and only ratios count: a mean of 1e-30 is bounded like one of 1/2.
"""

from __future__ import annotations

import math

import numpy as np

_SHARES = np.concatenate([1.0 - 0.25 ** np.arange(1, 3), 2.0 ** -np.arange(14.0)])
_STEPS = 40


def mean_lower_bound(draws: np.ndarray, doubt: float) -> float:
    """Return a number that exceeds the mean with probability at most `doubt`.

    Args:
        draws: independent, non-negative, [n].
        doubt: in (0, 1).

    Example:
        >>> round(mean_lower_bound(np.full(1000, 1e-30), 0.01) / 1e-30, 3)
        0.993
    """
    mean = float(draws.mean())
    if not mean > 0:
        return 0.0
    ratios = draws / mean
    wanted = math.log(1 / doubt) + math.log(len(_SHARES))

    def enough(factor: float) -> bool:
        """Return whether `factor` times the mean of the draws is ruled out as the mean."""
        with np.errstate(divide="ignore"):
            logs = [np.log1p(share * (ratios / factor - 1)).sum() for share in _SHARES]
        return float(np.logaddexp.reduce(logs)) >= wanted

    low, high = -40.0, 0.0
    if not enough(math.exp(low)):
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(math.exp(middle)) else (low, middle)
    return mean * math.exp(low)
