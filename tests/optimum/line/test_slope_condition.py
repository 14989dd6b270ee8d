"""The lower bound from the slope condition: near the optimum, never above it."""

import numpy as np
import pytest

from jaxsim.optimum.line.branching import Tree
from jaxsim.optimum.line.masses import first_grid, masses_of
from jaxsim.optimum.line.pieces import Pieces
from jaxsim.optimum.line.slope_condition import search_slope_condition, slope_condition_bound
from jaxsim.optimum.line.slope_families import CONSTANT, COUPLED
from jaxsim.optimum.line.squared import search_lower, verify_lower
from jaxsim.optimum.strategy import Budget, CertificateError
from jaxsim.problem.input_laws import points
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import LabelTarget
from tests.risk.cases import make_network, make_problem

# The least risks of networks with 1, 2, ... neurons, from many searches.
OPTIMA = {
    "sin(pi*x)": (0.1595350803, 0.0334581674, 3.2742932e-3, 8.2664712e-4, 5.4537085e-4),
    "x**3": (4 / 175, 1.8506629e-3, 8.9747020e-4, 2.3982127e-4, 1.4777978e-4, 6.2349761e-5),
    "x**2": (
        0.0563177872,
        1.0973937e-3,
        6.4661799e-4,
        1.4222223e-4,
        9.0902727e-5,
        3.7021611e-5,
        2.5443693e-5,
    ),
    "exp(x)": (
        9.4950185e-3,
        1.1252433e-3,
        2.6483311e-4,
        8.9843996e-5,
        3.8077959e-5,
        1.8717270e-5,
        1.0222175e-5,
        6.0382907e-6,
    ),
    "x*sin(5*x)": (0.118695757, 0.0102240781, 3.3970385e-3, 1.3311371e-3, 8.8494722e-4),
    "abs(x)": ((3 - 8**0.5) / 3,),
    "step(x)": (1 / 18,),
}


def bound(target, neurons, inflation=1.0, seconds=30.0):
    """The bound as a certificate shows it, over the least known risk."""
    problem = make_problem(target)
    optimum = OPTIMA[target][neurons - 1]

    def masses_on(edges):
        return masses_of(problem, edges)

    arrays, found, _ = search_slope_condition(
        masses_on, first_grid(problem, 120), neurons, inflation * optimum, Budget(seconds), {}
    )
    shown = slope_condition_bound(masses_on, neurons, arrays)
    assert shown is not None
    assert shown[0] == pytest.approx(found, rel=1e-6)
    return shown[0] / optimum


@pytest.mark.parametrize(
    ("target", "neurons"),
    [
        ("sin(pi*x)", 2),
        ("exp(x)", 1),
        pytest.param("x**3", 2, marks=pytest.mark.slow),
        pytest.param("x*sin(5*x)", 3, marks=pytest.mark.slow),
        ("x**2", 5),
    ],
)
def test_the_bound_is_near_the_optimum(target, neurons):
    assert 0.97 < bound(target, neurons) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "neurons", "least"),
    [
        ("x**3", 3, 0.89),
        ("x**2", 7, 0.94),
        ("exp(x)", 4, 0.97),
        ("exp(x)", 7, 0.89),
        ("exp(x)", 8, 0.89),
    ],
)
def test_the_bound_is_near_the_optimum_in_hard_cases(target, neurons, least):
    assert least < bound(target, neurons, seconds=60.0) <= 1


@pytest.mark.parametrize(
    ("target", "neurons"),
    [
        pytest.param("exp(x)", 1, marks=pytest.mark.slow),
        pytest.param("x**3", 2, marks=pytest.mark.slow),
        ("x*sin(5*x)", 1),
        pytest.param("x**2", 2, marks=pytest.mark.slow),
    ],
)
def test_no_bound_is_above_the_optimum_when_its_aim_is(target, neurons):
    """With an aim at the optimum itself a wrong bound would look right."""
    assert 0.5 < bound(target, neurons, 1.8, 3.0) <= 1 + 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("target", OPTIMA)
@pytest.mark.parametrize("neurons", range(1, 9))
def test_no_bound_is_above_the_optimum_in_any_case(target, neurons):
    if neurons <= len(OPTIMA[target]):
        assert 0.1 < bound(target, neurons, 1.8, 10.0) <= 1 + 1e-8


def test_no_network_is_below_the_bound_of_its_own_family():
    """Networks of random kinks and the best output layer, by least squares on many points."""
    problem, knots = make_problem("x*sin(5*x)"), 3
    goal = 2 * OPTIMA["x*sin(5*x)"][knots - 1]
    masses = masses_of(problem, first_grid(problem, 80))
    pieces = Pieces(masses, knots, goal)
    x = (np.arange(2000) + 0.5) / 1000 - 1
    y = x * np.sin(5 * x)
    rng = np.random.default_rng(0)
    best = {CONSTANT: np.inf, COUPLED: np.inf}
    for _ in range(1500):
        t = np.sort(np.array([-0.48, 0.02, 0.48]) + 0.15 * rng.normal(size=knots))
        left = rng.random(knots) < 0.5
        features = np.maximum(np.where(left, -1, 1) * (x[:, None] - t), 0)
        features = np.column_stack([np.ones_like(x), features])
        value = np.linalg.lstsq(features, y, rcond=None)[0]
        first = CONSTANT if (np.diff(left.astype(int)) <= 0).all() else COUPLED
        best[first] = min(best[first], float(np.mean((features @ value - y) ** 2)))
    for family, least in best.items():
        tree = Tree(family, knots)
        tree.raised(pieces, goal, Budget(20.0))
        shown = min(tree.evaluate(pieces), goal)
        assert len(tree.leaves) > 1
        assert 0.3 * least < shown <= least


def test_a_search_goes_on_from_its_arrays():
    problem, optimum = make_problem("exp(x)"), OPTIMA["exp(x)"][1]

    def masses_on(edges):
        return masses_of(problem, edges)

    def search(seconds, begin):
        grid = first_grid(problem, 60)
        return search_slope_condition(masses_on, grid, 2, optimum, Budget(seconds), begin)

    arrays, nothing, finished = search(0.0, {})
    assert not finished
    assert nothing == 0
    arrays, found, finished = search(30.0, arrays)
    assert finished
    assert found > 0.97 * optimum
    again, same, finished = search(0.0, arrays)
    assert same == pytest.approx(found)
    assert again.keys() == arrays.keys()


def test_damaged_regions_are_refused_or_show_less():
    problem = make_problem("exp(x)")

    def masses_on(edges):
        return masses_of(problem, edges)

    optimum = OPTIMA["exp(x)"][1]
    grid = first_grid(problem, 60)
    arrays, found, _ = search_slope_condition(masses_on, grid, 2, optimum, Budget(30), {})

    def shown(**changes):
        return slope_condition_bound(masses_on, 2, {**arrays, **changes})

    splits = arrays["coupled_splits"]
    assert len(splits)
    two = np.array([[0, 0, 0, 0.0], [0, 0, 1, 0.0]])
    for changes in (
        {"coupled_grid": arrays["coupled_grid"][::-1]},
        {"coupled_splits": splits[1:]},
        {"coupled_splits": splits[:, :3]},
        {"coupled_splits": splits * np.nan},
        {"coupled_splits": two},
        {"coupled_splits": np.array([[0, 7, 0, 0.0]])},
        {"coupled_splits": np.array([[0, 0, 5, 0.0]])},
        {"coupled_splits": np.array([[0, 1, 0, 9.0]])},
        {"coupled_multipliers": arrays["coupled_multipliers"][:, :-1]},
        {"coupled_multipliers": arrays["coupled_multipliers"] * np.nan},
        {"coupled_goal": np.array([np.nan])},
    ):
        with pytest.raises(CertificateError):
            shown(**changes)
    # No goal, however high, makes a bound, and other multipliers make less.
    for changes in (
        {"coupled_goal": np.array([1.0]), "constant_goal": np.array([1.0])},
        {"coupled_multipliers": 0 * arrays["coupled_multipliers"]},
        {"constant_multipliers": 7 + arrays["constant_multipliers"]},
    ):
        less = shown(**changes)
        assert less is not None
        assert less[0] <= found
    assert slope_condition_bound(masses_on, 2, {}) is None


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
    shown = slope_condition_bound(lambda _: masses, 1, arrays)
    assert shown is not None
    assert shown[0] == pytest.approx(inflated)


@pytest.mark.parametrize(
    ("target", "neurons", "optimum", "least"),
    [
        ("1000 + x**2", 3, 6.4661799e-4, 0.97),
        ("1/(1 + 25*x**2)", 4, 3.783215e-4, 0.97),
        ("abs(abs(x) - 0.5)", 2, 0.012627564, 0.97),
        # A jump is two kinks that approach each other.
        pytest.param("where(x < 0.2, x**2, 2 - x)", 3, 5.942e-4, 0.55, marks=pytest.mark.slow),
    ],
)
def test_targets_with_an_offset_a_peak_kinks_and_a_jump(target, neurons, optimum, least):
    """Against the best networks of long searches."""
    problem, network = make_problem(target), make_network(1, neurons, 1)
    arrays, _ = search_lower(problem, network, optimum, Budget(4.0), {})
    shown = max(b.value for b in verify_lower(problem, network, arrays))
    assert least < shown / optimum <= 1 + 1e-6
