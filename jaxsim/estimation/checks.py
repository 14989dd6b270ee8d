"""What every estimator asks of its input: counts within the runs, levels strictly inside (0, 1)."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError


def checked_level(value: float, name: str) -> float:
    """Return a confidence or quantile level as a float.

    Raises:
        InputError: unless 0 < value < 1.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    level = float(value) if number else float("nan")
    if not 0.0 < level < 1.0:
        raise InputError(
            f"{name} = {value!r} is not accepted; accepted: a number strictly in (0, 1)"
        )
    return level


def checked_counts(failures: ArrayLike, runs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return failures and runs as float64 arrays of one shape.

    Raises:
        InputError: unless they are whole numbers with 0 <= failures <= runs, of shapes that fit.
    """
    try:
        k, n = np.broadcast_arrays(np.asarray(failures, float), np.asarray(runs, float))
    except ValueError:
        raise InputError(
            f"failures of shape {np.shape(failures)} and runs of shape {np.shape(runs)} do not "
            "fit; accepted: equal shapes, or one number of runs"
        ) from None
    good = (k >= 0) & (k <= n) & (k == np.floor(k)) & (n == np.floor(n)) & np.isfinite(n)
    if not good.all():
        first = np.flatnonzero(~good.ravel())[0]
        raise InputError(
            f"failures = {k.ravel()[first]:g} of runs = {n.ravel()[first]:g} is not accepted; "
            "accepted: whole numbers with 0 <= failures <= runs"
        )
    return k, n
