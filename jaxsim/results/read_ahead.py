"""Shards are read while those before them are worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from jaxsim.results.store import Shard

T = TypeVar("T")

READERS = 2
"""Threads that read; each holds a shard that nobody works on yet."""
MOST_RISKS = 1 << 19
"""Risks of a shard beyond which shards are read one by one, so that memory holds a single one."""


def read_ahead(read: Callable[[Shard], T], shards: Sequence[Shard]) -> Iterator[T]:
    """Yield what is read of every shard, in their order.

    An error in reading a shard is raised when it is that shard's turn.

    Args:
        read: reads a shard; called on other threads.
        shards: to be read.
    """
    largest = max(((s.stop - s.first) * s.checkpoints for s in shards), default=0)
    if len(shards) < 2 or largest > MOST_RISKS:
        yield from map(read, shards)
        return
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="jaxsim-read")
    try:
        waiting = deque[Future[T]]()
        for shard in shards:
            waiting.append(pool.submit(read, shard))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
