"""Kinks of networks with one input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network import kinks
from jaxsim.network.kinks import capacity, network_kinks
from jaxsim.network.sorting import put
from tests.risk.cases import (
    draw,
    make_network,
    members,
    numpy_layers,
    plain_kinks,
    pre_activation,
)
from tests.studies import slow_but

NETWORKS = [
    ("relu", (1, 7, 1), {}),
    ("relu", (1, 5, 6, 2), {}),
    ("leaky_relu", (1, 4, 4, 4, 1), {"negative_slope": 0.2}),
    ("relu", (1, 3, 3, 3, 3, 3, 1), {}),
    ("clipped_relu", (1, 5, 4, 1), {}),
    ("hard_tanh", (1, 10, 9, 8, 1), {}),
]


@pytest.mark.parametrize(
    ("name", "widths", "parameters"),
    [pytest.param(*n, marks=[pytest.mark.slow] * (i in (0, 2, 3))) for i, n in enumerate(NETWORKS)],
)
def test_kinks_are_those_of_a_plain_python_search(name, widths, parameters):
    network = make_network(*widths, activation=name, **parameters)
    find = jax.jit(jax.vmap(lambda theta: network_kinks(network, theta, -1.5, 2.0)))
    thetas = members(network, 12)
    grids, complete = find(thetas)
    assert complete.all()
    for theta, grid in zip(thetas, np.asarray(grids), strict=True):
        assert (np.diff(grid) >= 0).all()
        expected = plain_kinks(network, theta, -1.5, 2.0)
        found = np.unique(grid)
        assert len(found) == len(expected)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_no_change_of_the_activation_pattern_is_missed():
    network = make_network(1, 8, 8, 8, 1, activation="hard_tanh")
    layers = numpy_layers(network, draw(network, 3))
    find = jax.jit(lambda theta: network_kinks(network, theta, -1.0, 1.0)[0])
    grid = np.unique(find(draw(network, 3)))
    x = np.linspace(-1, 1, 1001)

    def pattern(t):
        z = np.concatenate([pre_activation(network, layers, t, depth) for depth in range(3)])
        return (z[:, None] > np.array(network.activation.breakpoints)).ravel()

    patterns = np.array([pattern(t) for t in x])
    changes = np.flatnonzero((patterns[1:] != patterns[:-1]).any(1))
    assert len(changes) > 5
    for i in changes:
        assert ((grid >= x[i] - 1e-12) & (grid <= x[i + 1] + 1e-12)).any()


def test_extra_points_are_on_the_grid_and_change_no_kink():
    network = make_network(1, 6, 5, 1)
    theta = draw(network, 1)
    plain = plain_kinks(network, theta, -1.0, 1.0)
    extra = (-0.3, 0.123, 0.7)
    find = jax.jit(lambda theta: network_kinks(network, theta, -1.0, 1.0, extra=extra))
    grid, complete = find(theta)
    assert complete
    np.testing.assert_allclose(np.unique(grid), np.sort([*plain, *extra]), atol=1e-13)


@pytest.mark.parametrize(
    "widths", slow_but([(1, 9, 1), (1, 6, 6, 1)], [(1, 9, 1), (1, 6, 6, 1), (1, 6, 6, 6, 6, 1)])
)
def test_too_little_room_is_told(widths):
    network = make_network(*widths)
    thetas = members(network, 40)
    needed = np.array([len(plain_kinks(network, theta, -1.0, 1.0)) - 1 for theta in thetas])
    room = int(np.median(needed))
    assert needed.min() < room < needed.max()
    find = jax.jit(jax.vmap(lambda theta: network_kinks(network, theta, -1.0, 1.0, pieces=room)))
    grids, complete = find(thetas)
    np.testing.assert_array_equal(complete, needed <= room)
    assert (grids[:, 0] == -1).all()
    assert (grids[:, -1] == 1).all()
    assert [len(np.unique(g)) for g in grids[needed == room]] == [room + 1] * sum(needed == room)


def test_inactive_layers_and_zero_weights_make_no_kinks():
    network = make_network(1, 3, 3, 1)
    find = jax.jit(lambda theta: network_kinks(network, theta, -1.0, 1.0))
    grid, complete = find(jnp.zeros(network.size))
    assert complete
    np.testing.assert_array_equal(np.unique(grid), [-1, 1])
    assert not np.isnan(find(jnp.full(network.size, jnp.nan))[0]).any()


B = 1e200
OVERFLOW = np.array([-B, 1, B / 2, 0.5, -B, -1 / B, 0, 0, 1, 0.5, 1, 1, 0])
"""A network 1-2-2-1 whose second layer sees an infinity between two finite numbers."""


def test_infinite_pre_activations_are_told():
    network = make_network(1, 2, 2, 1)
    find = jax.jit(lambda theta: network_kinks(network, theta, -1.0, 1.0))
    grid, complete = find(jnp.asarray(OVERFLOW))
    assert not complete
    assert (np.diff(grid) >= 0).all()


DEEP = pytest.param((1, 12, 12, 12, 1), marks=pytest.mark.slow)


@pytest.mark.parametrize("widths", [(1, 2, 2, 1), (1, 6, 6, 1), DEEP])
@pytest.mark.parametrize("pieces", [None, 4])
def test_nothing_is_put_twice_into_one_place(widths, pieces, monkeypatch):
    # XLA is told so, and may do anything otherwise.
    seen = []

    def watched(array, to, values):
        seen.append(to)
        return put(array, to, values)

    monkeypatch.setattr("jaxsim.network.kinks.put", watched)
    monkeypatch.setattr("jaxsim.network.sorting.put", watched)
    network = make_network(*widths)

    @jax.jit
    def places(theta):
        seen.clear()
        network_kinks(network, theta, -1.0, 1.0, pieces=pieces)
        return tuple(seen)

    thetas = [*members(network, 3), *(1e160 * members(network, 2)), np.full(network.size, np.nan)]
    for theta in [*thetas, OVERFLOW] if network.size == len(OVERFLOW) else thetas:
        found = places(jnp.asarray(theta))
        assert len(found) > 3
        for to in found:
            assert len(np.unique(to)) == len(to)


def test_a_small_room_tried_first_changes_no_bit(monkeypatch):
    network = make_network(1, 14, 14, 14, 1)
    thetas = np.array(members(network, 32))
    assert capacity(network) == 84  # of which 33 pieces are tried first
    loss = jax.vmap(lambda theta: network_kinks(network, theta, -1.0, 1.0)[0].sum())

    def grids():
        find = jax.jit(jax.vmap(lambda theta: network_kinks(network, theta, -1.0, 1.0)))
        return [np.asarray(a) for a in find(thetas)]

    found, complete = grids()
    # Derivatives can be taken of what contains it.
    assert jax.eval_shape(jax.grad(lambda t: loss(t).sum()), thetas[:2]).shape == thetas[:2].shape
    monkeypatch.setattr(kinks, "SMALL_SHARE", 0.0)
    plain, plainly = grids()
    assert complete.all()
    assert plainly.all()
    assert 0 < ((plain < 1).sum(1) > 33).sum() < 16
    assert np.array_equal(found, plain)


def test_capacity_is_the_worst_case_where_that_is_small():
    assert capacity(make_network(1, 4, 1)) == 5
    assert capacity(make_network(1, 4, 4, 1)) == 25
    assert capacity(make_network(1, 4, 4, 1, activation="hard_tanh")) == 64
    assert capacity(make_network(1, 100, 100, 1)) == 400
    assert capacity(make_network(1, 4, 4, 1), pieces=7) == 7
    assert capacity(make_network(1, 5, 5, 1, activation="elu")) == 6


def test_the_grid_is_constant_to_derivatives():
    network = make_network(1, 4, 4, 1)
    slope = jax.jit(jax.grad(lambda theta: network_kinks(network, theta, -1.0, 1.0)[0].sum()))
    assert not slope(draw(network, 0)).any()
