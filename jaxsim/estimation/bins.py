"""Bins of float64 values by the first bits of their representation: the same for all data.

The bin of a value is its sign, exponent and first 12 bits of mantissa; its number is monotone in
the value. Bins are [x, x (1 + 2^-12)) or finer.
"""

from __future__ import annotations

import numpy as np

SHIFT = 40  # 64 bits - (1 sign + 11 exponent + 12 mantissa)
_SPAN = 1 << 18  # bins, 64 powers of two


def few_enough(span: int, values: int) -> bool:
    """Return whether it is faster to count values in all bins in a row than to sort them."""
    return span <= min(_SPAN, 16 * values)


def bin_numbers(x: np.ndarray) -> np.ndarray:
    """Return bin numbers in the order of the values: 0, 1, ... from zero up, -1, -2, ... below."""
    magnitude = np.abs(x).view(np.int64) >> SHIFT
    negative = x < 0
    return np.where(negative, -1 - magnitude, magnitude) if negative.any() else magnitude


def positive_bin_numbers(x: np.ndarray) -> np.ndarray:
    """Return the same for contiguous values of which none is negative or -0."""
    return x.view(np.int64) >> SHIFT


def counted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys there are, increasing, and how often; as `np.unique` does by sorting."""
    first, last = int(keys.min()), int(keys.max())
    if few_enough(last - first, len(keys)):
        return occupied(np.bincount(keys - first), first)
    if first == 0:
        # Zeros, as gradients of inactive networks are, lie far from all other values.
        positive = keys[keys > 0]
        present, counts = counted(positive)
        return np.append(0, present), np.append(len(keys) - len(positive), counts)
    return np.unique(keys, return_counts=True)


def occupied(counts: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the bins that hold values and their counts.

    Args:
        counts: of all bins in a row.
        first: number of the first.
    """
    places = np.flatnonzero(counts > 0)
    return places + first, counts[places]


def bin_edges(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of the bins with these numbers, which neighbouring bins share."""
    magnitude = np.where(keys < 0, -1 - keys, keys)
    near = (magnitude << SHIFT).view(np.float64)
    # The pattern after the last finite one is that of infinity; after infinity come the nans.
    far = ((magnitude + np.isfinite(near)) << SHIFT).view(np.float64)
    return np.where(keys < 0, -far, near), np.where(keys < 0, -near, far)


def closed(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest float64 of each bin."""
    lower, upper = bin_edges(keys)
    finite = lower < upper
    inner_lower = np.where(finite & (keys < 0), np.nextafter(lower, np.inf), lower)
    return inner_lower, np.where(finite & (keys >= 0), np.nextafter(upper, -np.inf), upper)
