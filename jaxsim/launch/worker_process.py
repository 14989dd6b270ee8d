"""Worker processes on this machine: the same package as here, whatever lies in this directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from pathlib import Path

import jax

from jaxsim import runtime
from jaxsim.errors import InputError
from jaxsim.runtime import Device, require_count

_ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    """Return the command of a worker.

    Python would look for modules in the current directory first (hence -P), which may be a
    stranger's, or hold a `random.py`.
    """
    return [sys.executable, "-P", "-m", "jaxsim.launch.process", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a worker: the same package and the same kind of device as here."""
    # The last line of what it says is to be the error, not a remark of JAX's on what it left out.
    variables = {"JAX_TRACEBACK_FILTERING": "off"}
    if jax.default_backend() == "cpu":
        variables["JAX_PLATFORMS"] = "cpu"
    if "site-packages" not in _ROOT.parts:
        path = os.environ.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{_ROOT}{os.pathsep}{path}" if path else str(_ROOT)
    return os.environ | variables


PER_CORE, LEAST_LIMIT = 4, 16
"""More workers than this many per core, and than this many, only take memory from each other."""


def require_workers(workers: int) -> int:
    """Return a number of worker processes after checking it, before any is started.

    Raises:
        InputError: if this machine could not hold them.
    """
    most = max(PER_CORE * runtime.cores(), LEAST_LIMIT)
    if isinstance(workers, bool) or not isinstance(workers, Integral) or not 1 <= workers <= most:
        raise InputError(
            f"workers = {workers!r} is not accepted; accepted: 1 to {most}, since this machine has "
            f"{runtime.cores()} cores"
        )
    return int(workers)


def shares(devices: Sequence[Device], workers: int, each: int | None) -> list[list[Device]]:
    """Return the accelerators of each of several workers: its own if there are enough.

    Args:
        devices: of this machine.
        workers: how many share them.
        each: devices of a worker; None to divide all there are, one for each at least.

    Raises:
        InputError: if there are fewer than one worker is to have.
    """
    available = len(devices)
    if each is None and workers <= available:
        ends = [available * i // workers for i in range(workers + 1)]
        return [list(devices[a:b]) for a, b in pairwise(ends)]
    each = 1 if each is None else each
    require_count(each, devices)
    return [[devices[(i * each + k) % available] for k in range(each)] for i in range(workers)]


def seeing(devices: Sequence[Device]) -> dict[str, str]:
    """Return the variables by which a worker's JAX finds these GPUs and no others.

    Raises:
        InputError: for accelerators that belong to one process at a time.
    """
    if any(d.platform != "gpu" for d in devices):
        raise InputError(
            f"workers are not accepted on {devices[0].device_kind}, which one process has for "
            "itself; leave the option out: one process uses all devices"
        )
    numbers = ",".join(str(d.local_hardware_id) for d in devices)
    return {"JAX_CUDA_VISIBLE_DEVICES": numbers, "JAX_ROCM_VISIBLE_DEVICES": numbers}
