"""Counts above limits against NumPy's comparison of every value with every limit."""

from __future__ import annotations

import numpy as np
import pytest

from jaxsim.estimation.limits import FEW, count_above


@pytest.mark.parametrize("runs", [0, 7, FEW, 3 * FEW])
def test_counts_equal_comparisons(runs):
    rng = np.random.default_rng(runs)
    close = 0.25 + np.arange(40) * 2.0**-40  # many limits in one bin of the table
    limits = np.concatenate(
        [close, rng.normal(size=20), [0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, np.inf, -np.inf]]
    )
    rng.shuffle(limits)
    special = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0]
    values = np.concatenate(
        [rng.choice(limits, runs), rng.normal(size=runs), np.nextafter(limits, 9), special]
    )
    expected = (values[None, :] > limits[:, None]).sum(1)
    np.testing.assert_array_equal(count_above(values, limits), expected)


def test_the_bits_of_a_signalling_not_a_number_exceed_nothing():
    values = np.full(FEW, 0x7FF0000000000001, np.uint64).view(np.float64)
    assert count_above(values, np.array([-np.inf, 0.0])).tolist() == [0, 0]
