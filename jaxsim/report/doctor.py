"""What a user needs to know when something is odd: devices, versions, precision, cache, clashes."""

from __future__ import annotations

import os

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from jaxsim import runtime
from jaxsim.engines.engine import ByText, evaluation
from jaxsim.engines.native.library import compiler_version
from jaxsim.results.provenance import commit, versions
from jaxsim.study.study import Study


def examine(console: Console) -> int:
    """Print the facts of this installation; return 2 if something is wrong, else 0."""
    runtime.configure()
    runtime.require_device()
    wrong: list[str] = []
    table = Table.grid(padding=(0, 3))
    for name, value in versions().items():
        table.add_row(name, value)
    if commit():
        table.add_row("commit", commit())
    devices = runtime.choose_devices(None)
    table.add_row("devices", f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})")
    table.add_row("cores", str(runtime.cores()))
    table.add_row("C compiler", compiler_version() or "none: the native engine is not available")
    table.add_row("float64", "on" if jnp.ones(()).dtype == jnp.float64 else "off")
    table.add_row("matmul precision", str(runtime.setting("jax_default_matmul_precision")))
    cache = runtime.setting("jax_compilation_cache_dir")
    table.add_row("compilation cache", f"{cache} ({_cache_state(str(cache), wrong)})")
    console.print(table, highlight=False, soft_wrap=True)
    try:
        off = risk_error()
    except Exception as error:  # whatever a compiler or a device that is not in order may raise
        message = str(error).strip() or type(error).__name__
        wrong.append(f"exact risks cannot be computed: {message.splitlines()[0]}")
    else:
        message = f"exact risks are within {off:.0e} of what NumPy finds on a fine grid"
        console.print(message, highlight=False, soft_wrap=True)
        if not off < FINE:
            wrong.append(
                f"exact risks of small networks are wrong by {off:.0e} on "
                f"{devices[0].device_kind}: no result of it can be trusted; "
                f"XLA_FLAGS = {os.environ.get('XLA_FLAGS', '')!r}"
            )
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


FINE = 1e-8
MEMBERS = 4
"""Networks of each kind that are looked at."""


def risk_error() -> float:
    """Return by how much exact risks of small networks on this device differ from NumPy's.

    Compilers for accelerators have got wrong what finds the kinks of networks of several layers:
    narrow layers are looked through in one way, wide ones in another.
    """
    return max(_risk_error([5, 6]), _risk_error([9, 9]))


def _risk_error(hidden: list[int]) -> float:
    (experiment,) = Study.from_dict(
        {
            "name": "doctor",
            "steps": 1,
            "replicates": 1,
            "problem": {"input": {"law": "uniform", "low": -1.0, "high": 1.0}, "target": "x**2"},
            "network": {"hidden": hidden},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    ).experiments
    # Drawn by NumPy: programs that draw would take their time to compile.
    theta = np.random.default_rng(0).uniform(-1, 1, (MEMBERS, experiment.network.size))
    theta = theta.astype(experiment.dtype)
    observe, _ = evaluation(ByText(experiment, experiment.evaluation_key))
    risks = np.asarray(observe(jnp.asarray(theta)).risk)
    x = np.linspace(-1, 1, 100_001)
    x = (x[1:] + x[:-1])[:, None] / 2
    off = []
    for flat, risk in zip(theta.astype(np.float64), risks, strict=True):
        h = x
        *hidden_layers, (weights, biases) = experiment.network.layout.split(flat)
        for w, b in hidden_layers:
            h = np.maximum(h @ w + b, 0)
        h = h @ weights + biases
        off.append(abs(risk / ((h - x**2) ** 2).mean() - 1))
    return float(np.max(off))


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
