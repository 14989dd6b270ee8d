"""Proof that equations, which float64 meets up to rounding only, have an exact solution nearby.

Let the p equations be sum_j d_j a_j = -r for changes d_j of m free numbers, and R [m, p] an
approximate right inverse of A = (a_1 ... a_m), E = I - A R. If |E| < 1 in the maximum norm, then
d = -R (I - E)^-1 r solves them exactly, and

    |d_j| <= |R_j|_1 |r|_max / (1 - |E|).

A, R and r are floats; what their products lose to rounding is added to |E| and |r|.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.optimum.data.rounding import SAFE, gamma

_GLANCE = 64
"""Rows whose equality makes columns worth comparing."""


def exact_change(
    table: np.ndarray, freedom: np.ndarray, residual: np.ndarray, error: np.ndarray
) -> np.ndarray | None:
    """Return bounds [m] of changes that solve the equations exactly, None if none are proved.

    Args:
        table: a_j [m, p], entries rounded up to four times.
        freedom: [m], not negative: how large changes should be relative to each other.
        residual: r [p] as computed.
        error: bounds of its errors [p].

    Example:
        >>> table = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> bool((exact_change(table, np.ones(3), np.full(2, 1e-9), np.zeros(2)) < 1e-8).all())
        True
    """
    size = np.abs(residual) + error
    if not size.any():
        return np.zeros(len(table))
    m, p = table.shape
    if m < p or not np.isfinite(table).all() or not np.isfinite(size).all():
        return None
    # Powers of two change no digit.
    largest = np.abs(table).max(0)
    if not largest.all():
        return None
    scale = np.exp2(-np.round(np.log2(largest)))
    table, size = table * scale, size * scale
    root = np.sqrt(freedom)
    q, t = np.linalg.qr(root[:, None] * table)
    if not np.abs(np.diag(t)).min() > 1e-13 * np.abs(np.diag(t)).max():
        return None
    # A R = (T' Q') (Q T'^-1) = I.
    inverse = root[:, None] * scipy.linalg.solve_triangular(t, q.T).T
    if not np.isfinite(inverse).all():
        return None
    rounding = gamma(m + 4) * (np.abs(table).T @ np.abs(inverse))
    gap = np.abs(np.eye(p) - table.T @ inverse) + rounding + 1e-300
    norm = SAFE * float(gap.sum(1).max())
    if not norm < 0.5:
        return None
    return SAFE * np.abs(inverse).sum(1) * float(size.max()) / (1 - norm)


def independent_columns(x: np.ndarray) -> np.ndarray:
    """Return indices of columns, leaving out some that are exact multiples of others.

    Those are columns of zeros, all but the last of the constant ones, and repeated columns.

    Example:
        >>> independent_columns(np.array([[1.0, 2.0, 1.0, 0.0, 1.0], [2.0, 2.0, 2.0, 0.0, 1.0]]))
        array([0, 4])
    """
    constant = (x == x[:1]).all(0)
    zero = (x == 0).all(0)
    kept = np.zeros(x.shape[1], bool)
    first: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(~constant).tolist():
        alike = first.setdefault(x[:_GLANCE, column].tobytes(), [])
        if not any(np.array_equal(x[:, column], x[:, other]) for other in alike):
            alike.append(column)
            kept[column] = True
    places = np.flatnonzero(constant & ~zero)
    if len(places):
        kept[places[-1]] = True
    return np.flatnonzero(kept)
