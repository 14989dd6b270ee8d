"""The distribution of millions of risks in bounded memory, mergeable over shards.

A float64 is filed under its sign, exponent and first 12 bits of mantissa, the first 24 bits of its
representation. The bins are thus fixed for all data, [x, x (1 + 2^-12)) or finer, so that shards
can be added in any order with the same result; a distribution over ten decades fills at most
140,000 bins. Whatever is read off is rounded outward to bin edges: coarser, never wrong.

A risk that is known up to an error is filed three times: where it is, and where it is at least and
at most. The k-th smallest true risk is between the k-th smallest of the two latter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.estimation.bins import bin_edges, bin_numbers, closed, counted
from jaxsim.estimation.known_values import Column
from jaxsim.estimation.quantiles import quantile_ranks, sample_rank

LEAST, VALUE, MOST = range(3)  # columns of the counts


class RiskHistogram:
    """Counts of float64 values in bins of relative width 2^-12.

    Values that are infinite or not a number count as +inf, the risk of a diverged run.

    Attributes:
        total: number of values.

    Example:
        >>> h = RiskHistogram([0.5, 1.0, 2.0, float("nan")])
        >>> h.total, float(h.quantile(0.5)), h.max
        (4, 1.0001220703125, inf)
    """

    def __init__(self, values: ArrayLike = (), error: ArrayLike = 0.0) -> None:
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty((0, 3), np.int64)
        self._min = np.full(3, np.inf)
        self._max = np.full(3, -np.inf)
        self.total = 0
        self.add(values, error)

    @property
    def min(self) -> float:
        """Least value, exactly; +inf without values."""
        return float(self._min[VALUE])

    @property
    def max(self) -> float:
        """Greatest value, exactly; -inf without values."""
        return float(self._max[VALUE])

    @property
    def least(self) -> float:
        """Lower limit of all true risks; +inf without values."""
        return float(self._min[LEAST])

    @property
    def most(self) -> float:
        """Upper limit of all true risks; -inf without values."""
        return float(self._max[MOST])

    def occupied(self, column: int) -> np.ndarray:
        """Return the numbers of the bins that hold values, increasing.

        Args:
            column: `LEAST`, `VALUE` or `MOST`: where values are at least, computed, or at most.
        """
        return self._keys[self._counts[:, column] > 0]

    def cumulative(self, keys: np.ndarray, column: int) -> np.ndarray:
        """Return how many values are in bins up to and including each of those numbered, int64."""
        below = np.concatenate([[0], np.cumsum(self._counts[:, column])])
        return below[np.searchsorted(self._keys, keys, side="right")]

    def add(self, values: ArrayLike, error: ArrayLike = 0.0) -> RiskHistogram:
        """Count values; return the histogram itself.

        Args:
            values: risks, any shape.
            error: bounds on their numerical errors, which broadcast to the values. One that is
                infinite or not a number leaves the true risk anywhere on the line.

        Raises:
            InputError: for a negative error or a shape that does not fit.
        """
        x = np.asarray(values, np.float64)
        if np.size(error) > 1 and np.shape(error) != x.shape:
            raise InputError(
                f"error of shape {np.shape(error)} does not fit values of shape {x.shape}: one "
                "error, or one for each value, is accepted"
            )
        slack = np.asarray(error, np.float64).ravel()
        if (slack < 0).any():
            raise InputError(f"error = {np.nanmin(slack):g} is not accepted: a bound >= 0 is")
        x = x.ravel()
        if not np.isfinite(x).all():
            x = np.where(np.isfinite(x), x, np.inf)
        if not x.size:
            return self
        keys, exact = bin_numbers(x), not slack.any()
        self._file(keys, [LEAST, VALUE, MOST])
        self._widen(x, slice(None) if exact else VALUE)
        self.total += x.size
        if exact:
            return self
        slack = np.where(np.isinf(x), 0.0, np.where(np.isnan(slack), np.inf, slack))
        with np.errstate(over="ignore"):
            ends = {LEAST: x - slack, MOST: x + slack}
        for column, y in ends.items():
            self._move(keys, column, y, bin_numbers(y))
        return self

    def add_column(self, column: Column, exact: bool = False) -> RiskHistogram:
        """Count the values of a checkpoint as `add` does; return the histogram itself.

        Args:
            column: the values.
            exact: whether their errors are left out.
        """
        value, error = column.rest
        self.add(value, 0.0 if exact else error)
        if not len(column.value):
            return self
        keys, counts = column.bins
        self._add(keys, np.repeat(counts[:, None], 3, axis=1))
        self.total += len(column.value)
        known_exactly = exact or column.exact
        self._widen(column.value, slice(None) if known_exactly else VALUE)
        if not known_exactly:
            self._move(column.at_value.keys, LEAST, column.least, column.at_least.keys)
            self._move(column.at_value.keys, MOST, column.most, column.at_most.keys)
        return self

    def merge(self, other: RiskHistogram) -> RiskHistogram:
        """Count what the other histogram counted; return the histogram itself."""
        self._add(other._keys, other._counts)
        self._min = np.minimum(self._min, other._min)
        self._max = np.maximum(self._max, other._max)
        self.total += other.total
        return self

    def __add__(self, other: RiskHistogram) -> RiskHistogram:
        if not isinstance(other, RiskHistogram):
            return NotImplemented
        return RiskHistogram().merge(self).merge(other)

    def bins(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (lower edges, upper edges, counts) of the bins that hold values, increasing.

        Diverged runs are in the bin with both edges +inf.
        """
        counts = self._counts[:, VALUE]
        used = counts > 0
        lower, upper = bin_edges(self._keys[used])
        return lower, upper, counts[used]

    def quantile(self, q: ArrayLike) -> Any:
        """Return the sample quantile x_(ceil(n q)) up to the bin's width.

        Raises:
            InputError: for a level outside (0, 1), or without values.
        """
        if not self.total:
            raise InputError("a histogram without values has no quantile")
        lower, upper = self._bin_of(sample_rank(self.total, q), VALUE)
        with np.errstate(invalid="ignore"):
            middle = np.where(np.isfinite(upper), lower + (upper - lower) / 2, lower)
        # The bin at zero is subnormal: zero stands for it.
        return np.where((lower <= 0) & (upper >= 0), 0.0, middle)[()]

    def quantile_interval(self, q: ArrayLike, confidence: float) -> tuple[Any, Any]:
        """Return an interval for the quantile of the true risk with coverage >= confidence.

        It contains that of `jaxsim.estimation.quantile_interval` on the true risks: the ends are
        rounded outward to bin edges, and infinite where there are too few values.

        Raises:
            InputError: for a level or confidence outside (0, 1).
        """
        first, last = quantile_ranks(self.total, q, confidence)
        lower = np.where(first < 1, -np.inf, self._bin_of(first, LEAST)[0])
        upper = np.where(last > self.total, np.inf, self._bin_of(last, MOST)[1])
        return lower[()], upper[()]

    def count_above(self, threshold: float) -> tuple[int, int]:
        """Return how many values certainly are, and how many may be, greater than a threshold."""
        least, greatest = closed(self._keys)
        certain = np.maximum(least, self._min[LEAST]) > threshold
        possible = np.minimum(greatest, self._max[MOST]) > threshold
        return int(self._counts[certain, LEAST].sum()), int(self._counts[possible, MOST].sum())

    def __repr__(self) -> str:
        return f"RiskHistogram(total={self.total}, min={self.min:g}, max={self.max:g})"

    def _file(self, keys: np.ndarray, columns: list[int], sign: int = 1) -> None:
        """Count values by the numbers of their bins, in some of the columns."""
        present, counts = counted(keys)
        rows = np.zeros((len(present), 3), np.int64)
        rows[:, columns] = sign * counts[:, None]
        self._add(present, rows)

    def _move(self, keys: np.ndarray, column: int, ends: np.ndarray, at: np.ndarray) -> None:
        """Count ends in one of the columns in their own bins instead of those of the values.

        Most errors are far smaller than a bin: only what lies in another bin moves.
        """
        moved = None if at is keys else at != keys
        if moved is not None and moved.any():
            self._file(keys[moved], [column], -1)
            self._file(at[moved], [column])
        self._widen(ends, column)

    def _widen(self, x: np.ndarray, columns: int | slice) -> None:
        """Take values into account in the extremes of some of the columns."""
        self._min[columns] = np.minimum(self._min[columns], x.min())
        self._max[columns] = np.maximum(self._max[columns], x.max())

    def _add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Add the counts of bins, whose numbers increase."""
        where = np.searchsorted(self._keys, keys)
        new = where == len(self._keys)
        if len(self._keys):
            new |= self._keys[np.where(new, 0, where)] != keys
        if new.any():
            self._keys = np.insert(self._keys, where[new], keys[new])
            self._counts = np.insert(self._counts, where[new], 0, axis=0)
            where = where + np.cumsum(new) - new
        self._counts[where] += counts

    def _bin_of(self, rank: ArrayLike, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the edges around the rank-th smallest value, no wider than all values."""
        if not self.total:
            return np.full(np.shape(rank), -np.inf), np.full(np.shape(rank), np.inf)
        rank = np.clip(np.asarray(rank), 1, self.total)
        place = np.searchsorted(np.cumsum(self._counts[:, column]), rank, side="left")
        lower, upper = bin_edges(self._keys[place])
        return np.maximum(lower, self._min[column]), np.minimum(upper, self._max[column])
