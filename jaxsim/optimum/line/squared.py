"""Lower ends for the squared loss: which bounds serve a network, their partitions, their check."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxsim.evidence import Bound, Evidence
from jaxsim.network.network import Network
from jaxsim.optimum.line.free_knots import knot_bound, refine_free_knots
from jaxsim.optimum.line.function_class import FunctionClass, function_class
from jaxsim.optimum.line.masses import Masses, first_grid, line_ends, masses_of
from jaxsim.optimum.line.one_neuron import one_kink_bound, refine_one_kink
from jaxsim.optimum.line.segments import segment_costs
from jaxsim.optimum.line.slope_condition import (
    GOALS,
    search_slope_condition,
    slope_condition_bound,
)
from jaxsim.optimum.strategy import Budget, CertificateError
from jaxsim.problem.problem import Problem
from jaxsim.risk.constants import bayes_risk

Arrays = Mapping[str, np.ndarray]
FIRST_CELLS = 150
MOST_PLAIN = 2400
_ZERO = 1e-7
_LEAST_POINTS, _MOST_POINTS = 3, 2000
_MOST_WITH_CONDITION = 600
MOST_CELLS = 4000
"""Of a certificate that is read."""


def search_lower(
    problem: Problem, network: Network, level: float | None, budget: Budget, begin: Arrays
) -> tuple[dict[str, np.ndarray], bool]:
    """Return the partitions of all bounds that serve a network, and whether all are finished.

    Args:
        problem: with one input and the squared loss.
        network: piecewise linear.
        level: excess risk that a network attains; None if none is known.
        budget: of the search.
        begin: partitions to go on from.
    """
    family = function_class(network)
    arrays: dict[str, np.ndarray] = {}
    if problem.law.finite is not None:
        return _search_points(problem, network, family, level, budget, begin)
    start = begin.get("grid")
    grid = first_grid(problem, FIRST_CELLS) if start is None else checked_grid(problem, start)

    def masses_on(grid: np.ndarray) -> Masses:
        return masses_of(problem, grid)

    if family.neurons == 1:
        one = begin.get("one_grid", grid)
        arrays["one_grid"], _, finished = refine_one_kink(masses_on, one, budget)
        arrays["grid"] = grid
        return arrays, finished
    condition = _has_slope_condition(family, network)
    part = budget.share(0.3) if condition else budget
    most = _MOST_WITH_CONDITION if condition else MOST_PLAIN
    arrays["grid"], bound, finished = refine_free_knots(
        masses_on, segment_costs, grid, max(family.kinks, 0), part, most
    )
    # Steps are approached, not attained: whatever a network leaves of them is no level.
    if not condition or level is None or level <= _ZERO * masses_of(problem, grid).variance:
        return arrays, finished
    if bound.square >= GOALS[-1] * level:
        return arrays, finished
    base = first_grid(problem, FIRST_CELLS)
    regions, _, ended = search_slope_condition(
        masses_on, base, family.neurons, level, budget, begin
    )
    arrays.update(regions)
    return arrays, finished and ended


def _search_points(
    problem: Problem,
    network: Network,
    family: FunctionClass,
    level: float | None,
    budget: Budget,
    begin: Arrays,
) -> tuple[dict[str, np.ndarray], bool]:
    """Return regions for the slope condition; free knots need no partition of points."""
    masses = masses_of(problem, None)
    few = not _LEAST_POINTS <= len(masses.weight) <= _MOST_POINTS
    if few or level is None or not family.neurons or network.outputs != 1:
        return {}, True
    if _plain(masses, family) >= GOALS[-1] * level or level <= masses.negligible:
        return {}, True
    regions, _, finished = search_slope_condition(
        lambda _: masses, distinct_inputs(problem), family.neurons, level, budget, begin
    )
    return regions, finished


def distinct_inputs(problem: Problem) -> np.ndarray:
    """Return the distinct inputs of a law of finitely many, increasing."""
    assert problem.law.finite is not None
    return np.unique(problem.law.finite[0][:, 0])


def _has_slope_condition(family: FunctionClass, network: Network) -> bool:
    return family.neurons > 1 and network.outputs == 1


def verify_lower(problem: Problem, network: Network, arrays: Arrays) -> tuple[Bound, ...]:
    """Return the lower bounds that partitions show.

    Raises:
        CertificateError: for arrays that are no partitions of the line.
    """
    if "box_cells" in arrays:
        raise CertificateError("it is of an earlier version, whose bounds were weaker")
    family = function_class(network)
    grid = None
    if problem.law.finite is None:
        if "grid" not in arrays:
            return ()
        grid = checked_grid(problem, arrays["grid"])
    masses = masses_of(problem, grid)
    bounds = [_with_bayes(problem, masses, _plain(masses, family), _reason(family))]
    if family.neurons == 1 and "one_grid" in arrays and grid is not None:
        fine = masses_of(problem, checked_grid(problem, arrays["one_grid"]))
        square = one_kink_bound(fine).square
        bounds.append(_with_bayes(problem, fine, square, "one ReLU neuron with any kink"))
    points = grid is None
    if family.neurons and network.outputs == 1 and (family.neurons > 1 or points):
        lower_bounds = slope_condition_bound(
            lambda own: masses if points else masses_of(problem, checked_grid(problem, own)),
            family.neurons,
            arrays,
        )
        if lower_bounds is not None:
            bounds.append(_risk_bound(problem, *lower_bounds, _condition_reason(family)))
    return tuple(bounds)


def _condition_reason(family: FunctionClass) -> str:
    neurons = "1 ReLU neuron" if family.neurons == 1 else f"{family.neurons} ReLU neurons"
    return f"the slope condition of {neurons}"


def _plain(masses: Masses, family: FunctionClass) -> float:
    if family.kinks < 0:
        means = np.average(masses.f, axis=0, weights=masses.weight)
        parts = masses.weight[:, None] * (masses.f - means) ** 2
        return float((parts + masses.spread[:, None] * masses.slope**2 + masses.cost).sum())
    return knot_bound(masses, segment_costs(masses), family.kinks).square


def _reason(family: FunctionClass) -> str:
    if family.kinks < 0:
        return "the best constant"
    if family.kinks == 0:
        return "the best affine function"
    kinks = "1 kink" if family.kinks == 1 else f"{family.kinks} kinks"
    return f"affine pieces with {kinks} anywhere"


def _with_bayes(problem: Problem, masses: Masses, square: float, reason: str) -> Bound:
    return _risk_bound(problem, masses.excess(square), masses.evidence, reason)


def _risk_bound(problem: Problem, excess: float, evidence: Evidence, reason: str) -> Bound:
    bayes = bayes_risk(problem)
    return Bound(max(bayes.value - bayes.error, 0.0) + excess, bayes.evidence & evidence, reason)


def checked_grid(problem: Problem, grid: np.ndarray) -> np.ndarray:
    """Return a grid as float64.

    Raises:
        CertificateError: unless it increases from one end of the line to the other.
    """
    grid = np.asarray(grid, np.float64)
    ends = line_ends(problem)
    right = grid.ndim == 1 and 2 <= len(grid) <= MOST_CELLS and np.isfinite(grid).all()
    if not right or not (np.diff(grid) > 0).all() or (grid[0], grid[-1]) != ends:
        raise CertificateError("its grid is no partition of the inputs' interval")
    assert ends is not None
    if not np.isin(problem.target.pieces(*ends).breakpoints, grid).all():
        raise CertificateError("its grid passes over breakpoints of the target")
    return grid
