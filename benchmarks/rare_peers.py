"""Rare events by OpenTURNS and pyTAMS: a file that their own environment runs, without jaxsim.

    PYTHON benchmarks/rare_peers.py METHOD CASE_AS_JSON REPETITIONS SECONDS

prints JSON in its last line: estimates, cost, how often the interval that the library reports holds
the probability, and a note; or {"missing": PACKAGE}. After so many seconds no repetition begins.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import math
import subprocess
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


TRAJECTORIES, LIMIT = 20, 60.0


def pytams(case, clock):
    """TAMS with 20 trajectories, each a training.

    pyTAMS opens data bases for each of them, which takes 0.1 to 0.3 s. A repetition is a process,
    which is ended after a minute: some do not end by themselves.
    """
    if importlib.util.find_spec("pytams") is None:
        return {"missing": "pytams"}
    estimates, costs, failed, waiting, stuck = [], [], 0, 0, 0
    for _ in clock:
        words = [sys.executable, __file__, "tams once", json.dumps(case), "1", "0"]
        with tempfile.TemporaryDirectory() as folder:
            try:
                done = subprocess.run(
                    words, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT
                )
            except subprocess.TimeoutExpired:
                waiting += 1
                continue
        if done.returncode:
            failed += 1
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        estimates.append(found["estimate"])
        costs.append(found["cost"])
        stuck += found["stuck"]
    notes = [
        f"{TRAJECTORIES} trajectories",
        f"{stuck} died out, which is 0" if stuck else "",
        f"{waiting} did not end in {LIMIT:.0f} s" if waiting else "",
        clock.note,
    ]
    return {
        "estimates": estimates,
        "cost": float(np.mean(costs)) if costs else math.nan,
        "covered": None,
        "failed": failed,
        "note": "; ".join(note for note in notes if note),
    }


def pytams_once(case):
    """One repetition. Where all trajectories are stuck at one score, the estimate is 0."""
    from pytams.tams import TAMS

    # A process for each trajectory would take a quarter of a second; threads run the same.
    concurrent.futures.ProcessPoolExecutor = concurrent.futures.ThreadPoolExecutor
    model = "\n".join(f"{k} = {case[k]}" for k in ("active", "left", "hazard"))
    Path("input.toml").write_text(
        f"[tams]\nntrajectories = {TRAJECTORIES}\nnsplititer = 5000\nwalltime = {LIMIT}\n"
        "loglevel = 'ERROR'\n[runner]\ntype = 'asyncio'\n"
        f"[trajectory]\nend_time = {float(case['steps'])}\nstep_size = 1.0\n"
        f"targetscore = 0.999\n[model]\n{model}\n"
    )

    class Ending(TAMS):
        """Ends as soon as nothing is left to restart."""

        def get_restart_at_random(self, min_idx_list):
            if len(min_idx_list) == self.n_traj():
                del min_idx_list[1:]
            return super().get_restart_at_random(min_idx_list)

    tams, stuck = Ending(fmodel_t=Neurons, a_args=["-i", "input.toml"]), False
    try:
        p = float(tams.compute_probability())
    except RuntimeError as error:
        if "stalling" not in str(error):
            raise
        p, stuck = 0.0, True
    if p < 0:
        raise SystemExit("out of time")
    cost = tams.get_database().count_computed_steps() / case["steps"]
    return {"estimate": p, "cost": cost, "stuck": stuck}


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
    if chosen == "tams once":
        answer = pytams_once(event)
    else:
        answer = pytams(event, allowed) if chosen == "tams" else openturns(chosen, event, allowed)
    print(json.dumps(answer))
