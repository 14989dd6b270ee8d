"""The lower bound from the slope condition: near the optimum, never above it."""

import numpy as np
import pytest

from jaxsim.optimum.line.boxes import PLACE, VALUE, lattice, rounds
from jaxsim.optimum.line.masses import first_grid, masses_of
from jaxsim.optimum.line.slope_condition import search_slope_condition, slope_condition_bound
from jaxsim.optimum.strategy import Budget, CertificateError
from jaxsim.problem.input_laws import points
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import LabelTarget
from tests.risk.cases import make_problem

# The least risks of networks with 1, 2, ... neurons, from many searches.
OPTIMA = {
    "sin(pi*x)": (0.1595350803, 0.0334581674, 3.2742932e-3, 8.2664712e-4, 5.4537085e-4),
    "x**3": (4 / 175, 1.8506629e-3, 8.9747020e-4, 2.3982127e-4, 1.4777978e-4, 6.2349761e-5),
    "x**2": (0.0563177872, 1.0973937e-3, 6.4661799e-4, 1.4222223e-4, 9.0902727e-5, 3.7021611e-5),
    "exp(x)": (9.4950185e-3, 1.1252433e-3, 2.6483311e-4, 8.9843996e-5, 3.8077959e-5),
    "x*sin(5*x)": (0.118695757, 0.0102240781, 3.3970385e-3, 1.3311371e-3, 8.8494722e-4),
    "abs(x)": ((3 - 8**0.5) / 3,),
    "step(x)": (1 / 18,),
}


def bound(target, neurons, inflation=1.0, seconds=30.0):
    """The bound as a certificate shows it, over the least known risk."""
    problem = make_problem(target)
    grid = first_grid(problem, 120)
    optimum = OPTIMA[target][neurons - 1]

    def masses_on(edges):
        return masses_of(problem, edges)

    arrays, found, _ = search_slope_condition(
        masses_on, grid, neurons, inflation * optimum, Budget(seconds), {}
    )
    shown = slope_condition_bound(masses_on, grid, neurons, arrays)
    assert shown is not None
    assert shown == pytest.approx(found, rel=1e-3)
    return shown / optimum


@pytest.mark.parametrize(
    ("target", "neurons"), [("sin(pi*x)", 1), ("exp(x)", 1), ("x**3", 2), ("x*sin(5*x)", 2)]
)
def test_the_bound_is_near_the_optimum(target, neurons):
    assert 0.96 < bound(target, neurons) <= 1


@pytest.mark.parametrize(
    ("target", "neurons"),
    [("sin(pi*x)", 2), ("exp(x)", 1), ("abs(x)", 1), ("step(x)", 1), ("x**3", 2)],
)
def test_no_bound_is_above_the_optimum_when_its_aim_is(target, neurons):
    """With an aim at the optimum itself a wrong bound would look right."""
    assert 0.8 < bound(target, neurons, 1.8, 0.5) <= 1 + 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("target", OPTIMA)
@pytest.mark.parametrize("neurons", range(1, 7))
def test_no_bound_is_above_the_optimum_in_any_case(target, neurons):
    if neurons <= len(OPTIMA[target]):
        assert 0.1 < bound(target, neurons, 1.8, 10.0) <= 1 + 1e-8


def test_damaged_boxes_are_refused_or_show_less():
    problem = make_problem("exp(x)")
    grid = first_grid(problem, 60)

    def masses_on(edges):
        return masses_of(problem, edges)

    optimum = OPTIMA["exp(x)"][0]
    arrays, found, _ = search_slope_condition(masses_on, grid, 1, optimum, Budget(30), {})

    def shown(**changes):
        return slope_condition_bound(masses_on, grid, 1, {**arrays, **changes})

    for changes in (
        {"box_cells": arrays["box_cells"][1:]},
        {"box_cells": arrays["box_cells"][::-1]},
        {"values": arrays["values"] * np.nan},
        {"constant": arrays["constant"] + 10**6},
        {"constant": np.array([[0, 1, 0], [0, 1, 0]])},
        {"constant": np.array([[0, 1, 2]])},
        {"level": np.array([np.nan])},
    ):
        with pytest.raises(CertificateError):
            shown(**changes)
    # No level, however high, makes a bound, and few boxes make less.
    for changes, most in (
        ({"level": np.array([1.0])}, optimum),
        ({"constant": arrays["constant"][:0]}, found),
        ({"constant": arrays["constant"][:0], "values": np.array([0.0, 1.0])}, found),
    ):
        less = shown(**changes)
        assert less is not None
        assert less <= most


def test_halved_boxes_cover_what_the_whole_ones_did():
    boxes = lattice(np.array([0.0, 1.0, 2.0]), np.array([-1.0, 1.0]), (0,))
    rng = np.random.default_rng(0)
    for kind in (PLACE, VALUE, PLACE, VALUE):
        chosen = rng.permutation(len(boxes))[: len(boxes) // 2]
        boxes, parents = boxes.halved(chosen, kind)
        assert len(parents) == len(boxes)
    x, y = rng.uniform(0, 2, 2000), rng.normal(size=2000) * 3
    inside = (boxes.low <= x[:, None]) & (x[:, None] < boxes.high)
    inside &= (boxes.least <= y[:, None]) & (y[:, None] < boxes.most)
    assert (inside.sum(1) == 1).all()
    assert rounds(np.array([[0, 3, 1], [0, 5, 1], [1, 2, 0]]))[1][1] == 0


def test_points_are_bounded_closely_and_from_below():
    """Against all kinks between points, on a fine grid, and both orientations."""
    x = np.linspace(-1, 1, 15)
    y = np.abs(x) + 0.1 * np.sin(9 * x)
    base = make_problem()
    problem = Problem(points(tuple(x)), LabelTarget(y), base.loss, base.noise)
    masses = masses_of(problem, None)
    best = min(
        np.linalg.lstsq(
            np.column_stack([np.ones_like(x), np.maximum(side * (x - t), 0)]), y, rcond=None
        )[1].sum()
        for t in np.linspace(-1, 1, 2001)[1:-1]
        for side in (-1, 1)
        if (side * (x - t) > 0).sum() > 1
    ) / len(x)
    _, found, _ = search_slope_condition(lambda _: masses, x, 1, best, Budget(20), {})
    assert 0.9 * best < found <= best
    arrays, inflated, _ = search_slope_condition(lambda _: masses, x, 1, 2 * best, Budget(2), {})
    assert inflated <= best * (1 + 1e-9)
    assert slope_condition_bound(lambda _: masses, x, 1, arrays) == pytest.approx(inflated)
