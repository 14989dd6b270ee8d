"""How many trainings each stratum gets: by what a pilot shows, for several events at once.

With n_k trainings in stratum k, of cost c_k, the estimate sum_k pi_k X_k / n_k has the variance
sum_k pi_k^2 f_k (1 - f_k) / n_k. The sum of its relative variances over events e is least for

    n_k ~ sqrt( sum_e pi_k^2 f_k(e) (1 - f_k(e)) / p(e)^2 / c_k ),

Neyman's allocation. What is not known of f_k is planned, and planned only: a stratum with few
failures in the pilot gets the line of log f_k through the lowest strata that have some, which ends
in no estimate. (The pilot's own (X + 1/2) / (n + 1) would give the whole budget to the strata of
large weight, which do not fail.)

Strata without failures are probed. With N_2 trainings there, n_k ~ pi_k, and N_1 by Neyman, with
s^2 / N_1 the variance of the others and M the mass of what is probed, the relative entropy
L = log(1 / error) that an end may spend (`estimation.chernoff`) moves the upper end by about

    max over L' <= L of  s sqrt(2 l L' / (L N_1)) + (L - L') M / N_2,

where l < L is what the spread takes of it, and the lower one by s sqrt(2 l / N_1). The sum is least
for N_2 (N_1 + N_2) = 2 N_1^(3/2) / C with C = s sqrt(2 l) / (L M): the more trainings, the smaller
the share that probes; but not below 45 %, for probed strata show failures, too. Where the
probability is far below what so many trainings see none of that helps, and a fifth of them probes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Wanted = Callable[[float], np.ndarray]

ENOUGH = 5
"""Failures of a pilot from which a stratum's frequency is believed."""
PROBING, PROBING_IN_SIGHT = 0.2, (0.45, 0.9)
"""Share of the budget for strata without enough failures: of events out of plain sampling's sight,
and, of others, the least and the largest one."""
IN_SIGHT = 1e-5
"""Probability from which on plain sampling would see an event."""
NEGLIGIBLE = 1e-4
"""A stratum of less than that share of every probability cannot matter."""
_GENTLEST = 0.1
"""Least slope of log f_k; where it is less, the pilot sees failures in all strata anyway."""
_ZEROS, _SPREAD = 3.7, 2.3
"""L of an end of 95 % intervals, and what Berry and Esseen's factor leaves of it for the spread."""


def allocate(
    weights: np.ndarray,
    cost: np.ndarray,
    failures: np.ndarray,
    runs: np.ndarray,
    decided: np.ndarray,
    budget: int,
    multiple: int = 1,
    worth: np.ndarray | None = None,
) -> np.ndarray:
    """Return the number of trainings of every stratum, int64 [S].

    A larger budget gives no stratum fewer. Every stratum that may matter gets a block, the most
    important first, as long as the budget lasts.

    Args:
        weights: pi_k, [S].
        cost: of a training, in any unit, [S].
        failures: of the pilot, by event (an event at a checkpoint is one), [S, E].
        runs: of the pilot, [S].
        decided: whether proof says that all of a stratum fails, [S, E].
        budget: trainings in all; what is allocated is at most that, and less than `multiple` less
            if any stratum may matter.
        multiple: of which every number is one.
        worth: what trainings that do not probe are in proportion to, [S]; None for Neyman's
            allocation by the pilot's failures.

    Example: the second stratum varies most, the last one is proved.
        >>> allocate(np.array([0.5, 0.45, 0.05]), np.ones(3), np.array([[5], [50], [100]]),
        ...          np.full(3, 100), np.array([[False], [False], [True]]), 1000, 10)
        array([320, 680,   0])
    """
    wanted, first = plan(weights, cost, failures, runs, decided, worth)
    return apportioned(lambda t: wanted(t) / multiple, first, int(budget) // multiple) * multiple


def plan(
    weights: np.ndarray,
    cost: np.ndarray,
    failures: np.ndarray,
    runs: np.ndarray,
    decided: np.ndarray,
    worth: np.ndarray | None = None,
) -> tuple[Wanted, np.ndarray]:
    """Return (trainings of the strata, [S], which grow with a number), and their importance, [S].

    Both are 0 where nothing is to be learnt.

    Args:
        weights: pi_k, [S].
        cost: of a training, in any unit, [S].
        failures: of the pilot, [S, E].
        runs: of the pilot, [S].
        decided: whether proof says that all of a stratum fails, [S, E].
        worth: as in `allocate`.
    """
    frequencies = planned_frequencies(failures, runs, decided)
    p = weights @ frequencies
    known = p > 0
    smallest = p[known].min() if known.any() else 0.0
    open_ = ~decided.all(axis=1) & (weights > NEGLIGIBLE * smallest)
    # A stratum of which all runs fail may still have some that do not.
    passing = np.maximum(1 - frequencies, 0.5 / (runs[:, None] + 1.0))
    variance = weights[:, None] ** 2 * np.where(decided, 0.0, frequencies * passing)
    relative = np.divide(variance, p**2, out=np.zeros(failures.shape), where=known)
    best = np.sqrt(relative.sum(axis=1) / cost)
    neyman = np.where(open_, best if worth is None else worth, 0.0)
    few = open_ & ((failures < ENOUGH) & ~decided).any(axis=1)
    seen = p >= IN_SIGHT
    probed = np.where(few, weights if seen.any() else np.sqrt(weights / cost), 0.0)
    neyman, probed = _normalized(neyman), _normalized(probed)
    importance = neyman + PROBING * probed
    tiny = np.where(importance > 0, 1e-9, 0.0)
    if not neyman.any():
        return (lambda t: t * probed), importance
    settled = ((neyman > 0) & ~few)[:, None]
    spread = np.divide(variance, neyman[:, None], out=0 * variance, where=settled).sum(axis=0)
    mass = float(weights[few].sum())
    s = np.sqrt(spread[seen]) if mass > 0 else np.zeros(0)
    # Machines that differ in the last bits of a logarithm plan the same.
    log_c = np.log(np.maximum(np.sqrt(2 * _SPREAD) / _ZEROS * s / max(mass, 1e-300), 1e-12))
    c = np.exp(np.round(log_c, 9))
    least, most = PROBING_IN_SIGHT if len(c) else (PROBING, PROBING)

    def wanted(t: float) -> np.ndarray:
        more = t / 2 * (np.sqrt(1 + 8 / (c * np.sqrt(t))) - 1)
        probing = more.mean() if len(c) else 0.0
        probing = float(np.clip(probing, least / (1 - least) * t, most / (1 - most) * t))
        return np.maximum(t * neyman + probing * probed, t * tiny)

    return wanted, importance


def _normalized(numbers: np.ndarray) -> np.ndarray:
    total = numbers.sum()
    return np.round(numbers / total, 9) if total > 0 else numbers


def planned_frequencies(failures: np.ndarray, runs: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Return f_k(e) as far as planning needs it, [S, E]; 0 for events that were never seen.

    Strata are in the order in which failures become more frequent. Those with enough failures have
    their frequency, those below the line of its logarithm, but at most what their runs allow.
    """
    n = np.maximum(runs[:, None], 1)
    seen = np.where(decided, 1.0, failures / n)
    known = decided | (failures >= ENOUGH)
    planned = np.zeros(failures.shape)
    places = np.arange(len(runs))
    for e in range(failures.shape[1]):
        at = np.flatnonzero(known[:, e])
        if not len(at):
            continue
        logs = np.log(seen[at, e])
        line = np.interp(places, at, logs)
        below = places < at[0]
        line = np.where(
            below, logs[0] - _slope(at, logs, failures[:, e], n[:, 0]) * (at[0] - places), line
        )
        most = (failures[:, e] + 1.0) / n[:, 0] if runs.any() else np.ones(len(runs))
        most = np.where(runs > 0, np.minimum(most, 1.0), 1.0)
        planned[:, e] = np.where(known[:, e], seen[:, e], np.minimum(np.exp(line), most))
    return planned


def _slope(at: np.ndarray, logs: np.ndarray, failures: np.ndarray, runs: np.ndarray) -> float:
    """Return by how much log f_k falls from a stratum to the one below, at the lowest known ones.

    Args:
        at: strata with a known frequency.
        logs: of the frequencies.
        failures: of all strata.
        runs: of all strata.
    """
    slopes = [_GENTLEST]
    rising = np.flatnonzero(logs < np.log(0.9))[:3]
    if len(rising) >= 2:
        x, y = at[rising].astype(float), logs[rising]
        trust = failures[at[rising]].astype(float)
        x, y = x - np.average(x, weights=trust), y - np.average(y, weights=trust)
        slopes.append(float((trust * x * y).sum() / (trust * x * x).sum()))
    elif len(at) > 1:
        slopes.append(float((logs[1] - logs[0]) / (at[1] - at[0])))
    # Frequencies fall faster and faster; that too few are seen below is a bound of the slope.
    if at[0] > 0 and runs[at[0] - 1] > 1:
        below = at[0] - 1
        slopes.append(float(logs[0] - np.log((failures[below] + 1.0) / (runs[below] + 1.0))))
    return max(slopes)


def apportioned(wanted: Wanted, importance: np.ndarray, blocks: int) -> np.ndarray:
    """Return how many of some blocks each stratum gets, int64 [S].

    One for each stratum of any importance, the most important first; then all get what is wanted of
    them at the largest t, rounded down, at which there are enough blocks (D'Hondt's method, if that
    is t times fixed shares). More blocks take none away, for what is wanted grows with t.

    Args:
        wanted: t > 0 -> blocks of the strata, [S], each growing with t without bound, or 0.
        importance: of the strata, [S]; those of 0 get nothing.
        blocks: to be given.

    Example:
        >>> share = np.array([0.5, 0.0, 0.3, 0.2])
        >>> apportioned(lambda t: t * share, share, 10)
        array([5, 0, 3, 2])
    """
    some = np.flatnonzero(importance > 0)
    order = some[np.argsort(-importance[some], kind="stable")]
    counts = np.zeros(len(importance), np.int64)
    counts[order[:blocks]] = 1
    if blocks <= len(order) or not len(order):
        return counts

    def at(t: float) -> np.ndarray:
        whole = np.zeros(len(importance), np.int64)
        # Only a margin of rounding tells ties from what is just not enough.
        whole[some] = np.maximum(np.floor(wanted(t)[some] * (1 + 1e-12)), 1)
        return whole

    low, high = 1e-300, 1.0
    while at(high).sum() <= blocks:
        low, high = high, 2 * high
    while high > low * (1 + 1e-14):
        middle = np.sqrt(low * high) if low < high / 4 else (low + high) / 2
        low, high = (middle, high) if at(middle).sum() <= blocks else (low, middle)
    counts, more = at(low), at(high)
    # Strata that grow at the same t: the most important first.
    tied = [k for k in order if more[k] > counts[k]]
    counts[tied[: blocks - int(counts.sum())]] += 1
    return counts
