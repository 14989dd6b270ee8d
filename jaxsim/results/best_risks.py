"""The best risk of every shard that was read: shards do not change, so that one look is enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxsim.results.store import Shard


class BestRisk(NamedTuple):
    """The run of a shard whose risk bounds the optimal risk best, at whatever checkpoint.

    Attributes:
        bound: the risk plus a multiple of its error.
        risk: as computed.
        error: of the risk.
    """

    bound: float
    risk: float
    error: float


def best_risk(risk: np.ndarray, error: np.ndarray, margin: float) -> BestRisk | None:
    """Return the best of some risks, None if none has a finite bound.

    Args:
        risk: computed risks, any shape.
        error: of each.
        margin: how many times the error is added to the risk.

    Example:
        >>> best_risk(np.array([2.0, 1.0, np.nan]), np.array([0.0, 0.25, 0.0]), 3.0)
        BestRisk(bound=1.75, risk=1.0, error=0.25)
    """
    bound = risk + margin * error
    if not bound.size:
        return None
    place = int(np.argmin(bound))  # of what is not a number, if there is any
    if not np.isfinite(bound.flat[place]):
        if not np.isfinite(bound).any():
            return None
        place = int(np.nanargmin(bound))
    return BestRisk(*(float(array.flat[place]) for array in (bound, risk, error)))


class BestRisks:
    """What is known of the shards of a directory."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, float], BestRisk | None] = {}

    def knows(self, shard: Shard, margin: float) -> bool:
        """Return whether the shard was read."""
        return (shard.name, margin) in self._known

    def of(self, shard: Shard, margin: float) -> BestRisk | None:
        """Return the best risk of a shard that was read."""
        return self._known[shard.name, margin]

    def note(self, shard: Shard, margin: float, risk: np.ndarray, error: np.ndarray) -> None:
        """Remember the best risk of a shard, [R, T] each."""
        if not self.knows(shard, margin):
            self._known[shard.name, margin] = best_risk(risk, error, margin)
