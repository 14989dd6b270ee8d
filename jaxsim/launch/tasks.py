"""What every worker leaves of itself: one JSON record per attempt, in DIR/tasks.

A record is written when the worker begins, every few seconds while it works, and when it ends, with
the reason. It is for people and for `jaxsim status`; no result depends on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxsim.errors import InputError
from jaxsim.results.files import file_time, read_regular, write_atomically
from jaxsim.results.provenance import commit, driver, now, versions
from jaxsim.results.store import Shard
from jaxsim.runtime import Device, setting

BEAT = 15.0
SILENT_AFTER = 60.0
"""Seconds without a word after which a worker that Slurm does not know of counts as lost."""
MOST = 10**15
"""Of seconds and of runs: more has not been done, and NaN and infinity are no numbers."""
RECORDED_VARIABLES = (
    "CC",
    "CUDA_VISIBLE_DEVICES",
    "JAXSIM_CACHE_DIR",
    "JAXSIM_TIME_LEFT",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_CUDA_VISIBLE_DEVICES",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_ENABLE_X64",
    "JAX_NUM_CPU_DEVICES",
    "JAX_PLATFORMS",
    "JAX_ROCM_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "SLURMD_NODENAME",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_CLUSTER_NAME",
    "SLURM_CPUS_PER_TASK",
    "SLURM_GPUS_ON_NODE",
    "SLURM_JOB_GPUS",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_NODELIST",
    "SLURM_JOB_PARTITION",
    "SLURM_JOB_QOS",
    "SLURM_MEM_PER_CPU",
    "SLURM_MEM_PER_NODE",
    "SLURM_RESTART_COUNT",
    "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)
"""Environment variables that records hold: by name, for a record can be read by everybody.

Whole families of variables hold secrets: SLURM_JWT is a token that speaks for its user.
"""


class TaskRecord:
    """The record of this worker.

    Args:
        directory: of the study.
        job: of Slurm's that is this worker and nothing else; None for others.
    """

    def __init__(self, directory: Path, job: str | None) -> None:
        attempt = os.environ.get("SLURM_RESTART_COUNT", "0") if job else "0"
        self._name = f"{job}." if job else f"local-{uuid.uuid4().hex[:12]}."
        self.path = directory / "tasks" / f"{self._name}{attempt}.json"
        self._begin, self._lock, self._ended = time.monotonic(), threading.Lock(), threading.Event()
        self.blocks = self.shards = self.replicates = 0
        self.busy = 0.0
        self._first: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self.facts: dict[str, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": job,
            "array": os.environ.get("SLURM_ARRAY_JOB_ID") if job else None,
            "index": os.environ.get("SLURM_ARRAY_TASK_ID") if job else None,
            "attempt": int(attempt),
            "devices": [],
            "versions": versions(),
            "commit": commit(),
            "environment": {k: os.environ[k] for k in RECORDED_VARIABLES if k in os.environ},
            "began": now(),
        }

    def use(self, devices: list[Device]) -> None:
        """Note the devices it computes on, and how."""
        self.facts |= {
            "devices": [f"{d.platform} {d.device_kind}" for d in devices],
            "driver": driver(devices),
            "matmul_precision": str(setting("jax_default_matmul_precision")),
        }

    def shard(self, shard: Shard, width: int, seconds: float) -> None:
        """Count a finished shard."""
        runs = shard.stop - shard.first
        self.shards, self.replicates = self.shards + 1, self.replicates + runs
        self.blocks += -(-runs // width)
        self.busy += seconds
        self._last = {"last_shard_seconds": round(self._elapsed(), 3)}
        # Up to the first shard a worker compiles, which says nothing of its rate.
        self._first = self._first or {
            "first_shard_seconds": round(self._elapsed(), 3),
            "first_shard_replicates": runs,
        }

    def _elapsed(self) -> float:
        return time.monotonic() - self._begin

    def beat(self) -> None:
        """Write the record now, and from now on every few seconds until the worker ends."""
        self.write()

        def go_on() -> None:
            while not self._ended.wait(BEAT):
                self.write()

        threading.Thread(target=go_on, daemon=True).start()

    def write(self, **more: Any) -> None:
        """Write the record; one that cannot be written costs no results."""
        if not self.path.parent.parent.is_dir():
            return  # no study: nothing is made for the sake of a record
        work = {
            "seconds": round(self._elapsed(), 3),
            "device_seconds": round(self.busy, 3),
            "shards": self.shards,
            "blocks": self.blocks,
            "replicates": self.replicates,
            **self._first,
            **self._last,
        }
        with self._lock, contextlib.suppress(InputError):
            self.facts |= more
            content = json.dumps(self.facts | work, indent=2) + "\n"
            write_atomically(self.path, content.encode())

    def previous(self) -> dict[str, Any]:
        """Return the record of this task's attempt before, empty if it had none."""
        path = self.path.with_name(f"{self._name}{self.facts['attempt'] - 1}.json")
        return _read(path) or {}

    def end(self, reason: str, message: str = "", **more: Any) -> None:
        """Write how the worker ended, and what else the next attempt should know."""
        self._ended.set()
        self.write(ended=now(), reason=reason, message=message, **more)


def read_records(directory: Path) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield the records of a directory and the seconds since each was written.

    Ages are differences of the file system's own times, which one clock makes.
    """
    folder = directory / "tasks"
    if folder.is_symlink():
        return  # nothing is written, not even to learn the time, where a link points
    now = file_time(folder)
    try:
        paths = sorted(folder.glob("*.json"))
    except OSError:
        return
    for path in paths:
        try:
            age = now - path.stat().st_mtime
        except OSError:
            continue
        record = _read(path)
        if record is not None:
            yield record, age


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(record, dict) and "life" in record:  # as records had it before
        record["attempt"] = record.pop("life")
    return record if isinstance(record, dict) and _is_sound(record) else None


def _is_sound(record: dict[str, Any]) -> bool:
    """Return whether what is read of a record is of the right kind: anybody could have written."""
    kinds = {"reason": str, "job": str, "array": str, "index": str, "host": str, "message": str}
    counts = ("replicates", "attempt", "first_shard_replicates")
    times = ("seconds", "first_shard_seconds", "last_shard_seconds")
    numbers = dict.fromkeys(counts, int) | dict.fromkeys(times, int | float)
    return all(isinstance(record.get(k), kind | None) for k, kind in kinds.items()) and all(
        isinstance(record.get(k, 0), kind) and abs(record.get(k, 0)) <= MOST
        for k, kind in numbers.items()
    )
