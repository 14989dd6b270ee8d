"""Laws of the numbers of inactive neurons against networks drawn by Network.init."""

import itertools
import math

import jax
import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.network.activations import clipped_relu, relu
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.network import Layer, fully_connected
from jaxsim.problem.support import Ball, Box, Everything
from jaxsim.theory.inactive_counts import (
    InactiveChain,
    failure_probability,
    inactive_count_law,
    probability_layer_dead,
    structural_count_laws,
)

DRAWS = 10_000
INTERVAL = Box((-1.0,), (1.0,))


def network(widths, weights="uniform", biases="uniform", multiplier=1.0, activation=None):
    def law(v):
        return LAWS[v]() if isinstance(v, str) else v

    layers = tuple(
        Layer(i, o, law(weights), law(biases), multiplier) for i, o in itertools.pairwise(widths)
    )
    return fully_connected(layers, activation or relu())


def drawn_layers(net, seed):
    """Return DRAWS networks' effective (weights [n, in, out], biases [n, out]) per layer."""
    keys = jax.random.split(jax.random.key(seed), DRAWS)
    return jax.jit(jax.vmap(lambda key: net.layers(net.init(key))))(keys)


def chi_square_pvalue(counts, pmf):
    """Pearson's test with neighbouring cells pooled to expectations of at least 10."""
    observed = np.bincount(counts, minlength=len(pmf)).astype(float)
    expected = pmf * len(counts)
    cells, total = [], np.zeros(2)
    for pair in zip(observed, expected, strict=True):
        total = total + pair
        if total[1] >= 10:
            cells.append(total)
            total = np.zeros(2)
    cells[-1] = cells[-1] + total
    cells = np.array(cells)
    statistic = ((cells[:, 0] - cells[:, 1]) ** 2 / cells[:, 1]).sum()
    return stats.chi2.sf(statistic, len(cells) - 1)


CASES = {
    "uniform": (network((1, 8, 1)), INTERVAL),
    "pytorch": (network((3, 10, 1), "pytorch", "pytorch"), Box((0.0, -0.2, 0.5), (1.0, 0.1, 2.0))),
    "gaussian": (network((2, 12, 1), "he_normal", "normal"), Box((-1.0, 0.0), (0.5, 1.0))),
    "truncated": (
        network((2, 9, 1), "truncated_normal", "truncated_normal"),
        Box((-0.5, -0.5), (0.5, 0.5)),
    ),
    "zero bias": (network((2, 8, 1), "glorot_uniform", "zero"), Box((0.0, 0.0), (1.0, 1.0))),
    "no bias": (network((1, 8, 1), "glorot_uniform", None), Box((0.0,), (1.0,))),
    "neural tangent": (network((2, 8, 1), "normal", "normal", 2**-0.5), Box((-1.0, -1), (1.0, 1))),
    "clipped": (network((1, 8, 1), activation=clipped_relu(0.0, 0.4)), Box((-0.5,), (1.0,))),
    "ball": (network((3, 8, 1), "normal", "normal"), Ball(0.5, 3)),
}


# Most of the time goes into compiling the draws.
SLOW = ("gaussian", "truncated", "zero bias", "neural tangent", "no bias", "clipped")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES]
)
def test_count_of_inactive_neurons_has_the_stated_law(name):
    net, support = CASES[name]
    law = inactive_count_law(net.layer_specs[0], net.activation, support)
    assert law.exact
    assert law.pmf.sum() == pytest.approx(1, abs=1e-12)
    weights, biases = drawn_layers(net, len(name))[0]
    low, high = jax.jit(jax.vmap(support.affine_range))(weights, biases)
    flat = np.zeros(low.shape, bool)
    for start, stop in net.activation.flat:
        flat |= np.asarray((low >= start) & (high <= stop))
    # False alarm 1e-6.
    assert chi_square_pvalue(flat.sum(1), law.pmf) > 1e-6


def test_chi_square_rejects_a_slightly_wrong_law():
    rng = np.random.default_rng(0)
    pmf = stats.binom.pmf(np.arange(9), 8, 0.25)
    assert chi_square_pvalue(rng.binomial(8, 0.25, DRAWS), pmf) > 1e-6
    assert chi_square_pvalue(rng.binomial(8, 0.28, DRAWS), pmf) < 1e-6


@pytest.mark.parametrize(
    ("m", "tails"),
    [
        (2, (0.43750, 0.06250)),
        (4, (0.68359, 0.26172, 0.05078, 0.00391)),
        (6, (0.82202, 0.46606, 0.16943, 0.03760)),
        (8, (0.89989, 0.63292, 0.32146, 0.11382)),
        (16, (0.98998, 0.93652, 0.80289, 0.59501)),
    ],
)
def test_tails_on_the_symmetric_interval(m, tails):
    law = inactive_count_law(network((1, m, 1)).layer_specs[0], relu(), INTERVAL)
    assert [law.at_least(k + 1) for k in range(len(tails))] == pytest.approx(tails, abs=6e-6)
    assert law.at_least(0) == 1
    assert law.width == m
    assert law.mean == pytest.approx(m / 4)


def structurally_silent(layers):
    """Return, from the definition, silent [n, units] per hidden layer of ReLU nets on [-1, 1]."""
    silent = []
    for number, (w, b) in enumerate(layers[:-1]):
        w, b = np.asarray(w), np.asarray(b)
        if number == 0:
            silent.append(np.abs(w[:, 0]) + b <= 0)
        else:
            blocked = (w <= 0) | silent[-1][:, :, None]
            silent.append(blocked.all(1) & (b <= 0))
    return silent


@pytest.mark.parametrize(
    ("weights", "biases"),
    [
        ("normal", "pytorch"),
        pytest.param("uniform", "uniform", marks=pytest.mark.slow),
        pytest.param("he_normal", "normal", marks=pytest.mark.slow),
    ],
)
def test_structural_chain_has_the_stated_laws(weights, biases):
    net = network((1, 3, 2, 4, 1), weights, biases)
    silent = structurally_silent(drawn_layers(net, 5))
    laws = structural_count_laws(net.layer_specs, relu(), INTERVAL)
    assert [law.exact for law in laws] == [True, False, False]
    for mask, law in zip(silent, laws, strict=True):
        assert chi_square_pvalue(mask.sum(1), law.pmf) > 1e-6
    dead = np.any([mask.all(1) for mask in silent], axis=0)
    stated = probability_layer_dead(net.layer_specs, relu(), INTERVAL, sampling=False)
    assert stats.binomtest(int(dead.sum()), DRAWS, stated.value).pvalue > 1e-6


def test_structurally_silent_neurons_survive_any_change_of_the_others():
    net = network((1, 3, 3, 3, 1))
    layers = [tuple(np.array(v) for v in pair) for pair in drawn_layers(net, 6)]
    silent = structurally_silent(layers)
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 41)[:, None]
    seen = 0
    for n in range(300):
        h = x
        for number, (w, b) in enumerate(layers[:-1]):
            w, b = w[n].copy(), b[n].copy()
            free = ~silent[number][n]
            # What reaches a silent neuron keeps its value; everything else may be anything.
            w[:, free] = 3 * rng.normal(size=(len(w), free.sum()))
            b[free] = 3 * rng.normal(size=free.sum())
            h = np.maximum(h @ w + b, 0)
            assert np.all(h[:, ~free] == 0)
            seen += int((~free).sum())
    assert seen > 300


def test_known_structural_probabilities():
    def chain(**kwargs):
        return InactiveChain(network((1, 3, 2, 1), **kwargs).layer_specs, relu(), INTERVAL)

    silent, other = chain().structural(2)
    assert silent == pytest.approx([1 / 16, 1 / 8, 1 / 4, 1 / 2])
    assert np.all(other == 0)
    for biases in (None, "zero"):
        silent, _ = chain(biases=biases).structural(2)
        assert silent == pytest.approx([1 / 8, 1 / 4, 1 / 2, 1])
    # Weights of unknown signs: only the bias decides, once no live neuron is left.
    silent, _ = chain(weights="orthogonal").structural(2)
    assert silent == pytest.approx([0, 0, 0, 1 / 2])
    silent, _ = chain(biases=LAWS["constant"](0.1)).structural(2)
    assert np.all(silent == 0)


def clipped_dead(layers, low, high, support):
    """Return, for nets with the activation clipped to [low, high], if a layer is inactive [n]."""
    dead = np.zeros(DRAWS, bool)
    for number, (w, b) in enumerate(layers[:-1]):
        w, b = np.asarray(w), np.asarray(b)
        if number == 0:
            ends = w * np.array([support.low, support.high]).T[:, :, None]
            least, most = ends.min(1) + b, ends.max(1) + b
            below, above = most <= low, least >= high
            silent = below if low == 0 else np.zeros_like(below)
        else:
            ignored = silent[:, :, None]
            below = ((w <= 0) | ignored).all(1) & (b <= low)
            above = ((w >= 0) | ignored).all(1) & (b >= high)
            silent = below if low == 0 else np.zeros_like(below)
        dead |= (below | above).all(1)
    return dead


@pytest.mark.parametrize("low", [0.0, 0.2])
def test_clipped_networks_die_at_both_ends(low):
    activation = clipped_relu(low, 0.4)
    net = network((1, 2, 2, 2, 1), activation=activation)
    support = Box((0.0,), (1.0,))
    layers = drawn_layers(net, 8)
    keys = [(np.asarray(w)[:, :, :], np.asarray(b)) for w, b in layers]
    first = keys[0][0][:, 0, :]
    dead = clipped_dead([(first[:, None, :], keys[0][1]), *keys[1:]], low, 0.4, support)
    stated = probability_layer_dead(net.layer_specs, activation, support, sampling=False)
    assert stats.binomtest(int(dead.sum()), DRAWS, stated.value).pvalue > 1e-6


def test_one_hidden_layer_is_exact():
    layers = network((1, 5, 1)).layer_specs
    found = probability_layer_dead(layers, relu(), INTERVAL, "float64")
    assert found.exact
    assert found.value == pytest.approx(0.25**5, rel=1e-12)
    single = probability_layer_dead(layers, relu(), INTERVAL)
    assert single.value < 0.25**5 < single.value + single.error < 0.25**5 + 1e-4


def test_two_hidden_layers_by_hand():
    # P(layer 1 dead) = 1/16; else K = 0, 1 with 9/16, 6/16 and layer 2 dead with 1/64, 1/16.
    value = 1 / 16 + 9 / 16 / 8**2 + 6 / 16 / 4**2
    specs = network((1, 2, 2, 1)).layer_specs
    found = probability_layer_dead(specs, relu(), INTERVAL, "float64", sampling=False)
    assert not found.exact
    assert found.value == pytest.approx(value, rel=1e-12)


def test_unbounded_inputs_leave_deeper_layers():
    layers = network((1, 2, 2, 1), "normal", "normal").layer_specs
    found = probability_layer_dead(layers, relu(), Everything(1))
    assert found.value == pytest.approx(1 / 64, rel=1e-12)


@pytest.mark.parametrize("k", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("constant", [True, False])
def test_failure_probability_equals_enumeration(k, constant):
    net = network((1, 3, 2, 1), activation=clipped_relu(0.0, 0.4))
    support = Box((-0.5,), (0.5,))
    chain = InactiveChain(net.layer_specs, net.activation, support, "float64")
    p, q = chain.first_silent.value, chain.first_other.value
    total = 0.0
    # Every first-layer neuron: silent, otherwise inactive, live.
    for states in itertools.product("sol", repeat=3):
        weight = math.prod({"s": p, "o": q, "l": 1 - p - q}[state] for state in states)
        live = 3 - states.count("s")
        # Every second-layer neuron: weights <= 0 and b <= 0, weights >= 0 and b >= 0.4, neither.
        below, above = 0.5**live * 0.5, 0.5**live * 0.3
        enough = k is not None and 3 - states.count("l") >= k
        if enough or (constant and "l" not in states):
            total += weight
        elif constant:
            total += weight * (below + above) ** 2
    assert failure_probability(chain, k, constant) == pytest.approx(total, rel=1e-12, abs=1e-300)


def test_dependent_neurons_have_no_count_law():
    layer = network((2, 4, 1), "orthogonal", "uniform").layer_specs[0]
    law = inactive_count_law(layer, relu(), Box((0.0, 0.0), (1.0, 1.0)))
    assert not law.exact
    assert law.at_least(1) == 0
    assert "depend" in law.method


def test_a_network_without_hidden_layer_is_refused():
    with pytest.raises(InputError, match="layers = 1 layers"):
        probability_layer_dead(network((1, 1)).layer_specs, relu(), INTERVAL)
