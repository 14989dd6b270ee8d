"""Regions of paths, the program over them, and the best multipliers of known paths."""

import itertools

import numpy as np
import pytest

from jaxsim.optimum.line.masses import masses_of
from jaxsim.optimum.line.multipliers import best_of_all, best_of_slopes
from jaxsim.optimum.line.path_program import Evaluation
from jaxsim.optimum.line.pieces import Pieces
from jaxsim.optimum.line.regions import PHASE, PLACE, SHORT, Region, Split, leaves
from jaxsim.optimum.line.slope_families import COEFFICIENT, CONSTANT, COUPLED, Kind
from tests.risk.cases import make_problem


def orientations(family, knots):
    """All rows (phases, kinds) of a family's paths."""
    rows = [([], [], 0)]
    for k in range(knots + 1):
        rows = [
            ([*phases, behind], [*kinds, kind], behind)
            for phases, kinds, at in rows
            for before, behind, kind in family.pieces(k, knots)
            if before == at
        ]
    return [kinds for _, kinds, _ in rows]


@pytest.mark.parametrize("knots", [1, 2, 3, 4])
def test_families_hold_every_orientation_once(knots):
    """sum_k c_k s_k of the definition, for all sets of left-facing neurons."""
    wanted = []
    for left in itertools.product((0, 1), repeat=knots):
        row = (1, *left, 0)
        wanted.append(tuple(row[k] - row[k + 1] for k in range(knots + 1)))
    constant = [c for c in wanted if sum(map(abs, c)) == 1]
    coupled = [c for c in wanted if sum(map(abs, c)) > 1]
    found = [
        tuple(int(COEFFICIENT[kind]) for kind in kinds) for kinds in orientations(COUPLED, knots)
    ]
    assert sorted(found) == sorted(coupled)
    flat = [
        tuple(int(kind is Kind.FLAT) for kind in kinds) for kinds in orientations(CONSTANT, knots)
    ]
    assert sorted(flat) == sorted(constant)


@pytest.fixture(scope="module")
def pieces():
    problem = make_problem("exp(x)")
    return Pieces(masses_of(problem, np.linspace(-1, 1, 25)), 3, 0.05)


def without_short_pieces():
    """Very short ones make sums of -1e193."""
    region = Region.whole(3)
    region.most[:] = 1e5
    return region


@pytest.mark.parametrize("family", [CONSTANT, COUPLED])
def test_sum_of_a_path_is_what_its_quadratic_function_says(pieces, family):
    rng = np.random.default_rng(0)
    z = np.zeros(4)
    for _ in range(20):
        found = Evaluation(pieces, family, without_short_pieces(), z)
        path = found.path()
        assert path is not None
        value = path.constant + 2 * path.linear @ z - z @ path.square @ z
        assert value == pytest.approx(found.value, rel=1e-9, abs=1e-12)
        least = [row.min() for row in found.through()]
        assert least == pytest.approx([found.value] * 3, rel=1e-9, abs=1e-12)
        # Any end of the intervals is as good a bound from above.
        other = Evaluation(pieces, family, without_short_pieces(), 1e-4 * rng.normal(size=4))
        assert (
            other.value
            <= path.constant + 2 * path.linear @ other.z - other.z @ path.square @ (other.z) + 1e-12
        )
        z = 10.0 ** rng.uniform(-6, -3) * rng.normal(size=4)


def test_every_path_lies_in_one_region():
    """Of splits of all kinds, by the phases and cells of random paths."""
    problem = make_problem("exp(x)")
    pieces = Pieces(masses_of(problem, np.linspace(-1, 1, 41)), 3, 0.05)
    rng = np.random.default_rng(1)
    splits, count = [], 0
    for kind, value in ((PLACE, 0.1), (PHASE, 1.0), (SHORT, 900.0), (PLACE, -0.4), (SHORT, 60.0)):
        number = sorted(leaves(3, splits))[int(rng.integers(len(splits) + 1))]
        splits.append(Split(number, kind, int(rng.integers(3)), value))
    regions = list(leaves(3, splits).values())
    assert len(regions) == len(splits) + 1
    for _ in range(300):
        z = 10.0 ** rng.uniform(-6, -2) * rng.normal(size=4)
        path = Evaluation(pieces, COUPLED, Region.whole(3), z).path()
        assert path is not None
        assert sum(path.lies_in(region) for region in regions) == 1
        whole = Evaluation(pieces, COUPLED, Region.whole(3), z).value
        if count < 20:
            parts = [Evaluation(pieces, COUPLED, region, z).value for region in regions]
            assert min(parts) == pytest.approx(whole, rel=1e-12)
        count += 1


def test_best_multipliers_are_best(pieces):
    rng = np.random.default_rng(2)
    paths = []
    for _ in range(5):
        z = 1e-4 * rng.normal(size=4)
        path = Evaluation(pieces, COUPLED, without_short_pieces(), z).path()
        if path is not None and not path.weak:
            paths.append(path)
    assert len(paths) > 1

    def least(z):
        return min(p.constant + 2 * p.linear @ z - z @ p.square @ z for p in paths)

    one = best_of_slopes(paths)
    m = np.linspace(-5, 5, 20_001) * max(abs(one.z[-1]), 1e-6)
    dense = max(least(np.array([0, 0, 0, value])) for value in m)
    assert one.top == pytest.approx(least(one.z), rel=1e-9)
    assert dense <= one.top * (1 + 1e-9)
    every = best_of_all(paths)
    assert one.top <= every.top * (1 + 1e-9)
    assert least(every.z) <= every.top * (1 + 1e-9)
    assert least(every.z) > 0.98 * every.top
