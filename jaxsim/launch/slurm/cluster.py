"""Slurm's own commands, and the one sentence for each way in which they fail."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from jaxsim.errors import InputError

_SECONDS = 60
_ID = 32
_FORGOTTEN = "Invalid job id"


def submit(script: str, dependency: str | None = None) -> str:
    """Submit a script; return the job's id.

    Raises:
        InputError: without Slurm, or with its own words if it rejects the job.
    """
    # A job whose condition can never be met any more would never start.
    dependency_options = (
        [f"--dependency={dependency}", "--kill-on-invalid-dep=yes"] if dependency else []
    )
    process = _run(
        ["sbatch", "--parsable", *dependency_options], script, _without_overrides(script)
    )
    if process.returncode:
        raise InputError(f"Slurm does not accept the job: {_words(process.stderr)}")
    job = process.stdout.strip().rpartition("\n")[2].partition(";")[0]
    if not job.isdecimal():
        raise InputError(f"sbatch does not say the job's number, but {process.stdout.strip()!r}")
    return job


def _without_overrides(script: str) -> dict[str, str]:
    """Return the environment without sbatch's variables that would outdo what a script says."""
    names = [m[1] for m in re.finditer(r"^#SBATCH --([a-z-]+)", script, re.MULTILINE)]
    other = {"time": "TIMELIMIT", "array": "ARRAY_INX", "mem": "MEM_PER_NODE"}
    overriding = {"SBATCH_" + other.get(n, n.upper().replace("-", "_")) for n in names}
    overriding |= {"SBATCH_NO_REQUEUE"} if "requeue" in names else set()
    return {k: v for k, v in os.environ.items() if k not in overriding}


def largest_array() -> int | None:
    """Return one past the largest index of an array, None if Slurm does not say."""
    process = _run(["scontrol", "show", "config"])
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", process.stdout, re.MULTILINE)
    return int(match[1]) if match else None


def states(jobs: Sequence[str]) -> dict[str, str]:
    """Return Slurm's states of the jobs and array tasks that it still knows, by job id.

    A pending part of an array is one entry, as 17_[3-9].

    Raises:
        InputError: without Slurm, or with its own words if it does not answer.
    """
    lines = _squeue(jobs, "--format=%i %T")
    return {pair[0]: pair[1] for pair in map(str.split, lines) if len(pair) == 2}


def outputs(jobs: Sequence[str]) -> dict[str, str]:
    """Return where jobs in the queue write what they print, as their scripts say, by job id.

    Raises:
        InputError: without Slurm, or with its own words if it does not answer.
    """
    lines = _squeue(jobs, f"--Format=ArrayJobID:{_ID},StdOut:4096")
    return {line[:_ID].strip(): line[_ID:].strip() for line in lines if line.strip()}


def _squeue(jobs: Sequence[str], form: str) -> list[str]:
    """Return what squeue says of the jobs that Slurm still knows."""
    if not jobs:
        return []
    process = _run(["squeue", "--noheader", form, "--jobs=" + ",".join(jobs)])
    if process.returncode:
        if _FORGOTTEN not in process.stderr:
            raise InputError(f"Slurm does not tell the states of jobs: {_words(process.stderr)}")
        # A job that Slurm has forgotten makes it refuse the others, too.
        return [] if len(jobs) == 1 else [line for job in jobs for line in _squeue([job], form)]
    return process.stdout.splitlines()


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs.

    Raises:
        InputError: with Slurm's own words if it does not.
    """
    process = _run(["scancel", *jobs])
    if process.returncode:
        raise InputError(f"Slurm does not cancel the jobs: {_words(process.stderr)}")


def requeue(job: str) -> str:
    """Put the running job back into the queue; return what Slurm has against it, or nothing."""
    process = _run(["scontrol", "requeue", job])
    return _words(process.stderr or process.stdout) if process.returncode else ""


def time_left(job: str) -> str:
    """Return the time that a running job has left, as Slurm writes it; empty if it does not say."""
    process = _run(["squeue", "--noheader", "--format=%L", "--jobs=" + job])
    return process.stdout.strip() if process.returncode == 0 else ""


def _run(
    command: list[str], given: str | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=given, env=environment, capture_output=True, text=True, check=False,
            timeout=_SECONDS,
        )  # fmt: skip
    except FileNotFoundError:
        raise InputError(
            f"there is no Slurm here ({command[0]} is not found): go to a login node of a cluster, "
            "or use --local N for N processes on this machine"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{command[0]} does not answer: {error}") from None


def _words(text: str) -> str:
    """Return what Slurm said, in one line: its first line is often not the one that explains."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    told = [re.sub(r"^(\w+: )?((error|fatal): )?", "", line) for line in lines]
    return "; ".join(dict.fromkeys(told)) or "no reason given"
