"""Restarts, against the probability that all of them fail."""

from fractions import Fraction

import pytest

from jaxsim.errors import InputError
from jaxsim.estimation.restarts import restarts


@pytest.mark.parametrize("certainty", ["0.5", "0.9", "0.99", "0.999"])
def test_it_is_the_least_number_that_is_enough(certainty):
    wanted = 1 - Fraction(certainty)
    for failure in ("0.01", "0.1", "0.3", "0.5", "0.9", "0.99"):
        p, k = Fraction(failure), restarts(float(failure), float(certainty))
        assert p**k <= wanted
        assert k == 1 or p ** (k - 1) > wanted


def test_the_ends():
    assert restarts(0.0) == 1
    assert restarts(1.0) is None
    assert restarts(1e-300) == 1
    assert restarts(1 - 1e-12) == pytest.approx(4.60517e12, rel=1e-4)


@pytest.mark.parametrize(
    ("failure", "certainty"), [(-0.1, 0.9), (1.1, 0.9), (0.5, 1.0), (0.5, 0.0)]
)
def test_what_is_no_probability_is_refused(failure, certainty):
    with pytest.raises(InputError, match="not accepted"):
        restarts(failure, certainty)
