"""Values known up to errors, one checkpoint after the other: what several questions ask of them.

Counting at thresholds and filing under bins begin with the same steps: both ends of every value,
and the bins they are in. Here these are done once for a shard, on contiguous arrays. How many ends
are above a limit is then read off the counts of the bins; only ends in a limit's own bin are
compared with it.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.bins import bin_numbers, counted, few_enough, occupied, positive_bin_numbers
from jaxsim.estimation.limits import count_above

MOST_KEPT = 1 << 19
"""Values of a shard beyond which nothing derived from them is kept: memory holds one checkpoint."""
FEW = 4
"""Limits up to which it is faster to compare every value with each of them."""


class KnownValues:
    """Values of R runs at T checkpoints with bounds on their errors.

    Attributes:
        value: float64 [R, T]; what is infinite or not a number is a divergence.
        error: float64 [R, T]; what is infinite or not a number leaves the true value open.
    """

    def __init__(self, value: ArrayLike, error: ArrayLike) -> None:
        self.value = np.asarray(value, np.float64)
        self.error = np.asarray(error, np.float64)
        if self.value.ndim != 2 or self.value.shape != self.error.shape:
            raise InputError(
                f"risk of shape {self.value.shape} and error of shape {self.error.shape} are not "
                "accepted: both must be [runs, checkpoints]"
            )
        self._columns: dict[int, Column] = {}

    def column(self, t: int) -> Column:
        """Return the values at one checkpoint.

        Raises:
            InputError: for a negative error.
        """
        column = self._columns.get(t)
        if column is None:
            column = Column(self.value[:, t], self.error[:, t])
            if column.negative:
                least = np.nanmin(self.error)
                raise InputError(f"error = {least:g} is not accepted: a bound >= 0 is")
            if self.value.size <= MOST_KEPT:
                self._columns[t] = column
        return column


class Ends(NamedTuple):
    """One end of every known value.

    Attributes:
        value: contiguous float64 [K], K values.
        keys: numbers of their bins, [K].
        first: the number of the first of the bins that are counted.
        counts: of values in each bin; None if they are spread over too many.
    """

    value: np.ndarray
    keys: np.ndarray
    first: int
    counts: np.ndarray | None

    def above(self, limits: np.ndarray) -> np.ndarray:
        """Return how many are greater than each limit, int64 [G]."""
        if self.counts is None:
            return count_above(self.value, limits)
        span = len(self.counts)
        place = np.clip(bin_numbers(limits) - self.first, -1, span)
        edges = np.unique(np.append(0, np.minimum(place + 1, span - 1)))
        behind = np.append(np.add.reduceat(self.counts, edges)[::-1].cumsum()[::-1], 0)
        result = behind[np.searchsorted(edges, place + 1)]
        inside = place[(place >= 0) & (place < span)]
        if len(inside):
            of_limit = np.zeros(span, bool)
            of_limit[inside] = True
            rows = np.flatnonzero(of_limit[self.keys - self.first])
            # Of the values in a limit's own bin: those above it, without those of further bins.
            near = np.sort(self.value[rows])
            at = np.searchsorted(near, limits, "right")
            beyond = np.searchsorted(np.sort(self.keys[rows]) - self.first, place, "right")
            result = result + beyond - at
        return result


class Column:
    """Values at one checkpoint with bounds on their errors.

    Attributes:
        runs: all of them, R.
        gone: how many are infinite or not a number.
        value: those that are finite and have a finite error, contiguous float64 [K].
        error: their errors.
        known: which of the runs these are, bool [R]; None if all.
        exact: whether all of these errors are 0.
        negative: whether there is a negative error.
        rest: the other values, and their errors.
    """

    def __init__(self, value: np.ndarray, error: np.ndarray) -> None:
        value, error = np.ascontiguousarray(value), np.ascontiguousarray(error)
        self.runs, self.gone = len(value), 0
        self.known: np.ndarray | None = None
        self.rest: tuple[np.ndarray, np.ndarray] = value[:0], error[:0]
        self.negative = bool((error < 0).any())
        if self.runs and not (_all_finite(value) and _all_finite(error)):
            finite = np.isfinite(value)
            known = self.known = finite & np.isfinite(error)
            self.gone = int(self.runs - np.count_nonzero(finite))
            self.rest = value[~known], error[~known]
            value, error = value[known], error[known]
        self.value, self.error = value, error
        self.exact = not error.any()

    @cached_property
    def least(self) -> np.ndarray:
        """Lower limits of the true values, [K]."""
        with np.errstate(over="ignore"):
            return self.value if self.exact else self.value - self.error

    @cached_property
    def most(self) -> np.ndarray:
        """Upper limits of the true values, [K]."""
        with np.errstate(over="ignore"):
            return self.value if self.exact else self.value + self.error

    @cached_property
    def at_value(self) -> Ends:
        """The values, by their bins."""
        return self._ends(self.value)

    @cached_property
    def at_least(self) -> Ends:
        """Their lower limits, by their bins."""
        return self.at_value if self.exact else self._ends(self.least)

    @cached_property
    def at_most(self) -> Ends:
        """Their upper limits, by their bins."""
        return self.at_value if self.exact else self._ends(self.most)

    @cached_property
    def bins(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the bins that hold known values, increasing, and how many each holds."""
        ends = self.at_value
        if not len(ends.keys):
            return ends.keys, ends.keys
        return counted(ends.keys) if ends.counts is None else occupied(ends.counts, ends.first)

    def _ends(self, value: np.ndarray) -> Ends:
        if not len(value):
            return Ends(value, np.empty(0, np.int64), 0, None)
        keys = positive_bin_numbers(value) if value.min() > 0 else bin_numbers(value)
        if value is not self.value and np.array_equal(keys, self.at_value.keys):
            # Most errors are far smaller than a bin.
            return self.at_value._replace(value=value)
        first, last = int(keys.min()), int(keys.max())
        few = few_enough(last - first, len(keys))
        return Ends(value, keys, first, np.bincount(keys - first) if few else None)

    def failures(self, limits: np.ndarray) -> np.ndarray:
        """Return how many runs are above each limit for certain, those gone included, int64 [G]."""
        if len(limits) <= FEW:
            return self.gone + _above(self.least, limits)
        return self.gone + self.at_least.above(limits)

    def passes(self, limits: np.ndarray) -> np.ndarray:
        """Return how many runs are at or below each limit for certain, int64 [G]."""
        if len(limits) <= FEW:
            return len(self.value) - _above(self.most, limits)
        return len(self.value) - self.at_most.above(limits)

    def failing(self, limit: float) -> np.ndarray:
        """Return which runs are above a limit for certain, those gone included, bool [R]."""
        above = self.least > limit
        if self.known is None:
            return above
        failing = np.empty(self.runs, bool)
        failing[self.known] = above
        failing[~self.known] = ~np.isfinite(self.rest[0])
        return failing

    def passing(self, limit: float) -> np.ndarray:
        """Return which runs are at or below a limit for certain, bool [R]."""
        below = self.most <= limit
        if self.known is None:
            return below
        passing = np.zeros(self.runs, bool)
        passing[self.known] = below
        return passing


def _above(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return how many values are greater than each limit, one limit after the other."""
    return np.array([np.count_nonzero(values > limit) for limit in limits], np.int64)


def _all_finite(x: np.ndarray) -> bool:
    """Return whether all values are finite; both extremes are not a number where one value is."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(x.min()) and np.isfinite(x.max()))
