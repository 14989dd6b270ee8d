"""The probability of an event from strata: what is proved, what was sampled, and what was not.

    p = sum_k pi_k f_k = provable + resolved + unsampled,

where pi_k is the exactly known probability of stratum k and f_k that of a failure within it:

    provable     sum of pi_k over the strata that fail by proof (f_k = 1); needs no run,
    resolved     sum over the strata with runs, estimated by sum pi_k X_k / n_k,
    unsampled    mass of the strata that are neither decided nor sampled: anything up to all of it.

The three are never mixed: [provable + lower(resolved), provable + upper(resolved) + unsampled]
contains p. `unresolved` says how much of the upper end has nothing to show for it: the unsampled
mass, and the upper limit of the strata whose runs show no failure. An upper end cannot fall below
about 4 pi_k / n_k there, however small the estimate is.

Limits of the resolved part, by the name of the interval for one probability:

    clopper-pearson      Chernoff's bound of the sum over a box of Clopper-Pearson limits
                         (`chernoff`), of two strata their sum (Bonferroni): holds for every f and
                         fixed n_k,
    sequence             Bonferroni of confidence sequences: holds for all n_k at once, whatever
                         decides which stratum is sampled next and when it is enough,
    mover, wilson, mid-p MOVER with the limits of Clopper-Pearson, Wilson or mid-P: approximate,
    profile-likelihood   likelihood ratio of the sum: approximate, sharp.

The error alpha is shared among strata before the runs are seen: by weights and numbers of runs
only, never by counts. Half is shared alike, and the other half goes where the limit is wide: with
sqrt(n_k) for the lower end (many runs are where failures are), with pi_k / sqrt(n_k) for the upper
one. Against equal shares the interval is up to a tenth shorter where strata are rare. The shares of
a sequence know the weights only, for its n_k may depend on the counts.

Strata may be estimated by families of clones instead (`jaxsim.estimation.families`). The error of
the lower end is then shared between counts and families in proportion to their strata (Boole's
inequality): it is guaranteed if the limits of the counts are. The upper end takes the families'
approximate limit where they are resolved; `upper_rigorous` uses the unsplit runs alone. Families
that are not resolved count for nothing but the lower end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxsim.errors import InputError
from jaxsim.estimation.anytime import sequence_lower, sequence_upper
from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.chernoff import chernoff_limit
from jaxsim.estimation.families import Families, approximate_upper, betting_lower
from jaxsim.estimation.intervals import Interval, interval_of, lower_limit, upper_limit
from jaxsim.estimation.mover import bonferroni_limit, by_distinct, mover_limit
from jaxsim.estimation.profile import profile_limit
from jaxsim.estimation.stratified_counts import FAILS, OPEN, PASSES, StratifiedCounts

FEWEST_SUMMED = 3
"""Sampled strata from which on their sum is judged as one; the limits of two may be added."""
_BOX, _HIGH = 0.1, 0.6
"""Of the error of an end, what the box of limits takes, and of that what its upper limits take."""


@dataclass(frozen=True)
class Stratified:
    """A probability in three parts, each array of the trailing shape of the counts.

    Attributes:
        provable: mass of the strata that fail by proof, errors of the weights taken off.
        passing: mass of the strata that pass by proof, the same.
        resolved: estimate from the sampled strata, sum pi_k X_k / n_k.
        resolved_possible: the same, where undecided runs count as failures.
        resolved_lower: lower limit of the sampled strata's part, from the failures.
        resolved_upper: upper limit, from failures and undecided runs.
        unsampled: mass of the strata that are neither decided nor sampled.
        unresolved: the part of `upper` without a failure to show for it: `unsampled`, and the upper
            limit of the sampled strata without any possible failure.
        estimate: of p, the strata that fail by proof plus `resolved`.
        estimate_upper: the same with `resolved_possible`.
        lower: lower end for p.
        upper: upper end for p.
        upper_rigorous: upper end that is guaranteed, from Clopper-Pearson limits of runs that were
            not split, or their confidence sequences; `upper` itself where that is guaranteed.
        confidence: of [lower, upper].
        method: name of the interval.
        rigorous: whether [lower, upper] holds with probability `confidence` whatever p is.
        rigorous_lower: whether `lower` alone does, with half the error (all of it, a sequence).
        description: how the ends are made, one phrase.
    """

    provable: np.ndarray
    passing: np.ndarray
    resolved: np.ndarray
    resolved_possible: np.ndarray
    resolved_lower: np.ndarray
    resolved_upper: np.ndarray
    unsampled: np.ndarray
    unresolved: np.ndarray
    estimate: np.ndarray
    estimate_upper: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    upper_rigorous: np.ndarray
    confidence: float
    method: str
    rigorous: bool
    rigorous_lower: bool
    description: str


def stratified(
    counts: StratifiedCounts,
    confidence: float,
    method: str | Interval = "clopper-pearson",
    families: Sequence[Families] = (),
) -> Stratified:
    """Return the probability in three parts, with its interval.

    With one stratum of weight 1 the ends are those of the interval itself, bit for bit.

    Args:
        counts: by stratum, of runs that were not split.
        confidence: of each two-sided interval.
        method: a name of `INTERVALS`.
        families: estimates of some strata by families of clones, one entry a stratum.

    Raises:
        InputError: for an unknown method, a confidence outside (0, 1), or families that do not fit.

    Example: the rare stratum fails by proof, and the common one never failed in a million runs
        >>> counts = StratifiedCounts(
        ...     np.array([0.999, 0.001]), np.zeros(2), np.array([0, 0]), np.array([0, 0]),
        ...     np.array([1_000_000, 0]), np.array([0, 1], np.int8),
        ... )
        >>> p = stratified(counts, 0.95)
        >>> f"{p.lower:.6f} {p.upper:.6f} {p.resolved:.1f} {p.unresolved:.2g}"
        '0.001000 0.001004 0.0 3.7e-06'
    """
    alpha = 1 - checked_level(confidence, "confidence")
    interval = method if isinstance(method, Interval) else interval_of(method)
    shape, strata = counts.failures.shape[1:], len(counts.weights)
    _check_families(families, counts)
    decided = counts.decided.reshape(strata, -1)
    sampled = np.asarray(counts.runs) > 0
    undecided = decided == OPEN
    split = np.zeros(strata, bool)
    split[[f.stratum for f in families]] = True
    by_families = np.zeros_like(undecided)
    for f in families:
        by_families[f.stratum] = np.reshape(f.resolved, -1)
    by_families &= undecided
    by_counts = undecided & sampled[:, None] & ~by_families
    missing = undecided & ~sampled[:, None] & ~by_families
    weight, least, most = _weights(counts)
    failures = counts.failures.reshape(strata, -1)
    possible = counts.possible.reshape(strata, -1)
    # What of the error families take, fixed by the design.
    part = len(families) / max(len(families) + int((sampled & ~split).sum()), 1)
    of_counts = 1 - (confidence if not part else 1 - (1 - part) * alpha)
    tail = part * alpha / (2 * max(len(families), 1))

    def limit(x: np.ndarray, active: np.ndarray, *, upper: bool) -> np.ndarray:
        if not active.any():
            return np.zeros(active.shape[1])
        weights, runs = (most, counts.runs) if upper else (least, np.where(split, 0, counts.runs))
        return _limit(interval, counts, weights, runs, x, active, of_counts, upper=upper)

    def mass(weights: np.ndarray, members: np.ndarray) -> np.ndarray:
        return np.where(members, weights, 0.0).sum(0)

    n = np.maximum(counts.runs, 1)[:, None]
    mean, low, high = (np.zeros(undecided.shape) for _ in range(3))
    for f in families:
        mean[f.stratum] = f.values.mean(0).reshape(-1)
        low[f.stratum] = np.reshape(np.minimum(betting_lower(f.values, 1 - tail), 1.0), -1)
        high[f.stratum] = np.reshape(np.minimum(approximate_upper(f.values, 1 - tail), 1.0), -1)

    def resolved(x: np.ndarray) -> np.ndarray:
        return mass(weight * (x / n), by_counts) + mass(weight * mean, by_families)

    fails, passes = decided == FAILS, decided == PASSES
    provable, passing, unsampled = mass(least, fails), mass(least, passes), mass(most, missing)
    lower = limit(failures, by_counts & ~split[:, None], upper=False)
    lower = lower + mass(least * low, undecided & split[:, None])
    upper = limit(possible, by_counts, upper=True) + mass(most * high, by_families)
    nothing = limit(possible, by_counts & (possible == 0), upper=True)
    # 1 - passing would be no tighter a bound, and lose all digits of an end near 1e-30.
    end = np.minimum(mass(most, fails) + upper + unsampled, 1.0)
    central = mass(weight, fails)
    arrays = {
        "provable": provable,
        "passing": passing,
        "resolved": resolved(failures),
        "resolved_possible": resolved(possible),
        "resolved_lower": lower,
        "resolved_upper": upper,
        "unsampled": unsampled,
        "unresolved": np.minimum(unsampled + nothing, 1.0),
        "estimate": np.minimum(central + resolved(failures), 1.0),
        "estimate_upper": np.minimum(central + resolved(possible), 1.0),
        "lower": np.minimum(provable + lower, end),
        "upper": end,
        "upper_rigorous": end,
    }
    count = int(sampled.sum())
    guaranteed = interval.rigorous or (interval.name == "mover" and count <= 1 and not families)
    result = Stratified(
        **{name: array.reshape(shape)[()] for name, array in arrays.items()},
        confidence=float(confidence),
        method=interval.name,
        rigorous=guaranteed and not families,
        rigorous_lower=guaranteed,
        description=_description(interval, count, len(families)),
    )
    if result.rigorous:
        return result
    safe = "sequence" if interval.name == "sequence" else "clopper-pearson"
    return replace(result, upper_rigorous=stratified(counts, confidence, safe).upper)


def one_end(
    counts: StratifiedCounts, alpha: float, method: str | Interval, *, upper: bool
) -> np.ndarray:
    """Return one end of `stratified` without families, at a third of its cost, [...].

    Args:
        counts: by stratum.
        alpha: error of the two-sided interval; it may be far below what 1 - confidence can tell.
        method: a name of `INTERVALS`.
        upper: which end.
    """
    interval = method if isinstance(method, Interval) else interval_of(method)
    strata, shape = len(counts.weights), counts.failures.shape[1:]
    x = (counts.possible if upper else counts.failures).reshape(strata, -1)
    decided = counts.decided.reshape(strata, -1)
    _, least, most = _weights(counts)
    weights = most if upper else least
    sampled = (np.asarray(counts.runs) > 0)[:, None]
    active = (decided == OPEN) & sampled
    end = np.where(decided == FAILS, weights, 0.0).sum(0)
    if active.any():
        end = end + _limit(interval, counts, weights, counts.runs, x, active, alpha, upper=upper)
    if upper:
        missing = (decided == OPEN) & ~sampled
        end = np.minimum(end + np.where(missing, most, 0.0).sum(0), 1.0)
    return end.reshape(shape)


def _check_families(families: Sequence[Families], counts: StratifiedCounts) -> None:
    strata, shape = len(counts.weights), counts.failures.shape[1:]
    if len({f.stratum for f in families}) < len(families):
        raise InputError("families of one stratum are given twice; accepted: once")
    for f in families:
        if not 0 <= f.stratum < strata or not (f.values.shape[1:] == shape == np.shape(f.resolved)):
            raise InputError(
                f"families of stratum {f.stratum} with estimates of shape {f.values.shape} do not "
                f"belong to {strata} strata with counts of shape {shape}"
            )


def _weights(counts: StratifiedCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights, and what they are at least and at most, each [S, 1]."""
    w, e = (np.asarray(a, np.float64)[:, None] for a in (counts.weights, counts.errors))
    return w, np.maximum(w - e, 0.0), np.minimum(w + e, 1.0)


def _limit(
    interval: Interval,
    counts: StratifiedCounts,
    weights: np.ndarray,
    runs: np.ndarray,
    x: np.ndarray,
    active: np.ndarray,
    alpha: float,
    *,
    upper: bool,
) -> np.ndarray:
    """Return one limit of the active strata's part, [C]; strata without `runs` share no error."""
    confidence = 1 - alpha
    sharing, runs = np.asarray(runs, np.float64), np.asarray(counts.runs, np.float64)
    if interval.name == "profile-likelihood":
        return profile_limit(weights, x, runs[:, None], active, confidence, upper=upper)
    if interval.name == "clopper-pearson" and (sharing > 0).sum() >= FEWEST_SUMMED:
        return _summed(counts, weights, runs, x, active, alpha, upper=upper)
    if interval.name == "clopper-pearson":
        function = upper_limit if upper else lower_limit
        tail = alpha / 2 * shares(counts.weights, sharing, upper=upper)
        limits = by_distinct(function, x, runs, tail)
        return bonferroni_limit(weights, limits, active)
    if interval.name == "sequence":
        function = sequence_upper if upper else sequence_lower
        limits = by_distinct(function, x, runs, alpha * fixed_shares(counts.weights))
        return bonferroni_limit(weights, limits, active)

    def side(k: np.ndarray, n: np.ndarray, level: np.ndarray) -> np.ndarray:
        return interval.function(k, n, confidence)[int(upper)]

    limits = by_distinct(side, x, runs, np.full(len(runs), confidence))
    estimates = x / np.maximum(runs, 1.0)[:, None]
    return mover_limit(weights, estimates, limits, active, upper=upper)


def _summed(
    counts: StratifiedCounts,
    weights: np.ndarray,
    runs: np.ndarray,
    x: np.ndarray,
    active: np.ndarray,
    alpha: float,
    *,
    upper: bool,
) -> np.ndarray:
    """Return one guaranteed limit of the active strata's part, [C], with half of the error."""
    strata = len(runs)
    least, most = (a.reshape(strata, -1) for a in (counts.failures, counts.possible))
    # Every f_k is between the lower limit of what fails and the upper one of what may.
    tails = _BOX * alpha / 2 * np.array([1 - _HIGH, _HIGH])
    box = [
        by_distinct(function, k, runs, tail * shares(counts.weights, runs, upper=end))
        for function, k, tail, end in zip(
            (lower_limit, upper_limit), (least, most), tails, (False, True), strict=True
        )
    ]
    level = float(np.log(2 / ((1 - _BOX) * alpha)))
    result = np.zeros(x.shape[1])
    # Strata that do not count are the same ones in many columns.
    patterns, where = np.unique(active, axis=1, return_inverse=True)
    for place, pattern in enumerate(patterns.T):
        columns = np.flatnonzero(where.reshape(-1) == place)
        part = np.where(pattern, weights[:, 0], 0.0)
        ends = box[0][:, columns], box[1][:, columns]
        result[columns] = chernoff_limit(part, x[:, columns], runs, ends, level, upper=upper)
    return result


def shares(weights: np.ndarray, runs: np.ndarray, *, upper: bool) -> np.ndarray:
    """Return the share of the error of each sampled stratum, [S], which add up to 1.

    They rest on the weights and numbers of runs alone. Decided strata with runs have a share too:
    which strata are decided may rest on the runs' own best risk.
    """
    sampled = runs > 0
    if not sampled.any():
        return np.ones(len(runs))
    root = np.sqrt(np.where(sampled, runs, 1.0))
    wide = np.where(sampled, weights / root if upper else root, 0.0)
    alike = sampled / sampled.sum()
    total = wide.sum()
    own = wide / total if total > 0 else alike
    part = 0.3 if upper else 0.5
    # Written so that one sampled stratum has a share of exactly 1.
    return np.where(sampled, own + part * (alike - own), 1.0)


def fixed_shares(weights: np.ndarray) -> np.ndarray:
    """Return shares of the error that rest on the weights alone, [S], which add up to 1."""
    some = np.asarray(weights) > 0
    alike = some / max(some.sum(), 1)
    own = np.where(some, weights, 0.0) / max(float(np.sum(weights)), 1e-300)
    return np.where(some, own + 0.5 * (alike - own), 1.0)


def _description(interval: Interval, sampled: int, families: int) -> str:
    if families:
        strata = f"{families} strata" if families > 1 else "one stratum"
        split = f"families in {strata}: betting lower limit (guaranteed), upper end approximate"
        return f"{_description(interval, sampled, 0)}; {split}" if sampled else split
    over = f" over {sampled} strata" if sampled > 1 else ""
    if interval.name == "clopper-pearson":
        if sampled >= FEWEST_SUMMED:
            return f"Clopper-Pearson, Chernoff's bound of the sum{over} (guaranteed)"
        return f"Clopper-Pearson, Bonferroni{over} (guaranteed)" if over else "Clopper-Pearson"
    if interval.name == "sequence":
        return (
            f"confidence sequence{', Bonferroni' + over if over else ''} (guaranteed at any look)"
        )
    if interval.name == "profile-likelihood":
        return f"profile likelihood ratio{over} (approximate)"
    limits = {"mover": "Clopper-Pearson", "wilson": "Wilson", "mid-p": "mid-P"}[interval.name]
    exact = interval.name == "mover" and not over
    return f"{limits}{', MOVER' + over if over else ''}{'' if exact else ' (approximate)'}"
