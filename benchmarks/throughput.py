"""Throughput as ratios against peers: `python -m benchmarks [--workloads w1,digits] [--peers all]`.

jaxsim and its peers run in alternation; every round gives one ratio per peer, and their median and
range are reported. Before a speed counts, all of them must have trained alike from the same
parameters and mini-batches. jaxsim's time includes everything a study needs: processes, sampling,
training, exact true risks and certificates at the checkpoints, and files. The ceiling is the rate
of a large matrix product on all cores.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import PEERS
from benchmarks.same import MEMBERS, reference, require_same
from benchmarks.workloads import WORKLOADS, Workload
from jaxsim import runtime
from jaxsim.launch.layout import choose_layouts, choose_workers
from jaxsim.launch.measure import measure_form
from jaxsim.launch.simulate import simulate
from jaxsim.simulation.engines import Form

QUOTED = "jit(vmap(scan)),torch baddbmm"


def main() -> None:
    """Run the benchmarks and print a line per workload and peer, then JSON if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workloads", default="w1", help=f"of {', '.join(WORKLOADS)}, or all")
    parser.add_argument("--peers", default=QUOTED, help=f"of {', '.join(PEERS)}, or all")
    parser.add_argument("--optimizer", help="another of the eleven methods for all workloads")
    parser.add_argument("--batch", type=int, help="another batch size for all workloads")
    parser.add_argument("--steps", type=int, default=2000, help="of jaxsim's runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="about how long each run takes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    runtime.configure()
    figures: dict[str, Any] = machine()
    print(f"matrix products reach {figures['sgemm_gflops']:,.0f} GFLOP/s on all cores")
    names = list(WORKLOADS) if options.workloads == "all" else options.workloads.split(",")
    for name in names:
        if name not in WORKLOADS:
            parser.error(f"--workloads {name!r} is not known; accepted: {', '.join(WORKLOADS)}")
        workload = WORKLOADS[name].varied(options.optimizer, options.batch)
        figures["workloads"].append(compare(workload, chosen_peers(options.peers), options))
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
        summary = figures["workloads"][-1]
        share = summary["gflops"] / figures["sgemm_gflops"]
        print(f"  {summary['gflops']:.0f} GFLOP/s, {share:.2f} of the matrix products' rate\n")


def machine() -> dict[str, Any]:
    """Return the facts of the machine and its arithmetic ceiling."""
    return {
        "device_kind": jax.local_devices()[0].device_kind,
        "machine": platform.processor() or platform.machine(),
        "cores": runtime.cores(),
        "jax": jax.__version__,
        "sgemm_gflops": sgemm(),
        "workloads": [],
    }


def sgemm(size: int = 2048) -> float:
    """Return the GFLOP/s of a float32 matrix product on all cores, the best of ten."""
    product = jax.jit(lambda a: a @ a)
    a = jnp.ones((size, size), jnp.float32)
    product(a).block_until_ready()
    best = min(seconds(lambda: product(a).block_until_ready()) for _ in range(10))
    return 2 * size**3 / best / 1e9


def chosen_peers(text: str) -> dict[str, tuple[int, Callable]]:
    """Return the peers asked for; those that are not installed are left out aloud."""
    names = list(PEERS) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PEERS:
            raise SystemExit(f"--peers {name!r} is not known; accepted: {', '.join(PEERS)}")
    try:
        import torch  # noqa: F401
    except ImportError:
        print("PyTorch is not installed: its peers are left out")
        names = [name for name in names if not name.startswith("torch")]
    return {name: PEERS[name] for name in names}


def compare(
    workload: Workload, peers: dict[str, tuple[int, Callable]], options: argparse.Namespace
) -> dict[str, Any]:
    """Time jaxsim and the peers in alternation on one workload; return the figures."""
    if workload.optimizer == "nadamax":
        peers = {k: v for k, v in peers.items() if not k.startswith("torch")}
    ours, form, replicates = jaxsim_run(workload, options.steps, options.seconds)
    start, expected = reference(workload, _small(form))
    runs: dict[str, tuple[float, Callable[[], Any]]] = {
        "jaxsim": (float(replicates * options.steps), ours)
    }
    for name, (members, make) in peers.items():
        require_same(workload, name, make, start, expected)
        steps = _affordable(workload, make, members, options)
        runs[name] = (float(members * steps), make(workload, members, steps))
    for _, run in runs.values():
        run()  # compiled and measured before the clock starts
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, (work, run) in runs.items():
            rates[name].append(work / seconds(run))
    return report(workload, form, rates)


def jaxsim_run(
    workload: Workload, steps: int, wanted: float
) -> tuple[Callable[[], object], Form, int]:
    """Return one whole simulation into a fresh directory, its form and its replicates."""
    study = workload.study(steps, 1 << 16)
    (layout,) = choose_layouts(study).values()
    workers = choose_workers(study)
    (experiment,) = study.experiments
    speed = measure_form(experiment, layout.form, 1 if workers > 1 else None)
    parallel = max(workers, len(jax.local_devices()))
    blocks = wanted * parallel / speed.block_seconds(experiment)
    # Every process gets the same number of shards.
    replicates = layout.width * 4 * parallel * max(1, round(blocks / (4 * parallel)))
    sized = workload.study(
        steps, replicates, engine=layout.form.engine, width=layout.width,
        **({"lanes": layout.form.lanes} if layout.form.engine != "vmap" else {}),
        shard=replicates // (4 * parallel) // layout.width * layout.width,
    )  # fmt: skip

    def run() -> object:
        with tempfile.TemporaryDirectory() as directory:
            return simulate(sized, directory, workers=workers)

    return run, layout.form, replicates


def _small(form: Form) -> Form:
    """Return the form with as few members as the comparison needs."""
    return Form(form.engine, MEMBERS, min(form.lanes, MEMBERS))


def _affordable(
    workload: Workload, make: Callable, members: int, options: argparse.Namespace
) -> int:
    """Return how many steps a peer can take in the time for one run."""
    probe, steps = make(workload, members, 20), 20
    probe()
    afforded = int(options.seconds / 2 / max(seconds(probe) / steps, 1e-9))
    return max(20, min(options.steps, afforded))


def seconds(run: Callable[[], object]) -> float:
    """Return how long one run takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def report(workload: Workload, form: Form, rates: dict[str, list[float]]) -> dict[str, Any]:
    """Print and return member-steps per second and the ratios jaxsim / peer, round by round."""
    shape = "-".join(map(str, workload.widths))
    engine = "vmap" if form.engine == "vmap" else f"{form.engine}, {form.lanes} lanes"
    print(f"{workload.name}: {shape}, {workload.optimizer}, batch {workload.batch} ({engine})")
    ours = statistics.median(rates["jaxsim"])
    print(f"  {'jaxsim':18s} {ours:12,.0f} member-steps/s")
    peers = {}
    for name, values in rates.items():
        if name == "jaxsim":
            continue
        ratios = [a / b for a, b in zip(rates["jaxsim"], values, strict=True)]
        peers[name] = {"member_steps_per_second": values, "ratios": ratios}
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        print(
            f"  {name:18s} {statistics.median(values):12,.0f} member-steps/s   "
            f"jaxsim is {middle:.2f} times as fast ({low:.2f} to {high:.2f})"
        )
    return {
        "name": workload.name,
        "shape": shape,
        "optimizer": workload.optimizer,
        "batch": workload.batch,
        "engine": engine,
        "member_steps_per_second": rates["jaxsim"],
        "gflops": float(np.median(rates["jaxsim"])) * workload.flop / 1e9,
        "peers": peers,
    }


if __name__ == "__main__":
    main()
