"""jaxsim against its peers: `python -m benchmarks [--workloads w1,digits] [--peers all]`.

jaxsim and its peers run in alternation; every round gives one ratio per peer, and their median and
range are reported. Before a speed counts, all of them must have trained alike from the same
parameters and mini-batches. jaxsim's time includes everything a study needs: processes, sampling,
training, exact true risks and certificates at the checkpoints, and files. The ceiling is the rate
of a large matrix product on all cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.equivalence import MEMBERS, reference, require_same
from benchmarks.figures import plot_ratios
from benchmarks.machine import machine, seconds
from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS, Workload
from jaxsim import runtime
from jaxsim.engines.registry import ExecutionConfig
from jaxsim.launch.layout import choose_layouts, choose_workers
from jaxsim.launch.measure import measure_config
from jaxsim.launch.simulate import simulate
from jaxsim.optimizer.methods import METHODS

QUOTED = "jit(vmap(scan)),torch baddbmm"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per workload and peer, and write JSON and plot if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workloads", default="w1", help=f"of {', '.join(WORKLOADS)}, or all")
    parser.add_argument("--peers", default=QUOTED, help=f"of {', '.join(PEERS)}, all or none")
    parser.add_argument("--optimizers", default="adam", help=f"of {', '.join(METHODS)}, or all")
    parser.add_argument("--batches", help="other batch sizes, separated by commas")
    parser.add_argument("--steps", type=int, help="of jaxsim's runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="about how long each run takes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the ratios into this file")
    options = parser.parse_args(arguments)
    chosen = [
        WORKLOADS[name].varied(method, batch)
        for name in among(parser, "--workloads", options.workloads, WORKLOADS)
        for method in among(parser, "--optimizers", options.optimizers, METHODS)
        for batch in batches(parser, options.batches)
    ]
    peers = chosen_peers(parser, options.peers)
    runtime.configure()
    figures: dict[str, Any] = machine() | {"workloads": []}
    print(f"matrix products reach {figures['sgemm_gflops']:,.0f} GFLOP/s on all cores")
    for workload in chosen:
        summary = compare(workload, peers, options)
        figures["workloads"].append(summary)
        share = summary["gflops"] / figures["sgemm_gflops"]
        print(f"  {summary['gflops']:.0f} GFLOP/s, {share:.2f} of the matrix products' rate\n")
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.plot:
        plot_ratios(figures, options.plot)


def among(
    parser: argparse.ArgumentParser, option: str, text: str, there: Iterable[str]
) -> list[str]:
    """Return the names asked for."""
    known = list(there)
    names = known if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            parser.error(f"{option} {name!r} is not known; accepted: {', '.join(known)}, all")
    return names


def batches(parser: argparse.ArgumentParser, text: str | None) -> list[int | None]:
    """Return the batch sizes asked for; None for a workload's own."""
    if text is None:
        return [None]
    try:
        return [int(size) for size in text.split(",")]
    except ValueError:
        parser.error(f"--batches {text!r} is not accepted: whole numbers separated by commas")


def chosen_peers(parser: argparse.ArgumentParser, text: str) -> dict[str, tuple[int, Callable]]:
    """Return the peers asked for; those that are not installed are left out aloud."""
    names = [] if text == "none" else among(parser, "--peers", text, PEERS)
    if importlib.util.find_spec("torch") is None and any(n.startswith("torch") for n in names):
        print("PyTorch is not installed: its peers are left out")
        names = [name for name in names if not name.startswith("torch")]
    return {name: PEERS[name] for name in names}


def compare(
    workload: Workload, peers: dict[str, tuple[int, Callable]], options: argparse.Namespace
) -> dict[str, Any]:
    """Time jaxsim and the peers in alternation on one workload; return the figures."""
    if workload.optimizer == "nadamax":
        peers = {k: v for k, v in peers.items() if not k.startswith("torch")}
    taken = options.steps or workload.steps
    ours, config, replicates = jaxsim_run(workload, taken, options.seconds)
    start, expected = reference(workload, _small(config))
    runs: dict[str, tuple[float, Callable[[], Any]]] = {"jaxsim": (float(replicates * taken), ours)}
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
    return report(workload, config, rates)


def jaxsim_run(
    workload: Workload, steps: int, wanted: float
) -> tuple[Callable[[], object], ExecutionConfig, int]:
    """Return one whole simulation into a fresh directory, its form and its replicates."""
    study = workload.study(steps, 1 << 16)
    (layout,) = choose_layouts(study).values()
    workers = choose_workers(study)
    (experiment,) = study.experiments
    speed = measure_config(experiment, layout.config, 1 if workers > 1 else None)
    parallel = max(workers, len(runtime.choose_devices(None)))
    blocks = wanted * parallel / speed.block_seconds(experiment)
    # Every process gets the same number of shards.
    replicates = layout.width * 4 * parallel * max(1, round(blocks / (4 * parallel)))
    sized = workload.study(
        steps, replicates, engine=layout.config.engine, width=layout.width,
        **({"lanes": layout.config.lanes} if layout.config.engine != "vmap" else {}),
        shard=replicates // (4 * parallel) // layout.width * layout.width,
    )  # fmt: skip

    def run() -> object:
        with tempfile.TemporaryDirectory() as directory:
            return simulate(sized, directory, workers=workers)

    return run, layout.config, replicates


def _small(config: ExecutionConfig) -> ExecutionConfig:
    """Return the form with as few members as the comparison needs."""
    return ExecutionConfig(config.engine, MEMBERS, min(config.lanes, MEMBERS))


def _affordable(
    workload: Workload, make: Callable, members: int, options: argparse.Namespace
) -> int:
    """Return how many steps a peer can take in the time for one run."""
    probe, steps = make(workload, members, 20), 20
    probe()
    afforded = int(options.seconds / 2 / max(seconds(probe) / steps, 1e-9))
    return max(20, min(options.steps or workload.steps, afforded))


def report(
    workload: Workload, config: ExecutionConfig, rates: dict[str, list[float]]
) -> dict[str, Any]:
    """Print and return member-steps per second and the ratios jaxsim / peer, round by round."""
    shape = "-".join(map(str, workload.widths))
    engine = "vmap" if config.engine == "vmap" else f"{config.engine}, {config.lanes} lanes"
    print(f"{workload.name}: {shape}, {workload.optimizer}, batch {workload.batch} ({engine})")
    print(f"  jaxsim's runs: {workload.steps} steps, {workload.checkpoints} checkpoints")
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
