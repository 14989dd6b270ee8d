"""Lower bounds for affine pieces with free knots, and the moments that they rest on."""

from itertools import combinations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.optimum.line.free_knots import knot_bound, refine_free_knots
from jaxsim.optimum.line.masses import first_grid, masses_of
from jaxsim.optimum.line.one_neuron import refine_one_kink
from jaxsim.optimum.line.segments import segment_costs, segments
from jaxsim.optimum.strategy import Budget
from jaxsim.problem.input_laws import points
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import LabelTarget
from tests.risk.cases import make_problem


def bound(problem, kinks, cells=120):
    grid = first_grid(problem, cells)
    grid, found, _ = refine_free_knots(
        lambda g: masses_of(problem, g), segment_costs, grid, kinks, Budget(60)
    )
    masses = masses_of(problem, grid)
    return masses.excess(found.square), found.attained


def test_segment_moments_agree_with_least_squares():
    problem = make_problem("sin(3*x) + 1e3")
    masses = masses_of(problem, first_grid(problem, 20))
    found = segments(masses)
    root = np.sqrt(masses.shares.ravel())
    x = ((masses.nodes - masses.centre) / masses.half).ravel()
    y = masses.targets.ravel()
    for s, e in ((0, 20), (3, 4), (7, 12)):
        part = slice(12 * s, 12 * e)
        a = np.column_stack([np.ones(12 * (e - s)), x[part]]) * root[part, None]
        # Without the mean, which would cost all digits.
        (_, slope), square, *_ = np.linalg.lstsq(a, (y[part] - 1e3) * root[part], rcond=None)
        assert found.cost[s, e] == pytest.approx(square[0], rel=1e-4)
        assert found.slope[s, e] == pytest.approx(slope, rel=1e-6)
        assert found.weight[s, e] == pytest.approx((e - s) / 20)


@pytest.mark.parametrize("kinks", [0, 1, 2, 4])
def test_parabola_is_bounded_by_its_closed_form(kinks):
    exact = 4 / 45 / (kinks + 1) ** 4
    lower, attained = bound(make_problem(), kinks)
    assert 0.99 * exact < lower <= exact < attained * (1 + 1e-12)


def test_finitely_many_points_are_exact_and_equal_inputs_are_merged():
    rng = np.random.default_rng(3)
    x = np.sort(rng.integers(-9, 10, 14)).astype(float)
    y, weights = rng.normal(size=14), rng.random(14) + 0.1
    law = points(tuple(x), tuple(weights))
    base = make_problem()
    problem = Problem(law, LabelTarget(y), base.loss, base.noise)
    masses = masses_of(problem, None)
    found = knot_bound(masses, segment_costs(masses), 2)
    distinct = np.unique(x)
    weights = weights / weights.sum()
    within = sum(
        np.cov(y[x == t], aweights=weights[x == t], ddof=0) * weights[x == t].sum()
        for t in distinct
        if (x == t).sum() > 1
    )

    def fit(inside):
        root = np.sqrt(weights[inside])
        a = np.column_stack([root, root * x[inside]])
        return (
            (a @ np.linalg.lstsq(a, root * y[inside], rcond=None)[0] - root * y[inside]) ** 2
        ).sum()

    best = min(
        fit(x <= distinct[i]) + fit((x > distinct[i]) & (x <= distinct[j])) + fit(x > distinct[j])
        for i, j in combinations(range(len(distinct) - 1), 2)
    )
    assert found.square == pytest.approx(best - within, rel=1e-9)


def test_outputs_share_their_knots():
    both = bound(make_problem(("x**2", "3*x**2")), 2)[0]
    assert both == pytest.approx(10 * bound(make_problem(), 2)[0], rel=1e-9)


def test_normal_inputs_lose_no_mass():
    """E (x^2 - best line)^2 = Var x^2 = 2."""
    lower, _ = bound(make_problem(law="normal"), 0)
    assert 2 * (1 - 1e-6) < lower <= 2


@pytest.mark.parametrize("target", ["abs(x - 0.123)", "sqrt(abs(x))", "where(x > 1/3, 1, x)"])
def test_no_fit_with_knots_is_below_the_bound(target):
    problem = make_problem(target)
    x = np.linspace(-1, 1, 40_001)
    f = np.asarray(problem.target(jnp.asarray(x)[:, None]))[:, 0]
    lower, _ = bound(problem, 2)
    rng = np.random.default_rng(0)
    least = np.inf
    for cuts in np.sort(rng.integers(100, 39_900, (300, 2)), axis=1):
        total = 0.0
        for part in np.split(np.arange(len(x)), cuts):
            line = np.polyfit(x[part], f[part], 1)
            total += ((np.polyval(line, x[part]) - f[part]) ** 2).sum()
        least = min(least, total / len(x))
    assert lower <= least * 1.001


@pytest.mark.parametrize(
    ("target", "exact"),
    [("abs(x)", (3 - 8**0.5) / 3), ("step(x)", 1 / 18), ("sin(pi*x)", 0.1595350802653385)],
)
def test_one_neuron_is_known_to_five_digits(target, exact):
    problem = make_problem(target)
    grid = first_grid(problem, 60)
    grid, found, _ = refine_one_kink(lambda g: masses_of(problem, g), grid, Budget(60))
    assert exact * (1 - 1e-4) < masses_of(problem, grid).excess(found.square) <= exact
    assert found.attained >= exact * (1 - 1e-12)
