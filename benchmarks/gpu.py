"""What a GPU makes of it: `python -m benchmarks gpu`, in under eight minutes.

ceilings      float32 matrix products at full and at TF32 precision, copy bandwidth
widths        member-steps per second of training against the block width, by the plain engine and
              by the pallas engine, of workload w1
engines       both engines on several shapes, with the fraction of the arithmetic ceiling, and of
              the bandwidth that parameters and moments alone would take
precision     the failure probability of one study at full and at TF32 precision, with intervals
peers         jit(vmap(scan)) and PyTorch's batched networks on the same GPU, of 4,096 members if
              that is one of the widths, else of the last one

Parts that do not fit the time are left out, and said so. On a CPU it runs, but says little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WIDTHS = (256, 1024, 4096, 16384, 65536)
SHAPES = ("tiny", "wide", "w1", "two", "eight")
EPS = 1e-4
PRECISIONS = ("highest", "tensorfloat32")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON and plot if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("--seconds", type=float, default=420, help="no part begins later")
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)))
    parser.add_argument("--replicates", type=int, default=20_000, help="of the precision study")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the width sweep into this file")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    from benchmarks.machine import machine
    from jaxsim import runtime

    runtime.configure()
    figures: dict[str, Any] = machine() | {"driver": driver(), "ceilings": ceilings()}
    for name, value in figures["ceilings"].items():
        print(f"{name}: {value:,.0f}")
    parts: dict[str, Callable[[argparse.Namespace, dict], Any]] = {
        "widths": widths,
        "engines": engines,
        "precision": precision,
        "peers": peers,
    }
    for name, part in parts.items():
        if time.monotonic() - began > options.seconds:
            print(f"\n{name}: left out, no time")
            continue
        print(f"\n{name}")
        figures[name] = part(options, figures)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.plot and "widths" in figures:
        from benchmarks.figures import plot_curves

        plot_curves(figures | {"curves": [figures["widths"]]}, options.plot)


def driver() -> str:
    """Return the driver's version as nvidia-smi tells it, empty without one."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def ceilings() -> dict[str, float]:
    """Return the GFLOP/s of large matrix products by precision, and the GB/s of a copy."""
    import jax

    from benchmarks.machine import copy_bandwidth, sgemm

    size = 8192 if jax.default_backend() == "gpu" else 1024
    found = {}
    for name in PRECISIONS:
        with jax.default_matmul_precision(name):
            found[f"matrix products, {name}, GFLOP/s"] = sgemm(size)
    found["copy, GB/s"] = copy_bandwidth(1024 if size > 1024 else 64)
    return found


def engine_names(experiment: Any) -> list[str]:
    """Return the engines to compare on this device."""
    from jaxsim.engines.registry import unsupported_reason

    return [
        name for name in ("vmap", "pallas", "native") if not unsupported_reason(name, experiment)
    ]


def rate_of(experiment: Any, name: str, width: int) -> float | None:
    """Return the member-steps per second of training; None where it cannot be compiled or run."""
    import jax

    from jaxsim.engines.registry import ExecutionConfig
    from jaxsim.launch.measure import lane_counts, time_training

    lanes = lane_counts(experiment, "native", "auto")[0] if name == "native" else 1
    try:
        return (
            width / time_training(experiment, ExecutionConfig(name, width, lanes)).seconds_per_step
        )  # type: ignore[arg-type]
    except (jax.errors.JaxRuntimeError, NotImplementedError, ValueError) as error:
        print(f"  {name}, width {width}: {str(error).splitlines()[0][:120]}")
        return None


def widths(options: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
    """Return the curve of training speed against the block width."""
    from benchmarks.workloads import WORKLOADS

    (experiment,) = WORKLOADS["w1"].study(1000, 1).experiments
    counts = [int(w) for w in options.widths.split(",")]
    series: dict[str, list[float | None]] = {}
    for name in engine_names(experiment):
        series[name] = [rate_of(experiment, name, width) for width in counts]
        for width, rate in zip(counts, series[name], strict=True):
            if rate:
                print(f"  {name:8s} width {width:6d} {rate:14,.0f} member-steps/s")
    return {
        "title": "1-16-16-1, Adam, batch 32: training alone",
        "axis": "members per block",
        "unit": "member-steps/s",
        "x": counts,
        "series": {k: v for k, v in series.items() if any(v)},
    }


def engines(options: argparse.Namespace, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Return speed and fractions of the ceilings of the engines on several shapes."""
    from benchmarks.workloads import WORKLOADS
    from jaxsim.speed.work import moved_bytes

    width = max(int(w) for w in options.widths.split(",")) // 4
    ceiling = figures["ceilings"]
    found = []
    for shape in SHAPES:
        workload = WORKLOADS[shape]
        (experiment,) = workload.study(1000, 1).experiments
        for name in engine_names(experiment):
            rate = rate_of(experiment, name, width)
            if rate is None:
                continue
            row = {
                "workload": shape,
                "engine": name,
                "width": width,
                "member_steps_per_second": rate,
                "of_products": rate
                * workload.flop
                / 1e9
                / ceiling["matrix products, highest, GFLOP/s"],
                "of_bandwidth": rate * moved_bytes(experiment) / 1e9 / ceiling["copy, GB/s"],
            }
            found.append(row)
            print(
                f"  {shape:6s} {name:8s} {rate:14,.0f} member-steps/s, {row['of_products']:.3f} of "
                f"the products' rate, {row['of_bandwidth']:.2f} of the bandwidth if nothing stayed "
                "on chip"
            )
    return found


def peers(options: argparse.Namespace, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ratios of the best engine to the alternatives on the same device."""
    import importlib.util

    from benchmarks.machine import seconds
    from benchmarks.peers import batched_torch, plain_jax
    from benchmarks.workloads import WORKLOADS

    workload = WORKLOADS["w1"]
    curve, found = figures["widths"], []
    members = 4096 if 4096 in curve["x"] else curve["x"][-1]
    series, place = curve["series"].values(), curve["x"].index(members)
    best = max(r for values in series for r in values if r)
    ours = max(values[place] or 0 for values in series)
    runs: dict[str, tuple[int, Callable[[], Any]]] = {
        f"jit(vmap(scan)) {members}": (200, plain_jax(workload, members, 200))
    }
    if importlib.util.find_spec("torch") is None:
        print("  PyTorch is not installed: left out")
    else:
        import torch

        torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
        runs[f"torch baddbmm {members}"] = (50, batched_torch(workload, members, 50))
    for name, (steps, run) in runs.items():
        run()
        rates = [members * steps / seconds(run) for _ in range(5)]
        found.append({"peer": name, "member_steps_per_second": rates})
        print(
            f"  {name:22s} {statistics.median(rates):14,.0f} member-steps/s; jaxsim trains "
            f"{ours / statistics.median(rates):.1f} times as fast with as many members, "
            f"{best / statistics.median(rates):.1f} times at its best"
        )
    return found


def precision(options: argparse.Namespace, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the failure probability of one study at both precisions."""
    found = []
    for name in PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks", "gpu-precision", name]
            command += [str(options.replicates), folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"  {name}: {done.stderr.strip().splitlines()[-1]}")
            continue
        found.append(json.loads(done.stdout.splitlines()[-1]))
        row = found[-1]
        print(
            f"  {name:14s} P(L > inf L + {row['eps']:g}) = {row['estimate']:.4f}, 95 % interval "
            f"[{row['lower']:.4f}, {row['upper']:.4f}] ({row['method']}), {row['runs']} runs"
        )
    return found


def one_precision(arguments: Sequence[str]) -> None:
    """Print the failure probability at one precision: a process of its own, with its settings."""
    from jaxsim import Study, exceedance, runtime, simulate

    name, replicates, folder = arguments[0], int(arguments[1]), arguments[2]
    runtime.configure(matmul_precision=name)
    study = Study.from_dict(
        {
            "name": "precision",
            "steps": 1000,
            "checkpoints": 2,
            "replicates": replicates,
            "problem": {"input": {"law": "uniform"}, "target": "x**2"},
            "network": {"hidden": [16, 16]},
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            # Nothing is measured: both precisions compute in the same way.
            "execution": {"matmul_precision": name, "engine": "vmap", "width": 2048},
            "optimum": {"budget": 0},
        }
    )
    results = simulate(study, f"{folder}/out", workers=1)
    last = exceedance(results, [EPS])[-1]
    facts = {"precision": name, "eps": EPS, "step": last.step, "runs": last.runs}
    facts |= {"estimate": last.estimate, "lower": last.lower, "upper": last.upper}
    print(json.dumps(facts | {"undecided": last.undecided, "method": last.method}))
