"""P values of agreement from intervals: the least error at which two intervals are apart.

If I(1 - a) holds a measured number and J(1 - a) a published one with these probabilities, then for
equal numbers P(I(1 - a/2) and J(1 - a/2) are disjoint) <= a (Boole), so that

    p = inf {a : I(1 - a/2) and J(1 - a/2) are disjoint}

is a P value, as exact as the intervals are. A published number without an error of its own is a
range of values, and the whole error is that of the measured one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxsim.estimation.roots import region_end

Ends = tuple[float, float]
IntervalAt = Callable[[float], Ends]
"""The ends of an interval by its confidence."""
LEAST_P = 1e-12
"""P values below it are stated as it is: confidences are not told apart from 1 further."""
_HALVINGS = 40


def inverted_p(measured: IntervalAt, published: IntervalAt | Ends) -> float:
    """Return the P value of a measured number being a published one, at least `LEAST_P`.

    Args:
        measured: its interval at every confidence.
        published: the same of the published one, or the range of values that it may have.

    Example:
        >>> from scipy import stats
        >>> normal = lambda c: (2 + stats.norm.ppf((1 - c) / 2), 2 - stats.norm.ppf((1 - c) / 2))
        >>> f"{inverted_p(normal, (0.0, 0.0)):.4f}"
        '0.0455'
    """

    def apart(error: float) -> bool:
        if isinstance(published, tuple):
            lower, upper = published
        else:
            error = error / 2
            lower, upper = published(1 - error)
        low, high = measured(1 - error)
        return low > upper or high < lower

    most, least = math.log(1 - 1e-9), math.log(LEAST_P)
    if not apart(math.exp(most)):
        return 1.0
    if apart(math.exp(least)):
        return LEAST_P
    return math.exp(region_end(lambda log: apart(math.exp(log)), most, least, _HALVINGS)[0])
