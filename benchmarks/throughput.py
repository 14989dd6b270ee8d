"""Throughput on workload W1 as ratios against peers: `python -m benchmarks.throughput`.

jaxsim and its peers run in alternation in one process; each round gives one ratio per peer, and the
median and range of the ratios are reported. jaxsim's time includes everything a study needs:
sampling, training, the exact true risk and the certificates at the checkpoints, and the shard.
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

from jaxsim import runtime

STUDY = {
    "name": "w1",
    "steps": 1000,
    "replicates": 2048,
    "problem": {"input": {"law": "uniform", "low": -1.0, "high": 1.0}, "target": "x**2"},
    "network": {"hidden": [16, 16], "weights": "he_normal", "biases": "zero"},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "training": {"batch_size": 32},
}


def main() -> None:
    """Run the benchmark and print one line per peer, then JSON if asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="jit(vmap(scan)) 1024,PyTorch batched 1024")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    runtime.configure()
    ours = jaxsim_run(options.replicates, options.steps)
    peers = choose_peers([p.strip() for p in options.peers.split(",")])
    rates: dict[str, list[float]] = {"jaxsim": []} | {name: [] for name in peers}
    ours()
    warm = {name: make(options.steps) for name, (members, make) in peers.items()}
    for run in warm.values():
        run()
    for _ in range(options.rounds):
        rates["jaxsim"].append(options.replicates * options.steps / seconds(ours))
        for name, (members, _make) in peers.items():
            rates[name].append(members * options.steps / seconds(warm[name]))
    figures = report(rates)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def jaxsim_run(replicates: int, steps: int) -> Callable[[], object]:
    """Return one whole simulation of W1 into a fresh directory."""
    from jaxsim.launch.simulate import simulate
    from jaxsim.study.study import Study

    study = Study.from_dict(STUDY | {"steps": steps, "replicates": replicates})

    def run() -> object:
        with tempfile.TemporaryDirectory() as directory:
            return simulate(study, directory)

    return run


def choose_peers(names: list[str]) -> dict[str, tuple[int, Callable]]:
    """Return (members, steps -> run) by name; a peer that is not installed is left out aloud."""
    from benchmarks import peers

    known = {
        "jit(vmap(scan)) 1024": (1024, lambda steps: peers.plain_jax(1024, steps)),
        "PyTorch batched 1024": (1024, lambda steps: peers.batched_torch(1024, steps)),
        "PyTorch sequential": (2, lambda steps: peers.sequential_torch(2, steps)),
    }
    try:
        import torch  # noqa: F401
    except ImportError:
        print("PyTorch is not installed: its peers are left out")
        known = {k: v for k, v in known.items() if "PyTorch" not in k}
    return {k: v for k, v in known.items() if k in names or names == ["all"]}


def seconds(run: Callable[[], object]) -> float:
    """Return how long one run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def report(rates: dict[str, list[float]]) -> dict:
    """Print and return member-steps per second and the ratios jaxsim / peer, round by round."""
    import jax

    figures: dict = {
        "device_kind": jax.local_devices()[0].device_kind,
        "devices": len(jax.local_devices()),
        "machine": platform.processor() or platform.machine(),
        "jax": jax.__version__,
        "peers": {},
    }
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(rates["jaxsim"], values, strict=True)]
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        rate = statistics.median(values)
        print(
            f"{name:24s} {rate:12,.0f} member-steps/s   "
            f"jaxsim is {middle:6.2f} times as fast ({low:.2f} to {high:.2f})"
        )
        figures["peers"][name] = {"member_steps_per_second": values, "ratios": ratios}
    return figures


if __name__ == "__main__":
    main()
