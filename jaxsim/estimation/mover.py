"""Limits of a weighted sum of probabilities from limits of each: Bonferroni, and MOVER.

For p = sum_k pi_k f_k with estimates f^_k and limits l_k <= f_k <= u_k of every stratum:

    Bonferroni   [sum pi_k l_k, sum pi_k u_k], where the errors of all l_k add up to alpha / 2, and
                 those of all u_k. It holds with probability 1 - alpha if the limits do.
    MOVER        p^ - sqrt(sum pi_k^2 (f^_k - l_k)^2),  p^ + sqrt(sum pi_k^2 (u_k - f^_k)^2), where
                 each limit has the whole error alpha / 2: the method of variance estimates
                 recovery (Zou and Donner, Statistics in Medicine 27, 2008; Donner and Zou, Stat.
                 Methods Med. Res. 21, 2012). Approximate, and as wide as one interval should be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def bonferroni_limit(weights: np.ndarray, limits: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the limits of the active strata, [C]; all arguments [S, C]."""
    return np.where(active, weights * limits, 0.0).sum(0)


def mover_limit(
    weights: np.ndarray,
    estimates: np.ndarray,
    limits: np.ndarray,
    active: np.ndarray,
    *,
    upper: bool,
) -> np.ndarray:
    """Return p^ plus or minus the root of the sum of pi_k^2 (f^_k - limit_k)^2, [C].

    Written as the Bonferroni sum less what it has too much, so that a single active stratum gives
    its own limit to the last bit, and a limit close to 0 keeps its digits.
    """
    distance = np.where(active, weights * np.abs(limits - estimates), 0.0)
    greatest = distance.max(0, initial=0.0)
    scale = np.where(greatest > 0, greatest, 1.0)
    root = scale * np.sqrt(((distance / scale) ** 2).sum(0))
    excess = np.maximum(distance.sum(0) - root, 0.0)
    return bonferroni_limit(weights, limits, active) - (excess if upper else -excess)


def by_distinct(
    limit: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    counts: np.ndarray,
    runs: np.ndarray,
    tail: np.ndarray,
) -> np.ndarray:
    """Return limit(count, runs, tail), [S, C], computed once for each distinct count of a stratum.

    Args:
        limit: elementwise.
        counts: [S, C].
        runs: [S].
        tail: [S].
    """
    result = np.empty(counts.shape)
    distinct = [np.unique(row, return_inverse=True) for row in counts]
    sizes = [len(values) for values, _ in distinct]
    if not sum(sizes):
        return result
    computed = limit(
        np.concatenate([values for values, _ in distinct]),
        np.repeat(runs, sizes),
        np.repeat(tail, sizes),
    )
    parts = np.split(np.asarray(computed), np.cumsum(sizes)[:-1])
    for row, (part, (_, where)) in enumerate(zip(parts, distinct, strict=True)):
        result[row] = part[where]
    return result
