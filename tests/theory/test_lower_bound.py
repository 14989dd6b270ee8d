"""Floors for the exceedance probability against hand arithmetic."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxsim.errors import InputError
from jaxsim.evidence import Bound
from jaxsim.network.activations import clipped_relu, relu, softplus
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.network import Layer
from jaxsim.problem.support import Box, Everything
from jaxsim.theory.inactive_counts import probability_layer_dead
from jaxsim.theory.lower_bound import exceedance_lower_bound

INTERVAL = Box((-1.0,), (1.0,))


def layers(*widths, weights="uniform", biases=("uniform",)):
    laws = [LAWS[b]() if b else None for b in biases]
    pairs = list(itertools.pairwise(widths))
    laws = laws * len(pairs) if len(laws) == 1 else laws
    return [Layer(i, o, LAWS[weights](), b) for (i, o), b in zip(pairs, laws, strict=True)]


def parabola(m):
    return 4 / (45 * (m + 1) ** 4)


def floors(eps, specs, activation=None, support=INTERVAL, **kwargs):
    known = {"optimum_upper": parabola(4), "best_constant_lower": 4 / 45, "hierarchy": parabola}
    known |= kwargs
    for name in ("optimum_upper", "best_constant_lower"):
        known[name] = None if known[name] is None else Bound(known[name])
    levels = known["hierarchy"]
    known["hierarchy"] = None if levels is None else lambda m: Bound(levels(m))
    # In float64 the margin for rounding is below the tolerance of these tests.
    known.setdefault("precision", "float64")
    return exceedance_lower_bound(eps, specs, activation or relu(), support, **known)


def test_parabola_floors_are_binomial_tails():
    eps = [0.0, 1e-4, 3e-4, 8e-4, 1e-3, 5e-3, 0.01, 0.0888]
    found = floors(eps, layers(1, 4, 1))
    for e, floor in zip(eps, found, strict=True):
        # k(eps) by its definition.
        k = next((k for k in range(1, 5) if parabola(4 - k) - parabola(4) > e), None)
        expected = stats.binom.sf(k - 1, 4, 0.25) if k else 0.0
        assert floor.k == k
        assert floor.eps == e
        assert floor.value == pytest.approx(expected, rel=1e-12)
    assert [f.k for f in found] == [1, 1, 2, 2, 3, 3, 4, None]
    assert "at least 2 of 4" in found[2].reason


def test_floor_of_zero_says_why():
    specs = layers(1, 4, 1)
    for floor, words in [
        (floors(0.1, specs)[0], "cost more than eps"),
        (floors(0.0, specs, keeps_inactive=False)[0], "may move"),
        (floors(0.0, specs, softplus())[0], "softplus has no flat interval"),
        (floors(0.0, specs, support=Everything(1))[0], "probability 0"),
        (floors(0.0, specs, optimum_upper=np.inf)[0], "no upper bound"),
        (floors(0.0, layers(1, 4, 1, weights="orthogonal"))[0], "depend on each other"),
        (floors(0.0, layers(1, 4, 1, biases=("zero",)))[0], "probability 0"),
    ]:
        assert floor.value == 0
        assert words in floor.reason


def test_without_a_hierarchy_a_wholly_inactive_layer_remains():
    specs = layers(1, 3, 2, 1)
    (floor,) = floors(0.05, specs, hierarchy=None)
    expected = probability_layer_dead(specs, relu(), INTERVAL, "float64", sampling=False).value
    assert floor.unsampled == pytest.approx(expected, rel=1e-12)
    best = probability_layer_dead(specs, relu(), INTERVAL, "float64")
    assert floor.value == best.value > 1.5 * expected
    assert floor.evidence == best.evidence
    assert floor.evidence.word == "confidence"
    assert floor.reason.startswith("a hidden layer wholly inactive at initialization (conditional")
    assert f"without sampling at least {expected:.3g}" in floor.reason
    assert floor.k == 3
    (nothing,) = floors(0.05, specs, hierarchy=None, best_constant_lower=None)
    assert nothing.value == 0


def test_both_ways_of_failing_are_joined():
    # K_1 ~ Bin(2, 1/4), k = 1; with K_1 = 0 the second layer is dead with probability 8^-2.
    def levels(m):
        return {2: 0.0, 1: 0.5, 0: 1.0}[m]

    (floor,) = floors(
        0.2, layers(1, 2, 2, 1), hierarchy=levels, optimum_upper=0.0, best_constant_lower=1.0
    )
    assert floor.k == 1
    assert floor.unsampled == pytest.approx(7 / 16 + 9 / 16 / 64, rel=1e-12)
    assert floor.value > floor.unsampled
    assert " or " in floor.reason
    (alone,) = floors(
        0.2, layers(1, 2, 2, 1), hierarchy=levels, optimum_upper=0.0, best_constant_lower=None
    )
    assert alone.value == pytest.approx(7 / 16, rel=1e-12)


def test_bounds_for_more_neurons_hold_for_fewer():
    # A useless bound at one neuron does not undo the one at two.
    weak = {4: 0.0, 3: 0.0, 2: 0.5, 1: -1.0, 0: 0.1}
    (floor,) = floors(
        0.3,
        layers(1, 4, 1),
        hierarchy=weak.__getitem__,
        optimum_upper=0.0,
        best_constant_lower=None,
    )
    assert floor.k == 2
    (high,) = floors(
        0.7,
        layers(1, 4, 1),
        hierarchy=weak.__getitem__,
        optimum_upper=0.0,
        best_constant_lower=None,
    )
    assert high.k is None


def test_clipped_constants_need_a_bias_to_absorb_them():
    activation = clipped_relu(0.0, 0.25)
    with_bias = floors(3e-4, layers(1, 4, 1), activation)[0]
    without = floors(3e-4, layers(1, 4, 1, biases=("uniform", None)), activation)[0]
    # p = P(b + |w| <= 0) + P(b - |w| >= 1/4) = 1/4 + (3/4)^2 / 4
    p = 0.25 + 0.75**2 / 4
    assert with_bias.value == pytest.approx(stats.binom.sf(1, 4, p), rel=1e-12)
    assert without.k is None
    assert without.value == pytest.approx(p**4, rel=1e-12)


def test_floor_decreases_in_eps_and_never_exceeds_one():
    found = floors(np.geomspace(1e-6, 1e-1, 60), layers(1, 4, 3, 1))
    values = np.array([floor.value for floor in found])
    assert np.all(np.diff(values) <= 0)
    assert np.all((values >= 0) & (values <= 1))


def test_simulated_probabilities_are_labelled():
    from jaxsim.problem.support import Ball

    (floor,) = floors(3e-4, layers(2, 4, 1), support=Ball(0.5, 2))
    assert 0 < floor.value < 1
    assert "confidence" in floor.reason


def test_bad_thresholds_are_refused():
    for eps in (-0.1, float("nan")):
        with pytest.raises(InputError, match=r"eps = .* is not accepted"):
            floors(eps, layers(1, 4, 1))
