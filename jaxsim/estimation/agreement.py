"""Exact tests of whether a measured frequency agrees with a published one.

Two counts k1 of n1 and k2 of n2: Fisher's test, two-sided. Given k1 + k2 the count k1 is
hypergeometric if both probabilities are equal, and P is the probability of all counts that are not
more probable than the one there is (Fisher, Statistical Methods for Research Workers, 1934). Its
level holds for every n1, n2 and p. Boschloo's and Barnard's tests are somewhat more powerful, but
maximize over the unknown p a sum over all n1 n2 tables, which is slow from some hundreds of
runs on, where they gain little.

A published probability with no count: the exact binomial test of k1 of n1, twice the smaller tail,
so that it rejects what the Clopper-Pearson interval excludes.

What is not known exactly (a printed value is rounded, some runs are undecided) is a range: P is the
greatest over it, so that rounding never makes a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import scipy  # its parts are imported when they are used

from jaxsim.errors import InputError

Range = tuple[int, int]


def fisher(first: Range, runs: int, second: Range, other_runs: int) -> float:
    """Return the greatest P value of Fisher's two-sided test over ranges of both counts.

    Args:
        first: least and greatest count among `runs`.
        runs: at least 1.
        second: least and greatest count among `other_runs`.
        other_runs: at least 1.

    Raises:
        InputError: for counts outside 0..runs.

    Example:
        >>> round(fisher((338, 338), 500, (730, 730), 1000), 4)
        0.0342
        >>> fisher((338, 338), 500, (670, 680), 1000)
        1.0
    """
    _check(first, runs)
    _check(second, other_runs)
    return min(1.0, max(_fisher(*p) for p in _pairs(first, runs, second, other_runs)))


def binomial(count: Range, runs: int, lower: float, upper: float) -> float:
    """Return the greatest P value of the exact binomial test over counts and probabilities.

    Args:
        count: least and greatest count among `runs`.
        runs: at least 1.
        lower: least probability that is not to be rejected.
        upper: greatest.

    Raises:
        InputError: for counts outside 0..runs, or an empty range of probabilities.

    Example:
        >>> round(binomial((60, 60), 100, 0.495, 0.505), 4), binomial((60, 60), 100, 0.5, 1.0)
        (0.0712, 1.0)
    """
    _check(count, runs)
    if not 0 <= lower <= upper <= 1:
        raise InputError(
            f"probabilities from {lower:g} to {upper:g} are not accepted; accepted: "
            "0 <= lower <= upper <= 1"
        )
    # Each tail is monotone in count and probability: it is greatest at the ends.
    above = float(scipy.stats.binom.sf(count[0] - 1, runs, upper))
    below = float(scipy.stats.binom.cdf(count[1], runs, lower))
    return min(1.0, 2 * min(above, below))


def _fisher(k: int, n: int, m: int, other: int) -> float:
    result: Any = scipy.stats.fisher_exact(
        [[k, n - k], [m, other - m]]
    )  # SciPy's stubs have no fields
    return float(result.pvalue)


def _pairs(
    first: Range, runs: int, second: Range, other_runs: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield pairs of counts, of which one has the greatest P: ends, and the closest shares."""
    for k in first:
        for m in (*second, _inside(round(k * other_runs / runs), second)):
            yield k, runs, m, other_runs
    for m in second:
        yield _inside(round(m * runs / other_runs), first), runs, m, other_runs


def _inside(value: int, limits: Range) -> int:
    return min(max(value, limits[0]), limits[1])


def _check(count: Range, runs: int) -> None:
    if not 0 <= count[0] <= count[1] <= runs or runs < 1:
        raise InputError(
            f"counts from {count[0]} to {count[1]} of {runs} runs are not accepted; accepted: "
            "0 <= count <= runs, at least one run"
        )
