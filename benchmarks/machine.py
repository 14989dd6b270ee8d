"""What the machine is, and the ceilings that speeds are compared with."""

from __future__ import annotations

import datetime
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxsim import runtime
from jaxsim.engines.native.library import compiler_version
from jaxsim.results.provenance import versions

CHOSEN_BY_THE_CLOCK = {"xla_gpu_autotune_level": 4}
"""Options of peers and ceilings: on GPUs jaxsim gives up speed for the same bits, they do not."""


def machine() -> dict[str, Any]:
    """Return date, device, versions and ceilings."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "device_kind": jax.local_devices()[0].device_kind,
        "processor": processor(),
        "cores": runtime.cores(),
        "versions": versions(),
        "compiler": compiler_version(),
        "sgemm_gflops": sgemm(),
        "copy_gigabytes_per_second": copy_bandwidth(),
    }


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def sgemm(size: int = 2048) -> float:
    """Return the GFLOP/s of a float32 matrix product on all of a device, the best of ten."""
    product = jax.jit(lambda a: a @ a, compiler_options=CHOSEN_BY_THE_CLOCK)
    a = jnp.ones((size, size), jnp.float32)
    product(a).block_until_ready()
    best = min(seconds(lambda: product(a).block_until_ready()) for _ in range(10))
    return 2 * size**3 / best / 1e9


def copy_bandwidth(megabytes: int = 256) -> float:
    """Return the GB/s, read and written, of a copy of float32 numbers, the best of ten."""
    negative = jax.jit(lambda a: -a)
    a = jnp.ones(megabytes << 18, jnp.float32)
    negative(a).block_until_ready()
    best = min(seconds(lambda: negative(a).block_until_ready()) for _ in range(10))
    return 2 * a.nbytes / best / 1e9


def peak_memory() -> float:
    """Return the peak of this process's memory in MiB.

    Not `getrusage`, whose maximum begins with the memory of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status does not tell VmHWM")


def seconds(run: Callable[[], object]) -> float:
    """Return how long one run takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
