"""Facts that laws of the input declare, held against their samples: for every law there is."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsim import analyse, simulate
from jaxsim.problem.input_laws import INPUT_LAWS, UniformLaw, finite_law
from jaxsim.problem.support import Ball, Box, Points
from jaxsim.registry import build
from tests.studies import study

SPECS = {
    "uniform": {"low": [-1.0, 0.1], "high": [2.0, 0.7]},
    "uniform 1": {"low": -0.3, "high": 4.0},
    "normal": {"mean": [1.0, -2.0], "std": [0.5, 3.0]},
    "normal 1": {"mean": 2.0, "std": 0.1},
    "ball": {"radius": 1.7, "dimension": 3},
    "ball 1": {"radius": 0.7, "dimension": 1},
    "sphere": {"radius": 0.9, "dimension": 4},
    "sphere 1": {"radius": 0.3, "dimension": 1},
    "points": {"points": [[0.1, 1.0], [2.0, -0.3], [0.7, 0.7]], "weights": [1.0, 2.0, 5.0]},
}
COUNT = 20_000
# Of each Kolmogorov-Smirnov or chi-square test; there are fewer than 100.
FALSE_ALARM = 1e-9


def law_of(name):
    spec = {"law": name.split()[0], **SPECS[name]}
    return build(INPUT_LAWS, spec, "problem.input", tag="law")


def outside(law, x, eps):
    """Return whether some points [n, d], rounded in a precision, lie outside the support."""
    support, x = law.support, np.asarray(x, float)
    if isinstance(support, Box):
        low, high = np.asarray(support.low), np.asarray(support.high)
        slack = eps / 2 * np.maximum(np.abs(low), np.abs(high))
        return bool(((x < low - slack) | (x > high + slack)).any())
    if isinstance(support, Ball):
        reach = support.radius * (1 + support.draw_units * eps)
        return bool((np.linalg.norm(x, axis=1) > reach).any())
    if isinstance(support, Points):
        distance = np.abs(x[:, None, :] - support.points).max(2).min(1)
        return bool((distance > eps / 2 * np.abs(support.points).max()).any())
    return not np.isfinite(x).all()


def false_facts(law):
    """Return which of a law's declared facts its samples contradict."""
    false = set()
    draws = {}
    for dtype in ("float32", "float64"):
        x = jax.jit(law.sample, static_argnums=(1, 2))(jax.random.key(3), COUNT, dtype)
        if x.shape != (COUNT, law.dimension) or x.dtype != dtype:
            false.add("sample")
        if outside(law, x, float(jnp.finfo(dtype).eps)):
            false.add("support")
        draws[dtype] = np.asarray(x, float)
    u = np.random.default_rng(4).random((COUNT, law.unit_dimension))
    moved = law.from_unit(u)
    if moved.shape != (COUNT, law.dimension) or moved.dtype != np.float64:
        false.add("from_unit")
    if outside(law, moved, 1e-15):
        false.add("support")
    x = draws["float64"]
    rng = np.random.default_rng(5)
    directions = np.concatenate([np.eye(law.dimension), rng.normal(size=(3, law.dimension))])
    finite = finite_law(law)
    if finite is not None:
        points, weights = finite.finite
        if (weights <= 0).any() or abs(weights.sum() - 1) > 1e-14:
            false.add("finite")
        index = np.asarray(finite.sample_index(jax.random.key(6), COUNT))
        for chosen in (index, (moved[:, None] == points).all(2).argmax(1)):
            counts = np.bincount(chosen, minlength=len(points))
            if stats.chisquare(counts, COUNT * weights).pvalue < FALSE_ALARM:
                false.add("finite")
        return sorted(false)
    for w in directions:
        if stats.ks_2samp(x @ w, moved @ w).pvalue < FALSE_ALARM:
            false.add("from_unit")
    if law.density_1d is not None:
        kind, first, second = law.density_1d
        truth = stats.uniform(first, second - first) if kind == "uniform" else None
        truth = truth or stats.norm(first, second)
        if law.dimension != 1 or stats.kstest(x[:, 0], truth.cdf).pvalue < FALSE_ALARM:
            false.add("density_1d")
    # Nothing of the support is missing: samples come near both ends of every direction.
    if law.support.bounded:
        low, high = law.support.affine_range(jnp.asarray(directions.T), jnp.zeros(len(directions)))
        reached = (x @ directions.T).max(0), (x @ directions.T).min(0)
        width = np.asarray(high - low)
        if (reached[0] < high - 0.4 * width).any() or (reached[1] > low + 0.4 * width).any():
            false.add("support")
    return sorted(false)


def test_every_law_is_checked():
    assert {name.split()[0] for name in SPECS} == set(INPUT_LAWS)


@pytest.mark.parametrize("name", SPECS)
def test_declared_facts_are_true(name):
    assert false_facts(law_of(name)) == []


@dataclass(frozen=True)
class Claiming:
    """A law with some facts replaced."""

    law: object
    claims: dict

    def __getattr__(self, name):
        return self.claims[name] if name in self.claims else getattr(self.law, name)


def test_false_facts_are_found():
    one, two = law_of("uniform 1"), law_of("uniform")
    assert false_facts(Claiming(one, {"support": Box((-0.3,), (3.9,))})) == ["support"]
    assert false_facts(Claiming(two, {"support": Box((-9.0, 0.1), (9.0, 0.7))})) == ["support"]
    assert false_facts(Claiming(one, {"density_1d": ("uniform", -0.4, 4.0)})) == ["density_1d"]
    wrong = replace(one, high=(4.2,)).from_unit
    assert "from_unit" in false_facts(Claiming(one, {"from_unit": wrong}))
    three = law_of("points")
    equal = three.points, np.full(3, 1 / 3)
    assert false_facts(Claiming(three, {"finite": equal})) == ["finite"]


@dataclass(frozen=True)
class Triangle:
    """The law of (U + V) / 2 on [0, 1], as a contributor would write it."""

    dimension = 1
    unit_dimension = 2
    support = Box((0.0,), (1.0,))
    finite = None
    density_1d = None

    def sample(self, key, batch, dtype):
        return jax.random.uniform(key, (batch, 2), dtype).mean(1, keepdims=True)

    def from_unit(self, u):
        return np.asarray(u, np.float64).mean(1, keepdims=True)


def test_a_new_law_takes_a_line_in_the_registry(monkeypatch, tmp_path):
    monkeypatch.setitem(INPUT_LAWS, "triangle", Triangle)
    assert false_facts(Triangle()) == []
    changed = study(problem__input="triangle", replicates=16, steps=10, checkpoints=[])
    (one,) = analyse(simulate(changed, tmp_path / "triangle"), [0.001, 0.05]).experiments
    assert one.runs == 16
    assert isinstance(build(INPUT_LAWS, "uniform", "input", tag="law"), UniformLaw)
