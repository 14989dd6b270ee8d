"""Forward error bounds of the few operations that certificates of data sets are checked with.

A sum of n products in any order errs by at most gamma_n times the sum of the moduli, gamma_n =
n u / (1 - n u), u = 2^-53 (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section
3.1). The bounds are themselves computed in float64, which SAFE covers.
"""

from __future__ import annotations

import numpy as np

UNIT = 2.0**-53
SAFE = 1.001
"""Factor for the rounding of the bounds themselves, and for what underflows beside them."""
TINY = 1e-290


def gamma(terms: int) -> float:
    """Return gamma_n for n = terms, rounded up.

    Example:
        >>> gamma(1) > 2.0**-53
        True
    """
    return SAFE * terms * UNIT / (1 - terms * UNIT)


def product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (a @ b, bound on the error of every entry, also if b was rounded twice before).

    Args:
        a: [..., n].
        b: [n, ...] or [n].
    """
    size = np.abs(a) @ np.abs(b)
    return a @ b, gamma(a.shape[-1] + 3) * size + TINY


def sum_above(weights: np.ndarray, values: np.ndarray) -> float:
    """Return an upper bound of sum_i w_i v_i for values that are upper bounds."""
    value, error = product(weights, values)
    return float(value + error)


def sum_below(weights: np.ndarray, values: np.ndarray) -> float:
    """Return a lower bound of sum_i w_i v_i for values that are lower bounds."""
    value, error = product(weights, values)
    return float(value - error)
