"""What a user needs to know when something is odd: devices, versions, precision, cache, clashes."""

from __future__ import annotations

import os

import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from jaxsim import runtime
from jaxsim.results.provenance import commit, versions
from jaxsim.simulation.kernel.library import compiler_version


def examine(console: Console) -> int:
    """Print the facts of this installation; return 2 if something is wrong, else 0."""
    runtime.configure()
    wrong: list[str] = []
    table = Table.grid(padding=(0, 3))
    for name, value in versions().items():
        table.add_row(name, value)
    if commit():
        table.add_row("commit", commit())
    devices = runtime.choose_devices(None)
    table.add_row("devices", f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})")
    table.add_row("cores", str(runtime.cores()))
    table.add_row("C compiler", compiler_version() or "none: the kernel engine is not available")
    table.add_row("float64", "on" if jnp.ones(()).dtype == jnp.float64 else "off")
    table.add_row("matmul precision", str(runtime.setting("jax_default_matmul_precision")))
    cache = runtime.setting("jax_compilation_cache_dir")
    table.add_row("compilation cache", f"{cache} ({_cache_state(str(cache), wrong)})")
    console.print(table, highlight=False, soft_wrap=True)
    if jnp.ones(()).dtype != jnp.float64:
        wrong.append("float64 is off: risks and initial draws need it; unset JAX_ENABLE_X64")
    clash = runtime.distribution_clash()
    if clash:
        wrong.append(
            f"the distribution {clash!r} also installs a package `jaxsim`; uninstall both "
            f"(pip uninstall {clash} jaxsim-mc) and install jaxsim-mc again"
        )
    for sentence in wrong:
        console.print(f"problem: {sentence}", highlight=False, soft_wrap=True)
    if not wrong:
        console.print("no problems found")
    return 2 if wrong else 0


def _cache_state(path: str, wrong: list[str]) -> str:
    try:
        os.makedirs(path, exist_ok=True)
        entries = [e.stat().st_size for e in os.scandir(path) if e.is_file()]
    except OSError as error:
        wrong.append(
            f"the compilation cache cannot be used ({error.strerror}); programs compile "
            "anew in every process; set JAXSIM_CACHE_DIR"
        )
        return "unusable"
    if not os.access(path, os.W_OK):
        wrong.append("the compilation cache cannot be written; set JAXSIM_CACHE_DIR")
    return f"{len(entries)} files, {sum(entries) / 2**20:.1f} MiB"
