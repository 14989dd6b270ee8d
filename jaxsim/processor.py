"""What kind of processor this is: compiled programs, and what was measured, are of one kind."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def features() -> str:
    """Return the names of the processor's instruction sets, as the system lists them."""
    listed = _listed("flags", "features")
    return listed[0] if listed else f"{platform.machine()} {platform.processor()}"


@lru_cache(maxsize=1)
def processor() -> str:
    """Return what tells one kind of processor from another."""
    return " ".join([platform.machine(), *_listed("model name", "cpu family", "model", "cpu part")])


def _listed(*names: str) -> list[str]:
    """Return what the system says of the first processor under some names."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return []
    pairs = (line.partition(":") for line in first.splitlines())
    return [text.strip() for name, _, text in pairs if name.strip().lower() in names]
