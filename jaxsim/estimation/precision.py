"""Whether an interval is as precise as was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError


def precise(
    lower: ArrayLike,
    upper: ArrayLike,
    estimate: ArrayLike,
    half_width: float | None = None,
    relative: float | None = None,
) -> Any:
    """Return whether (upper - lower) / 2 is at most `half_width`, and `relative` * estimate.

    Runs that stop at the first look at which this holds may use `sequence` intervals only: a
    fixed-n interval that is read until it pleases has less than its confidence.

    Args:
        lower: lower ends, any shape.
        upper: upper ends, the same shape.
        estimate: estimates, the same shape.
        half_width: greatest half width, > 0; None does not ask.
        relative: greatest half width as a fraction of the estimate, > 0; None does not ask. An
            estimate of 0 is never relatively precise, unless both ends are 0.

    Raises:
        InputError: if neither is given, or one is not a number > 0.

    Example:
        >>> precise([0.1, 0.0], [0.2, 0.02], [0.15, 0.0], half_width=0.05).tolist()
        [True, True]
        >>> precise([0.1, 0.0], [0.2, 0.02], [0.15, 0.0], relative=0.5).tolist()
        [True, False]
    """
    if half_width is None and relative is None:
        raise InputError("until is empty; accepted: half_width, relative or both")
    for name, value in (("half_width", half_width), ("relative", relative)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} = {value!r} is not accepted; accepted: a number > 0")
    half = (np.asarray(upper, np.float64) - np.asarray(lower, np.float64)) / 2
    enough = np.isfinite(half)
    # 1e-12: (0.2 - 0.1) / 2 is 0.05 for a reader, and a little more for a computer.
    if half_width is not None:
        enough = enough & (half <= half_width * (1 + 1e-12))
    if relative is not None:
        enough = enough & (half <= relative * np.asarray(estimate, np.float64) * (1 + 1e-12))
    return enough
