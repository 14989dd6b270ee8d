"""How many families of clones each stratum gets: by what a pilot shows, for several events at once.

A stratum whose pilot hardly sees a failure gets families where these, by the pilot's model
(`twist`), cost less than independent runs. Particles of families and runs are then planned as one:
stratum k adds c_k to the coefficients of variation of the events,

    c_k^2 = sum_e (pi_k s_k(e) / p(e))^2,   s_k = sqrt(f (1 - f)) of a run, f sqrt(v) of a particle,

where v is M times the squared coefficient of variation of a family of M particles. The variance is
least with c_k / sum_j c_j of the budget in stratum k (Neyman's allocation), so that it is the pilot
that says how much of the budget is for families. Some more are led the other way, as a guard
against a model that leads away from the failures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxsim.design.allocation import ENOUGH, IN_SIGHT, PROBING_IN_SIGHT
from jaxsim.design.twist import FailureModel

LEAST_FAMILIES = 12
"""Fewer do not show how much they differ."""
GUARD_PART, LEAST_GUARDS = 10, 4
"""One guard for so many families, and so many at least."""
MOST, MOST_IN_SIGHT = 0.9, 1 - PROBING_IN_SIGHT[0]
"""Of the budget, for families: runs look for failures that these miss, and where plain sampling
would see an event they bound it, too."""


class FamilyPlan(NamedTuple):
    """What a pilot suggests, of every stratum.

    Attributes:
        families: int [S].
        guards: int [S].
        runs: what independent runs are in proportion to, apart from those that probe, [S].
    """

    families: np.ndarray
    guards: np.ndarray
    runs: np.ndarray


def plan_families(
    model: FailureModel,
    weights: np.ndarray,
    cost: np.ndarray,
    active: np.ndarray,
    failures: np.ndarray,
    runs: np.ndarray,
    decided: np.ndarray,
    budget: int,
    size: int,
    share: float | None = None,
) -> FamilyPlan:
    """Return the families of every stratum, and what its independent runs are worth.

    Args:
        model: of the E events, by all pilots.
        weights: pi_k, [S].
        cost: of a training, in any unit, [S].
        active: first-layer neurons that are active at initialization, [S].
        failures: of the pilots, [S, E].
        runs: of the pilots, [S].
        decided: whether proof says that all of a stratum fails, [S, E].
        budget: trainings in all.
        size: particles of a family.
        share: of the budget that is for families, wherever the pilot sees few failures; None for
            what the pilot suggests, which leaves the runs what probes strata without failures.
    """
    few = (failures < ENOUGH) & ~decided
    modelled = np.exp(model.log_probability)[:, active].T
    seen = failures / np.maximum(runs, 1)[:, None]
    f = np.where(decided, 1.0, np.where(few, modelled, seen))
    p = weights @ f
    guarded = (GUARD_PART + 1) / GUARD_PART
    of_families = np.where(decided, 0.0, f * np.sqrt(guarded * model.variance()[:, active].T))
    scale = weights[:, None] / p / np.sqrt(cost)[:, None]
    by_runs = np.linalg.norm(scale * np.sqrt(f * (1 - f)), axis=1)
    by_families = np.linalg.norm(scale * of_families, axis=1)
    # A share that is asked for is spent, even where runs would cost less.
    split = few.any(1) & (by_families > 0) & ((share is not None) | (by_families < by_runs))
    wanted = np.where(split, by_families, 0.0)
    if share is None:
        needed = float(wanted.sum() / max(wanted.sum() + by_runs[~split].sum(), 1e-300))
        share = min(needed, MOST_IN_SIGHT if (p >= IN_SIGHT).any() else MOST)
    # Machines that differ in the last bits of a logarithm plan the same.
    wanted = np.round(wanted / max(wanted.sum(), 1e-300), 9)
    families, guards = allocate_families(wanted, int(round(share, 9) * budget) // size)
    # A stratum whose families would be too few gets the runs that these would be. By its own error
    # it would get the whole budget, to no avail.
    return FamilyPlan(families, guards, np.where(split, by_families * (families == 0), by_runs))


def allocate_families(wanted: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (families, guards) of every stratum, int [S] each, together at most `total`.

    The strata that want the least get none, until each that is left wants half of the least number
    or more.

    Args:
        wanted: what the strata want, in any unit, [S].
        total: families that there may be.

    Example: the first stratum hardly matters
        >>> allocate_families(np.array([0.01, 0.99, 0.0]), 60)
        (array([ 0, 54,  0]), array([0, 5, 0]))
    """
    families, guards = np.zeros(len(wanted), int), np.zeros(len(wanted), int)
    chosen = np.flatnonzero(wanted > 0)
    while len(chosen):
        share = total * wanted[chosen] / wanted[chosen].sum() * GUARD_PART / (GUARD_PART + 1)
        least = len(chosen) * (LEAST_FAMILIES + LEAST_GUARDS)
        if share.min() >= LEAST_FAMILIES / 2 and least <= total:
            break
        chosen = chosen[np.argsort(-wanted[chosen], kind="stable")][:-1]
    else:
        return families, guards
    while True:
        families[chosen] = np.maximum(share.astype(int), LEAST_FAMILIES)
        guards[chosen] = np.maximum(families[chosen] // GUARD_PART, LEAST_GUARDS)
        if families.sum() + guards.sum() <= total:
            return families, guards
        share = share * 0.99
