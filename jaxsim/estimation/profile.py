"""Likelihood-ratio limits for one probability, and for a weighted sum of several.

With X_k failures in n_k runs of stratum k, f^_k = X_k / n_k and the log-likelihood l_k, the limits
of p = sum_k pi_k f_k are the least and the greatest value of the sum among all f with

    2 sum_k [l_k(f^_k) - l_k(f_k)] <= c,   c = quantile of chi^2 with one degree of freedom,

the profile-likelihood interval (Wilks, Ann. Math. Statist. 9, 1938). For a multiplier lambda the
optimum has a closed form in r_k = lambda n_k / pi_k: the greatest sum has

    f_k = [1 - r_k + sqrt((1 - r_k)^2 + 4 r_k f^_k)] / 2,     f_k - f^_k = f_k (1 - f_k) / r_k,

the least one is its mirror image for the passes, and lambda is the root of the constraint, which is
monotone. The interval is approximate: its coverage tends to the confidence as the runs grow.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike

from jaxsim.estimation.checks import checked_counts, checked_level
from jaxsim.estimation.roots import decreasing_root

_FAR = 100.0  # log of a multiplier so extreme that no likelihood ratio in doubles needs it
_NEAR = 80.0


def likelihood_ratio(failures: ArrayLike, runs: ArrayLike, confidence: float) -> tuple:
    """Return the likelihood-ratio interval (approximate) of one probability.

    Args:
        failures: k, integers.
        runs: n >= k, integers that broadcast against k; n = 0 gives [0, 1].
        confidence: nominal.

    Raises:
        InputError: for counts that are not 0 <= k <= n, or a confidence outside (0, 1).

    Example: no failure has the limit 1 - exp(-c / 2n)
        >>> lower, upper = likelihood_ratio(0, 1000, 0.95)
        >>> float(lower), f"{upper:.6f}"
        (0.0, '0.001919')
    """
    checked_level(confidence, "confidence")
    k, n = checked_counts(failures, runs)
    x, m = k.reshape(1, -1), n.reshape(1, -1)
    one, sampled = np.ones_like(x), m > 0
    lower = profile_limit(one, x, m, sampled, confidence, upper=False).reshape(k.shape)
    upper = profile_limit(one, x, m, sampled, confidence, upper=True).reshape(k.shape)
    return lower[()], np.where(n > 0, upper, 1.0)[()]


def profile_limit(
    weights: np.ndarray,
    failures: np.ndarray,
    runs: np.ndarray,
    active: np.ndarray,
    confidence: float,
    *,
    upper: bool,
) -> np.ndarray:
    """Return one limit of the sum over the active strata of weight times probability, [C].

    Args:
        weights: pi_k >= 0, [S, 1] or [S, C].
        failures: X_k, [S, C].
        runs: n_k, [S, 1] or [S, C]; positive where active.
        active: which strata enter the sum, bool [S, C].
        confidence: nominal, of the two-sided interval.
        upper: which limit.
    """
    active = active & (weights > 0)
    half = float(scipy.stats.chi2.isf(1 - confidence, 1)) / 2
    n, x = np.where(active, runs, 1.0), np.where(active, failures, 0.0)
    pi = np.where(active, weights, 0.0)
    share, rest = x / n, (n - x) / n
    with np.errstate(divide="ignore"):
        scale = np.log(n) - np.log(np.where(active, weights, 1.0))

    def tilted(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities and twice log-likelihood ratio over two at multiplier exp(u)."""
        r = np.exp(np.clip(u + scale, -300.0, 300.0))
        # The least sum of failures is the greatest of passes: the same formulas, exchanged.
        f, g = _tilt(share, rest, r) if upper else _tilt(rest, share, r)
        up, down = (x, n - x) if upper else (n - x, x)
        ratio = scipy.special.xlog1py(up, -g / r) + scipy.special.xlog1py(down, f / r)
        return (f if upper else g), np.where(active, ratio, 0.0).sum(0)

    none = ~active.any(0)
    start = np.where(none, 0.0, np.where(active, -scale, np.inf).min(0, initial=np.inf) - _FAR)
    end = np.where(none, 1.0, np.where(active, -scale, -np.inf).max(0, initial=-np.inf) + _NEAR)

    def height(u: np.ndarray) -> np.ndarray:
        # In logarithms it is nearly straight: few secants suffice.
        return np.log(np.maximum(tilted(u)[1], 1e-300) / half)

    u = decreasing_root(height, start, end)
    return np.where(active, pi * tilted(u)[0], 0.0).sum(0)


def _tilt(share: np.ndarray, rest: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return f and 1 - f for the greatest sum, both without cancellation."""
    root = np.sqrt((1 - r) ** 2 + 4 * r * share)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.where(r > 1, 2 * r * share / (r - 1 + root), (1 - r + root) / 2)
    return np.where(share == 1, 1.0, np.minimum(f, 1.0)), 2 * r * rest / (1 + r + root)
