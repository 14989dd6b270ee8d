"""How speed and memory scale: `python -m benchmarks scaling [--curves replicates,width]`.

width, depth, batch   GFLOP/s of the training steps alone on one core, for every engine that can
                      run them, beside the rate of a matrix product on one core
replicates            member-steps per second of whole simulations on one core, with risks and
                      files, after a warm-up, and the peak memory of the process
devices               member-steps per second of whole simulations by one process per core

Every point is the median of some repetitions in a process of its own that keeps to one core.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.subprocess_run import run_in_subprocess
from benchmarks.workloads import WORKLOADS, Workload

WIDTHS, DEPTHS, BATCHES = (4, 8, 16, 32, 64, 128), (1, 2, 3, 4, 6, 8), (1, 4, 16, 32, 64, 256)
REPLICATES = (1_000, 10_000, 100_000, 1_000_000)
CURVES = ("replicates", "width", "depth", "batch", "devices")
ENGINES = ("vmap", "lanes", "native")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the curves, print them, and write JSON and plot if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    parser.add_argument("--curves", default=",".join(CURVES), help="separated by commas")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--most", type=int, default=REPLICATES[-1], help="replicates of the curve")
    parser.add_argument("--workload", default="tiny", help="of the curve over replicates")
    parser.add_argument("--steps", type=int, default=500, help="of the curve over replicates")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves into this file")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.point:
        print(json.dumps(_POINTS[json.loads(options.point)["kind"]](json.loads(options.point))))
        return
    for name in options.curves.split(","):
        if name not in CURVES:
            parser.error(f"--curves {name!r} is not known; accepted: {', '.join(CURVES)}")
    from benchmarks.figures import plot_curves
    from benchmarks.machine import machine
    from jaxsim import runtime

    runtime.configure()
    figures: dict[str, Any] = machine() | {"curves": []}
    for name in options.curves.split(","):
        figures["curves"].append(_CURVES[name](options))
        _print(figures["curves"][-1])
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.plot:
        plot_curves(figures, options.plot)


def _in_subprocess(**request: Any) -> Any:
    """Return what a process of its own measures."""
    return run_in_subprocess("scaling", "--point", json.dumps(request))


def _engines(title: str, axis: str, workloads: dict[int, Workload]) -> dict[str, Any]:
    """Return the curve of training steps alone."""
    series: dict[str, list[float | None]] = {name: [] for name in ENGINES}
    series["matrix product"] = []
    for workload in workloads.values():
        found = _in_subprocess(kind="engines", widths=workload.widths, batch=workload.batch)
        for name, values in series.items():
            values.append(found.get(name))
    return {
        "title": title,
        "axis": axis,
        "unit": "GFLOP/s of one core",
        "x": list(workloads),
        "series": {k: v for k, v in series.items() if any(v)},
    }


def _width(options: argparse.Namespace) -> dict[str, Any]:
    shapes = {w: Workload(f"{w}", (1, w, w, 1)) for w in WIDTHS}
    return _engines("two hidden layers, batch 32, Adam", "width", shapes)


def _depth(options: argparse.Namespace) -> dict[str, Any]:
    shapes = {d: Workload(f"{d}", (1, *[16] * d, 1)) for d in DEPTHS}
    return _engines("width 16, batch 32, Adam", "hidden layers", shapes)


def _batch(options: argparse.Namespace) -> dict[str, Any]:
    shapes = {b: Workload(f"{b}", (1, 16, 16, 1), batch=b) for b in BATCHES}
    return _engines("1-16-16-1, Adam", "batch", shapes)


def _replicates(options: argparse.Namespace) -> dict[str, Any]:
    counts = [n for n in REPLICATES if n <= options.most]
    rates, memory = [], []
    # A first one compiles: its memory is that of the compilers.
    _in_subprocess(kind="study", name=options.workload, steps=options.steps, replicates=counts[0])
    for count in counts:
        found = [
            _in_subprocess(
                kind="study", name=options.workload, steps=options.steps, replicates=count
            )
            for _ in range(options.repetitions if count < 1_000_000 else 1)
        ]
        rates.append(statistics.median(f["rate"] for f in found))
        memory.append(max(f["memory"] for f in found))
    shape = "-".join(map(str, WORKLOADS[options.workload].widths))
    return {
        "title": f"{shape}, {options.steps} steps, 16 checkpoints, one core",
        "axis": "replicates",
        "unit": "member-steps/s",
        "x": counts,
        "series": {"jaxsim": rates},
        "memory": memory,
    }


def _devices(options: argparse.Namespace) -> dict[str, Any]:
    from jaxsim import runtime

    counts = [1 << k for k in range(runtime.cores().bit_length()) if 1 << k <= runtime.cores()]
    rates = []
    for count in counts:
        rates.append(_in_subprocess(kind="workers", name="w1", steps=2000, workers=count)["rate"])
    return {
        "title": "1-16-16-1, 2000 steps, one process per core, starts included",
        "axis": "processes",
        "unit": "member-steps/s",
        "x": counts,
        "series": {"jaxsim": rates, "perfect": [rates[0] * n for n in counts]},
    }


def _print(curve: dict[str, Any]) -> None:
    print(f"\n{curve['axis']}: {curve['title']} ({curve['unit']})")
    columns = [*curve["series"], *(["peak MiB"] if "memory" in curve else [])]
    print(f"{'':>10s}" + "".join(f"{name:>16s}" for name in columns))
    for place, x in enumerate(curve["x"]):
        values = [curve["series"][name][place] for name in curve["series"]]
        values += [curve["memory"][place]] if "memory" in curve else []
        print(f"{x:>10d}" + "".join(f"{'-' if v is None else f'{v:,.0f}':>16s}" for v in values))


def _measure_engines(request: dict[str, Any]) -> dict[str, float]:
    """Return the GFLOP/s of each engine that can run a workload, on one core."""
    from jaxsim import runtime

    runtime.pin(0)
    from benchmarks.machine import sgemm
    from jaxsim.engines.registry import unsupported_reason
    from jaxsim.launch.measure import measure

    runtime.configure(devices=1)
    workload = Workload("point", tuple(request["widths"]), batch=request["batch"])
    (experiment,) = workload.study(100_000, 1).experiments
    found = {"matrix product": sgemm()}
    for name in ENGINES:
        if not unsupported_reason(name, experiment):
            config = measure(experiment, 1 << 15, name, cores=1)
            found[name] = workload.flop * config.rate(experiment) / 1e9
    return found


def _measure_study(request: dict[str, Any]) -> dict[str, float]:
    """Return member-steps per second and peak MiB of a whole simulation on one core."""
    from jaxsim import runtime

    runtime.pin(0)
    from benchmarks.machine import peak_memory, seconds
    from jaxsim.launch.layout import choose_layouts
    from jaxsim.launch.simulate import simulate

    runtime.configure(devices=1)
    workload, steps, count = WORKLOADS[request["name"]], request["steps"], request["replicates"]
    # One layout for all points, from the largest.
    (layout,) = choose_layouts(workload.study(steps, REPLICATES[-1])).values()
    config = {"engine": layout.config.engine, "width": layout.width}
    if layout.config.engine != "vmap":
        config["lanes"] = layout.config.lanes
    study = workload.study(steps, count, **config, shard=layout.width * 8)
    with tempfile.TemporaryDirectory() as folder:
        simulate(workload.study(steps, layout.width, **config), f"{folder}/warm", workers=1)
        elapsed = seconds(lambda: simulate(study, f"{folder}/out", workers=1))
    peak = peak_memory()
    return {"rate": count * steps / elapsed, "memory": peak}


def _measure_workers(request: dict[str, Any]) -> dict[str, float]:
    """Return member-steps per second of a whole simulation by some processes, warm caches."""
    from benchmarks.machine import seconds
    from jaxsim import runtime
    from jaxsim.launch.simulate import simulate

    runtime.configure()
    workload, steps, workers = WORKLOADS[request["name"]], request["steps"], request["workers"]
    # One process uses all the cores it may: here as many cores as processes.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])
    replicates = 16384 * workers
    study = workload.study(steps, replicates)
    with tempfile.TemporaryDirectory() as folder:
        simulate(workload.study(steps, 1024), f"{folder}/warm", workers=workers)
        elapsed = seconds(lambda: simulate(study, f"{folder}/out", workers=workers))
    return {"rate": replicates * steps / elapsed}


_CURVES = {
    "replicates": _replicates,
    "width": _width,
    "depth": _depth,
    "batch": _batch,
    "devices": _devices,
}
_POINTS = {"engines": _measure_engines, "study": _measure_study, "workers": _measure_workers}
