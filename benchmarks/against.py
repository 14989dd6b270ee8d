"""This build against another commit's, side by side: `python -m benchmarks against COMMIT`.

The other commit is checked out into a temporary tree. Both simulate the same study in processes of
their own, in alternation, each with caches of its own that a first round fills. Next to whole runs
stands what they cost more than runs of half the steps, which leaves out start, compilation and the
risks at the start. Processor time is compared, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUN = (
    "import json, sys, jaxsim; "
    "jaxsim.simulate(jaxsim.Study.from_dict(json.loads(sys.argv[1])), sys.argv[2])"
)


def population(neurons: int = 11, precision: str = "float64") -> dict[str, Any]:
    """Return population gradient descent of k students on k orthogonal teachers, as a table.

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


def sweep() -> dict[str, Any]:
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


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "population": population,
    "sweep": sweep,
    "population-float32": lambda: population(precision="float32"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks against", description=__doc__)
    parser.add_argument("commit", help="the other build")
    parser.add_argument("--case", choices=CASES, default="population", help="what both simulate")
    parser.add_argument("--study", type=Path, help="a study file in place of a case")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicates", type=int, help="in place of the study's")
    parser.add_argument("--steps", type=int, help="in place of the study's")
    parser.add_argument(
        "--cold", action="store_true", help="caches are empty in every round: compilation counts"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    study = tomllib.loads(options.study.read_text()) if options.study else CASES[options.case]()
    for key in ("replicates", "steps"):
        if getattr(options, key):
            study[key] = getattr(options, key)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the temporary tree is to go, too
    figures = compare(options.commit, study, options.rounds, options.cold)
    print(f"{'':24s} {'this build':>12s} {options.commit[:12]:>12s} {'times as fast':>14s}  range")
    for name, found in figures.items():
        here, there = (statistics.median(found[side]) for side in ("here", "there"))
        low, high = min(found["ratios"]), max(found["ratios"])
        middle = statistics.median(found["ratios"])
        print(f"{name:24s} {here:10.1f} s {there:10.1f} s {middle:14.2f}  {low:.2f} to {high:.2f}")
    if options.json:
        from benchmarks.machine import processor

        facts = {"processor": processor(), "commit": options.commit, "study": study}
        options.json.write_text(json.dumps(facts | {"seconds": figures}, indent=2) + "\n")


def compare(
    commit: str, study: dict[str, Any], rounds: int, cold: bool = False
) -> dict[str, dict[str, list[float]]]:
    """Return the processor seconds of both builds, here and there, and their ratios, by round.

    With `cold` every run has empty caches, and there is no first round to fill them.
    """
    half = study | {"steps": max(1, study["steps"] // 2)}
    seconds: dict[str, list[tuple[float, float]]] = {"here": [], "there": []}
    with tempfile.TemporaryDirectory(prefix="jaxsim-against-") as name, checked_out(commit) as tree:
        folder = Path(name)
        trees = {"here": ROOT, "there": tree}
        for turn in range(1 if cold else 0, rounds + 1):
            for side in sorted(trees, reverse=bool(turn % 2)):
                pair = [
                    processor_seconds(
                        trees[side],
                        asked,
                        folder / side / f"{turn}-{kind}",
                        folder / side / (f"cache-{turn}-{kind}" if cold else "cache"),
                    )
                    for kind, asked in (("whole", study), ("half", half))
                ]
                if turn:  # what fills the caches does not count
                    seconds[side].append((pair[0], pair[1]))
    figures = {}
    for label, of in (
        ("whole run", lambda whole, half: whole),
        ("half of the steps", lambda whole, half: max(whole - half, 1e-3)),
    ):
        here, there = ([of(*pair) for pair in seconds[side]] for side in ("here", "there"))
        ratios = [b / a for a, b in zip(here, there, strict=True)]
        figures[label] = {"here": here, "there": there, "ratios": ratios}
    return figures


def processor_seconds(tree: Path, study: dict[str, Any], output: Path, cache: Path) -> float:
    """Return the processor seconds of a simulation by a tree's package, workers included."""
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "JAXSIM_CACHE_DIR": str(cache),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(study), str(output)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"in {tree}: {done.stderr.strip().splitlines()[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Yield a temporary tree of a commit."""
    with tempfile.TemporaryDirectory(prefix="jaxsim-commit-") as name:
        tree = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        added = subprocess.run(
            [*git, "add", "--detach", str(tree), commit],
            capture_output=True,
            text=True,
            check=False,
        )
        if added.returncode:
            raise SystemExit(f"{commit!r} cannot be checked out: {added.stderr.strip()}")
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=True)
