"""A confidence sequence for one probability: valid at all n at once, so one may look and go on.

For S failures in n runs and the Jeffreys mixture a = b = 1/2

    E_n(p) = B(a + S, b + n - S) / (B(a, b) p^S (1 - p)^(n - S))

is a non-negative martingale with mean 1 under p, and by Ville's inequality

    CS_n = {p : E_n(p) < 1 / alpha},   P(p in CS_n for all n) >= 1 - alpha

(Robbins, Ann. Math. Statist. 41, 1970; Howard, Ramdas, McAuliffe and Sekhon, Ann. Statist. 49,
2021). A fixed-n interval read again and again until it pleases has no such guarantee. The price is
a factor of two to three in width.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike

from jaxsim.estimation.checks import checked_counts, checked_level

_A = _B = 0.5
_FARTHEST = 740.0  # exp(-740) is close to the smallest double
_HALVINGS = 72


def confidence_sequence(
    failures: ArrayLike, runs: ArrayLike, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the beta-binomial confidence sequence after n runs.

    Args:
        failures: counts S.
        runs: numbers of runs n, looked at as often as one likes.
        confidence: 1 - alpha, of all statements together.

    Raises:
        InputError: for counts outside [0, runs] or a confidence outside (0, 1).

    Example:
        >>> lower, upper = confidence_sequence(0, 1000, 0.95)
        >>> float(lower), f"{upper:.5f}"
        (0.0, '0.00700')
    """
    k, n = checked_counts(failures, runs)
    alpha = 1.0 - checked_level(confidence, "confidence")
    return sequence_lower(k, n, alpha)[()], sequence_upper(k, n, alpha)[()]


def sequence_lower(k: np.ndarray, n: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
    """Return the lower ends of CS_n; k failures of n runs, checked before."""
    return np.where(k > 0, scipy.special.expit(_edge(k, n, alpha, -_FARTHEST)), 0.0)


def sequence_upper(k: np.ndarray, n: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
    """Return the upper ends of CS_n; k failures of n runs, checked before."""
    return np.where(k < n, scipy.special.expit(_edge(k, n, alpha, _FARTHEST)), 1.0)


def _edge(k: np.ndarray, n: np.ndarray, alpha: float | np.ndarray, farthest: float) -> np.ndarray:
    """Return the log odds where log E_n = log 1/alpha, between those of S / n and the farthest."""
    constant = (
        scipy.special.betaln(_A + k, _B + n - k) - scipy.special.betaln(_A, _B) + np.log(alpha)
    )
    safe = np.maximum(n, 1.0)
    inside = np.clip(scipy.special.logit(k / safe), -_FARTHEST, _FARTHEST)
    inside = np.broadcast_to(inside, np.shape(constant))
    outside = np.full_like(inside, farthest)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        # log p = -log(1 + exp(-u)) and log(1 - p) = -log(1 + exp(u)) at log odds u.
        excess = constant + k * np.logaddexp(0, -middle) + (n - k) * np.logaddexp(0, middle)
        accepted = excess < 0
        inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
    return outside
