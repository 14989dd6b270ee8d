"""Where a study stands: counts of what is there, and what its workers said last."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxsim.errors import InputError
from jaxsim.launch.directory import Directory, reopen
from jaxsim.launch.searches import planned_searches
from jaxsim.launch.slurm import cluster
from jaxsim.launch.slurm.launch import Job, read_jobs
from jaxsim.launch.tasks import SILENT_AFTER, read_records
from jaxsim.results.certificates import FOLDER as CERTIFICATES
from jaxsim.results.files import names_in
from jaxsim.results.store import DamagedShard, Store
from jaxsim.training.experiment import Experiment

_ALIVE = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED")


@dataclass(frozen=True)
class ExperimentProgress:
    """One experiment.

    Attributes:
        experiment: which one.
        planned: its runs, as far as it is settled which follow.
        open: whether more may follow from what these show.
        done: those in finished shards.
        diverged: of the finished ones; None if a shard does not say.
        damaged: shards that cannot be read.
    """

    experiment: Experiment
    planned: int
    done: int
    diverged: int | None
    damaged: int
    open: bool = False


@dataclass
class Status:
    """A study.

    Attributes:
        experiments: one by one.
        running: records of workers at work.
        ended: how many workers ended, by reason; "lost" for those that fell silent.
        failures: what failed workers said last, the newest last.
        rate: runs per second of the workers at work, together.
        jobs: submitted.
        queue: Slurm's own states, by job; None where Slurm does not tell them.
        devices: finished runs by kind of device.
        verified: whether shards were read in full, not only their ends.
        searches: of bounds of inf L that the study plans.
        searched: those that have left certificates.
    """

    experiments: list[ExperimentProgress] = field(default_factory=list)
    running: list[dict[str, Any]] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    rate: float = 0.0
    jobs: list[Job] = field(default_factory=list)
    queue: dict[str, str] | None = None
    devices: dict[str, int] = field(default_factory=dict)
    verified: bool = False
    searches: int = 0
    searched: int = 0

    @property
    def planned(self) -> int:
        """Runs of the study."""
        return sum(e.planned for e in self.experiments)

    @property
    def done(self) -> int:
        """Finished runs of the study."""
        return sum(e.done for e in self.experiments)

    @property
    def seconds_left(self) -> float | None:
        """Time left at the rate of the workers at work; None without any."""
        return (self.planned - self.done) / self.rate if self.rate > 0 else None


def status(path: str | Path, allow_code: bool = False, verify: bool = False) -> Status:
    """Return where a study stands, from its files and, if it was launched, from Slurm.

    Before engines and widths are settled there are jobs, but no experiments. Of a shard its end is
    read: experiment, layout, columns and rows; with `verify` all of it, as a report does.

    Raises:
        InputError: if the directory holds no study and no jobs.
    """
    answer = Status(jobs=read_jobs(Path(path)), verified=verify)
    if not (answer.jobs and Store(path).manifest() is None):
        directory = reopen(path, allow_code)
        devices: Counter[str] = Counter()
        answer.experiments = [
            _progress(directory, e, devices, verify) for e in directory.study.experiments
        ]
        answer.devices = dict(devices)
        stored = set(names_in(Path(path) / CERTIFICATES))
        keys = {search.of.key for search in planned_searches(directory.study)} if stored else set()
        answer.searches, answer.searched = len(keys), len(keys & stored)
    if answer.jobs:
        try:
            answer.queue = cluster.states([job.job for job in answer.jobs])
        except InputError:
            answer.queue = None  # asked on a machine without Slurm, or it does not answer
    records = list(read_records(Path(path)))
    last: dict[str | None, int] = {}
    for record, _ in records:
        job = record.get("job")
        last[job] = max(last.get(job, 0), record.get("attempt", 0))
    for record, age in records:
        _take(answer, record, age, record.get("attempt", 0) < last[record.get("job")])
    return answer


def _progress(
    directory: Directory, experiment: Experiment, devices: Counter[str], verify: bool
) -> ExperimentProgress:
    planned = done = damaged = 0
    diverged: int | None = 0
    stages = directory.stages[experiment.id]
    settled = stages.known()
    finished = stages.finished()
    for _, shard in stages.tasks(settled):
        runs = shard.stop - shard.first
        planned += runs
        if shard.name not in finished:
            continue
        try:
            facts = directory.store.facts(shard)
            if verify:
                directory.store.read(shard)
        except DamagedShard:
            damaged += 1
            continue
        done += runs
        devices[facts.get("device_kind", "unknown")] += runs
        known = _count(facts.get("diverged", ""), runs)
        diverged = None if known is None or diverged is None else diverged + known
    more = not settled[-1].final
    return ExperimentProgress(experiment, planned, done, diverged, damaged, more)


def _count(text: str, most: int) -> int | None:
    """Return a count that goes with a shard; None for what is none: anybody could have written."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    return int(text) if int(text) <= most else None


def _take(found: Status, record: dict[str, Any], age: float, followed: bool) -> None:
    """Count one worker, one attempt of a task; `followed` by another it is over."""
    reason = record.get("reason")
    if reason is None:
        job, array = record.get("job"), record.get("array")
        ours = {job_record.job for job_record in found.jobs} & {job, array}
        # Slurm knows best of the jobs it was asked for; it lists array tasks by their place.
        if followed:
            alive = False
        elif ours and found.queue is not None:
            names = {job, f"{array}_{record.get('index')}"}
            alive = any(found.queue.get(name) in _ALIVE for name in names)
        else:
            alive = age < SILENT_AFTER
        if alive:
            found.running.append(record)
            found.rate += _rate(record)
            return
        reason = "lost"
    found.ended[reason] = found.ended.get(reason, 0) + 1
    if reason == "failed":
        found.failures.append(f"{record.get('host')}: {record.get('message')}")


def _rate(record: dict[str, Any]) -> float:
    """Return a worker's runs per second since its first shard; 0 as long as there is no other."""
    runs, seconds = record.get("replicates", 0), record.get("seconds", 0.0)
    if "first_shard_seconds" in record:
        runs -= record.get("first_shard_replicates", 0)
        seconds = record.get("last_shard_seconds", 0.0) - record["first_shard_seconds"]
    return max(runs, 0) / max(seconds, 1e-3)
