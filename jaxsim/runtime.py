"""Settings of JAX that must stand before the first computation of a process."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import logging
import os
import platform
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim import startup
from jaxsim.errors import InputError
from jaxsim.startup import cache_directory as cache_directory

# To type checkers `jax.Device` is a variable and the settings of `jax.config` do not exist.
Device = Any


def setting(name: str) -> Any:
    """Return a setting of JAX by its full name."""
    return getattr(jax.config, name)


PLAIN_REDUCTIONS = ("xla_cpu_experimental_ynn_fusion_type", "")
"""Has XLA's CPU compiler write reductions itself.

Its library for them computes what it adds up slowly: without it the risk of a network of one input
takes two thirds of the time.
"""
NOTHING_HOISTED = ("xla_disable_hlo_passes", "while-loop-invariant-code-motion")
"""Leaves in a loop over groups of members what is the same for all of them.

Outside, numbers of places become arrays that are read in every pass, and what two parts of the loop
have in common is no longer seen: kinks would be searched for twice.
"""


@lru_cache(maxsize=8)
def known_options(*options: tuple[str, str]) -> dict[str, str]:
    """Return the compiler options, without those that XLA does not know."""
    try:
        jax.jit(lambda: jnp.zeros(()), compiler_options=dict(options))()
    except jax.errors.JaxRuntimeError:
        known = [known_options(option) for option in options] if len(options) > 1 else []
        return {name: value for each in known for name, value in each.items()}
    return dict(options)


def product_precision(dtype: Any) -> float:
    """Return the relative error of a product of two numbers inside a matrix product.

    Accelerators may round float32 factors to fewer bits, as jax_default_matmul_precision says.
    """
    unit = float(jnp.finfo(dtype).eps)
    if jnp.dtype(dtype) != jnp.float32 or jax.default_backend() == "cpu":
        return unit
    known = {"highest": unit, "float32": unit, "high": 2.0**-15, "tensorfloat32": 2.0**-10}
    return known.get(str(setting("jax_default_matmul_precision")), 2.0**-7)


@lru_cache(maxsize=1)
def c_library() -> str:
    """Return the C library of this process and its version, as "glibc 2.36".

    Functions of its libm and libmvec differ in their last bits from one version to the next.
    """
    try:
        version = ctypes.CDLL(None).gnu_get_libc_version
    except (AttributeError, OSError, TypeError):
        name, number = platform.libc_ver()
        return f"{name or platform.system()} {number or platform.release()}"
    version.restype = ctypes.c_char_p
    return f"glibc {version().decode()}"


def configure(devices: int | None = None, matmul_precision: str = "highest") -> None:
    """Set up JAX: CPU devices, matrix precision, persistent compilation cache.

    Args:
        devices: CPU devices to create; None for one, which `choose_devices` lets a thread per core
            share. Without effect on accelerators, and once JAX has computed something.
        matmul_precision: jax_default_matmul_precision.

    Raises:
        InputError: for a precision of products that has no effect on the devices there are.
    """
    if matmul_precision != "highest" and jax.default_backend() == "cpu":
        raise InputError(
            f'execution.matmul_precision = "{matmul_precision}" is not accepted on a CPU, where it '
            'has no effect: it should be "highest"'
        )
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", matmul_precision)
    keep_compilations()
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        try:
            jax.config.update("jax_num_cpu_devices", devices or 1)
        except RuntimeError:
            # The backend is up already: its devices are what there is.
            pass


def keep_compilations() -> None:
    """Let JAX keep what it compiles for later processes."""
    if not setting("jax_compilation_cache_dir"):
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "xla"))
    _write_whole_programs()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def compute_on_threads_apart() -> None:
    """Start JAX such that a program keeps to the CPU thread that calls it.

    For a process that runs as many programs at the same time as there are cores. Otherwise XLA's
    own threads hand each other the operations of a step, and wait busily for the next: a training
    of a 1-4-1 network takes twice the processor's time. The numbers are the same, as those of
    workers that keep to one core. Without effect once JAX has computed something, and where it may
    find accelerators, beside which the host has all its threads.

    What keeps JAX from starting is said by `require_device` when that is called.
    """
    alone = importlib.util.find_spec("jax_plugins") is None or setting("jax_platforms") == "cpu"
    if _THREADS in os.environ or not alone or startup.has_computed():
        return
    global _apart
    _apart = True
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    os.environ[_THREADS] = "1"  # read when JAX starts, and nothing to whom this process starts
    try:
        with contextlib.suppress(InputError):
            require_device()
    finally:
        del os.environ[_THREADS]


_THREADS = "NPROC"
"""Where XLA looks for the number of its CPU threads."""
_apart = False
"""Whether they were left out."""


def computes_on_threads_apart() -> bool:
    """Return whether a program keeps to the CPU thread that calls it."""
    return _apart


def xla_threads() -> str:
    """Return what the number of XLA's CPU threads follows from, for which it may cut programs."""
    return "1" if _apart else f"{os.environ.get(_THREADS, '')} of {cores()}"


@lru_cache(maxsize=1)
def _write_whole_programs() -> None:
    """Make entries of JAX's compilation cache appear whole, and replace those that are not.

    JAX writes them in place and never again: a process that reads at the same time finds half a
    program, warns and compiles, and a process that is killed leaves half a program for ever. No
    wrong program comes of it, for entries are compressed with a checksum.
    """
    try:
        from jax._src.lru_cache import _CACHE_SUFFIX, LRUCache

        in_place, found = LRUCache.put, LRUCache.get
    except (ImportError, AttributeError):
        return

    def get(self: Any, key: str) -> bytes | None:
        _cached.entry = found(self, key)
        return _cached.entry

    def put(self: Any, key: str, value: bytes) -> None:
        _cached.entry = value
        folder = str(self.path)
        if "://" in folder or self.eviction_enabled:
            in_place(self, key, value)
            return
        beside = Path(folder, f".{key}.{os.getpid()}.{threading.get_ident()}")
        try:
            beside.write_bytes(value)
            beside.replace(Path(folder, f"{key}{_CACHE_SUFFIX}"))
        finally:
            beside.unlink(missing_ok=True)

    LRUCache.get, LRUCache.put = get, put
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")


_cached = threading.local()
"""The last entry of JAX's cache that this thread read or wrote."""


@contextmanager
def noting_compilation() -> Iterator[Callable[[], bytes | None]]:
    """Note what XLA has compiled inside, as JAX's cache holds it.

    A program that came out of the cache cannot be serialized once more: on a CPU what comes of it
    lacks its functions (jaxlib 0.10.2). So it is taken from where it came.

    Yields:
        A function that returns the program that this thread compiled last, serialized; None if JAX
        has no cache or keeps it in another form.
    """
    _cached.entry = None

    def compiled() -> bytes | None:
        if _cached.entry is None:
            return None
        try:
            from jax._src import compilation_cache as cache

            return cache.extract_executable_and_time(cache.decompress_executable(_cached.entry))[0]
        except (ImportError, AttributeError, ValueError):
            return None

    yield compiled
    _cached.entry = None


_forked = False
"""Whether this process was forked from one in which JAX had started its threads."""


def _note_fork() -> None:
    global _forked
    _forked = startup.has_computed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def require_unforked() -> None:
    """Check that JAX works in this process: in a fork of one that used it, it never ends.

    Raises:
        InputError: if it does not.
    """
    if _forked:
        raise InputError(
            "jaxsim cannot compute in a process forked from one that has used JAX, whose threads "
            "a fork does not have; start a new one (multiprocessing.get_context('spawn')), or give "
            "`workers` to share the work"
        )


def at_once(function: Callable[..., Any], *arguments: np.ndarray) -> np.ndarray:
    """Return a function's value, computed by one program.

    Operations that are called one by one compile a program each, some 25 ms. Functions that cannot
    be traced are called as they are.
    """
    try:
        return np.asarray(jax.jit(function)(*arguments))
    except jax.errors.JAXTypeError:
        return np.asarray(function(*map(jnp.asarray, arguments)))


def trim_memory() -> None:
    """Give memory that the C library holds but nobody uses back to the system."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def cores() -> int:
    """Return the number of cores this process may use; Slurm may say less than it enforces."""
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(available, int(given)) if given.isdecimal() and int(given) > 0 else available


def pin(index: int) -> None:
    """Keep this process to one core, the index-th it may use, before JAX starts its threads."""
    if hasattr(os, "sched_setaffinity"):
        available = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {available[index % len(available)]})


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of JAX's says that a device's memory is full."""
    known = ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY", "Out of memory", "out of memory")
    return any(words in str(error) for words in known)


def require_platform(platform: str) -> None:
    """Check that JAX computes on the wanted kind of device, "gpu" or "cpu".

    Raises:
        InputError: if it does not: a job that asked for a GPU must not go on with a CPU.
    """
    try:
        require_device()
    except InputError as error:
        kind, reason = "nothing", str(error)
    else:
        kind = jax.default_backend()
        reason = f"JAX finds {jax.local_devices()[0].device_kind!r}"
    if kind != platform:
        raise InputError(
            f"this job needs a {platform.upper()} and has none that JAX can use ({reason}); check "
            "the driver, the extra [cuda] of the installation, and gpus or gres of the launch"
        )


def require_device() -> None:
    """Start JAX's devices.

    Raises:
        InputError: if there is none of the kind that JAX is told to use, or this process is a fork.
    """
    require_unforked()
    with _noting() as noted:
        try:
            jax.default_backend()
            return
        except (RuntimeError, AssertionError) as error:
            # Which of the two depends on whether a plugin is installed.
            lines = [*noted, *str(error).strip().splitlines(), "it has no backend for it"]
    asked = setting("jax_platforms") or "any device"
    raise InputError(f"JAX cannot use {asked}: {lines[0]}")


@contextmanager
def _noting() -> Iterator[list[str]]:
    """Note what JAX would log, with tracebacks, of plugins that fail: one line for each."""
    logger, noted = logging.getLogger("jax._src.xla_bridge"), []

    def note(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        noted.extend([] if error is None else str(error).strip().splitlines()[:1])
        return error is None

    logger.addFilter(note)
    try:
        yield noted
    finally:
        logger.removeFilter(note)


def choose_devices(count: int | None) -> list[Device]:
    """Return the devices of as many threads: the first `count` devices, or all of them.

    A CPU's cores are one device that appears as often as threads shall use it: another device
    would want every program compiled for itself.

    Raises:
        InputError: if there are fewer.
    """
    devices = jax.local_devices()
    if len(devices) == 1 and devices[0].platform == "cpu":
        devices = devices * cores()
    if count is None:
        return devices
    require_count(count, devices)
    return devices[:count]


def require_count(count: int, there: Sequence[Device]) -> None:
    """Check that a number of devices can be had.

    Raises:
        InputError: if there are fewer.
    """
    if not 1 <= count <= len(there):
        raise InputError(
            f"devices = {count} is not available; accepted: 1 to {len(there)} "
            f"({there[0].device_kind})"
        )


def distribution_clash() -> str | None:
    """Return the name of an unrelated distribution that installs a package `jaxsim`, if any.

    PyPI's `jaxsim` is a robotics library with the same top-level folder: installed side by side,
    the two overwrite each other's files.
    """
    owners = importlib.metadata.packages_distributions().get("jaxsim", [])
    return next((name for name in owners if name.lower() != "jaxsim-mc"), None)
