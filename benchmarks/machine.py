"""What the machine is, and the ceilings that speeds are compared with: as `jaxsim benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxsim.speed.machine import (
    CHOSEN_BY_THE_CLOCK,
    copy_bandwidth,
    machine_facts,
    matrix_products,
    processor,
    seconds,
)

__all__ = [
    "CHOSEN_BY_THE_CLOCK", "copy_bandwidth", "machine", "peak_memory", "processor", "seconds",
    "sgemm",
]  # fmt: skip


def machine() -> dict[str, Any]:
    """Return date, device, versions and ceilings."""
    return machine_facts() | {
        "sgemm_gflops": sgemm(),
        "copy_gigabytes_per_second": copy_bandwidth(),
    }


def sgemm(size: int = 2048) -> float:
    """Return the GFLOP/s of a float32 matrix product on all of a device, the best of ten."""
    return matrix_products((size,))


def peak_memory() -> float:
    """Return the peak of this process's memory in MiB.

    Not `getrusage`, whose maximum begins with the memory of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status does not tell VmHWM")
