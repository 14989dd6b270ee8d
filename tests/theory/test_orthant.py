"""Orthant probabilities against scipy's multivariate normal distribution and enumeration."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxsim.theory.orthant import gaussian_orthant


@pytest.mark.parametrize(("number", "dimension"), [(1, 3), (2, 2), (2, 5), (3, 3), (3, 4), (7, 2)])
@pytest.mark.parametrize("bias_std", [0.0, 0.7])
def test_orthant_agrees_with_simulation(number, dimension, bias_std):
    rng = np.random.default_rng(number + 10 * dimension)
    points = rng.normal(size=(number, dimension)) + 0.6
    value = gaussian_orthant(points, 1.3, bias_std)
    draws = 400_000
    z = 1.3 * rng.normal(size=(draws, dimension)) @ points.T
    z += bias_std * rng.normal(size=(draws, 1))
    count = int((z.max(1) <= 0).sum())
    # False alarm 1e-6.
    assert stats.binomtest(count, draws, value).pvalue > 1e-6


def test_published_values_for_exclusive_or():
    square = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    assert gaussian_orthant(square, 1, 1) == pytest.approx(0.277043, abs=5e-7)
    centred = math.asin(1 / 3) / math.pi
    assert gaussian_orthant(2 * square - 1, 1, 1) == pytest.approx(centred, rel=1e-13)


def test_points_inside_the_hull_change_nothing():
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0], [3, 0], [0, 2], [2.5, 2]])
    inner = rng.dirichlet(np.ones(4), 20) @ corners
    line = np.array([[1.0, 0.0], [2.0, 0.0]])
    more = np.vstack([corners, inner, line])
    assert gaussian_orthant(more, 1, 0.5) == pytest.approx(
        gaussian_orthant(corners, 1, 0.5), rel=1e-13
    )


def test_collinear_points_are_their_two_ends():
    points = np.array([[0.0, 0], [1, 1], [2, 2], [3, 3]])
    assert gaussian_orthant(points, 1, 1) == pytest.approx(
        gaussian_orthant(points[[0, 3]], 1, 1), rel=1e-13
    )


def test_without_bias_points_around_the_origin_forbid_inactivity():
    angles = np.array([0.0, 2.0, 4.0])
    points = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert gaussian_orthant(points, 1, 0) == 0
    assert gaussian_orthant(np.zeros((1, 3)), 1, 0) == 1
    assert gaussian_orthant(np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 1, 0) == 0.5


def test_many_points_in_space_have_no_closed_form():
    assert gaussian_orthant(np.eye(4), 1, 1) is None
