"""Rare events with known probabilities: `python -m benchmarks rare`.

One table of cost, bias, coefficient of variation and the coverage that was measured for nominal
95 % intervals: plain sampling, strata and splitting as jaxsim has them, and the same events by
OpenTURNS (subset simulation, NAIS) and pyTAMS. The peers run in an environment of their own:

    python -m venv peers && peers/bin/pip install openturns pytams
    python -m benchmarks rare --peers peers/bin/python

Their interval is the one that follows from the variance that they report; pyTAMS reports none, and
does few repetitions of an event that is not rare: a trajectory takes it a tenth of a second or
more. No peer begins a repetition after `--peer-seconds`.
`gain` is how many times fewer trainings than plain sampling reach the same coefficient of
variation, (1 - p) / (p CoV^2 cost).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.rare_cases import (
    DESIGNS,
    NETWORKS,
    WALKS,
    Dying,
    Network,
    Row,
    Walk,
    walk_splitting,
)

BUDGET = 130_000
SCRIPT = Path(__file__).with_name("rare_peers.py")
CHAIN = Network("3 of 3 neurons die (25 %)", 3, 0.0, 0.25)
"""What pyTAMS, which starts a chain in one state, can do in a minute."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks rare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repetitions", type=int, default=10_000, help="of plain and strata")
    parser.add_argument("--families", type=int, default=40, help="repetitions of splitting")
    parser.add_argument("--peers", default=sys.executable, help="Python with the peers")
    parser.add_argument("--peer-repetitions", type=int, default=200, help="of OpenTURNS")
    parser.add_argument("--tams-repetitions", type=int, default=10, help="of pyTAMS")
    parser.add_argument("--peer-seconds", type=float, default=150, help="for a row of a peer")
    parser.add_argument("--budget", type=int, default=BUDGET, help="trainings of a repetition")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    figures = []
    print(HEADER)
    for row in rows(options):
        figures.append(summary(row))
        print(line(figures[-1]), flush=True)
    if options.json:
        from benchmarks.machine import machine

        options.json.write_text(json.dumps(machine() | {"rows": figures}, indent=2) + "\n")


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of the table."""
    for case in NETWORKS:
        if options.only in case.name:
            for name, design in DESIGNS.items():
                count = options.families if name == "splitting" else options.repetitions
                if count:
                    yield design(case, options.budget, count, 1)
            yield from _network_peers(case, options)
    for name, walk in WALKS.items():
        if options.only in name:
            if options.families:
                # A quarter: that is enough, and a family of 21 steps takes milliseconds.
                yield walk_splitting(name, options.budget // 4, options.families, 1)
            yield from _walk_peers(name, walk, options)
    if options.only in CHAIN.name:
        if options.families:
            yield DESIGNS["splitting"](CHAIN, options.budget // 10, options.families, 1)
        chain = Dying(CHAIN.neurons, CHAIN.q)
        steps = chain.checkpoints - 1
        hazard = -math.expm1(math.log1p(-CHAIN.q) / steps)
        event = {"steps": steps, "hazard": hazard, "active": CHAIN.neurons, "left": CHAIN.left}
        yield from _peer("tams", "pyTAMS", CHAIN.name, CHAIN.exact, event, options)


def _network_peers(case: Network, options: argparse.Namespace) -> Iterator[Row]:
    """All neurons at once: each is dead in the end if its normal input is below a quantile."""
    dead = float(stats.norm.ppf(case.dead + (1 - case.dead) * case.q))
    event = {"dimension": case.neurons, "dead": dead, "left": case.left}
    for kind in ("count", "margin"):
        method = f"OpenTURNS subset, {kind}"
        yield from _peer("subset", method, case.name, case.exact, event | {"kind": kind}, options)


def _walk_peers(name: str, walk: Walk, options: argparse.Namespace) -> Iterator[Row]:
    spread = math.sqrt(walk.checkpoints - 1)
    event: dict[str, Any] = {"dimension": walk.checkpoints - 1, "beta": walk.level / spread}
    if math.isfinite(walk.below):
        steep = 1.0 if name == "two branches" else 10.0
        event |= {"kind": "branches", "below": -walk.below / spread, "steep": steep}
    else:
        event |= {"kind": "linear"}
    for short, method in (("subset", "OpenTURNS subset"), ("nais", "OpenTURNS NAIS")):
        yield from _peer(short, method, name, walk.exact, event, options)


def _peer(
    short: str,
    method: str,
    case: str,
    exact: float,
    event: dict[str, Any],
    options: argparse.Namespace,
) -> Iterator[Row]:
    """Yield the row of a peer, or one that says why there is none."""
    count = options.tams_repetitions if short == "tams" else options.peer_repetitions
    if not count:
        return
    asked = json.dumps(event | {"exact": exact})
    seconds = options.peer_seconds
    words = [os.path.abspath(options.peers), str(SCRIPT.resolve()), short, asked, str(count)]
    # pyTAMS leaves a data base where it runs, and may wait for one that is gone.
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [*words, str(seconds)], cwd=folder, capture_output=True, text=True, check=False,
                timeout=2 * seconds + 120,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            note = f"did not end in {2 * seconds + 120:.0f} s"
            yield Row(case, method, exact, math.nan, [], {}, note)
            return
    found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    if "estimates" not in found:
        missing = found.get("missing")
        note = f"{missing} is not installed" if missing else done.stderr.strip()[-200:]
        yield Row(case, method, exact, math.nan, [], {}, note)
        return
    covered = {} if found["covered"] is None else {"reported variance": found["covered"]}
    failed = f"{found['failed']} of {count} gave no number" if found["failed"] else ""
    note = "; ".join(part for part in (failed, found["note"]) if part)
    yield Row(case, method, exact, found["cost"], found["estimates"], covered, note)


def summary(row: Row) -> dict[str, Any]:
    """Return what the table shows of a row."""
    values = np.array(row.estimates)
    result: dict[str, Any] = row._asdict() | {"repetitions": len(values)}
    del result["estimates"]
    if not len(values):
        return result
    spread = values.std(ddof=1) if len(values) > 1 else math.nan
    variation = float(spread / row.exact)
    efficiency = variation**2 * row.cost * row.exact
    return result | {
        "bias": float(values.mean() / row.exact - 1),
        "bias_error": float(variation / math.sqrt(len(values))),
        "median": float(np.median(values) / row.exact),
        "variation": variation,
        "gain": (1 - row.exact) / efficiency if efficiency > 0 else math.inf,
    }


HEADER = (
    f"{'case':35s} {'method':27s} {'p':>8s} {'cost':>8s} {'reps':>6s} {'bias':>16s} "
    f"{'median/p':>8s} {'CoV':>7s} {'gain':>8s}  coverage of nominal 95 %"
)


def line(figures: dict[str, Any]) -> str:
    """Return a line of the table."""
    start = f"{figures['case']:35s} {figures['method']:27s} {figures['exact']:8.2g}"
    if not figures["repetitions"]:
        return f"{start} {figures['note']}"
    bias = f"{figures['bias']:+.3f} +- {figures['bias_error']:.3f}"
    covered = ", ".join(f"{v:.2%} {k}" for k, v in figures["covered"].items()) or "no interval"
    note = f"; {figures['note']}" if figures["note"] else ""
    return (
        f"{start} {figures['cost']:8.3g} {figures['repetitions']:6d} {bias:>16s} "
        f"{figures['median']:8.3g} {figures['variation']:7.3g} {figures['gain']:8.2g}  "
        f"{covered}{note}"
    )
