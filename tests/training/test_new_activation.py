"""An activation that is new to jaxsim: one factory and a line in the registry."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import analyse, simulate
from jaxsim.engines.engine import vmap_engine
from jaxsim.network.activations import ACTIVATIONS, INF, Activation
from jaxsim.network.initializers import INITIALIZERS
from jaxsim.network.network import Layer, fully_connected
from jaxsim.problem.support import Box, Points
from jaxsim.training import keys
from jaxsim.training.inactive import make_ranges
from tests.network.test_activations import false_facts
from tests.studies import slow_but, study
from tests.training.test_inactive import brute_force, dense_points, drawn, make_inactive


def tent(height: float = 1.5) -> Activation:
    """A tent of slopes 3 and -3 over (0, 2 height / 3), flat on both sides."""
    end = 2 * height / 3

    def function(x):
        inside = jnp.where(x < end / 2, 3 * x, 3 * (end - x))
        return jnp.where((x <= 0) | (x >= end), 0.0, jnp.maximum(inside, 0.0))

    return Activation(
        "tent",
        function,
        (0.0, end / 2, end),
        ((-INF, 0.0), (end, INF)),
        piecewise_linear=True,
        non_negative=True,
        lipschitz=3.0,
        rounding=4.0,
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "tent", tent)


def test_its_facts_are_true():
    assert false_facts(tent()) == []
    assert false_facts(tent(0.7)) == []


def test_a_study_of_it_runs_from_end_to_end(tmp_path):
    changed = study(
        network__activation={"name": "tent", "height": 0.9}, network__hidden=[4], replicates=64
    )
    results = simulate(changed, tmp_path / "tent")
    frame = results.to_pandas()
    (one,) = analyse(results, [0.001, 0.05]).experiments
    # b + |w| <= 0 with probability 1/4, b - |w| >= 0.6 with probability 0.4^2 / 4.
    inactive = frame[frame.n == 0].inactive_1.sum()
    expected = 64 * 4 * (0.25 + 0.04)
    assert abs(inactive - expected) < 5 * np.sqrt(expected)
    dead = frame[(frame.n == 60) & (frame.inactive_1 == 4)]
    assert (dead.risk >= 4 / 45 - 1e-12).all()
    assert one.exceedance.lower_bounds[1].value == pytest.approx(0.29**4, rel=1e-4)


SUPPORTS = [Box((-1.0, 0.0), (1.0, 0.5)), Box((-1.0,), (1.0,))]


@pytest.mark.parametrize("support", slow_but(SUPPORTS[:1], SUPPORTS))
def test_deeper_counts_never_exceed_what_is_seen(support):
    d = support.dimension
    law = INITIALIZERS["uniform"](1.0)
    shapes = [(d, 4), (4, 4), (4, 3), (3, 1)]
    network = fully_connected(tuple(Layer(i, o, law, law) for i, o in shapes), tent(0.5))
    count = jax.jit(make_inactive(network, support, jnp.dtype("float32")))
    x = dense_points(support)
    if d == 2:
        x = np.random.default_rng(1).uniform((-1, 0), (1, 0.5), (4_000, 2))
    certain = 0
    for theta in drawn(network, 60, lambda rng, size: rng.uniform(-1, 1, size)):
        found, sampled = count(theta), brute_force(network, theta, x, tent(0.5))
        assert (np.asarray(found) <= sampled).all()
        certain += int(found[1:].sum())
    assert certain > 20


@pytest.mark.slow
def test_a_peak_inside_the_range_counts():
    # z in [-1, 1] passes the tent's peak: the next neuron wakes though both ends are 0.
    network = fully_connected(
        tuple(Layer(1, 1, INITIALIZERS["zero"](), INITIALIZERS["zero"]()) for _ in range(3)), tent()
    )
    theta = jnp.array([2.0, 0.0, 1.0, -1.0, 1.0, 0.0])
    count = make_inactive(network, Points(np.array([[-1.0], [0.25], [1.0]])), jnp.dtype("float32"))
    assert count(theta).tolist() == [0, 0]
    ranges = make_ranges(network, Box((-1.0,), (1.0,)), jnp.dtype("float32")).of
    assert float(ranges(theta)[1].high[0]) == pytest.approx(0.5)


def test_errors_grow_by_the_slope():
    """Margins of the second layer are three times what slopes up to 1 would give."""
    law = INITIALIZERS["zero"]()
    specs = tuple(Layer(1, 1, law, law) for _ in range(3))
    theta = jnp.array([1.0, 0.0, 1.0, -2.0, 1.0, 0.0])
    margins = []
    for lipschitz in (1.0, 3.0):
        network = fully_connected(specs, replace(tent(), lipschitz=lipschitz, rounding=0.0))
        ranges = make_ranges(network, Box((0.0,), (0.4,)), jnp.dtype("float32")).of
        first, second = jax.jit(lambda t, r=ranges: [layer.margin[0] for layer in r(t)])(theta)
        margins.append(float(second))
    assert margins[1] - margins[0] == pytest.approx(2 * float(first), rel=1e-5)


@pytest.mark.parametrize("name", slow_but([], ["momentum", "adam"]))
def test_certified_neurons_and_layers_stay_inactive(name):
    (experiment,) = study(
        optimizer={"name": name, "learning_rate": 0.05},
        network__activation={"name": "tent", "height": 0.9},
        network__hidden=[3, 2],
        steps=100,
    ).experiments
    engine = vmap_engine(experiment)
    key = keys.experiment_key(experiment.seed, experiment.key_words)
    rate = jnp.asarray(0.05, jnp.float32)
    state = engine.init(key, jnp.arange(256, dtype=jnp.uint32), rate)
    state = engine.advance(state, (), np.int32(0), np.int32(100), rate)
    layer, neurons = map(np.asarray, engine.certificate(state, rate))
    state = engine.advance(state, (), np.int32(100), np.int32(2000), rate)
    # By plain NumPy on a fine grid.
    x = np.linspace(-1, 1, 2001)[:, None]
    h, inactive = np.broadcast_to(x, (256, *x.shape)), []
    *hidden, (weights, biases) = experiment.network.layout.split(np.asarray(state.theta), axis=1)
    for w, b in hidden:
        z = h @ w + b[:, None]
        inactive.append(((z <= 0).all(1) | (z >= 0.6).all(1)).sum(1))
        h = np.maximum(np.minimum(3 * z, 3 * (0.6 - z)), 0)
    risk = ((h @ weights + biases[:, None] - x**2) ** 2).mean((1, 2))
    assert (neurons <= inactive[0]).all()
    assert neurons.sum() > 50
    for number, width in ((1, 3), (2, 2)):
        dead = layer == number
        assert dead.any()
        assert (inactive[number - 1][dead] == width).all()
    assert (risk[layer > 0] >= 4 / 45 - 1e-6).all()
    assert np.isfinite(risk).all()


def test_movements_spread_with_the_slope():
    """The memory of momentum moves a bias of layer 1, and three times as much what comes out."""
    (experiment,) = study(
        optimizer={"name": "momentum", "learning_rate": 0.05},
        network__activation="tent",
        network__hidden=[1, 1],
        steps=1,
        checkpoints=[],
    ).experiments
    engine = vmap_engine(experiment)
    rate = jnp.asarray(0.05, jnp.float32)
    key = keys.experiment_key(0, experiment.key_words)
    state = engine.init(key, jnp.arange(1, dtype=jnp.uint32), rate)
    # On [-1, 1]: z_1 = (x + 1) / 10, A(z_1) <= 0.6, z_2 = A(z_1) - 1 <= -0.4. The bias still moves
    # by 0.05 (0.9 + 0.9^2 + ...) m = 0.45 m, and z_2 by up to 1.35 m.
    theta = jnp.asarray([[0.1, 0.1, 1.0, -1.0, 1.0, 0.0]], jnp.float32)
    found = []
    for m in (0.2, 0.5):
        memory = jax.tree.map(
            lambda a, m=m: jnp.zeros_like(a).at[..., 1].set(m) if a.ndim == 2 else a,
            state.optimizer,
        )
        layer, _ = engine.certificate(state._replace(theta=theta, optimizer=memory), rate)
        found.append(int(layer[0]))
    assert found == [2, 0]
