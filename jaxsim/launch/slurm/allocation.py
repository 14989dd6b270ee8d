"""What a task knows of the job it runs in."""

from __future__ import annotations

import os
import re

from jaxsim.errors import InputError
from jaxsim.launch.slurm import cluster
from jaxsim.launch.slurm.settings import seconds_of

TIME_LEFT = "JAXSIM_TIME_LEFT"
"""Variable that tells a worker in a container the time left: its script asked Slurm for it."""
AGAIN = 75
"""Exit code by which a worker in a container asks its script to put the task back."""


def job() -> str | None:
    """Return the id of the job this process runs in, None outside Slurm."""
    return os.environ.get("SLURM_JOB_ID")


def seconds_left() -> float | None:
    """Return the time this job has left, None if there is no limit or Slurm does not say."""
    own_job = job()
    if own_job is None:
        return None
    text = os.environ.get(TIME_LEFT)
    if text is None:
        try:
            text = cluster.time_left(own_job)
        except InputError:
            return None
    return float(seconds_of(text)) if re.fullmatch(r"(\d+-)?\d+(:\d+){1,2}", text) else None


def contained() -> bool:
    """Return whether this process runs in a container, where there is no Slurm."""
    return TIME_LEFT in os.environ


def again() -> str:
    """Put this job back into the queue; return why that failed, or nothing."""
    own_job = job()
    if own_job is None:
        return "it is no job of Slurm's"
    try:
        return cluster.requeue(own_job)
    except InputError as error:
        return str(error)
