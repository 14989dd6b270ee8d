"""Rare events whose probability is known exactly, and how jaxsim's designs estimate them.

Networks of N neurons, each inactive at the start with probability `dead`; an active one dies in
training with probability `q`, step by step. A run fails if at most `left` neurons are alive in the
end. Sums of standard normal steps, which fail beyond a level, are the linear limit state of
reliability analysis in as many dimensions as there are steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import stats

from jaxsim.design.allocation import allocate
from jaxsim.design.families import plan_families
from jaxsim.design.resampling import Process, run_family
from jaxsim.design.twist import Twist, fit_model, make_twist
from jaxsim.estimation import Families, StratifiedCounts, families_resolved, stratified
from jaxsim.estimation.families import minor_families
from jaxsim.launch.budget import usual_pilot

PARTICLES = 256
"""Of a family, as a study has by its width."""
METHODS = ("clopper-pearson", "mover", "profile-likelihood")


@dataclass(frozen=True)
class Dying:
    """A network that starts with `active` neurons, or each of them with probability `start`."""

    active: int
    q: float
    left: int = 0
    checkpoints: int = 25

    def init(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return the states at the start."""
        return np.full(count, self.active)

    def advance(self, states: np.ndarray, checkpoint: int, rng: np.random.Generator) -> np.ndarray:
        """Return the states at the next checkpoint."""
        hazard = -math.expm1(math.log1p(-self.q) / (self.checkpoints - 1))
        return states - rng.binomial(states, hazard)

    def score(self, states: np.ndarray, checkpoint: int) -> np.ndarray:
        """Return what families are resampled by."""
        return states

    def fails(self, states: np.ndarray, checkpoint: int) -> np.ndarray:
        """Return which states are in the event."""
        return states <= self.left


@dataclass(frozen=True)
class Walk:
    """Sums of standard normal steps: fails beyond `level`, and below `below`."""

    level: float
    checkpoints: int = 21
    below: float = -math.inf
    scores: int = field(default=400, repr=False)

    def init(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return the states at the start."""
        return np.zeros(count)

    def advance(self, states: np.ndarray, checkpoint: int, rng: np.random.Generator) -> np.ndarray:
        """Return the states at the next checkpoint."""
        return states + rng.standard_normal(len(states))

    def score(self, states: np.ndarray, checkpoint: int) -> np.ndarray:
        """Return what families are resampled by."""
        return np.clip(np.floor(4 * states).astype(int) + self.scores // 2, 0, self.scores - 1)

    def fails(self, states: np.ndarray, checkpoint: int) -> np.ndarray:
        """Return which states are in the event."""
        return (states > self.level) | (states < self.below)

    def twist(self, both: bool) -> Twist:
        """Return the functions log P(beyond the level in the end | score), and of below."""
        middle = (np.arange(self.scores) - self.scores // 2 + 0.5) / 4
        spread = np.sqrt(np.maximum(np.arange(self.checkpoints)[::-1], 0.25))[:, None]
        functions = [stats.norm.logsf((self.level - middle) / spread)]
        if both:
            functions.append(stats.norm.logcdf((self.below - middle) / spread))
        return make_twist(np.stack(functions))

    @property
    def exact(self) -> float:
        """The probability."""
        spread = math.sqrt(self.checkpoints - 1)
        return float(stats.norm.sf(self.level / spread) + stats.norm.cdf(self.below / spread))


@dataclass(frozen=True)
class Network:
    """N neurons; `name` as facts and tables have it."""

    name: str
    neurons: int
    dead: float
    q: float
    left: int = 0

    @property
    def weights(self) -> np.ndarray:
        """Of the strata by inactive neurons at the start, [N + 1]."""
        return stats.binom.pmf(np.arange(self.neurons + 1), self.neurons, self.dead)

    @property
    def frequencies(self) -> np.ndarray:
        """Failure probabilities of the strata, [N + 1]."""
        active = self.neurons - np.arange(self.neurons + 1)
        return stats.binom.cdf(self.left, active, 1 - self.q)

    @property
    def decided(self) -> np.ndarray:
        """Strata that fail for certain, [N + 1]."""
        return np.arange(self.neurons + 1) >= self.neurons - self.left

    @property
    def exact(self) -> float:
        """The probability."""
        return float(self.weights @ self.frequencies)


NETWORKS = (
    Network("A1: N=20, 25 % inactive, 8.8 % die", 20, 0.25, 0.088),
    Network("A2: N=20, 31 % inactive, 1 % die", 20, 0.3093, 0.01),
    Network("A3: N=40, 50 % inactive, 0.2 % die", 40, 0.5, 0.002),
    Network("N=10, 25 % inactive, 2 % die", 10, 0.25, 0.02),
    Network("N=12, 25 % inactive, 5 % die", 12, 0.25, 0.05),
    Network("at most 3 of 20 alive, 25 %, 1 %", 20, 0.25, 0.01, 3),
)
WALKS = {
    "linear, 20 dimensions, 1e-6": Walk(4.753424 * math.sqrt(20)),
    "linear, 20 dimensions, 1e-12": Walk(7.034484 * math.sqrt(20)),
    "two branches": Walk(5.0 * math.sqrt(20), below=-5.0 * math.sqrt(20)),
    "onion: the score leads away": Walk(5.0 * math.sqrt(20), below=-3.5 * math.sqrt(20)),
}


class Row(NamedTuple):
    """One method at one case.

    Attributes:
        case: its name.
        method: its name.
        exact: the probability.
        cost: trainings, or paths, a repetition takes on average.
        estimates: of the repetitions, [R].
        covered: share of repetitions whose nominal 95 % interval holds the probability, by the name
            of the interval; none where a method gives none.
        note: what else was seen.
    """

    case: str
    method: str
    exact: float
    cost: float
    estimates: list[float]
    covered: dict[str, float]
    note: str = ""


def plain(case: Network, budget: int, repetitions: int, seed: int) -> Row:
    """Independent runs, Clopper-Pearson."""
    rng = np.random.default_rng((seed, 1))
    x = rng.binomial(budget, case.exact, repetitions)[None]
    fate = np.zeros(x.shape, np.int8)
    s = stratified(StratifiedCounts(np.ones(1), np.zeros(1), x, x, np.array([budget]), fate), 0.95)
    covered = {"clopper-pearson": _share(s.lower, s.upper, case.exact)}
    return Row(case.name, "plain", case.exact, budget, s.estimate.tolist(), covered)


def strata(case: Network, budget: int, repetitions: int, seed: int, pilots: int = 200) -> Row:
    """Strata by inactive neurons, allocated by a pilot that counts in no estimate.

    `pilots` pilots have repetitions / pilots repetitions each: intervals are computed together.
    """
    rng = np.random.default_rng((seed, 2))
    pilots = min(pilots, repetitions)
    each = -(-repetitions // pilots)
    size, open_ = _pilot(case, budget), ~case.decided
    estimates, held, costs = [], {m: [] for m in METHODS}, []
    for _ in range(pilots):
        runs, failures = np.where(open_, size, 0), rng.binomial(size, case.frequencies)
        n = _allocated(case, budget - runs.sum(), np.where(open_, failures, 0), runs)
        x = rng.binomial(n[:, None], case.frequencies[:, None], (len(n), each))
        table = _table(case, x, n)
        costs.append(int(runs.sum() + n.sum()))
        found = {method: stratified(table, 0.95, method) for method in METHODS}
        for method, s in found.items():
            held[method].append(_share(s.lower, s.upper, case.exact))
        estimates.append(found[METHODS[0]].estimate)
    covered = {m: float(np.mean(v)) for m, v in held.items()}
    values = np.concatenate(estimates).tolist()
    return Row(case.name, "strata", case.exact, float(np.mean(costs)), values, covered)


def splitting(case: Network, budget: int, repetitions: int, seed: int) -> Row:
    """Families of clones in the strata whose pilots hardly fail, independent runs in the others."""
    size, open_ = _pilot(case, budget), ~case.decided
    estimates, lower, upper, rigorous, resolved, costs = [], [], [], [], [], []
    for r in range(repetitions):
        words = (seed, 3, r)
        active = case.neurons - np.arange(case.neurons + 1)
        flat = make_twist(np.zeros((25, case.neurons + 1)), 0)
        members = np.flatnonzero(open_)
        pilot = [
            run_family(Dying(int(active[k]), case.q, case.left), flat, (*words, 0, int(k)), size)
            for k in members
        ]
        scores = np.concatenate([p.scores for p in pilot])
        failed = np.concatenate([p.fails[:, -1] for p in pilot])[None]
        failures = np.zeros(len(active), np.int64)
        failures[members] = [p.fails[:, -1].sum() for p in pilot]
        runs = np.where(open_, size, 0)
        model = fit_model(scores, failed, case.neurons)
        twist = model.twist
        left = budget - int(runs.sum())
        plan = plan_families(
            model=model,
            weights=case.weights,
            cost=np.ones(len(runs)),
            active=active,
            failures=failures[:, None],
            runs=runs,
            decided=case.decided[:, None],
            budget=left,
            size=PARTICLES,
        )
        families, guards = plan.families, plan.guards
        left -= int(families.sum() + guards.sum()) * PARTICLES
        n = _allocated(case, left, failures, runs, plan.runs)
        rng = np.random.default_rng((*words, 1))
        x = rng.binomial(n, case.frequencies)
        entries = []
        parts, values, guard = np.where(open_, x / np.maximum(n, 1), 1.0), {}, {}
        for k in np.flatnonzero(families):
            process = Dying(int(active[k]), case.q, case.left)
            values[k] = _families(process, twist, (*words, 2, int(k)), families[k])
            guard[k] = _families(process, twist.reverse, (*words, 3, int(k)), guards[k])
            parts[k] = values[k].mean()
        whole = case.weights @ parts
        for k in values:
            minor = minor_families(float(case.weights[k]), values[k], whole)
            doubt = families_resolved(values[k], guard[k], x[k], n[k], minor)
            entries.append(Families(int(k), values[k], doubt.resolved))
            resolved.append(bool(doubt.resolved))
        s = stratified(_table(case, x, n), 0.95, families=entries)
        estimates.append(float(s.estimate))
        lower.append(float(s.lower))
        upper.append(float(s.upper))
        rigorous.append(float(s.upper_rigorous))
        costs.append(int(runs.sum() + n.sum() + (families + guards).sum() * PARTICLES))
    covered = {
        "betting lower, approximate upper": _share(lower, upper, case.exact),
        "betting lower, guaranteed upper": _share(lower, rigorous, case.exact),
    }
    note = f"{np.mean(resolved):.0%} of the families' strata resolved" if resolved else ""
    cost = float(np.mean(costs))
    return Row(case.name, "strata + splitting", case.exact, cost, estimates, covered, note)


def walk_splitting(name: str, budget: int, repetitions: int, seed: int) -> Row:
    """Families of clones of a walk, towards its level, and guards the other way."""
    walk = WALKS[name]
    families = budget // PARTICLES
    guards = max(families // 5, 4)
    twist = walk.twist(both=name == "two branches")
    none = np.zeros(1, np.int64)
    estimates, lower, upper, resolved = [], [], [], []
    for r in range(repetitions):
        values = _families(walk, twist, (seed, 4, r), families - guards)
        guard = _families(walk, twist.reverse, (seed, 5, r), guards)
        doubt = families_resolved(values, guard)
        table = StratifiedCounts(np.ones(1), np.zeros(1), none, none, none, none.astype(np.int8))
        s = stratified(table, 0.95, families=[Families(0, values, doubt.resolved)])
        estimates.append(float(values.mean()))
        lower.append(float(s.lower))
        upper.append(float(s.upper))
        resolved.append(bool(doubt.resolved))
    covered = {"betting lower, approximate upper": _share(lower, upper, walk.exact)}
    note = f"{np.mean(resolved):.0%} resolved"
    cost = families * PARTICLES
    return Row(name, "splitting, functions given", walk.exact, cost, estimates, covered, note)


DESIGNS: dict[str, Callable[[Network, int, int, int], Row]] = {
    "plain": plain, "strata": strata, "splitting": splitting,
}  # fmt: skip


def _families(process: Process, twist: Twist, words: tuple[int, ...], count: int) -> np.ndarray:
    """Return the estimates of independent families, [count]."""
    one = (run_family(process, twist, (*words, i), PARTICLES) for i in range(int(count)))
    return np.array([family.estimates[-1] for family in one])


def _pilot(case: Network, budget: int) -> int:
    return usual_pilot(budget, int((~case.decided).sum()))


def _allocated(
    case: Network,
    left: int,
    failures: np.ndarray,
    runs: np.ndarray,
    worth: np.ndarray | None = None,
) -> np.ndarray:
    return allocate(
        weights=case.weights,
        cost=np.ones(len(runs)),
        failures=failures[:, None],
        runs=runs,
        decided=case.decided[:, None],
        budget=int(left),
        worth=worth,
    )


def _table(case: Network, x: np.ndarray, runs: np.ndarray) -> StratifiedCounts:
    fate = np.zeros(x.shape, np.int8)
    fate[case.decided] = 1
    weights = case.weights
    return StratifiedCounts(weights, np.full(len(runs), 1e-14) * weights, x, x, runs, fate)


def _share(lower: object, upper: object, exact: float) -> float:
    return float(np.mean((np.asarray(lower) <= exact) & (exact <= np.asarray(upper))))
