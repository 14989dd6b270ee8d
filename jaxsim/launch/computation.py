"""One shard on one device: block after block, from where it was left, to the file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import jax

from jaxsim import runtime
from jaxsim.engines.block import SegmentSizer, Snapshot, Stopped, run_block
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.errors import InputError
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import Directory
from jaxsim.launch.shard_checkpoint import Partial, ShardCheckpoint
from jaxsim.results.provenance import provenance
from jaxsim.results.schema import concatenate, head
from jaxsim.results.store import Shard
from jaxsim.runtime import Device
from jaxsim.study.plan import blocks
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import program_key
from jaxsim.training.records import Records, Status

Observer = Callable[[Experiment, Shard, Records, float], None]


class Computation:
    """A shard that a device computes until it is done or it is time to stop.

    Args:
        directory: where it is kept.
        experiment: what it is of.
        shard: which one.
        device: that computes it, JAX's default one meanwhile.
        deadline: when to stop.
    """

    def __init__(
        self,
        directory: Directory,
        experiment: Experiment,
        shard: Shard,
        device: Device,
        deadline: Deadline,
    ) -> None:
        self.store, self.experiment, self.shard = directory.store, experiment, shard
        self.device, self.deadline = device, deadline
        self.config = directory.layout(experiment).config
        self.engine = make_engine(experiment, self.config)
        self.program = program_key(experiment)
        self.resampling = directory.resampling(experiment)
        self.checkpoint = ShardCheckpoint(
            self.store, shard, self.engine, experiment, self.config, device
        )

    def run(self, observe: Observer) -> None:
        """Compute the shard, write it and tell the observer, unless others were quicker.

        Raises:
            Stopped: if it is time to stop; what there is of the shard is kept.
            InputError: if it cannot be written, or the device's memory does not hold a block.
        """
        begin = time.perf_counter()
        try:
            parts = self._blocks()
        except Stopped:
            if not self.store.has(self.shard):
                raise
            self.checkpoint.delete()
            return
        records = head(concatenate(parts), self.shard.stop - self.shard.first)
        seconds = time.perf_counter() - begin
        self.store.write(self.shard, records, self._facts(records))
        self.checkpoint.delete()
        observe(self.experiment, self.shard, records, seconds)

    def _blocks(self) -> list[Records]:
        """Return the records of the blocks, going on from where they were left.

        Raises:
            Stopped: if it is time to stop, with everything so far kept.
        """
        partial = self.checkpoint.load()
        parts, snapshot = list(partial.blocks), partial.snapshot
        for first in list(blocks(self.shard, self.config.width))[len(parts) :]:
            if not self.deadline.holds_block(self.program):
                if parts:
                    self.checkpoint.save(Partial(parts, snapshot))
                raise Stopped
            parts.append(self._block(first, parts, snapshot))
            snapshot = None
        return parts

    def _block(self, first: int, before: list[Records], snapshot: Snapshot | None) -> Records:
        """Return the records of one block, begun anew or taken up from a snapshot."""
        program, begin = self.program, time.perf_counter()
        asked = False

        def stop() -> bool:
            # It is asked before every segment.
            nonlocal asked
            self.deadline.advanced |= asked
            asked = True
            # Whoever helped may have been quicker.
            return self.deadline.passed() or self.store.has(self.shard)

        def keep(now: Snapshot | None) -> None:
            self.checkpoint.save(Partial(before, now))

        try:
            with _compile_once(program, self.config, self.device).passing(), _memory(self.config):
                records = run_block(
                    self.engine, self.experiment, first, self.config.width, stop=stop,
                    begin=snapshot, keep=keep, resampling=self.resampling,
                    sizer=_segment_sizer(program, self.config, self.device),
                )  # fmt: skip
        except Stopped as stopped:
            keep(stopped.snapshot)
            raise
        self.deadline.advanced = True
        if snapshot is None:
            self.deadline.note_block(program, time.perf_counter() - begin)
        return records

    def _facts(self, records: Records) -> dict[str, Any]:
        return provenance(self.device, self.config) | {
            "seed_path": self.experiment.seed_path("replicate"),
            "diverged": str(int((records.status == Status.DIVERGED).sum())),
        }


class CompileOnce:
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
def _compile_once(program: str, config: ExecutionConfig, device: Device) -> CompileOnce:
    return CompileOnce()


@lru_cache(maxsize=256)
def _segment_sizer(program: str, config: ExecutionConfig, device: Device) -> SegmentSizer:
    return SegmentSizer()


@contextmanager
def _memory(config: ExecutionConfig) -> Iterator[None]:
    """Turn running out of a device's memory into a sentence: a recorded width is kept."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not runtime.is_out_of_memory(error):
            raise
        raise InputError(
            f"the device's memory does not hold a block of width {config.width}, which this study "
            f"has recorded; use a device with more, or another directory with "
            f"execution.width = {max(1, config.width // 2)}"
        ) from None
