"""How many runs a pilot has, and how a stage grows: whole blocks, within the study's replicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxsim.errors import InputError
from jaxsim.study.spec import StudySpec

PILOT, PILOT_PART, LARGE_PART = 256, 8, 20
"""Runs of a stratum's pilot, unless so many parts of the replicates are fewer; of a study with many
replicates one part in twenty, for what the pilot does not see is not allocated well."""

MOST_PILOT = 2**16


def pilot_runs(spec: StudySpec, strata: int, width: int) -> int:
    """Return the runs of every stratum's pilot, of so many that have one.

    Raises:
        InputError: if the study has fewer replicates than pilots and the least of others take.
    """
    asked, usual = spec.design.pilot, usual_pilot(spec.replicates, strata)
    runs = rounded(usual if asked is None else asked, width)
    least = _least(runs, strata, width)
    if spec.replicates < least:
        raise InputError(
            f"replicates = {spec.replicates:,} is too small for the design {spec.design.name!r} "
            f"with {strata} strata in blocks of {width}, of which the pilot takes "
            f"{runs * strata:,} runs; accepted: at least {least:,}"
        )
    return runs


def usual_pilot(replicates: int, strata: int) -> int:
    """Return the runs of every stratum's pilot where a study does not say, blocks aside."""
    each = replicates // max(strata, 1)
    return max(min(PILOT, each // PILOT_PART), min(each // LARGE_PART, MOST_PILOT))


def _least(pilot: int, strata: int, width: int) -> int:
    return strata * (pilot + width)


def rounded(runs: float, multiple: int) -> int:
    """Return the least multiple that is no less, and not 0."""
    return max(-(-int(np.ceil(runs)) // multiple), 1) * multiple


def raised(stops: Sequence[int], wanted: Sequence[int], room: int) -> tuple[int, ...]:
    """Return what is wanted where it is more than there is, as far as there is room, in order."""
    stops_raised = []
    for before, after in zip(stops, wanted, strict=True):
        more = max(min(after - before, room), 0)
        room -= more
        stops_raised.append(before + more)
    return tuple(stops_raised)
