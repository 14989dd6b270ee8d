"""Rare events by OpenTURNS and pyTAMS: a file that their own environment runs, without jaxsim.

    PYTHON benchmarks/rare_peers.py METHOD CASE_AS_JSON REPETITIONS SECONDS

prints JSON in its last line: estimates, cost, how often the interval that the library reports holds
the probability, and a note; or {"missing": PACKAGE}. After so many seconds no repetition begins.
"""

from __future__ import annotations

import concurrent.futures
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def openturns_event(ot, case):
    """Return the event of a case, in standard normal inputs."""
    kind, d = case["kind"], case["dimension"]
    if kind == "linear":
        score = lambda x: x.sum(1, keepdims=True) / math.sqrt(d)  # noqa: E731
        level = case["beta"]
    elif kind == "branches":
        # Each branch by its own scale: near the origin the upper one looks closer.
        def score(x):
            u = x.sum(1, keepdims=True) / math.sqrt(d)
            return np.maximum(u - case["beta"], case["steep"] * (-u - case["below"]))

        level = 0.0
    elif kind == "count":  # neurons that are dead in the end: a score with ties
        score = lambda x: (x < case["dead"]).sum(1, keepdims=True).astype(float)  # noqa: E731
        level = d - case["left"] - 0.5
    else:  # "margin": the same event by a continuous score
        score = lambda x: -np.sort(x, axis=1)[:, [d - 1 - case["left"]]]  # noqa: E731
        level = -case["dead"]
    function = ot.PythonFunction(d, 1, func_sample=lambda x: score(np.asarray(x)))
    vector = ot.CompositeRandomVector(function, ot.RandomVector(ot.Normal(d)))
    return ot.ThresholdEvent(vector, ot.Greater(), level)


class Clock:
    """Yields repetitions until they are done or the time is over."""

    def __init__(self, repetitions, seconds):
        self.asked, self.end, self.begun = repetitions, time.monotonic() + seconds, 0

    def __iter__(self):
        while self.begun < self.asked and time.monotonic() < self.end:
            self.begun += 1
            yield self.begun

    @property
    def note(self):
        """What was left out."""
        return "" if self.begun == self.asked else f"the time was over after {self.begun} of them"


def openturns(method, case, clock):
    """Subset simulation or NAIS with 1,000 points a level."""
    try:
        import openturns as ot
    except ImportError:
        return {"missing": "openturns"}
    ot.Log.Show(ot.Log.NONE)
    estimates, costs, held = [], [], []
    for r in clock:
        ot.RandomGenerator.SetSeed(r)
        event = openturns_event(ot, case)
        algorithm = ot.SubsetSampling(event) if method == "subset" else ot.NAIS(event)
        algorithm.setMaximumOuterSampling(1000)
        algorithm.setBlockSize(1)
        try:
            algorithm.run()
        except RuntimeError:
            continue
        result = algorithm.getResult()
        p = result.getProbabilityEstimate()
        half = 1.959964 * math.sqrt(max(result.getVarianceEstimate(), 0.0))
        estimates.append(p)
        costs.append(result.getOuterSampling() * result.getBlockSize())
        held.append(p - half <= case["exact"] <= p + half)
    return {
        "estimates": estimates,
        "cost": float(np.mean(costs)) if costs else math.nan,
        "covered": float(np.mean(held)) if held else None,
        "failed": clock.begun - len(estimates),
        "note": clock.note,
    }


TRAJECTORIES = 20


def pytams(case, clock):
    """TAMS with 20 trajectories, each a training.

    pyTAMS opens data bases for each of them, which takes 0.1 to 0.3 s, and stops where all are
    stuck at one score: what is left of the probability is then estimated as 0.
    """
    try:
        from pytams.tams import TAMS
    except ImportError:
        return {"missing": "pytams"}
    # A process for each trajectory would take a quarter of a second; threads run the same.
    concurrent.futures.ProcessPoolExecutor = concurrent.futures.ThreadPoolExecutor
    estimates, costs, failed, stuck = [], [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "input.toml"
        model = "\n".join(f"{k} = {case[k]}" for k in ("active", "left", "hazard"))
        settings.write_text(
            f"[tams]\nntrajectories = {TRAJECTORIES}\nnsplititer = 5000\nwalltime = 120.0\n"
            "loglevel = 'CRITICAL'\n[runner]\ntype = 'asyncio'\n"
            f"[trajectory]\nend_time = {float(case['steps'])}\nstep_size = 1.0\n"
            f"targetscore = 0.999\n[model]\n{model}\n"
        )
        for _ in clock:
            tams = TAMS(fmodel_t=Neurons, a_args=["-i", str(settings)])
            try:
                p = float(tams.compute_probability())
                if p < 0:  # out of time
                    failed += 1
                    continue
            except RuntimeError as error:
                if "stalling" not in str(error):
                    failed += 1
                    continue
                p, stuck = 0.0, stuck + 1
            estimates.append(p)
            costs.append(tams.get_database().count_computed_steps() / case["steps"])
    notes = [f"{TRAJECTORIES} trajectories", f"{stuck} died out" if stuck else "", clock.note]
    return {
        "estimates": estimates,
        "cost": float(np.mean(costs)) if costs else math.nan,
        "covered": None,
        "failed": failed,
        "note": "; ".join(note for note in notes if note),
    }


try:
    from pytams.fmodel import ForwardModelBaseClass
except ImportError:
    ForwardModelBaseClass = object


class Neurons(ForwardModelBaseClass):
    """Neurons that die one by one; see `benchmarks.rare_cases.Dying`."""

    def _init_model(self, m_id, params):
        self._model = params["model"]
        self._state = self._model["active"]
        self._rng = np.random.default_rng()

    def _advance(self, step, time, dt, noise, need_end_state):
        dies = np.asarray(noise)[: self._state] < self._model["hazard"]
        self._state = int(self._state - dies.sum())
        return dt

    def get_current_state(self):
        """Return the number of active neurons."""
        return self._state

    def set_current_state(self, state):
        """Set it."""
        self._state = int(state)

    def score(self):
        """Return the share of neurons that are dead."""
        return (self._model["active"] - self._state) / (self._model["active"] - self._model["left"])

    def make_noise(self):
        """Return what the next step needs."""
        return self._rng.random(self._model["active"])


if __name__ == "__main__":
    chosen, event = sys.argv[1], json.loads(sys.argv[2])
    allowed = Clock(int(sys.argv[3]), float(sys.argv[4]))
    answer = pytams(event, allowed) if chosen == "tams" else openturns(chosen, event, allowed)
    print(json.dumps(answer))
