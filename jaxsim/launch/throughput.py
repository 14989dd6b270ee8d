"""How fast a run goes and how long it still takes, from the times at which its shards appear."""

from __future__ import annotations

from jaxsim.launch.layout import run_seconds
from jaxsim.training.experiment import Experiment

OBSERVATION_SECONDS = 1e-5
"""What the observation of one replicate at one checkpoint costs, roughly."""


def work_of(experiment: Experiment) -> float:
    """Return the relative work of one replicate: experiments of a study differ in their length."""
    return run_seconds(experiment) + OBSERVATION_SECONDS * len(experiment.checkpoints)


class Throughput:
    """The work that is done in a second by several workers at once.

    Every worker compiles before its first shard appears, so that the time up to then says nothing
    of the rate: with W workers it is counted from the W-th shard on. Workers that began together
    end together, in bursts of W shards; of the last W rates, each up to one shard, the largest is
    the one at the end of a burst.

    Args:
        workers: how many shards are computed at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = max(workers, 1)
        self._seen: list[tuple[float, float]] = []
        self._work = 0.0

    def add(self, work: float, seconds: float) -> None:
        """Note a shard that appears `seconds` after the beginning."""
        self._work += work
        self._seen.append((self._work, seconds))

    def rate(self) -> float | None:
        """Return the work per second; None as long as nothing is known of it."""
        first, later = self._seen[: self._workers], self._seen[self._workers :]
        if not later:
            return None
        begun, begin = first[-1]
        rates = [(done - begun) / max(t - begin, 1e-3) for done, t in later[-self._workers :]]
        return max(rates)
