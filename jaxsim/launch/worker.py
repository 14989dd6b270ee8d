"""A worker: computes what the plan lists and the store lacks, one thread per device.

Each thread keeps to the experiments it has compiled for as long as there are any, then helps the
others. A device may be given several times: the cores of a CPU share one. Nothing depends on who
computes what: a shard computed twice is replaced by the same bits. Asked to stop, it leaves the
block it is in between two segments and keeps what it has for the next worker.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax

from jaxsim import runtime
from jaxsim.errors import InputError
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import Directory
from jaxsim.launch.partial import Keeper, Partial
from jaxsim.results.provenance import provenance
from jaxsim.results.schema import concatenate, head
from jaxsim.results.store import Shard
from jaxsim.runtime import Device
from jaxsim.simulation.block import Pace, Snapshot, Stopped, run_block
from jaxsim.simulation.engine import Engine
from jaxsim.simulation.engines import Form, make_engine
from jaxsim.simulation.experiment import Experiment
from jaxsim.simulation.records import Records, Status
from jaxsim.study.plan import blocks

Task = tuple[Experiment, Shard]
Observer = Callable[[Experiment, Shard, Records, float], None]


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
                while not deadline.passed() and (task := queue.take(owner)) is not None:
                    if not directory.store.has(task[1]):
                        _compute(directory, *task, device, report, deadline)
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


class Gate:
    """Lets one thread through alone, then all: the first compiles what the others will use."""

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Enter when it is open, or alone."""
        if self._open:
            yield
            return
        with self._lock:
            yield
            self._open = True


@lru_cache(maxsize=256)
def _gate(program: str, form: Form, device: Device) -> Gate:
    return Gate()


def _compute(
    directory: Directory,
    experiment: Experiment,
    shard: Shard,
    device: Device,
    observe: Observer,
    deadline: Deadline,
) -> None:
    """Compute one shard and write it.

    Raises:
        Stopped: if it is time to stop; what there is of the shard is kept.
    """
    form = directory.layouts[experiment.id].form
    engine = make_engine(experiment, form)
    begin = time.perf_counter()
    keeper = Keeper(directory.store, shard, engine, experiment, form, device)

    def stop() -> bool:
        # Whoever helped may have been quicker.
        return deadline.passed() or directory.store.has(shard)

    try:
        parts = _blocks(engine, experiment, shard, form, device, keeper, deadline, stop)
    except Stopped:
        if not directory.store.has(shard):
            raise
        keeper.drop()
        return
    records = head(concatenate(parts), shard.stop - shard.first)
    seconds = time.perf_counter() - begin
    facts = provenance(device, form) | {
        "seed_path": experiment.seed_path("replicate"),
        "diverged": str(int((records.status == Status.DIVERGED).sum())),
    }
    directory.store.write(shard, records, facts)
    keeper.drop()
    observe(experiment, shard, records, seconds)


def _blocks(
    engine: Engine,
    experiment: Experiment,
    shard: Shard,
    form: Form,
    device: Device,
    keeper: Keeper,
    deadline: Deadline,
    stop: Callable[[], bool],
) -> list[Records]:
    """Return the records of a shard's blocks, going on from where they were left.

    Raises:
        Stopped: if it is time to stop, with everything so far kept.
    """
    program = experiment.program
    gate, pace = _gate(program, form, device), _pace(program, form, device)
    there = keeper.find()
    parts, snapshot = list(there.blocks), there.snapshot

    def keep(now: Snapshot | None) -> None:
        keeper.keep(Partial(parts, now))

    for first in list(blocks(shard, form.width))[len(parts) :]:
        if not deadline.holds_block(program):
            if parts:
                keep(snapshot)
            raise Stopped
        clock, before = time.perf_counter(), 0 if snapshot is None else snapshot.step
        try:
            with gate.passing(), _memory(form):
                block = run_block(
                    engine, experiment, first, form.width,
                    stop=stop, begin=snapshot, pace=pace, keep=keep,
                )  # fmt: skip
        except Stopped as stopped:
            keep(stopped.snapshot)
            if stopped.snapshot is not None and stopped.snapshot.step > before:
                deadline.advanced = True
            raise
        parts.append(block)
        deadline.advanced = True
        if snapshot is None:
            deadline.note_block(program, time.perf_counter() - clock)
        snapshot = None
    return parts


@lru_cache(maxsize=256)
def _pace(program: str, form: Form, device: Device) -> Pace:
    return Pace()


@contextmanager
def _memory(form: Form) -> Iterator[None]:
    """Turn running out of a device's memory into a sentence: a recorded width is kept."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not runtime.is_out_of_memory(error):
            raise
        raise InputError(
            f"the device's memory does not hold a block of width {form.width}, which this study "
            f"has recorded; use a device with more, or another directory with "
            f"execution.width = {max(1, form.width // 2)}"
        ) from None
