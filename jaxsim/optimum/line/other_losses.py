"""Lower ends for convex losses other than the squared one: free knots with dual costs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from jaxsim.evidence import Bound
from jaxsim.network.network import Network
from jaxsim.optimum.line.dual_costs import CELLS, LOSSES, dual_costs, steepest
from jaxsim.optimum.line.free_knots import knot_bound, refine_free_knots
from jaxsim.optimum.line.function_class import function_class
from jaxsim.optimum.line.masses import Masses, first_grid, masses_of
from jaxsim.optimum.line.squared import checked_grid
from jaxsim.optimum.strategy import Budget
from jaxsim.problem.problem import Problem

_MOST_CELLS = 240
MOST_MASSES = 1000
"""Cells or points of a certificate that is read."""


def search_dual(
    problem: Problem, network: Network, budget: Budget, begin: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], bool]:
    """Return a partition for the dual bound, and whether its search ended by itself."""
    if problem.loss.name not in LOSSES or problem.law.finite is not None:
        return {}, True
    kinks = max(function_class(network).kinks, 0)
    start = begin.get("grid")
    grid = first_grid(problem, CELLS) if start is None else checked_grid(problem, start)
    if len(grid) > MOST_MASSES:
        return {}, True
    grid, _, finished = refine_free_knots(
        lambda g: masses_of(problem, g),
        lambda m: dual_costs(problem.loss, m),
        grid,
        kinks,
        budget,
        _MOST_CELLS,
    )
    return {"grid": grid}, finished


def verify_dual(
    problem: Problem, network: Network, arrays: Mapping[str, np.ndarray]
) -> tuple[Bound, ...]:
    """Return the lower bound that a partition shows.

    Raises:
        CertificateError: for arrays that are no partition of the line.
    """
    grid = None
    if problem.law.finite is None:
        if "grid" not in arrays:
            return ()
        grid = checked_grid(problem, arrays["grid"])
    if problem.loss.name not in LOSSES:
        return ()
    masses = masses_of(problem, grid)
    if len(masses.weight) > MOST_MASSES:
        return ()
    kinks = max(function_class(network).kinks, 0)
    least = knot_bound(masses, dual_costs(problem.loss, masses), kinks).square
    value = least_risk(masses, least, steepest(problem.loss))
    reason = "the best line" if kinks == 0 else f"affine pieces with {kinks} kinks anywhere"
    return (Bound(value, masses.evidence, f"{reason}, by weak duality"),)


def least_risk(masses: Masses, least: float, slope: float) -> float:
    """Return the lower bound of the risk that a minimum over the masses shows.

    In the norm of L1 the target errs by `doubt` at the most, by Cauchy and Schwarz, and the means
    of cells by twice the error of the density; the loss has the given Lipschitz constant.
    """
    root = math.sqrt(masses.f.shape[1])
    rounding = 64 * len(masses.weight) * 2.0**-53
    errors = masses.doubt + (4 * masses.density_error + rounding) * masses.norm
    value = least * (1 - 1e-9) - slope * root * errors - rounding
    return max(0.0, (1 - masses.density_error) * value)
