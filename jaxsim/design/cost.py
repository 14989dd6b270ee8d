"""How many trainings a precision takes under each design, before anything is run.

The failure probability is not known then, so that it is assumed, with a model of where it comes
from: a run with k inactive first-layer neurons at the start fails by proof from some k* on, and
else with probability

    f_k = q^(k* - k),

log-linear in the neurons that would have to become inactive, with q such that sum_k pi_k f_k = p.
For planning only: no estimate rests on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.design.families import GUARD_PART
from jaxsim.design.twist import failure_model

ASSUMED = (1e-2, 1e-4, 1e-6, 1e-10)
"""Failure probabilities that a plan is given for."""


@dataclass(frozen=True)
class Cost:
    """What a design costs.

    Attributes:
        trainings: of whole runs, particles of families counted as runs.
        work: the same in trainings of the whole network; narrower ones take less.
    """

    trainings: float
    work: float


def assumed_frequencies(weights: np.ndarray, missing: np.ndarray, p: float) -> np.ndarray:
    """Return f_k = q^missing_k with sum_k pi_k f_k = p, [S].

    Args:
        weights: pi_k, [S].
        missing: how many more inactive neurons would make a stratum fail by proof, [S]; 0 where it
            does.
        p: assumed probability. Where proofs give more they count alone.

    Example:
        >>> f = assumed_frequencies(np.array([0.9, 0.0999, 0.0001]), np.array([2, 1, 0]), 0.001)
        >>> f.round(6).tolist()
        [7e-05, 0.008377, 1.0]
    """
    weights, missing = np.asarray(weights, float), np.asarray(missing, float)

    def excess(log_q: float) -> float:
        return float(np.log(weights @ np.exp(log_q * missing)) - np.log(p))

    proved = float(weights[missing == 0].sum())
    if proved >= p or excess(-700.0) >= 0:
        return (missing == 0).astype(float)
    if excess(0.0) <= 0:
        return np.ones(len(weights))
    root = float(scipy.optimize.brentq(excess, -700.0, 0.0, xtol=1e-12))  # pyright: ignore[reportArgumentType]
    return np.exp(root * missing)


def coefficient(relative: float, confidence: float) -> float:
    """Return the coefficient of variation with which half an interval is `relative` p.

    Example:
        >>> round(coefficient(0.1, 0.95), 5)
        0.05102
    """
    return relative / float(scipy.stats.norm.ppf((1 + confidence) / 2))


def sampling_cost(
    weights: np.ndarray, deviations: np.ndarray, p: float, cost: np.ndarray, variation: float
) -> Cost:
    """Return what Neyman's allocation n_k ~ pi_k sigma_k / sqrt(c_k) costs.

    Var = sum_k pi_k^2 sigma_k^2 / n_k is (`variation` p)^2.

    Args:
        weights: pi_k, [S].
        deviations: sigma_k, of what a training of stratum k says, [S]; `run_deviations` of runs.
        p: the probability.
        cost: c_k of a training, in trainings of the whole network, [S].
        variation: coefficient of variation that is asked for.

    Example: plain runs at 1e-4 to a coefficient of variation of 10 %
        >>> one = np.ones(1)
        >>> round(sampling_cost(one, np.sqrt([1e-4 * (1 - 1e-4)]), 1e-4, one, 0.1).trainings)
        999900
    """
    if p <= 0:
        return Cost(np.inf, np.inf)
    parts = weights * deviations
    runs = parts / np.sqrt(cost) * float((parts * np.sqrt(cost)).sum()) / (variation * p) ** 2
    return Cost(float(runs.sum()), float((runs * cost).sum()))


def run_deviations(frequencies: np.ndarray) -> np.ndarray:
    """Return the standard deviations of whether runs fail, [S]."""
    return np.sqrt(frequencies * (1 - frequencies))


def family_deviations(frequencies: np.ndarray, missing: np.ndarray, checkpoints: int) -> np.ndarray:
    """Return the standard deviation per particle, from families or runs, whichever is less, [S].

    In the model each of the missing neurons becomes inactive by itself, as probably between any two
    neighbouring checkpoints, and families are resampled by the model; their guards count as cost.

    Args:
        frequencies: f_k = q^missing_k, [S].
        missing: as in `assumed_frequencies`, [S].
        checkpoints: T, with 0 and the last step.
    """
    missing = np.asarray(missing, int)
    plain = run_deviations(frequencies)
    between = (frequencies > 0) & (frequencies < 1) & (missing > 0)
    if not between.any() or checkpoints < 3:
        return plain
    log_q = float(np.log(frequencies[between][0]) / missing[between][0])
    # (1 - death)^(T - 1) = 1 - q
    death = -np.expm1(np.log1p(-np.exp(log_q)) / (checkpoints - 1))
    most = int(missing.max())
    log_phi = np.where(np.arange(most + 1) == 0, 0.0, -300.0)
    relative = failure_model(log_phi, np.full(checkpoints - 1, death)).variance()[0]
    guards = (GUARD_PART + 1) / GUARD_PART
    split = frequencies * np.sqrt(guards * np.where(between, relative[missing], np.inf))
    return np.where(between, np.minimum(plain, np.where(between, split, 0.0)), plain)
