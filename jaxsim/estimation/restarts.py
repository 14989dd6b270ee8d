"""How many independent runs make it nearly certain that one of them does not fail.

Of k independent runs, each of which fails with probability p, at least one does not with
probability 1 - p^k; it is at least c for

    k >= log(1 - c) / log(p).

The number grows with p: an interval of p gives one of k.
"""

from __future__ import annotations

import math

from jaxsim.errors import InputError

CERTAINTY = 0.99
_HAIR = 1e-9


def restarts(failure: float, certainty: float = CERTAINTY) -> int | None:
    """Return the least number of runs of which one does not fail with some certainty.

    Args:
        failure: probability p that a run fails.
        certainty: c, in (0, 1).

    Returns:
        1 for p = 0, None for p = 1, of which no number is enough.

    Raises:
        InputError: for what are no probabilities.

    Example:
        >>> restarts(0.5), restarts(0.1), restarts(0.0), restarts(1.0)
        (7, 2, 1, None)
    """
    if not (0 <= failure <= 1 and 0 < certainty < 1):
        raise InputError(
            f"failure = {failure}, certainty = {certainty} are not accepted: probabilities are, "
            "the latter between 0 and 1"
        )
    if failure in (0, 1):
        return 1 if failure == 0 else None
    wanted = math.log1p(-certainty) / math.log(failure)
    # 0.1 and 0.99 ask for 2, whatever their logarithms are in binary.
    return max(1, math.ceil(wanted * (1 - _HAIR)))
