"""What starting costs: `python -m benchmarks startup`.

The quickstart as a command, with an empty and with a filled cache; and how many programs are
compiled, in how many seconds, for grids of experiments with an empty cache: a sweep over learning
rates compiles what one experiment does, and the eleven methods share what does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.subprocess_run import run_in_subprocess
from jaxsim.optimizer.methods import METHODS

GRIDS: dict[str, dict[str, list[Any]]] = {
    "1 experiment": {},
    "10 learning rates": {"optimizer.learning_rate": [0.001 * (k + 1) for k in range(10)]},
    "100 learning rates": {"optimizer.learning_rate": [0.001 * (k + 1) for k in range(100)]},
    "11 methods": {"optimizer": [{"name": m, "learning_rate": 0.01} for m in METHODS]},
    "3 widths": {"network.hidden": [[4], [8], [16]]},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--grid", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.grid:
        print(json.dumps(compiled(GRIDS[options.grid])))
        return
    from benchmarks.machine import machine

    figures: dict[str, Any] = machine() | {"quickstart": quickstart(), "grids": {}}
    for name, taken in figures["quickstart"].items():
        print(f"quickstart, {name} cache: {taken:.1f} s")
    print(f"\n{'grid':20s} {'programs':>9s} {'compiling':>10s} {'in all':>8s}")
    for name in GRIDS:
        found = _in_subprocess(name)
        figures["grids"][name] = found
        print(
            f"{name:20s} {found['programs']:9d} {found['compiling']:8.1f} s {found['all']:6.1f} s"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def quickstart() -> dict[str, float]:
    """Return the seconds of `jaxsim run quickstart` with an empty and with a filled cache."""
    from benchmarks.machine import seconds

    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("empty", "filled"):
            command = [sys.executable, "-m", "jaxsim", "run", "quickstart"]
            command += ["--output", f"{folder}/{name}"]
            taken[name] = seconds(
                lambda command=command: subprocess.run(
                    command,
                    env={**os.environ, "JAXSIM_CACHE_DIR": f"{folder}/cache"},
                    check=True,
                    capture_output=True,
                )
            )
    return taken


def _in_subprocess(name: str) -> dict[str, Any]:
    """Return what is compiled for a grid by a process of its own with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        return run_in_subprocess("startup", "--grid", name, JAXSIM_CACHE_DIR=folder)


def compiled(grid: dict[str, list[Any]]) -> dict[str, Any]:
    """Return how many programs a simulation compiles, the seconds that takes, and those of all."""
    import jax.monitoring

    from benchmarks.machine import seconds
    from jaxsim import Study, runtime, simulate

    runtime.configure()
    durations: list[float] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            durations.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    study = Study.from_dict(
        {
            "name": "startup",
            "steps": 50,
            "replicates": 64,
            "problem": {"input": {"law": "uniform"}, "target": "x**2"},
            "network": {"hidden": [8]},
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "execution": {"width": 64},
            "optimum": {"budget": 0},
            "grid": grid,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        taken = seconds(lambda: simulate(study, f"{folder}/out", devices=1, workers=1))
    return {"programs": len(durations), "compiling": sum(durations), "all": taken}
