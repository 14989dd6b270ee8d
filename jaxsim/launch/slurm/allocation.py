"""What a task knows of the job it runs in."""

from __future__ import annotations

import os
import re

from jaxsim.errors import InputError
from jaxsim.launch.slurm import cluster
from jaxsim.launch.slurm.settings import seconds_of


def job() -> str | None:
    """Return the id of the job this process runs in, None outside Slurm."""
    return os.environ.get("SLURM_JOB_ID")


def seconds_left() -> float | None:
    """Return the time this job has left, None if there is no limit or Slurm does not say."""
    own = job()
    if own is None:
        return None
    try:
        text = cluster.time_left(own)
    except InputError:
        return None  # in a container there may be no Slurm
    return float(seconds_of(text)) if re.fullmatch(r"(\d+-)?\d+(:\d+){1,2}", text) else None


def again() -> str:
    """Put this job back into the queue; return why that failed, or nothing."""
    own = job()
    if own is None:
        return "it is no job of Slurm's"
    try:
        return cluster.requeue(own)
    except InputError as error:
        return str(error)
