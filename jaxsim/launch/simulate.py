"""From a study to its results, on the devices and worker processes of this machine."""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax

from jaxsim import arguments, runtime
from jaxsim.errors import InputError
from jaxsim.launch import worker_process
from jaxsim.launch.best_runs import offer_best_runs
from jaxsim.launch.cleanup import remove_stale
from jaxsim.launch.deadline import Deadline
from jaxsim.launch.directory import Directory, bind
from jaxsim.launch.known_certificates import certificates_of
from jaxsim.launch.layout import choose_workers
from jaxsim.launch.polishing import polish_runs, polish_seconds
from jaxsim.launch.runs_made import enough, remarks
from jaxsim.launch.searches import planned_searches, search_seconds, searching, wait_seconds
from jaxsim.launch.worker import work_through
from jaxsim.optimum.strategy import Budget
from jaxsim.results.results import Results
from jaxsim.results.store import DamagedShard, Shard
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment
from jaxsim.training.records import Records


class Progress:
    """What a run reports while it goes; the base class reports nothing."""

    def say(self, text: str) -> None:
        """Say what is being done."""

    def start(self, directory: Directory, missing: int, total: int, parallel: int = 1) -> None:
        """Begin with `missing` of `total` replicates, so many shards at the same time."""

    def shard(self, experiment: Experiment, shard: Shard, records: Records) -> None:
        """Note a finished shard."""

    def stop(self) -> None:
        """End, in success or failure."""


def simulate(
    study: Study | str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    replicates: int | None = None,
    devices: int | None = None,
    workers: int | None = None,
    repair: bool = False,
    progress: Progress | None = None,
) -> Results:
    """Simulate a study and return its results; run again to resume.

    Args:
        study: a `Study`, the path of a study file, the name of a ready study, or its tables.
        output: directory of the results; None for a temporary one, gone when Python ends.
        replicates: in place of the study's.
        devices: how many devices to use; None for all.
        workers: processes to share the work; each uses `devices` devices, or its part of the GPUs.
            None for one process per CPU core if the study is long, else none but this one. Where
            JAX was told to leave threads alone, as `jaxsim run` does on few cores, threads of this
            process are as fast.
        repair: verify all shards first and compute damaged ones again.
        progress: told what happens: an instance of `Progress`.

    Raises:
        InputError: for a study that cannot be run or a directory that cannot be used.
    """
    runtime.require_unforked()
    if progress is None:
        progress = Progress()
    elif not isinstance(progress, Progress):
        raise InputError(
            f"progress = {progress!r} is of type {type(progress).__name__}; accepted: None or an "
            "instance of jaxsim.launch.simulate.Progress"
        )
    if workers is not None:
        workers = worker_process.require_workers(workers)
    if devices is not None:
        devices = arguments.whole("devices", devices)
    if output is not None:
        output = arguments.path("output", output)
    arguments.flag("repair", repair)
    if isinstance(study, Mapping):
        study = Study.from_dict(study)
    elif not isinstance(study, Study):
        study = Study.load(study)
    if replicates is not None:
        study = study.replaced(replicates=arguments.whole("replicates", replicates))
    if (workers or 1) > 1 and study.session_objects:
        raise InputError(
            f"workers = {workers} is not accepted: what was passed from Python "
            f"({', '.join(study.session_objects)}) is known to no other process; accepted: 1, or "
            'functions of a file of yours as "module:function"'
        )
    runtime.configure(None, study.spec.execution.matmul_precision)
    directory = bind(study, output or _temporary(), progress.say)
    if repair:
        remove_damaged(directory, progress.say)
    missing = directory.missing()
    mixed = directory.mixed_versions() if missing else None
    if mixed is not None:
        progress.say(f"warning: {mixed}")
    searches, seconds = planned_searches(study), search_seconds(study)
    if workers is None:
        # Threads that XLA leaves alone are as fast as processes, of which each has its start.
        workers = 1 if runtime.computes_on_threads_apart() else choose_workers(study, devices)
    if not study.spec.staged:
        workers = min(workers, max(len(missing), 1))  # one with nothing to do costs its start
    total = study.spec.replicates * len(study.experiments)
    due = sum(s.stop - s.first for _, s in missing)
    if study.spec.staged and missing:
        due = total - (sum(s.stop - s.first for _, s in directory.planned()) - due)
    chosen = runtime.choose_devices(devices) if workers == 1 else []
    parallel = len(chosen) or workers * (devices or 1)
    progress.start(directory, due, total, parallel)
    try:
        if workers > 1:
            _processes(directory, workers, devices, progress, seconds if searches else 0.0)
        else:
            remove_stale(directory)  # as the first of several processes does
            deadline = Deadline()
            files = certificates_of(study, directory.store.directory)

            def still() -> None:
                progress.say(f"searching for bounds of inf L, for up to {limit:.3g} s in all")

            wait = wait_seconds(study) if missing else math.inf
            limit = min(seconds, wait)
            with searching(searches, files, seconds, deadline, progress.say, still, wait):
                if missing:
                    work_through(
                        directory,
                        chosen,
                        lambda experiment, shard, records, _: progress.shard(
                            experiment, shard, records
                        ),
                        deadline,
                    )
        offer_best_runs(directory, searches, Budget(seconds), progress.say)
        if study.spec.levels.runs:
            budget = Budget(polish_seconds(study))
            polish_runs(directory, study.spec.levels.runs, budget, progress.say)
    finally:
        progress.stop()
    return open_results(directory)


def open_results(directory: Directory) -> Results:
    """Return the results of a directory, as far as they are finished."""
    planned = {}
    for experiment in directory.study.experiments:
        planned |= directory.stages[experiment.id].counted()
    return Results(
        store=directory.store,
        experiments=directory.study.experiments,
        planned=planned,
        designs=directory.study.designs,
        splits={e.id: directory.stages[e.id].splits() for e in directory.study.experiments},
        remarks=remarks(directory),
        until=enough(directory),
    )


def remove_damaged(
    directory: Directory, announce: Callable[[str], None] = lambda text: None
) -> list[Shard]:
    """Verify all finished shards, delete the damaged ones and return them."""
    removed = []
    for _, shard in directory.planned():
        if directory.store.has(shard):
            try:
                directory.store.read(shard)
            except DamagedShard as damage:
                announce(f"computing again: {damage}")
                directory.store.path(shard).unlink()
                removed.append(shard)
    return removed


def _processes(
    directory: Directory,
    workers: int,
    devices: int | None,
    progress: Progress,
    seconds: float = 0.0,
) -> None:
    """Run worker processes until the plan is finished, watching the store.

    Args:
        directory: of the study.
        workers: how many.
        devices: of each.
        progress: told of finished shards.
        seconds: for searches of each worker; 0 if there are none.
    """
    command = worker_process.command(str(directory.store.directory))
    command += ["--search", str(seconds)]
    environment = worker_process.environment()
    environments = [environment] * workers
    platform = jax.default_backend()
    if platform in ("cpu", "gpu"):
        command += ["--platform", platform]
    if platform == "cpu":
        command += ["--pin"] if devices is None else ["--devices", str(devices)]
    else:
        command.append("--all-devices")
        parts = worker_process.shares(jax.local_devices(), workers, devices)
        environments = [environment | worker_process.seeing(part) for part in parts]
    if directory.study.allow_code:
        command.append("--allow-code")
    with contextlib.ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(workers)]
        running: list[subprocess.Popen] = []
        stack.enter_context(_ending_in_order())
        try:
            for i in range(workers):
                running.append(
                    subprocess.Popen(
                        [*command, "--index", str(i), "--of", str(workers)],
                        env=environments[i],
                        stdout=subprocess.DEVNULL,
                        stderr=errors[i],
                    )
                )
            waiting = _watch(directory, running, progress, seconds > 0)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()
        for process, error in zip(running, errors, strict=True):
            if waiting and process.returncode:
                error.seek(0)
                lines = error.read().strip().splitlines()
                last = lines[-1] if lines else f"a worker ended with code {process.returncode}"
                raise InputError(last.removeprefix("error: "))


@contextlib.contextmanager
def _ending_in_order() -> Iterator[None]:
    """Make requests to end, which would leave workers without anybody to watch them, an exception.

    Handlers of the caller's own are left alone, as are signals it ignores (nohup). Python accepts
    handlers on its main thread only.
    """

    def end(number: int, frame: object) -> NoReturn:
        for signum in taken:
            signal.signal(signum, signal.SIG_IGN)  # the workers are being told
        sys.exit(128 + number)

    available = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = [
        signum
        for signum in (getattr(signal, name) for name in available)
        if threading.current_thread() is threading.main_thread()
        and signal.getsignal(signum) is signal.SIG_DFL
    ]
    for signum in taken:
        signal.signal(signum, end)
    try:
        yield
    finally:
        for signum in taken:
            signal.signal(signum, signal.SIG_DFL)


def _watch(
    directory: Directory, running: list[subprocess.Popen], progress: Progress, searching: bool
) -> list[tuple[Experiment, Shard]]:
    """Report shards as they appear, until nothing is missing or all processes have ended.

    Returns:
        What is missing then. A process that helps with what another has just finished need not end,
        but one that still searches for bounds of inf L may go on until its time is spent.
    """
    waiting, announced = directory.missing(), False
    while True:
        alive = any(p.poll() is None for p in running)
        finished = [task for task in waiting if directory.store.has(task[1])]
        for experiment, shard in finished:
            progress.shard(experiment, shard, directory.store.read(shard))
        done = {shard for _, shard in finished}
        waiting = [task for task in waiting if task[1] not in done] or directory.missing()
        if not alive or not (waiting or searching):
            return waiting
        if not waiting and not announced:
            progress.say("all runs are there; bounds of inf L are still searched for")
            announced = True
        time.sleep(0.2)


def _temporary() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="jaxsim-")
    _KEPT.append(directory)
    return Path(directory.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Temporary directories live as long as the process: results refer to them."""
