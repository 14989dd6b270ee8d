"""Places in the page's own charts: whole numbers that the script draws without computing any."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxsim.report.text import number

WIDTH, HEIGHT = 1000, 600
"""Of a chart's view box."""
LEFT, RIGHT, TOP, BOTTOM = 150, 950, 20, 510
"""Of the part where curves are."""
LEAST = 1e-30
"""The lowest end of a logarithmic axis of probabilities."""
MOST_TICKS = 6

Tick = tuple[int, str]


def eps_places(eps: Sequence[float]) -> tuple[list[int], list[Tick]]:
    """Return the places of increasing thresholds on a logarithmic axis, and its ticks.

    A threshold that is not positive stands at the left end.

    Example:
        >>> eps_places([0.0, 0.001, 0.1])
        ([150, 214, 950], [(214, '0.001'), (582, '0.01'), (950, '0.1')])
    """
    positive = [e for e in eps if e > 0]
    if not positive:
        return [LEFT] * len(eps), [(LEFT, number(eps[0]))]
    low, high = math.log10(positive[0]), math.log10(positive[-1])
    start = LEFT + (0 if len(positive) == len(eps) else 0.08 * (RIGHT - LEFT))
    across = (RIGHT - start) / max(high - low, 1e-9)

    def place(e: float) -> int:
        return round(start + (math.log10(e) - low) * across) if e > 0 else LEFT

    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    thin = powers[:: max(1, math.ceil(len(powers) / MOST_TICKS))]
    ticks = [(place(10.0**p), number(10.0**p)) for p in thin]
    return [place(e) for e in eps], ticks or [(place(positive[0]), number(positive[0]))]


def step_places(steps: Sequence[int]) -> tuple[list[int], list[Tick]]:
    """Return the places of increasing steps, 0 and then logarithmically, and the axis's ticks.

    Example:
        >>> step_places([0, 1, 10, 100])
        ([150, 310, 630, 950], [(150, '0'), (310, '1'), (630, '10'), (950, '100')])
    """
    last = max(steps[-1], 1)
    start = LEFT + 0.2 * (RIGHT - LEFT)
    across = (RIGHT - start) / max(math.log10(last), 1e-9)

    def place(n: int) -> int:
        return LEFT if n < 1 else round(start + math.log10(n) * across)

    powers = [10**p for p in range(len(str(last))) if 10**p <= last]
    thin = powers[:: max(1, math.ceil(len(powers) / MOST_TICKS))]
    return [place(n) for n in steps], [(place(n), f"{n:,}") for n in [0, *thin]]


class Probabilities:
    """The vertical axis: linear from 0 to 1, or logarithmic.

    Args:
        bottom: lower end of a logarithmic axis; None for a linear one.
    """

    def __init__(self, bottom: float | None) -> None:
        """Settle the lower end."""
        self.low = None if bottom is None else math.log10(max(bottom, LEAST))

    def place(self, p: float) -> int:
        """Return the place of a probability; what is below the axis stands at its end."""
        if self.low is None:
            share = p
        elif p <= 0:
            share = 0.0
        else:
            share = 1 - math.log10(p) / self.low
        return round(BOTTOM - min(max(share, 0.0), 1.0) * (BOTTOM - TOP))

    @property
    def ticks(self) -> list[Tick]:
        """The ticks with their texts."""
        if self.low is None:
            return [(self.place(p), number(p)) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
        powers = range(0, math.ceil(self.low) - 1, -1)
        thin = powers[:: max(1, math.ceil(len(powers) / MOST_TICKS))]
        return [(self.place(10.0**p), number(10.0**p)) for p in thin if p >= self.low]
