"""Which levels are optimal risks of narrower networks."""

import numpy as np
import pytest

from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.levels import NARROW, matched


def around(value: float, width: float = 0.0) -> Bracket:
    """Return a bracket that ends at a value, so wide relatively."""
    return Bracket.of(value * (1 - width), value, "made up")


HIERARCHY = [around(1.0), around(0.5, NARROW / 2), around(0.1, 0.5)]
OPTIMUM = around(0.01)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0.01, 0.1, 0.49999, 1.0], [3, None, 1, 0]),
        ([0.49976, 0.4999], [None, None]),
        ([0.4997, 0.4999], [None, 1]),
        ([0.01, 0.01 * (1 + 1e-10)], [3, 3]),
    ],
)
def test_levels_are_named_where_one_alone_is_in_a_narrow_bracket(values, names):
    assert matched(values, HIERARCHY, OPTIMUM, 3) == names


def test_two_levels_in_the_bracket_of_the_optimum_are_not_both_the_optimum():
    wide = around(0.01, NARROW / 2)
    assert matched([0.009996, 0.01], [], wide, 2) == [None, None]
    assert matched([0.5], [], Bracket.of(np.float64(0.5), np.float64(0.5), "of NumPy"), 2) == [2]
    assert matched([0.009996], [], wide, 2) == [2]
    assert matched([0.009995, 0.01], [], wide, 2) == [2, None], "one is at the lower end"
