"""How long a worker may go on: a time limit, and requests to stop."""

from __future__ import annotations

import threading
import time

TIME_LIMIT = "time limit"
"""The reason of a worker that stops for lack of time."""
MARGIN = 1.3
"""A block is begun if the remaining time is this many times what the slowest one took."""


class Deadline:
    """When to stop, shared by the threads of a worker.

    Args:
        seconds: until everything should be at rest; None for no limit.

    Attributes:
        reason: why to stop, empty while there is none.
        advanced: whether anything was done that is not lost.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end: float | None = None
        self._limit: float | None = None
        self._stop, self._near = threading.Event(), False
        self.reason = ""
        self.advanced = False
        self._longest: dict[str, float] = {}
        self._compiled: set[str] = set()
        if seconds is not None:
            self.limit(seconds)

    def limit(self, seconds: float) -> None:
        """Set the seconds until everything should be at rest."""
        self._end, self._limit = time.monotonic() + seconds, seconds

    def stop(self, reason: str) -> None:
        """Ask everybody to stop; the first reason counts."""
        self.reason = self.reason or reason
        self._stop.set()

    def limit_is_near(self) -> None:
        """Stop as soon as anything is done, since the time limit is near.

        Slurm says so up to a minute early, to a worker that may have just begun to compile: if it
        stopped then, one short attempt after another could pass in vain.
        """
        self._near = True

    def passed(self) -> bool:
        """Return whether it is time to stop."""
        over = self._end is not None and time.monotonic() >= self._end
        if over or (self._near and self.advanced):
            self.stop(TIME_LIMIT)
        return self._stop.is_set()

    def holds_block(self, program: str) -> bool:
        """Return whether a block is still to be begun.

        One of unknown length, or one longer than the whole limit, is: it is left in the middle.
        """
        if self.passed():
            return False
        longest = self._longest.get(program)
        if self._end is None or self._limit is None or longest is None:
            return True
        needed = MARGIN * longest
        if needed < self._limit and needed > self._end - time.monotonic():
            self.stop(TIME_LIMIT)
            return False
        return True

    def note_block(self, program: str, seconds: float) -> None:
        """Remember how long a block took; the first one's compilation only until the second."""
        if program in self._compiled:
            seconds = max(seconds, self._longest[program])
        elif program in self._longest:
            self._compiled.add(program)
        self._longest[program] = seconds
