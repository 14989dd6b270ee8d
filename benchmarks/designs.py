"""`python -m benchmarks designs`: strata against plain sampling where plain sampling still sees.

Trainings whose failures come from inactive neurons, at probabilities near 1e-3 and 1e-4 (He's
initialization, zero biases and a small output layer on [0, 1], where half of the neurons begin
inactive), and one whose failures do not: a plain study and one in strata, one after the other in
one process. z is the difference of the estimates in standard errors, which are those of approximate
intervals. The ratio is that of the times for intervals of the same width, both guaranteed
(Clopper-Pearson), and in brackets both approximate (Wilson, profile likelihood): plain sampling
would need as many runs as give it the strata's width at the strata's estimate.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from scipy import optimize

from benchmarks.machine import processor
from jaxsim import runtime
from jaxsim.estimation import Estimate, clopper_pearson, wilson
from jaxsim.launch.simulate import simulate
from jaxsim.questions.ask import exceedance
from jaxsim.study.study import Study

CASES = [
    (10, "momentum", 0.02, 0.05, 300_000),
    (13, "momentum", 0.02, 0.05, 1_500_000),
    (13, "sgd", 0.1, 0.08, 1_500_000),
    (13, "adam", 0.003, 0.08, 1_500_000),
]
"""(width, optimizer, learning rate, eps, runs in strata)."""


def study(case: tuple[Any, ...], design: str, runs: int, seed: int) -> Study:
    """Return the study of a case."""
    width, optimizer, rate, eps, _ = case
    return Study.from_dict(
        {
            "name": "designs",
            "seed": seed,
            "replicates": runs,
            "steps": 300,
            "checkpoints": [100],
            "epsilon": [eps],
            "design": design,
            "problem": {"input": {"law": "uniform", "low": 0.0, "high": 1.0}, "target": "x**2"},
            "network": {
                "hidden": [width],
                "weights": ["he_normal", {"law": "normal", "std": 0.001}],
                "biases": "zero",
            },
            "optimizer": {"name": optimizer, "learning_rate": rate},
            "training": {"batch_size": 16},
            "optimum": {"budget": 0},
        }
    )


def timed(one: Study) -> tuple[Estimate, float, float]:
    """Return the estimate, the width of an approximate interval, and the seconds.

    The seconds are those of a study whose programs are compiled and cached.
    """
    start = time.perf_counter()
    results = simulate(one)
    (estimate,) = exceedance(results, one.spec.epsilon)
    seconds = time.perf_counter() - start
    sharp = "wilson" if one.spec.design.name == "plain" else "profile-likelihood"
    (approximate,) = exceedance(results, one.spec.epsilon, interval=sharp)
    return estimate, approximate.upper - approximate.lower, seconds


def runs_for(width: float, p: float, interval: Any = clopper_pearson) -> float:
    """Return the runs whose interval has that width, with a share p of failures."""

    def excess(logs: float) -> float:
        n = float(np.exp(logs))
        low, high = interval(round(p * n), round(n), 0.95)
        return float(high - low) - width

    root: Any = optimize.brentq(excess, np.log(10), np.log(1e13))
    return float(np.exp(root))


def main(arguments: list[str]) -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks designs", description=__doc__)
    parser.add_argument("--plain", type=int, default=200_000, help="runs of the plain studies")
    parser.add_argument("--part", type=float, default=1.0, help="of the runs in strata")
    options = parser.parse_args(arguments)
    runtime.configure()
    print(processor())
    print(f"{'case':46s} {'plain':>26s} {'strata':>32s} {'z':>5s} {'s':>11s} {'ratio':>6s}")
    for case in CASES:
        for design in ("plain", "strata"):  # compiles, measures engines
            timed(study(case, design, 2000, 1))
        plain, plain_width, plain_seconds = timed(study(case, "plain", options.plain, 2))
        strata, strata_width, seconds = timed(
            study(case, "strata", int(options.part * case[-1]), 3)
        )
        z = (plain.estimate - strata.estimate) / (np.hypot(plain_width, strata_width) / 3.92)
        per_run = plain_seconds / options.plain / seconds
        ratio = per_run * runs_for(strata.upper - strata.lower, strata.estimate)
        approximate = per_run * runs_for(strata_width, strata.estimate, wilson)
        width, optimizer, _, eps, _ = case
        print(
            f"{f'x**2 on [0, 1], width {width}, {optimizer}, eps {eps:g}':46s}"
            f" {plain.estimate:.2e} [{plain.lower:.1e}, {plain.upper:.1e}]"
            f" {strata.estimate:.3e} [{strata.lower:.2e}, {strata.upper:.2e}]"
            f" {z:5.1f} {plain_seconds:5.1f} {seconds:5.1f} {ratio:6.1f}"
            f" ({approximate:.1f})",
            flush=True,
        )
