"""The ready studies: one commented TOML file each."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

READY: tuple[str, ...] = tuple(
    sorted(
        entry.name.removesuffix(".toml")
        for entry in resources.files(__name__).iterdir()
        if entry.name.endswith(".toml")
    )
)
"""Names of the ready studies."""


def ready_text(name: str) -> str:
    """Return the commented text of a ready study."""
    return (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")


def ready_table(name: str) -> dict[str, Any]:
    """Return the tables of a ready study."""
    return tomllib.loads(ready_text(name))
