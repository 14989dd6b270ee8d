"""From a study to jobs in Slurm's queue, and what became of them: DIR/launch/jobs.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxsim.errors import InputError
from jaxsim.launch.directory import bind, require_free
from jaxsim.launch.request import write_request
from jaxsim.launch.slurm import cluster
from jaxsim.launch.slurm.script import Campaign, collect_script, prepare_script, work_script
from jaxsim.launch.source import keep_source, source_home
from jaxsim.results.files import write_atomically
from jaxsim.results.provenance import now
from jaxsim.results.store import Store
from jaxsim.study.spec import SlurmSpec
from jaxsim.study.study import Study

DEFAULT_ARRAY = 1001
"""Slurm's own limit of indices where it does not say another."""


@dataclass(frozen=True)
class Job:
    """A submitted job.

    Attributes:
        kind: prepare, work or collect.
        job: Slurm's id.
        tasks: size of the array; 1 for the others.
        submitted: when.
    """

    kind: str
    job: str
    tasks: int
    submitted: str


def scripts(
    study: Study, directory: Path, settings: SlurmSpec, code: Path
) -> tuple[Campaign, list[tuple[str, str]]]:
    """Return the campaign and its scripts by kind, in the order of their submission.

    Engines and widths are settled by a job of its own if the directory is new and the study leaves
    them open: the nodes are another kind of machine than the one that submits.
    """
    campaign = Campaign(study.spec.name, directory, code, settings, study.allow_code)
    found = [("work", work_script(campaign)), ("collect", collect_script(campaign))]
    if Store(directory).manifest() is None and study.spec.execution.width == "auto":
        found.insert(0, ("prepare", prepare_script(campaign)))
    return campaign, found


def dry_run(study: Study, directory: Path, settings: SlurmSpec) -> list[tuple[str, str]]:
    """Return the scripts that `launch` would submit, by kind; nothing is written or submitted."""
    directory = _checked(directory)
    return scripts(study, directory, settings, source_home(directory))[1]


def launch(
    study: Study,
    directory: Path,
    settings: SlurmSpec,
    announce: Callable[[str], None] = lambda text: None,
) -> list[Job]:
    """Submit a study, or what is missing of it; return the jobs.

    Raises:
        InputError: without Slurm, for a directory that cannot be used, an array that is too large,
            or a job that Slurm rejects.
    """
    directory = _checked(directory)
    limit = cluster.largest_array() or DEFAULT_ARRAY
    tasks = settings.tasks or 1
    if tasks > limit - 1:
        raise InputError(
            f"slurm.tasks = {tasks} is more than this cluster allows in an array; accepted: up to "
            f"{limit - 1}"
        )
    store = Store(directory)
    if store.manifest() is not None or study.spec.execution.width != "auto":
        bound = bind(study, directory, announce)
        missing = len(bound.missing())
        if not missing:
            announce("nothing is missing: every shard of the plan is there")
            return []
        if missing < tasks:
            announce(f"{missing} tasks are enough: so many shards are missing")
            settings = settings.model_copy(update={"tasks": missing})
    else:
        require_free(directory)
        write_request(directory, study)
    campaign, texts = scripts(study, directory, settings, keep_source(directory))
    (directory / "launch" / "logs").mkdir(parents=True, exist_ok=True)
    active = cluster.states([job.job for job in read_jobs(directory)])
    if active:
        announce(f"{len(active)} earlier jobs are still in the queue; they share the work")
    jobs, dependency = [], None
    for kind, text in texts:
        write_atomically(directory / "launch" / f"{kind}.sbatch", text.encode())
        job = cluster.submit(text, dependency)
        found = Job(kind, job, campaign.tasks if kind == "work" else 1, now())
        jobs.append(found)
        _record(directory, found)
        dependency = f"afterok:{job}" if kind == "prepare" else f"afterany:{job}"
    return jobs


def read_jobs(directory: Path) -> list[Job]:
    """Return the jobs that were submitted for a directory.

    Raises:
        InputError: if their record cannot be read.
    """
    path = directory / "launch" / "jobs.json"
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        jobs = [Job(**job) for job in found]
        # They become arguments of commands: a stranger's directory may not say just anything.
        if not all(job.job.isdecimal() for job in jobs):
            raise ValueError("a job's id is not a number")
        return jobs
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None


def cancel(directory: Path) -> dict[str, str]:
    """Cancel the jobs of a directory that Slurm still knows; return their states before.

    Raises:
        InputError: if there are no jobs, or Slurm does not cancel them.
    """
    jobs = read_jobs(directory)
    if not jobs:
        raise InputError(
            f"directory = {str(directory)!r} has no jobs; accepted: one that `jaxsim launch` used"
        )
    active = cluster.states([job.job for job in jobs])
    if active:
        heads = {name.partition("_")[0] for name in active}
        cluster.cancel([job.job for job in jobs if job.job in heads])
    return active


def _record(directory: Path, job: Job) -> None:
    jobs = [asdict(j) for j in [*read_jobs(directory), job]]
    path = directory / "launch" / "jobs.json"
    write_atomically(path, (json.dumps(jobs, indent=2) + "\n").encode())


def _checked(directory: Path) -> Path:
    """Return an absolute path that a script can name."""
    found = Path(directory).absolute()
    if any(c in str(found) for c in '"\n\\'):
        raise InputError(
            f"output = {str(found)!r} is not accepted for batch jobs: quotes, backslashes and "
            "line breaks cannot be written into their scripts"
        )
    return found
