"""What two builds are compared by: studies, commands and shapes, each measured in both trees.

Times are of the processor, workers included, where nothing else is said: other work on the machine
counts little. A process is one of its own, with a cache that a first round has filled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS_ALONE = Path(__file__).with_name("steps_alone.py")
SIMULATE = """
import json, sys, jaxsim
table = json.loads(sys.argv[1])
try:
    study = jaxsim.Study.from_dict(table)
except jaxsim.InputError:  # builds that did not search for optima have no such key
    table.pop("optimum")
    study = jaxsim.Study.from_dict(table)
jaxsim.simulate(study, sys.argv[2])
"""
MAKE_CAMPAIGN = (
    "import sys; from pathlib import Path; from benchmarks.campaign import made_up; "
    "made_up(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))"
)
ANALYSE = (
    "import sys; from pathlib import Path; from benchmarks.campaign import measured; "
    "measured('analyse', Path(sys.argv[1]))"
)
CAMPAIGN = 1_000, 10_000_000
"""Shards and runs of the campaign that is analysed."""
MEMORY_RUNS = 200_000


@dataclass(frozen=True)
class Spent:
    """What a command and the processes that it started took.

    Attributes:
        seconds: of the processor.
        wall: seconds until it ended.
        mebibytes: of memory at most, of its largest process; not below what this process has
            itself, from which it was forked.
    """

    seconds: float
    wall: float
    mebibytes: float


@dataclass(frozen=True)
class Build:
    """A tree of the package, and where its measurements of one round lie.

    Attributes:
        tree: that is put on the path.
        folder: of its own, with the cache and what rounds share.
        turn: number of the round; 0 fills caches and does not count.
    """

    tree: Path
    folder: Path
    turn: int

    def python(self, *arguments: str, cache: str = "cache", given: str = "") -> tuple[Spent, str]:
        """Return what a Python command of the build spends, and what it prints.

        Raises:
            SystemExit: if it fails, with its last line.
        """
        environment = os.environ | {
            "PYTHONPATH": str(self.tree),
            "JAXSIM_CACHE_DIR": str(self.folder / cache),
        }
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            begin = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.tree,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=errors,
                text=True,
            )
            assert process.stdin is not None
            process.stdin.write(given)
            process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            errors.seek(0)
            if process.returncode:
                lines = errors.read().strip().splitlines() or ["it ends in silence"]
                raise SystemExit(f"in {self.tree}: {lines[-1]}")
            spent = Spent(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)
            return spent, out.read()

    def output(self, name: str) -> str:
        """Return a directory that no other round writes to."""
        return str(self.folder / f"{self.turn}-{name}")


Figures = dict[str, float]
"""What is measured -> the figure, less is better; the unit is the label's last word."""
Case = Callable[[Build], Figures]


def network(hidden: Sequence[int], batch: int, **changes: Any) -> dict[str, Any]:
    """Return a study of a ReLU network that learns x^2 with Adam on fresh samples."""
    inputs = changes.pop("inputs", 1)
    problem: dict[str, Any] = {
        "input": {"law": "uniform", "dimension": inputs},
        "target": "x**2" if inputs == 1 else "x1**2",
    }
    if inputs > 1:
        problem["risk"] = {"points": 128}
    return {
        "name": "shape",
        "steps": 2_000,
        "checkpoints": 16,
        "replicates": 128,
        "optimum": {"budget": 0},
        "problem": problem,
        "network": {"hidden": list(hidden)},
        "optimizer": {"name": "adam", "learning_rate": 0.01, "variant": "pytorch"},
        "training": {"batch_size": batch},
    } | changes


def digits() -> dict[str, Any]:
    """Return a study of a network that learns scanned digits."""
    data = {"data": {"name": "digits", "scale": "unit"}, "loss": "softmax_cross_entropy"}
    return network([16, 16], 32, problem=data, checkpoints=1)


SHAPES: dict[str, Callable[[], dict[str, Any]]] = {
    "1-4-1, batch 16": lambda: network([4], 16),
    "1-64-1": lambda: network([64], 32),
    "1-16-16-1 (W1)": lambda: network([16, 16], 32),
    "2-32-32-1": lambda: network([32, 32], 32, inputs=2, checkpoints=1),
    "8-64-64-1": lambda: network([64, 64], 32, inputs=8, checkpoints=1),
    "digits": digits,
}


def steps(build: Build) -> Figures:
    """Training alone, a member-step on one core."""
    studies = {name: make() for name, make in SHAPES.items()}
    seconds = "0.02" if build.turn == 0 else "0.3"
    _, text = build.python(str(STEPS_ALONE), seconds, given=json.dumps(studies))
    found = json.loads(text.splitlines()[-1])
    return {f"step of {name}, us": 1e6 * found[name] for name in SHAPES}


def w1(build: Build) -> Figures:
    """Whole runs of W1: 2,000 steps, 17 exact risks, certificates, files."""
    many, few = (
        build.python("-c", SIMULATE, json.dumps(network([16, 16], 32, replicates=n)), folder)[0]
        for n, folder in ((8192, build.output("many")), (4096, build.output("few")))
    )
    return {
        "W1, 8,192 runs, s": many.seconds,
        "W1, each further run, ms": 1e3 * max(many.seconds - few.seconds, 1e-3) / 4096,
    }


def commands(build: Build) -> Figures:
    """What a user waits for at the terminal, with warm caches."""
    jaxsim, output = ("-m", "jaxsim"), build.output("quickstart")
    run = build.python(*jaxsim, "run", "quickstart", "--output", output)[0]
    report = build.python(*jaxsim, "report", output)[0]
    return {
        "--help, s": build.python(*jaxsim, "--help")[0].seconds,
        "list, s": build.python(*jaxsim, "list")[0].seconds,
        "run quickstart, s": run.seconds,
        "run quickstart, wall, s": run.wall,
        "report quickstart, s": report.seconds,
        "report quickstart, wall, s": report.wall,
        "run quickstart, MiB": run.mebibytes,
    }


def cold(build: Build) -> Figures:
    """The quickstart with empty caches."""
    cache, output = f"cache-{build.turn}-cold", build.output("cold")
    run = build.python("-m", "jaxsim", "run", "quickstart", "--output", output, cache=cache)[0]
    return {"run quickstart, cold, s": run.seconds, "run quickstart, cold, wall, s": run.wall}


def memory(build: Build) -> Figures:
    """The largest process of W1 with many runs, which have few steps here."""
    study = network([16, 16], 32, replicates=MEMORY_RUNS, steps=20, checkpoints=1)
    return {
        f"W1, {MEMORY_RUNS:,} runs, MiB": build.python(
            "-c", SIMULATE, json.dumps(study), build.output("memory")
        )[0].mebibytes
    }


def campaign(build: Build) -> Figures:
    """Bands, quantiles and histograms of a directory with many shards, made by each build."""
    directory = build.folder / "campaign"
    if not directory.exists():
        build.python("-c", MAKE_CAMPAIGN, str(directory), *map(str, CAMPAIGN))
    spent = build.python("-c", ANALYSE, str(directory))[0]
    runs = f"{CAMPAIGN[1]:,}"
    return {
        f"analysis of {runs} runs, s": spent.seconds,
        f"analysis of {runs} runs, wall, s": spent.wall,
        f"analysis of {runs} runs, MiB": spent.mebibytes,
    }


def population_study(neurons: int = 11, precision: str = "float64") -> dict[str, Any]:
    """Return population gradient descent of k students on k orthogonal teachers.

    Safran and Shamir 2018, "Spurious local minima are common in two-layer ReLU neural networks".
    """
    layers = {"hidden": [neurons], "biases": False}
    normal, one = {"law": "normal", "std": neurons**-0.5}, {"law": "constant", "value": 1.0}
    return {
        "name": "population",
        "steps": 20_000,
        "checkpoints": [1],
        "replicates": 500,
        "precision": precision,
        "problem": {
            "input": {"law": "normal", "dimension": neurons},
            "target": {"teacher": layers | {"weights": ["orthogonal", one]}},
        },
        "network": layers | {"weights": [normal, one], "freeze": ["output.weights"]},
        "optimizer": {"name": "sgd", "learning_rate": 2.5 / neurons},
        "training": {"batch_size": "population"},
    }


def sweep_study() -> dict[str, Any]:
    """Return a grid of 8 x 8: b2 and the peak of a schedule, 256 short runs each."""
    rate = {
        "schedule": "warmup_cosine_decay",
        "init_value": 0.0,
        "peak_value": 0.01,
        "warmup_steps": 50,
        "decay_steps": 500,
    }
    return {
        "name": "sweep",
        "steps": 500,
        "replicates": 256,
        "problem": {"input": {"law": "uniform", "low": -1.0, "high": 1.0}, "target": "x**2"},
        "network": {"hidden": [16]},
        "optimizer": {"name": "adam", "learning_rate": rate},
        "grid": {
            "optimizer.b2": [0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999],
            "optimizer.learning_rate.peak_value": [0.001 * 2**k for k in range(8)],
        },
    }


def whole(study: dict[str, Any], label: str, *, halves: bool = False, empty: bool = False) -> Case:
    """Return the case of a study that is simulated.

    Args:
        study: as a table.
        label: what it is called.
        halves: whether a run of half the steps is subtracted, too, which leaves out start,
            compilation and the risks at the start.
        empty: whether caches are empty in every round: compilation counts.
    """

    def case(build: Build) -> Figures:
        asked = [study] + [study | {"steps": max(1, study["steps"] // 2)}] * halves
        seconds = []
        for number, table in enumerate(asked):
            cache = f"cache-{build.turn}-{number}" if empty else "cache"
            folder = build.output(f"{study.get('name', 'study')}-{number}")
            spent = build.python("-c", SIMULATE, json.dumps(table), folder, cache=cache)[0]
            seconds.append(spent.seconds)
        figures = {f"{label}, s": seconds[0]}
        if halves:
            figures[f"{label}, half of the steps, s"] = max(seconds[0] - seconds[1], 1e-3)
        return figures

    return case


CASES: dict[str, Case] = {
    "steps": steps,
    "w1": w1,
    "commands": commands,
    "cold": cold,
    "sweep": whole(sweep_study(), "sweep of 64, empty caches", empty=True),
    "population": whole(population_study(), "population descent, k = 11", halves=True),
    "memory": memory,
    "campaign": campaign,
}
"""The measurements of a comparison, in the order of the table."""
