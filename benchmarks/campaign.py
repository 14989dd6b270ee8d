"""What a large campaign costs to look after: `python -m benchmarks campaign`.

A directory of 10,000 shards with 100 million replicates is made up (risks are drawn, nothing is
trained), then each of the commands that look after it runs in a process of its own, which tells its
seconds and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.subprocess_run import run_in_subprocess

EXPERIMENTS, LAYERS = 10, 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the directory, measure, print, and write JSON if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks campaign", description=__doc__)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--replicates", type=int, default=100_000_000)
    parser.add_argument("--directory", type=Path, help="where; a temporary one by default")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measured(options.one, options.directory)))
        return
    from benchmarks.machine import machine

    directory = options.directory or Path(tempfile.mkdtemp(prefix="jaxsim-campaign-"))
    try:
        seconds, size = made_up(directory, options.shards, options.replicates)
        print(
            f"{options.shards:,} shards, {options.replicates:,} replicates, "
            f"{size / 2**20:,.0f} MiB ({seconds:.0f} s to make up)"
        )
        figures: dict[str, Any] = machine() | {"shards": options.shards, "commands": {}}
        for name in COMMANDS:
            found = run_in_subprocess("campaign", "--one", name, "--directory", str(directory))
            figures["commands"][name] = found
            cost = f"{found['seconds']:8.2f} s {found['memory']:8.0f} MiB"
            print(f"{name:10s} {cost}  {found['says']}")
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    finally:
        if options.directory is None:
            shutil.rmtree(directory)


def made_up(directory: Path, shards: int, replicates: int) -> tuple[float, int]:
    """Write a finished campaign, all but one shard; return the seconds and its bytes."""
    from jaxsim.launch.directory import bind
    from jaxsim.study.study import Study
    from jaxsim.training.records import Records

    per_shard = replicates // shards
    study = Study.from_dict(
        {
            "name": "campaign",
            "replicates": replicates // EXPERIMENTS,
            "steps": 1000,
            "checkpoints": [1000],
            "problem": {"input": "uniform", "target": "x**2"},
            "network": {"hidden": [4]},
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "grid": {"optimizer.learning_rate": [0.001 * (k + 1) for k in range(EXPERIMENTS)]},
            "execution": {"width": per_shard, "shard": per_shard},
        }
    )
    bound = bind(study, directory)
    rng = np.random.default_rng(0)
    # Coarse values keep the files small; what is measured is their number and their rows.
    risk = np.round(rng.exponential(0.05, (per_shard, 2)), 3) + 0.002
    records = Records(
        replicate=np.arange(per_shard),
        status=np.zeros(per_shard, np.int8),
        diverged_step=np.full(per_shard, -1),
        risk=risk,
        error=np.full((per_shard, 2), 1e-15),
        inactive=rng.integers(0, 4, (per_shard, 2, LAYERS)).astype(np.int32),
        gradient_norm=np.round(rng.exponential(0.01, per_shard), 3),
        dead_layer=np.zeros(per_shard, np.int16),
        dead_neurons=np.zeros(per_shard, np.int32),
        constant=np.zeros((per_shard, 2), np.int8),
    )
    facts = {"device_kind": "made up", "diverged": "0"}
    begin = time.monotonic()
    for _, shard in bound.missing()[:-1]:
        mine = np.arange(shard.first, shard.stop)
        bound.store.write(shard, records._replace(replicate=mine), facts)
    size = sum(p.stat().st_size for p in (directory / "shards").rglob("*.parquet"))
    return time.monotonic() - begin, size


def _plan(directory: Path) -> str:
    from jaxsim.launch.directory import reopen

    return f"{sum(1 for _ in reopen(directory).planned()):,} shards planned"


def _resume(directory: Path) -> str:
    from jaxsim.launch.directory import reopen

    return f"{len(reopen(directory).missing())} shard missing"


def _status(directory: Path) -> str:
    from jaxsim.launch.status import status

    return f"{status(directory).done:,} runs done"


def _read(directory: Path) -> str:
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.simulate import open_results

    results = open_results(reopen(directory))
    rows = sum(len(r.replicate) for e in results.experiments for r in results.chunks(e))
    return f"{rows:,} rows read and checked"


def _exceedance(directory: Path) -> str:
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.simulate import open_results
    from jaxsim.questions.ask import exceedance

    found = exceedance(open_results(reopen(directory)), [0.01, 0.1])
    return f"{len(found)} estimates of {found[0].runs:,} runs"


def _analyse(directory: Path) -> str:
    from jaxsim.launch.directory import reopen
    from jaxsim.launch.simulate import open_results
    from jaxsim.questions.ask import analyse

    found = analyse(open_results(reopen(directory)), [0.01, 0.1])
    bins = sum(len(e.distribution.count) for e in found.experiments)
    return f"bands, quantiles and histograms ({bins:,} bins) for a report"


COMMANDS: dict[str, Callable[[Path], str]] = {
    "plan": _plan,
    "resume": _resume,
    "status": _status,
    "read": _read,
    "estimate": _exceedance,
    "analyse": _analyse,
}


def measured(name: str, directory: Path) -> dict[str, Any]:
    """Return seconds, peak memory in MiB and what a command says."""
    from benchmarks.machine import peak_memory
    from jaxsim import runtime

    runtime.configure()
    begin = time.monotonic()
    says = COMMANDS[name](directory)
    seconds = time.monotonic() - begin
    memory = peak_memory()
    return {"seconds": seconds, "memory": memory, "says": says}
