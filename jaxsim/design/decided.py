"""Strata all of whose runs fail by proof, at every step and whatever the training draws.

With at least k first-layer neurons inactive at initialization, which the optimizer keeps, a run
realizes functions of the architecture with l_1 - k; with a layer wholly inactive, constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxsim.design.strata import pieces_of
from jaxsim.design.stratum import Design
from jaxsim.evidence import PROVED, Bound, Evidence
from jaxsim.theory.lower_bound import risk_gaps
from jaxsim.training.experiment import Experiment


class Decided(NamedTuple):
    """What is known of strata without training.

    Attributes:
        signs: 1 where every run fails, 0 where that is not known, int8 [S, G].
        evidence: what the decisions for an event rest on, of all its strata, [G].
    """

    signs: np.ndarray
    evidence: tuple[Evidence, ...]


def decided(
    design: Design,
    experiment: Experiment,
    thresholds: Sequence[float] | np.ndarray,
    optimum_upper: Bound,
    best_constant_lower: Bound | None = None,
    hierarchy: Callable[[int], Bound] | None = None,
) -> Decided:
    """Return which strata fail by proof: their risk exceeds inf L by more than each threshold.

    Args:
        design: the strata.
        experiment: that was stratified.
        thresholds: by how much a failing risk exceeds inf L, [G].
        optimum_upper: an upper bound of inf L.
        best_constant_lower: a lower bound of the risk of every constant; None if none is known.
        hierarchy: m -> a lower bound of the optimal risk with m first-layer neurons; None if none
            is known.
    """
    thresholds = np.asarray(thresholds, float)
    signs = np.zeros((len(design.strata), len(thresholds)), np.int8)
    nothing = Decided(signs, (PROVED,) * len(thresholds))
    network = experiment.network
    known = not design.plain and network.hidden and experiment.optimizer.keeps_inactive
    if not known or not math.isfinite(optimum_upper.value):
        return nothing
    n = network.hidden[0]
    gaps = risk_gaps(n, optimum_upper, best_constant_lower, hierarchy)
    # Inactive neurons that are not 0 are constants, for which biases must make up.
    absent = network.layer_specs[1].biases is not None or pieces_of(experiment)[1]
    evidence = [PROVED] * len(thresholds)
    for stratum in design.strata:
        reasons = []
        if stratum.least and absent:
            reasons.append(gaps.inactive[stratum.least - 1])
        if stratum.least == n or stratum.dead_later:
            reasons.append(gaps.constant)
        for g, threshold in enumerate(thresholds):
            enough = [gap for gap in reasons if gap.value > threshold]
            if enough:
                signs[stratum.number, g] = 1
                best = min(enough, key=lambda gap: gap.evidence.strength)
                evidence[g] &= best.evidence
    return Decided(signs, tuple(evidence))
