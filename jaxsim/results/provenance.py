"""Where results come from: versions, device, code, settings."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from jaxsim.engines.registry import ENGINES, ExecutionConfig
from jaxsim.results.files import SNAPSHOT
from jaxsim.runtime import Device, c_library, setting

_PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "scipy")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of jaxsim, Python and what the numbers depend on."""
    version_numbers = {
        "python": platform.python_version(),
        "jaxsim": jaxsim_version(),
        "c_library": c_library(),
    }
    for name in _PACKAGES:
        version_numbers[name] = importlib.metadata.version(name)
    return version_numbers


def jaxsim_version() -> str:
    """Return the version of the installed distribution, or "unknown" in a bare checkout."""
    try:
        return importlib.metadata.version("jaxsim-mc")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit of the source tree, "+dirty" if changed, "" outside a repository.

    Of a copy that was made for a batch job, that of the tree it was made from.
    """
    root = Path(__file__).resolve().parents[2]
    with contextlib.suppress(OSError, ValueError, KeyError):
        return str(json.loads((root / SNAPSHOT).read_text())["commit"])
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


def now() -> str:
    """Return the time, for people: no result depends on a clock."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def driver(devices: Sequence[Device]) -> str:
    """Return what a GPU's driver and runtime say of their versions; empty for CPUs."""
    lines = []
    for path in ("/proc/driver/nvidia/version", "/sys/module/amdgpu/version"):
        with contextlib.suppress(OSError):
            lines.append(Path(path).read_text().splitlines()[0])
    if any(d.platform != "cpu" for d in devices):
        lines.append(" ".join(str(devices[0].client.platform_version).split()))
    return "; ".join(lines)


def provenance(device: Device, config: ExecutionConfig) -> dict[str, str]:
    """Return the facts that go with every shard, as text."""
    facts = {f"version.{name}": text for name, text in versions().items()}
    facts |= {
        "commit": commit(),
        "device_kind": device.device_kind,
        "platform": device.platform,
        "engine": config.engine,
        "width": str(config.width),
        "lanes": str(config.lanes),
        "matmul_precision": str(setting("jax_default_matmul_precision")),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "host": socket.gethostname(),
        "machine": platform.machine(),
        "command": Path(sys.argv[0]).name if sys.argv else "",
    }
    return facts | ENGINES[config.engine].facts()
