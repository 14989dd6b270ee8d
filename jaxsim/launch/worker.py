"""A worker: computes what the plan lists and the store lacks, one thread per device.

Each thread keeps to the experiments it has compiled for as long as there are any, then helps the
others. A device may be given several times: the cores of a CPU share one. Nothing depends on who
computes what: a shard computed twice is replaced by the same bits. Asked to stop, it leaves the
block it is in between two segments and keeps what it has for the next worker.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from jaxsim import programs
from jaxsim.engines.block import Stopped
from jaxsim.launch.computation import Computation, Observer
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import Directory
from jaxsim.launch.stages import Task
from jaxsim.runtime import Device


@dataclass
class Queue:
    """Tasks grouped by experiment, handed out so that each device compiles few programs."""

    tasks: Sequence[Task]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._groups: dict[str, deque[Task]] = {}
        for task in self.tasks:
            self._groups.setdefault(task[0].id, deque()).append(task)
        self._fresh = deque(self._groups)
        self._mine: dict[int, str] = {}

    def take(self, owner: int) -> Task | None:
        """Return the next task of a device, or None if all are handed out."""
        with self.lock:
            mine = self._groups.get(self._mine.get(owner, ""))
            if mine:
                return mine.popleft()
            while self._fresh:
                name = self._fresh.popleft()
                if self._groups[name]:
                    self._mine[owner] = name
                    return self._groups[name].popleft()
            # Everything has an owner: help where most is left, from the far end.
            longest = max(self._groups.values(), key=len, default=None)
            return longest.pop() if longest else None


def work_through(
    directory: Directory,
    devices: Sequence[Device],
    observe: Observer = lambda experiment, shard, records, seconds: None,
    deadline: Deadline | None = None,
    order: Callable[[list[Task]], list[Task]] = lambda tasks: tasks,
) -> None:
    """Compute what is missing, stage by stage: what follows depends on what was found.

    Args:
        directory: of the study.
        devices: to compute on.
        observe: told of finished shards.
        deadline: when to stop.
        order: in which this worker takes the tasks of a stage.

    Raises:
        InputError: as `work`.
    """
    deadline = deadline or Deadline()
    while not deadline.passed() and (tasks := directory.missing(settle=True)):
        work(directory, order(tasks), devices, observe, deadline)


def work(
    directory: Directory,
    tasks: Sequence[Task],
    devices: Sequence[Device],
    observe: Observer = lambda experiment, shard, records, seconds: None,
    deadline: Deadline | None = None,
) -> None:
    """Compute tasks on the given devices; return when all are done or it is time to stop.

    Raises:
        InputError: if results cannot be written; other errors of a thread are raised here too.
    """
    deadline = deadline or Deadline()
    queue, reporting = Queue(tasks), threading.Lock()
    failures: list[BaseException] = []

    def report(*finished: Any) -> None:
        # Observers need not know of threads.
        with reporting:
            observe(*finished)

    def serve(owner: int, device: Device) -> None:
        try:
            with jax.default_device(device):
                before = None
                while not deadline.passed() and (task := queue.take(owner)) is not None:
                    if directory.store.has(task[1]):
                        continue
                    computation = Computation(directory, *task, device, deadline)
                    if before not in (None, computation.program):
                        programs.forget_unused()
                    before = computation.program
                    computation.run(report)
        except Stopped:
            pass
        except BaseException as error:
            failures.append(error)
            deadline.stop("failed")

    threads = [
        threading.Thread(target=serve, args=(i, d), daemon=True) for i, d in enumerate(devices)
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(timeout=0.2)
    except KeyboardInterrupt:
        deadline.stop("interrupted")
        for thread in threads:
            thread.join(timeout=30)
        raise
    if failures:
        raise failures[0]
