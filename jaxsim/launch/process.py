"""A worker process: `python -m jaxsim.launch.process DIR --index I --of N`.

Takes its own part of what is missing first, then helps the others; beside that it runs its part of
the searches for bounds of inf L, for so many seconds as `--search` or the study says. With
`--grace-period SECONDS` it is a job of Slurm's by itself: it stops so long before the time limit
and puts itself back into the queue while something is missing; when all runs are there it offers
the best of them to the searches and polishes a sample, if the study asks for that. With `--pin` it
keeps to one core. With `--prepare` it settles engines and widths of a study that `jaxsim launch`
left in DIR. With `--measure` it measures the study on its standard input instead; with `--meter`
it reads the clock for `jaxsim benchmark`.
"""

from __future__ import annotations

import argparse
import math
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxsim import runtime, startup
from jaxsim.errors import InputError
from jaxsim.launch.best_runs import offer_best_runs
from jaxsim.launch.cleanup import remove_stale
from jaxsim.launch.deadline import TIME_LIMIT, Deadline
from jaxsim.launch.directory import bind, reopen
from jaxsim.launch.known_certificates import certificates_of
from jaxsim.launch.layout import choose_layouts
from jaxsim.launch.polishing import polish_runs, polish_seconds
from jaxsim.launch.request import read_request, unpack
from jaxsim.launch.searches import (
    Stoppable,
    planned_searches,
    search_seconds,
    searching,
    wait_seconds,
)
from jaxsim.launch.slurm import allocation
from jaxsim.launch.stages import Task
from jaxsim.launch.tasks import TaskRecord
from jaxsim.launch.worker import work_through


def share(tasks: list[Task], index: int, of: int) -> list[Task]:
    """Return the tasks in the order in which worker `index` of `of` should try them.

    Its own part first; those who help choose at random, so that few choose the same.
    """
    begin, end = (len(tasks) * i // of for i in (index, index + 1))
    others = tasks[:begin] + tasks[end:]
    random.Random(index).shuffle(others)
    return tasks[begin:end] + others


def measure_study(allow_code: bool) -> int:
    """Measure the study on standard input into the cache; say on standard output what is done."""
    study = unpack(sys.stdin.read(), allow_code)
    runtime.configure(None, study.spec.execution.matmul_precision)
    choose_layouts(study, lambda text: print(text, flush=True))
    return 0


def prepare(options: argparse.Namespace) -> int:
    """Bind the directory to the study that was left in it, measuring on this node."""
    with _failures(TaskRecord(Path(options.directory), allocation.job())):
        _require(options)
        study = read_request(Path(options.directory), options.allow_code)
        runtime.configure(None, study.spec.execution.matmul_precision)
        bind(study, options.directory, lambda text: print(text, file=sys.stderr))
    return 0


TERMINATED = 128 + signal.SIGTERM
"""Exit code of a worker that was told to go while something was missing: no success, no error."""


def serve(options: argparse.Namespace) -> int:
    """Compute what is missing; exit code 0 when nothing is, or when the task is back in the queue.

    Other codes: TERMINATED if something is missing after SIGTERM, 2 for what a second try would
    meet again, and in a container `allocation.AGAIN`, which asks the script to put the task back.
    """
    deadline = Deadline()
    signal.signal(signal.SIGTERM, lambda *_: deadline.stop("terminated"))
    # Ctrl-C reaches every process of the terminal: no failure, and what is done is kept.
    signal.signal(signal.SIGINT, lambda *_: deadline.stop("interrupted"))
    signal.signal(signal.SIGUSR2, lambda *_: deadline.limit_is_near())
    # Other workers may be in a job of the user's, whose time and attempts are not theirs to manage.
    task = options.grace_period is not None
    left = allocation.seconds_left() if task else None
    if left is not None:
        deadline.limit(max(left - options.grace_period, 0.0))
    record = TaskRecord(Path(options.directory), allocation.job() if task else None)
    with _failures(record):
        _require(options)
        directory = reopen(options.directory, allow_code=options.allow_code)
        runtime.configure(None, directory.study.spec.execution.matmul_precision)
        devices = runtime.choose_devices(None if options.all_devices else options.devices)
        record.use(devices)
        record.beat()
        if options.index == 0:
            remove_stale(directory)

        def observe(experiment: Any, shard: Any, records: Any, seconds: float) -> None:
            record.shard(shard, directory.layout(experiment).width, seconds)

        study = directory.study
        files = certificates_of(study, directory.store.directory)
        searches = planned_searches(study) if options.search != 0 else []
        seconds = search_seconds(study) if options.search is None else options.search
        own_searches = searches[options.index :: options.of]
        wait = wait_seconds(study) if directory.missing(settle=True) else math.inf
        with searching(own_searches, files, seconds, deadline, _say, wait=wait):
            work_through(directory, devices, observe, deadline,
                         lambda tasks: share(tasks, options.index, options.of))  # fmt: skip
        missing = bool(directory.missing())
        if task and not missing:
            offer_best_runs(directory, searches, Stoppable(seconds, deadline.passed), _say)
            if study.spec.levels.runs:
                budget = Stoppable(polish_seconds(study), deadline.passed)
                polish_runs(directory, study.spec.levels.runs, budget, _say, options.index)
    return _end(record, deadline, missing, task)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _failures(record: TaskRecord) -> Iterator[None]:
    """Note in the record why the worker fails, if it does."""
    try:
        yield
    except KeyboardInterrupt:
        record.end("interrupted")
        raise
    except BaseException as error:
        record.end("failed", str(error) or type(error).__name__)
        raise


def _end(record: TaskRecord, deadline: Deadline, missing: bool, task: bool) -> int:
    """Record how the worker ends, put it back into the queue if it should be; return its code."""
    if not missing or not deadline.reason:
        record.end(deadline.reason or "finished")
        return 0
    if deadline.reason != TIME_LIMIT:
        record.end(deadline.reason)
        print("terminated; what is done is kept for whoever goes on", file=sys.stderr)
        return TERMINATED
    if not deadline.advanced and not record.previous().get("advanced", True):
        # The second attempt finds the programs compiled that the first one began with.
        return _fail(
            record,
            "failed",
            "the time limit is too short: twice not one step was done before it; launch again with "
            "more time",
        )
    record.end(TIME_LIMIT, advanced=deadline.advanced)
    if not (task and allocation.job()):
        return TERMINATED
    if allocation.contained():
        return allocation.AGAIN
    refused = allocation.again()
    if refused:
        message = f"Slurm does not put the task back into its queue ({refused}); launch again"
        return _fail(record, TIME_LIMIT, message)
    return 0


def _fail(record: TaskRecord, reason: str, message: str) -> int:
    record.end(reason, message)
    print(f"error: {message}", file=sys.stderr)
    return 2


def _require(options: argparse.Namespace) -> None:
    """Check the kind of device before a study is read, which computes."""
    runtime.configure()
    if options.platform is not None:
        runtime.require_platform(options.platform)


def main() -> int:
    """Run the worker; exit code 2 for bad input."""
    startup.collect_garbage_rarely()
    startup.keep_heaps_few()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--meter", action="store_true")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--pin", action="store_true")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--all-devices", action="store_true")
    parser.add_argument("--search", type=float)
    parser.add_argument("--platform", choices=("cpu", "gpu"))
    parser.add_argument("--grace-period", "--notice", type=int)
    parser.add_argument("--allow-code", action="store_true")
    options = parser.parse_args()
    if options.pin or options.measure:
        runtime.pin(options.index)
    if options.measure:
        return measure_study(options.allow_code)
    if options.meter:
        from jaxsim.launch.meters import private_output, serve_meter

        return serve_meter(sys.stdin, private_output(), options.allow_code)
    try:
        return prepare(options) if options.prepare else serve(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        # Python gives up its handlers as it ends: a signal would kill what has just succeeded.
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
