"""How many families of clones each stratum gets.

Families are for strata whose pilot hardly sees a failure and whose failures matter. By the pilot
model of `twist` the estimates of families that begin with a active neurons spread by sigma(a):
stratum k adds pi_k sigma(N - k) to the error, and gets families in proportion to that (Neyman's
allocation), for the event where its share is largest. Some more are led the other way, as a guard
against a model that leads away from the failures.
"""

from __future__ import annotations

import numpy as np

LEAST_FAMILIES = 12
"""Fewer do not show how much they differ."""
GUARD_PART, LEAST_GUARDS = 5, 4
"""One guard for so many families, and so many at least."""
RARE = 5
"""Failures of a pilot from which on independent runs of the stratum do."""


def allocate_families(
    contributions: np.ndarray, failures: np.ndarray, total: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (families, guards) of every stratum, int [S] each, together at most `total`.

    Args:
        contributions: of the strata to the standard deviations of the events' estimates, with the
            same number of families in each, by the model, [S, E].
        failures: of the pilots at these events, [S, E].
        total: families that there may be.

    Example: the middle stratum matters, and its pilot saw nothing.
        >>> allocate_families(np.array([[1e-12], [1e-9], [1e-10]]), np.array([[0], [0], [40]]), 60)
        (array([ 0, 50,  0]), array([ 0, 10,  0]))
    """
    strata = len(contributions)
    rare = (failures < RARE) & (contributions > 0)
    every = contributions.sum(0)
    shares = np.where(rare & (every > 0), contributions / np.where(every > 0, every, 1.0), 0.0)
    wanted = shares.max(1, initial=0.0)
    families, guards = np.zeros(strata, int), np.zeros(strata, int)
    # The least important go until each that is left has enough.
    chosen = np.flatnonzero(wanted > 0)
    while len(chosen):
        parts = wanted[chosen] / wanted[chosen].sum()
        families[:] = guards[:] = 0
        families[chosen] = np.floor(total * parts * GUARD_PART / (GUARD_PART + 1)).astype(int)
        guards[chosen] = np.maximum(families[chosen] // GUARD_PART, LEAST_GUARDS)
        enough = families[chosen].min() >= LEAST_FAMILIES
        if enough and families.sum() + guards.sum() <= total:
            break
        chosen = chosen[np.argsort(-wanted[chosen], kind="stable")][:-1]
    else:
        families[:] = guards[:] = 0
    return families, guards
