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

    clopper-pearson      Bonferroni of Clopper-Pearson: holds for every f and fixed n_k,
    sequence             Bonferroni of confidence sequences: holds for all n_k at once, whatever
                         decides which stratum is sampled next and when it is enough,
    mover, wilson, mid-p MOVER with the limits of Clopper-Pearson, Wilson or mid-P: approximate,
    profile-likelihood   likelihood ratio of the sum: approximate, sharp.

The error alpha is shared among strata before the runs are seen: by weights and numbers of runs
only, never by counts. Half is shared alike, and the other half goes where the limit is wide: with
sqrt(n_k) for the lower end (many runs are where failures are), with pi_k / sqrt(n_k) for the upper
one. Against equal shares the interval is up to a tenth shorter where strata are rare. The shares of
a sequence know the weights only, for its n_k may depend on the counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxsim.errors import InputError
from jaxsim.estimation.anytime import sequence_lower, sequence_upper
from jaxsim.estimation.checks import checked_counts, checked_level
from jaxsim.estimation.counts import Counts
from jaxsim.estimation.intervals import Interval, interval_of, lower_limit, upper_limit
from jaxsim.estimation.mover import bonferroni_limit, by_distinct, mover_limit
from jaxsim.estimation.profile import profile_limit

FAILS, OPEN, PASSES = 1, 0, -1
"""Fate of a stratum: fails by proof, not decided, passes by proof."""
_ROUNDING = 1e-9  # by which weights may miss 1 beyond their errors


@dataclass(frozen=True)
class StratifiedCounts:
    """Counts of runs by stratum; those of disjoint sets of runs add up with `+`.

    Attributes:
        weights: probabilities pi_k of the strata, which add up to 1, float64 [S].
        errors: absolute bounds on the errors of the weights, float64 [S].
        failures: runs that certainly fail, int64 [S, ...], such as [S, G, T].
        possible: runs that fail or may fail, int64 [S, ...].
        runs: all runs of each stratum, 0 where it was not sampled, int64 [S].
        decided: fate of each stratum by proof, int8 [S, ...]: 1 fails, -1 passes, 0 neither. Runs
            of a decided stratum are not used.

    Raises:
        InputError: for shapes that do not fit, counts that are not 0 <= failures <= possible <=
            runs, or weights that are negative or do not add up to 1.
    """

    weights: np.ndarray
    errors: np.ndarray
    failures: np.ndarray
    possible: np.ndarray
    runs: np.ndarray
    decided: np.ndarray

    def __post_init__(self) -> None:
        strata, shape = len(self.weights), np.shape(self.failures)
        fits = shape[:1] == (strata,) and shape == np.shape(self.possible) == np.shape(self.decided)
        if not fits or not np.shape(self.errors) == np.shape(self.runs) == (strata,):
            raise InputError(
                f"counts of shapes {shape} and {np.shape(self.possible)}, fates of shape "
                f"{np.shape(self.decided)} and {np.size(self.runs)} numbers of runs do not belong "
                f"to {strata} strata"
            )
        runs = _like(self.runs, np.ndim(self.failures))
        checked_counts(self.failures, self.possible)
        checked_counts(self.possible, np.broadcast_to(runs, shape))
        if not np.isin(self.decided, (FAILS, OPEN, PASSES)).all():
            raise InputError("decided is not accepted; accepted: 1 (fails), -1 (passes), 0 (open)")
        checked_weights(self.weights, self.errors)

    @classmethod
    def plain(cls, counts: Counts) -> StratifiedCounts:
        """Return the counts of runs that are not stratified: one stratum of weight 1."""
        return cls(
            np.ones(1),
            np.zeros(1),
            counts.failures[None],
            counts.possible[None],
            np.array([counts.runs]),
            np.zeros((1, *counts.failures.shape), np.int8),
        )

    def __add__(self, other: StratifiedCounts) -> StratifiedCounts:
        if not isinstance(other, StratifiedCounts):
            return NotImplemented
        same = (
            np.array_equal(self.weights, other.weights)
            and np.array_equal(self.errors, other.errors)
            and np.array_equal(self.decided, other.decided)
        )
        if not same:
            raise InputError("counts of different strata, thresholds or checkpoints do not add up")
        return StratifiedCounts(
            self.weights,
            self.errors,
            self.failures + other.failures,
            self.possible + other.possible,
            self.runs + other.runs,
            self.decided,
        )


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
        confidence: of [lower, upper].
        method: name of the interval.
        rigorous: whether [lower, upper] holds with probability `confidence` whatever p is.
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
    confidence: float
    method: str
    rigorous: bool
    description: str


def stratified(
    counts: StratifiedCounts, confidence: float, method: str | Interval = "clopper-pearson"
) -> Stratified:
    """Return the probability in three parts, with its interval.

    With one stratum of weight 1 the ends are those of the interval itself, bit for bit.

    Args:
        counts: by stratum.
        confidence: of each two-sided interval.
        method: a name of `INTERVALS`.

    Raises:
        InputError: for an unknown method or a confidence outside (0, 1).

    Example: the rare stratum fails by proof, and the common one never failed in a million runs
        >>> counts = StratifiedCounts(
        ...     np.array([0.999, 0.001]), np.zeros(2), np.array([0, 0]), np.array([0, 0]),
        ...     np.array([1_000_000, 0]), np.array([0, 1], np.int8),
        ... )
        >>> p = stratified(counts, 0.95)
        >>> f"{p.lower:.6f} {p.upper:.6f} {p.resolved:.1f} {p.unresolved:.2g}"
        '0.001000 0.001004 0.0 3.7e-06'
    """
    checked_level(confidence, "confidence")
    interval = method if isinstance(method, Interval) else interval_of(method)
    shape, cells = counts.failures.shape[1:], (len(counts.weights), -1)
    decided = counts.decided.reshape(cells)
    sampled = counts.runs > 0
    active = (decided == OPEN) & sampled[:, None]
    missing = (decided == OPEN) & ~sampled[:, None]
    weight, least, most = _weights(counts)
    n = np.maximum(counts.runs, 1)[:, None]
    failures, possible = counts.failures.reshape(cells), counts.possible.reshape(cells)

    def limit(weights: np.ndarray, x: np.ndarray, strata: np.ndarray, *, upper: bool) -> np.ndarray:
        return _limit(interval, counts, weights, x, strata, confidence, upper=upper)

    def mass(weights: np.ndarray, strata: np.ndarray) -> np.ndarray:
        return np.where(strata, weights, 0.0).sum(0)

    fails, passes = decided == FAILS, decided == PASSES
    unsampled = mass(most, missing)
    resolved_lower = limit(least, failures, active, upper=False)
    resolved_upper = limit(most, possible, active, upper=True)
    nothing = limit(most, possible, active & (possible == 0), upper=True)
    resolved, resolved_possible = (mass(weight * (x / n), active) for x in (failures, possible))
    provable, passing = mass(least, fails), mass(least, passes)
    lower = provable + resolved_lower
    upper = np.minimum(mass(most, fails) + resolved_upper + unsampled, 1.0 - passing)
    arrays = {
        "provable": provable,
        "passing": passing,
        "resolved": resolved,
        "resolved_possible": resolved_possible,
        "resolved_lower": resolved_lower,
        "resolved_upper": resolved_upper,
        "unsampled": unsampled,
        "unresolved": np.minimum(unsampled + nothing, 1.0),
        "estimate": np.minimum(mass(weight, fails) + resolved, 1.0),
        "estimate_upper": np.minimum(mass(weight, fails) + resolved_possible, 1.0),
        "lower": np.minimum(lower, upper),
        "upper": upper,
    }
    count = int(sampled.sum())
    return Stratified(
        **{name: array.reshape(shape)[()] for name, array in arrays.items()},
        confidence=float(confidence),
        method=interval.name,
        rigorous=interval.rigorous or (interval.name == "mover" and count <= 1),
        description=_description(interval, count),
    )


def checked_weights(weights: np.ndarray, errors: np.ndarray) -> None:
    """Refuse weights that are no probabilities of strata.

    Raises:
        InputError: unless they and their errors are >= 0 and the weights add up to 1.
    """
    w, e = np.asarray(weights, np.float64), np.asarray(errors, np.float64)
    if not (np.isfinite(w) & (w >= 0) & np.isfinite(e) & (e >= 0)).all():
        raise InputError("weights of strata or their errors are not accepted; accepted: >= 0")
    if abs(w.sum() - 1) > e.sum() + _ROUNDING:
        raise InputError(
            f"weights of strata that add up to {w.sum():.12g} are not accepted; accepted: to 1"
        )


def _weights(counts: StratifiedCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights, and what they are at least and at most, each [S, 1]."""
    w, e = (np.asarray(a, np.float64)[:, None] for a in (counts.weights, counts.errors))
    return w, np.maximum(w - e, 0.0), np.minimum(w + e, 1.0)


def _limit(
    interval: Interval,
    counts: StratifiedCounts,
    weights: np.ndarray,
    x: np.ndarray,
    active: np.ndarray,
    confidence: float,
    *,
    upper: bool,
) -> np.ndarray:
    """Return one limit of the active strata's part, [C]."""
    runs, alpha = np.asarray(counts.runs, np.float64), 1 - confidence
    if interval.name == "profile-likelihood":
        return profile_limit(weights, x, runs[:, None], active, confidence, upper=upper)
    if interval.name == "clopper-pearson":
        function = upper_limit if upper else lower_limit
        tail = alpha / 2 * shares(counts.weights, runs, upper=upper)
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


def _like(values: np.ndarray, dimensions: int) -> np.ndarray:
    return np.asarray(values).reshape((-1,) + (1,) * (dimensions - 1))


def _description(interval: Interval, sampled: int) -> str:
    over = f" over {sampled} strata" if sampled > 1 else ""
    if interval.name == "clopper-pearson":
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
