"""What the machine is, and the ceilings that speeds are compared with."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxsim import runtime
from jaxsim.engines.native.library import compiler_version
from jaxsim.results.provenance import commit, now, versions

CHOSEN_BY_THE_CLOCK = {"xla_gpu_autotune_level": 4}
"""Options of peers and ceilings: on GPUs jaxsim gives up speed for the same bits, they do not."""


def machine_facts() -> dict[str, Any]:
    """Return date, device, versions, compiler and commit."""
    return {
        "date": now(),
        "platform": jax.default_backend(),
        "device_kind": jax.local_devices()[0].device_kind,
        "processor": processor(),
        "cores": runtime.cores(),
        "versions": versions(),
        "compiler": compiler_version(),
        "commit": commit(),
    }


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def product_sizes() -> tuple[int, ...]:
    """Return sizes of square matrices among which a device multiplies fastest."""
    return (512, 1024, 2048) if jax.default_backend() == "cpu" else (2048, 4096, 8192)


def matrix_products(
    sizes: Sequence[int] = (2048,),
    precision: str = "float32",
    repetitions: int = 10,
    seconds_each: float = float("inf"),
) -> float:
    """Return the GFLOP/s of square matrix products at the best size, the best of some repetitions.

    Args:
        sizes: of the matrices.
        precision: "float32" or "float64".
        repetitions: of each size, at most.
        seconds_each: no repetition of a size begins later.
    """
    product = jax.jit(lambda a: a @ a, compiler_options=CHOSEN_BY_THE_CLOCK)
    found = []
    for size in sizes:
        a = jnp.ones((size, size), precision)
        found.append(2 * size**3 / _least(lambda a=a: product(a), repetitions, seconds_each))
    return max(found) / 1e9


def copy_bandwidth(
    megabytes: int = 256, repetitions: int = 10, seconds_each: float = float("inf")
) -> float:
    """Return the GB/s, read and written, of a copy of float32 numbers, the best of some."""
    negative = jax.jit(lambda a: -a)
    a = jnp.ones(megabytes << 18, jnp.float32)
    return 2 * a.nbytes / _least(lambda: negative(a), repetitions, seconds_each) / 1e9


def _least(run: Callable[[], Any], repetitions: int, limit: float) -> float:
    run().block_until_ready()
    begin, best = time.perf_counter(), float("inf")
    for _ in range(repetitions):
        best = min(best, seconds(lambda: run().block_until_ready()))
        if time.perf_counter() - begin > limit:
            break
    return best


def seconds(run: Callable[[], object]) -> float:
    """Return how long one run takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
