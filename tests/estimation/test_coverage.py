"""Exact coverage against a loop over all outcomes and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.estimation import clopper_pearson, coverage


def test_equals_a_plain_loop_over_all_outcomes():
    n, confidence = 12, 0.9
    for p in (0.0, 0.03, 0.4, 1.0):
        total = 0.0
        for k in range(n + 1):
            lower, upper = clopper_pearson(k, n, confidence)
            if lower <= p <= upper:
                total += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        assert coverage("clopper-pearson", n, p, confidence) == pytest.approx(total, abs=1e-13)


def test_a_user_function_and_any_shape_are_accepted():
    cover = coverage(
        lambda k, n, c: (0 * k, 0 * k + 0.5), 10, np.array([[0.2, 0.5], [0.6, 1]]), 0.9
    )
    np.testing.assert_allclose(cover, [[1, 1], [0, 0]], atol=1e-13)


@pytest.mark.parametrize(
    ("n", "p", "name"), [(0, 0.5, "wilson"), (5, 1.5, "wilson"), (5, 0.5, "wald")]
)
def test_bad_input_is_refused(n, p, name):
    with pytest.raises(InputError):
        coverage(name, n, p, 0.95)
