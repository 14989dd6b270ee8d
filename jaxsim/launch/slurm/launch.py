"""From a study to jobs in Slurm's queue, and what became of them: DIR/launch/jobs/<id>.json."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from jaxsim.errors import InputError
from jaxsim.launch.directory import Directory, bind, compare, peek, resolved
from jaxsim.launch.layout import choose_layouts
from jaxsim.launch.polishing import unpolished
from jaxsim.launch.request import create_request, left_study, write_request
from jaxsim.launch.searches import open_searches
from jaxsim.launch.simulate import remove_damaged
from jaxsim.launch.slurm import cluster
from jaxsim.launch.slurm.script import Campaign, collect_script, prepare_script, work_script
from jaxsim.launch.source import keep_source, source_home
from jaxsim.results.certificates import CertificateFiles
from jaxsim.results.files import names_in, read_regular, require_no_link, write_atomically
from jaxsim.results.provenance import now
from jaxsim.results.store import Store
from jaxsim.study.slurm_spec import SlurmSpec
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
    scripts_by_kind = [("work", work_script(campaign)), ("collect", collect_script(campaign))]
    if Store(directory).manifest() is None and study.spec.execution.width == "auto":
        scripts_by_kind.insert(0, ("prepare", prepare_script(campaign)))
    return campaign, scripts_by_kind


def dry_run(
    study: Study,
    directory: Path,
    settings: SlurmSpec,
    announce: Callable[[str], None] = lambda text: None,
) -> list[tuple[str, str]]:
    """Return the scripts that `launch` would submit, by kind; nothing is written or submitted.

    Raises:
        InputError: for a directory that cannot be used.
    """
    directory = _checked(directory, settings)
    needed = _needed(_planned(study, directory), settings, announce)
    return scripts(study, directory, needed, source_home(directory))[1] if needed else []


def launch(
    study: Study,
    directory: Path,
    settings: SlurmSpec,
    announce: Callable[[str], None] = lambda text: None,
    *,
    repair: bool = False,
) -> list[Job]:
    """Submit a study, or what is missing of it; return the jobs.

    With `repair` all shards that are there are read first, and damaged ones removed.

    Raises:
        InputError: without Slurm, for a directory that cannot be used, an array that is too large,
            or a job that Slurm rejects.
    """
    directory = _checked(directory, settings)
    for folder in ("jobs", "logs", "code"):
        require_no_link(directory / "launch" / folder, directory)
    planned = _planned(study, directory)
    if planned is not None and repair:
        remove_damaged(planned, announce)
    mixed = None if planned is None else planned.mixed_versions()
    if mixed is not None:
        announce(f"warning: {mixed}")
    limit = cluster.largest_array() or DEFAULT_ARRAY
    needed = _needed(planned, settings, announce)
    if needed is None:
        bind(study, directory)
        return []
    tasks = needed.tasks or 1
    if tasks > limit - 1:
        raise InputError(
            f"slurm.tasks = {tasks} is more than this cluster allows in an array; accepted: up to "
            f"{limit - 1}"
        )
    active = cluster.states([job.job for job in read_jobs(directory)])
    if planned is not None:
        bind(study, directory)
    else:
        _leave(study, directory, active)
    campaign, texts = scripts(study, directory, needed, keep_source(directory))
    (directory / "launch" / "logs").mkdir(parents=True, exist_ok=True)
    if active:
        announce(f"{len(active)} earlier jobs are still in the queue; they share the work")
    return _submit(campaign, texts)


def _planned(study: Study, directory: Path) -> Directory | None:
    """Return the study's directory as it is or will be; None if a job is to settle the layout."""
    bound = peek(study, directory)
    if bound is None and study.spec.execution.width != "auto":
        return Directory(Store(directory), study, choose_layouts(study))
    return bound


def _needed(
    planned: Directory | None, settings: SlurmSpec, announce: Callable[[str], None]
) -> SlurmSpec | None:
    """Return the settings with no more tasks than there is work for; None if there is none."""
    if planned is None:
        return settings
    missing, what = planned.outlook(), "shards are missing"
    if not missing:
        missing, what = _besides(planned), "searches and experiments are left"
        if not missing:
            announce("nothing is missing: every shard of the plan is there")
            return None
        announce("every shard of the plan is there; searches for inf L or runs to polish are left")
    if missing < (settings.tasks or 1):
        enough = "1 task is enough" if missing == 1 else f"{missing} tasks are enough"
        announce(f"{enough}: so many {what}")
        return settings.model_copy(update={"tasks": missing})
    return settings


def _besides(planned: Directory) -> int:
    """Return how many searches for inf L and experiments to polish are left of a study."""
    study = planned.study
    files = CertificateFiles(planned.store.directory)
    return len(open_searches(study, files)) + len(unpolished(planned, study.spec.levels.runs))


def _leave(study: Study, directory: Path, active: dict[str, str]) -> None:
    """Leave the study for the job that settles its layout.

    Raises:
        InputError: if another study was left whose jobs wait to begin it, or at this very moment.
    """
    recorded = left_study(directory)
    if recorded is None and create_request(directory, study):
        return
    new = recorded is None
    recorded = left_study(directory) if new else recorded
    differences = (
        compare(resolved(recorded), study.spec.model_dump(mode="json")) if recorded else []
    )
    if differences and (active or new):
        state = "is being launched" if new else "has jobs in the queue"
        raise InputError(
            f"output = {str(directory)!r} is taken by another study, which {state}: "
            f"{'; '.join(differences)}; choose another directory, or `jaxsim cancel` it first"
        )
    write_request(directory, study)


def _submit(campaign: Campaign, texts: list[tuple[str, str]]) -> list[Job]:
    directory, dependency = campaign.directory, None
    jobs: list[Job] = []
    for kind, text in texts:
        write_atomically(directory / "launch" / f"{kind}.sbatch", text.encode())
        try:
            number = cluster.submit(text, dependency)
        except InputError as error:
            if not jobs:
                raise
            queued = ", ".join(f"{job.job} ({job.kind})" for job in jobs)
            raise InputError(
                f"{error}; already in the queue: {queued}, which `jaxsim cancel` takes back"
            ) from None
        submitted = Job(kind, number, campaign.tasks if kind == "work" else 1, now())
        jobs.append(submitted)
        _record(directory, submitted)
        dependency = f"afterok:{number}" if kind == "prepare" else f"afterany:{number}"
    return jobs


def read_jobs(directory: Path) -> list[Job]:
    """Return the jobs that were submitted for a directory, in that order.

    Raises:
        InputError: if a record of theirs cannot be read.
    """
    folder = directory / "launch" / "jobs"
    jobs = [_read_job(folder / name) for name in names_in(folder) if name.endswith(".json")]
    return sorted(jobs, key=lambda job: (job.submitted, int(job.job)))


def _read_job(path: Path) -> Job:
    try:
        job = Job(**json.loads(read_regular(path)))
        # They become arguments of commands: a stranger's directory may not say just anything.
        if not re.fullmatch("[1-9][0-9]{0,17}", job.job):
            raise ValueError("a job's id is not a number")
        texts = isinstance(job.kind, str) and isinstance(job.submitted, str)
        if not (texts and isinstance(job.tasks, int)):
            raise ValueError("it is no record of a job")
        return job
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None


def cancel(directory: Path) -> dict[str, str]:
    """Cancel the jobs of a directory that Slurm still knows; return their states before.

    Raises:
        InputError: if there are no jobs, they are another directory's, or Slurm does not cancel
            them.
    """
    jobs = read_jobs(directory)
    if not jobs:
        raise InputError(
            f"directory = {str(directory)!r} has no jobs; accepted: one that `jaxsim launch` used"
        )
    active = cluster.states([job.job for job in jobs])
    if active:
        heads = {name.partition("_")[0] for name in active}
        outputs = cluster.outputs([job.job for job in jobs if job.job in heads])
        _require_own(directory, outputs)
        if outputs:  # or all have ended meanwhile
            cluster.cancel(list(outputs))
    return active


def _require_own(directory: Path, outputs: dict[str, str]) -> None:
    """Refuse to touch jobs that write elsewhere: the directory was copied, or is a stranger's."""
    logs = os.path.realpath(directory / "launch" / "logs")
    for job, output in outputs.items():
        if os.path.realpath(os.path.dirname(output.replace("%%", "%"))) != logs:
            raise InputError(
                f"directory = {str(directory)!r} names job {job}, which writes to {output!r} and "
                "so was launched for another one; accepted: the directory it was launched for, or "
                f"`scancel {job}`"
            )


def _record(directory: Path, job: Job) -> None:
    # A file for each: whoever launches at the same moment replaces nothing.
    path = directory / "launch" / "jobs" / f"{job.job}.json"
    write_atomically(path, (json.dumps(asdict(job), indent=2) + "\n").encode())


def _checked(directory: Path, settings: SlurmSpec) -> Path:
    """Return an absolute path that a script can name."""
    absolute = Path(directory).absolute()
    # A colon ends an entry of PYTHONPATH, so that the copied package would not be found.
    refused = '"\n\\:' + ("," if settings.container else "")
    if any(c in str(absolute) for c in refused) or not _is_text(str(absolute)):
        raise InputError(
            f"output = {str(absolute)!r} is not accepted for batch jobs; accepted: a path without "
            f"quotes, backslashes, colons{', commas' if settings.container else ''} and line "
            "breaks, for it is written into their scripts"
        )
    return absolute


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
