"""Which of two experiments fails more often, from pairs of runs with common random numbers.

Runs with the same index share initialization and mini-batches, so that only pairs in which exactly
one of the two fails tell the experiments apart: b pairs with a failure of the first only, c of the
second only. If both are equally likely, b ~ Bin(b + c, 1/2) given b + c (McNemar, Psychometrika 12,
1947), and

    exact   P = min(1, 2 P(Bin <= min(b, c))),
    mid-P   P = 2 P(Bin <= min(b, c)) - P(Bin = min(b, c)),   1 if b = c.

The exact test never exceeds its level; the mid-P test is less conservative and not known to exceed
it in practice (Fagerland, Lydersen and Laake, BMC Med. Res. Methodol. 13:91, 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # its parts are imported when they are used
from numpy.typing import ArrayLike

from jaxsim.errors import InputError, unknown
from jaxsim.estimation.checks import checked_level
from jaxsim.estimation.counts import Outcome
from jaxsim.estimation.intervals import clopper_pearson


@dataclass(frozen=True)
class PairedCounts:
    """Outcomes of pairs of runs; counts of disjoint sets of replicates add up.

    Attributes:
        both: both fail.
        only_first: the first fails, the second passes: b.
        only_second: the second fails, the first passes: c.
        neither: both pass.
        undecided: pairs of which it cannot be told.
        maybe_only_first: undecided pairs that may belong to `only_first`.
        maybe_only_second: undecided pairs that may belong to `only_second`.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    undecided: int = 0
    maybe_only_first: int = 0
    maybe_only_second: int = 0

    @property
    def runs(self) -> int:
        """Number of pairs."""
        return self.both + self.only_first + self.only_second + self.neither + self.undecided

    def __add__(self, other: PairedCounts) -> PairedCounts:
        """Return the counts of both sets of pairs, which must be disjoint."""
        if not isinstance(other, PairedCounts):
            return NotImplemented
        return PairedCounts(
            self.both + other.both,
            self.only_first + other.only_first,
            self.only_second + other.only_second,
            self.neither + other.neither,
            self.undecided + other.undecided,
            self.maybe_only_first + other.maybe_only_first,
            self.maybe_only_second + other.maybe_only_second,
        )


@dataclass(frozen=True)
class PairedComparison:
    """The difference of two failure probabilities, first minus second, from paired runs.

    Attributes:
        counts: the table.
        difference: (b - c) / runs; not a number without runs.
        lower: lower end of the interval of the difference.
        upper: upper end of the interval of the difference.
        confidence: of the interval.
        method: how the interval is made.
        p_exact: exact McNemar test of equal probabilities.
        p_mid: mid-P McNemar test.
    """

    counts: PairedCounts
    difference: float
    lower: float
    upper: float
    confidence: float
    method: str
    p_exact: float
    p_mid: float


def pair_outcomes(first: ArrayLike, second: ArrayLike) -> PairedCounts:
    """Count pairs of runs.

    Args:
        first: `Outcome` of the runs of one experiment, [R].
        second: `Outcome` of the runs with the same replicate indices of the other, [R].

    Raises:
        InputError: for different shapes or values that are no outcomes.

    Example:
        >>> pair_outcomes([1, 1, 0, 0, 2], [1, 0, 0, 0, 0])
        PairedCounts(both=1, only_first=1, only_second=0, neither=2, undecided=1, \
maybe_only_first=1, maybe_only_second=0)
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape:
        raise InputError(
            f"outcomes of shapes {a.shape} and {b.shape} are not paired; make them equal"
        )
    if not (np.isin(a, list(Outcome)).all() and np.isin(b, list(Outcome)).all()):
        raise InputError("outcomes are not accepted; accepted: 0 (pass), 1 (fail), 2 (undecided)")
    decided = (a != Outcome.UNDECIDED) & (b != Outcome.UNDECIDED)

    def count(pairs: np.ndarray) -> int:
        return int(np.count_nonzero(pairs))

    return PairedCounts(
        both=count((a == Outcome.FAIL) & (b == Outcome.FAIL)),
        only_first=count((a == Outcome.FAIL) & (b == Outcome.PASS)),
        only_second=count((a == Outcome.PASS) & (b == Outcome.FAIL)),
        neither=count((a == Outcome.PASS) & (b == Outcome.PASS)),
        undecided=count(~decided),
        maybe_only_first=count(~decided & (a != Outcome.PASS) & (b != Outcome.FAIL)),
        maybe_only_second=count(~decided & (a != Outcome.FAIL) & (b != Outcome.PASS)),
    )


def compare(counts: PairedCounts, confidence: float) -> PairedComparison:
    """Return the difference of the failure probabilities with an interval and both tests.

    The interval is [lower(b) - upper(c), upper(b) - lower(c)] with Clopper-Pearson intervals of
    the two discordant cells at half of alpha each: rigorous and conservative. Undecided pairs widen
    it, and go to the rarer cell in the tests, which makes P as large as it can be.

    Args:
        counts: the table.
        confidence: of the interval.

    Raises:
        InputError: for a confidence outside (0, 1).

    Example:
        >>> one = compare(PairedCounts(40, 25, 5, 930), 0.95)
        >>> f"{one.difference:.3f} {one.lower:.4f} {one.upper:.4f} {one.p_exact:.6f}"
        '0.020 0.0025 0.0371 0.000325'
    """
    return compare_all([counts], confidence)[0]


def compare_all(counts: Sequence[PairedCounts], confidence: float) -> list[PairedComparison]:
    """Return `compare` of many tables, computed together.

    Args:
        counts: the tables.
        confidence: of each interval, for itself.

    Raises:
        InputError: for a confidence outside (0, 1).
    """
    half = 1.0 - (1.0 - checked_level(confidence, "confidence")) / 2.0
    b, c, runs, maybe_b, maybe_c = np.array(
        [
            (t.only_first, t.only_second, t.runs, t.maybe_only_first, t.maybe_only_second)
            for t in counts
        ],
        np.int64,
    ).T
    most_b, most_c = b + maybe_b, c + maybe_c
    least = [clopper_pearson(k, runs, half)[0] for k in (b, c)]
    most = [clopper_pearson(k, runs, half)[1] for k in (most_b, most_c)]
    # Undecided pairs go to the rarer cell.
    worst = np.where(b <= c, np.minimum(most_b, c), b), np.where(b <= c, c, np.minimum(most_c, b))
    exact, middle = mcnemar(*worst), mcnemar(*worst, "mid-p")
    return [
        PairedComparison(
            counts=table,
            difference=float(b[i] - c[i]) / table.runs if table.runs else float("nan"),
            lower=float(least[0][i] - most[1][i]),
            upper=float(most[0][i] - least[1][i]),
            confidence=float(confidence),
            method="Clopper-Pearson for both discordant cells (Bonferroni)",
            p_exact=float(exact[i]),
            p_mid=float(middle[i]),
        )
        for i, table in enumerate(counts)
    ]


def mcnemar(b: ArrayLike, c: ArrayLike, method: Literal["exact", "mid-p"] = "exact") -> np.ndarray:
    """Return the two-sided P value of McNemar's test, for arrays element by element.

    Args:
        b: pairs in which only the first fails.
        c: pairs in which only the second fails.
        method: "exact", for statements, or "mid-p", for screening.

    Raises:
        InputError: for negative counts or an unknown method.

    Example:
        >>> f"{mcnemar(1, 7):.4f} {mcnemar(1, 7, 'mid-p'):.4f}"
        '0.0703 0.0391'
    """
    if method not in ("exact", "mid-p"):
        raise unknown("method", method, ("exact", "mid-p"))
    first, second = np.broadcast_arrays(np.asarray(b, np.float64), np.asarray(c, np.float64))
    if not (np.isfinite(first) & np.isfinite(second) & (first >= 0) & (second >= 0)).all():
        raise InputError("discordant pairs are not accepted; accepted: counts >= 0")
    less, pairs = np.minimum(first, second), first + second
    p = 2.0 * scipy.stats.binom.cdf(less, pairs, 0.5)
    if method == "mid-p":
        p = p - scipy.stats.binom.pmf(less, pairs, 0.5)
    return np.where(first == second, 1.0, np.minimum(p, 1.0))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return P values adjusted for all comparisons together: max_{j <= i} (m - j + 1) p_(j).

    Rejecting where the adjusted value is at most alpha keeps the probability of any false rejection
    at most alpha, whatever the dependence (Holm, Scand. J. Statist. 6, 1979).

    Args:
        p_values: of m tests, [m].

    Raises:
        InputError: for values outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError("p_values are not accepted; accepted: numbers in [0, 1], in a list")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.arange(p.size, 0, -1) * p[order])
    return np.minimum(adjusted, 1.0)
