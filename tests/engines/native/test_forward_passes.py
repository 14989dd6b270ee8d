"""Compiled passes over points: the values of NumPy, within the bounds that rest on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.engines.native import library
from jaxsim.engines.native.forward_passes import native_forward_passes
from jaxsim.engines.native.program import Target
from jaxsim.engines.registry import ExecutionConfig, make_engine
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.forward_passes import plain_forward_passes
from jaxsim.risk.forward import forward
from tests.studies import slow_but, study

pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")
NAMES = [name for name in ACTIVATIONS if name != "function"]
MEMBERS, POINTS = 3, 37


def network_of(**changes):
    plane = {"problem__input": {"law": "uniform", "dimension": 2}, "problem__target": "x1 * x2"}
    return study(**plane | changes).experiments[0].network


def draws(network, seed=0):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(MEMBERS, network.size))
    return theta, 2 * rng.normal(size=(POINTS, network.inputs))


def by_member(function, theta, x, own=None):
    return jax.jit(jax.vmap(function, in_axes=(0, own)))(jnp.asarray(theta), jnp.asarray(x))


def assert_close(found, wanted, rtol=1e-12):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * np.abs(other).max())


def relu_by_numpy(network, theta, x):
    """Return values, and pre-activations of hidden layers, in extended precision."""
    h, seen = x.astype(np.longdouble), []
    for number, spec in enumerate(network.layer_specs):
        weights, theta = np.split(theta, [spec.fan_in * spec.fan_out])
        biases, theta = np.split(theta, [spec.fan_out])
        z = h @ weights.reshape(spec.fan_in, spec.fan_out).astype(np.longdouble) + biases
        if number < len(network.hidden):
            seen.append(z)
            h = np.where(z > 0, z, 0)
    return z, seen


@pytest.mark.parametrize("hidden", slow_but([[7, 3]], [[5], [7, 3], [9, 9, 9, 9]]))
def test_values_and_extremes_are_those_of_numpy_within_the_bound(hidden):
    network = network_of(network={"hidden": hidden})
    theta, x = draws(network)
    passes = native_forward_passes(network)
    values, bound = by_member(lambda t, x: forward(network, t, x, passes), theta, x)
    plain = by_member(lambda t, x: forward(network, t, x)[1], theta, x)
    ranges = by_member(passes.preactivation_range, theta, x)
    for member in range(MEMBERS):
        wanted, seen = relu_by_numpy(network, theta[member], x)
        assert (np.abs(np.asarray(values[member]) - wanted) <= np.asarray(bound[member])).all()
        assert (bound[member] < 1e-11 * np.abs(values[member]).max()).all()
        for (low, high), z in zip(ranges, seen, strict=True):
            np.testing.assert_allclose(low[member], z.min(0).astype(float), rtol=1e-13)
            np.testing.assert_allclose(high[member], z.max(0).astype(float), rtol=1e-13)
    np.testing.assert_allclose(bound, plain, rtol=1e-9)


KINDS = ("relu", "elu", "gelu")


def outputs_and_ranges(passes, theta, x):
    """Return both passes, compiled as one program."""
    return by_member(
        lambda t, x: (passes.outputs(t, x), passes.preactivation_range(t, x)), theta, x
    )


@pytest.mark.parametrize("name", slow_but(KINDS, NAMES))
def test_every_activation_as_in_plain_jax(name):
    network = network_of(network={"hidden": [4, 3], "activation": name})
    theta, x = draws(network, 1)
    found, wanted = native_forward_passes(network), plain_forward_passes(network)
    assert_close(outputs_and_ranges(found, theta, x), outputs_and_ranges(wanted, theta, x))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"hidden": []}},
        {"network": {"hidden": [3], "biases": False}},
        {"network": {"hidden": [3, 3], "parametrization": "ntk"}},
        {"problem__target": ["x1", "x2"]},
    ],
    ids=str,
)
def test_networks_of_every_kind(changes):
    network = network_of(**changes)
    theta, x = draws(network, 2)
    found = by_member(native_forward_passes(network).outputs, theta, x)
    assert_close(found, by_member(plain_forward_passes(network).outputs, theta, x))


def test_members_may_have_points_of_their_own():
    network = network_of(network={"hidden": [4, 3]})
    theta, _ = draws(network, 3)
    x = np.random.default_rng(4).normal(size=(MEMBERS, 64, 2))
    passes = native_forward_passes(network)
    found = by_member(passes.outputs, theta, x, 0).values
    for member in range(MEMBERS):
        alone = jax.jit(passes.outputs)(jnp.asarray(theta[member]), jnp.asarray(x[member])).values
        assert np.array_equal(found[member], alone)


def test_what_is_no_number_is_not_passed_over():
    network = network_of(network={"hidden": [4, 3]})
    theta, x = draws(network, 5)
    theta[1, 2] = np.nan  # a weight of the third neuron
    ranges = by_member(native_forward_passes(network).preactivation_range, theta, x)
    for low, high in ranges:
        assert np.isfinite([low[0], high[0], low[2], high[2]]).all()
    first, second = ranges
    assert np.isnan(first[0][1]).tolist() == np.isnan(first[1][1]).tolist() == [0, 0, 1, 0]
    assert np.isnan(second[0][1]).all()
    assert np.isnan(second[1][1]).all()


PROBLEMS = [
    {"input": {"law": "uniform", "dimension": 2}, "target": "x1**2"},
    {"data": "breast_cancer", "loss": "logistic"},
    {"input": "uniform", "target": "x**2"},
]


@pytest.mark.parametrize(
    "problem", slow_but(PROBLEMS[1:2], PROBLEMS), ids=["quasi-Monte Carlo", "data", "one input"]
)
def test_observations_are_those_of_the_reference_engine(problem):
    (experiment,) = study(problem=problem, network={"hidden": [5, 4]}).experiments
    reference, native = (
        make_engine(experiment, config)
        for config in (ExecutionConfig("vmap", 32), ExecutionConfig("native", 32, 16))
    )
    rng = np.random.default_rng(6)
    theta = rng.normal(size=(32, experiment.network.size)).astype(np.float32)
    theta[:8] -= 0.7  # some neurons die
    found, wanted = native.observe(jnp.asarray(theta)), reference.observe(jnp.asarray(theta))
    assert np.array_equal(found.inactive, wanted.inactive)
    assert wanted.inactive.sum() > 10
    np.testing.assert_allclose(found.risk, wanted.risk, rtol=1e-12)
    np.testing.assert_allclose(found.error, wanted.error, rtol=1e-3)


@pytest.mark.parametrize(
    "target", slow_but([Target(32, 16)], [Target(32, 16), Target(16, 16)]), ids=str
)
def test_vectors_of_every_width(target, monkeypatch):
    network = network_of(network={"hidden": [5, 4], "activation": "tanh"})
    theta, x = draws(network, 7)
    monkeypatch.setattr(library, "target", lambda: target)
    found, wanted = native_forward_passes(network), plain_forward_passes(network)
    assert_close(outputs_and_ranges(found, theta, x), outputs_and_ranges(wanted, theta, x))
