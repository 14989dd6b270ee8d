"""Worker processes on this machine: the same package as here, whatever lies in this directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    """Return the command of a worker.

    Python would look for modules in the current directory first (hence -P), which may be a
    stranger's, or hold a `random.py`.
    """
    return [sys.executable, "-P", "-m", "jaxsim.launch.process", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a worker: a package that is not installed is found, too."""
    if "site-packages" in _ROOT.parts:
        return dict(os.environ)
    there = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{_ROOT}{os.pathsep}{there}" if there else str(_ROOT)}
