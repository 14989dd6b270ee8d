"""Where results come from: versions, device, code, settings."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from jaxsim.runtime import Device, setting
from jaxsim.simulation.engines import Form
from jaxsim.simulation.kernel.library import compiler_version

_PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "scipy")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of jaxsim, Python and what the numbers depend on."""
    found = {"python": platform.python_version(), "jaxsim": jaxsim_version()}
    for name in _PACKAGES:
        found[name] = importlib.metadata.version(name)
    return found


def jaxsim_version() -> str:
    """Return the version of the installed distribution, or "unknown" in a bare checkout."""
    try:
        return importlib.metadata.version("jaxsim-mc")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit of the source tree, "+dirty" if changed, "" outside a repository."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        dirty = "+dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + dirty
    except (OSError, subprocess.CalledProcessError):
        return ""


def provenance(device: Device, form: Form) -> dict[str, str]:
    """Return the facts that go with every shard, as text."""
    facts = {f"version.{name}": text for name, text in versions().items()}
    facts |= {
        "commit": commit(),
        "device_kind": device.device_kind,
        "platform": device.platform,
        "engine": form.engine,
        "width": str(form.width),
        "lanes": str(form.lanes),
        "matmul_precision": str(setting("jax_default_matmul_precision")),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "host": socket.gethostname(),
        "machine": platform.machine(),
        "command": Path(sys.argv[0]).name if sys.argv else "",
    }
    if form.engine == "kernel":
        facts["compiler"] = compiler_version()
    return facts
