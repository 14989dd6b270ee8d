"""The plan of a study: which replicates form a block, which blocks a shard.

The layout is fixed when a directory is first used and recorded there; with it the bits of every
shard are fixed, whatever computes them and in whatever order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jaxsim.engines.registry import ExecutionConfig
from jaxsim.errors import InputError
from jaxsim.results.store import Shard
from jaxsim.study.limits import MOST_SHARDS
from jaxsim.training.experiment import Experiment


@dataclass(frozen=True)
class Layout:
    """How the replicates of one experiment are cut.

    Attributes:
        config: how a block is executed.
        shard: replicates per shard, a multiple of the width.
    """

    config: ExecutionConfig
    shard: int

    @property
    def width(self) -> int:
        """Replicates per block."""
        return self.config.width

    def __post_init__(self) -> None:
        if self.width < 1 or self.shard < self.width or self.shard % self.width:
            raise ValueError(f"shard = {self.shard} is not a multiple of width = {self.width}")


def shards(
    experiment: Experiment, layout: Layout, replicates: int, begin: int = 0
) -> Iterator[Shard]:
    """Yield the shards that hold replicates begin, ..., replicates - 1 of an experiment.

    Raises:
        InputError: if they would be too many files.
    """
    count = -(-(replicates - begin) // layout.shard)
    if count > MOST_SHARDS:
        raise InputError(
            f"execution.shard = {layout.shard} cuts {replicates:,} replicates into {count:,} "
            f"files; accepted: up to {MOST_SHARDS:,}, with a larger shard"
        )
    for first in range(begin, replicates, layout.shard):
        yield Shard(
            experiment=experiment.id,
            first=first,
            stop=min(first + layout.shard, replicates),
            checkpoints=len(experiment.checkpoints),
            layers=len(experiment.network.hidden),
            config=layout.config,
        )


def blocks(shard: Shard, width: int) -> Iterable[int]:
    """Return the first replicates of a shard's blocks; the last block may be padded."""
    return range(shard.first, shard.stop, width)


def block_of(shard: Shard, replicate: int, width: int) -> int:
    """Return the first replicate of the block that computes a replicate: blocks begin with shards.

    Example:
        >>> block_of(Shard("e", 10, 100, 1, 0), 45, 16)
        42
    """
    return replicate - (replicate - shard.first) % width
