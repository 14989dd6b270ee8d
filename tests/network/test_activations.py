import math
from dataclasses import replace
from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.registry import build

GRID = np.linspace(-7.5, 7.5, 1201)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

FORMULAS = {
    "relu": lambda x: np.where(x > 0, x, 0),
    "clipped_relu": lambda x: np.clip(x, 0, 1),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "relu_power": lambda x: np.where(x > 0, x, 0) ** 2,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "prelu": lambda x: np.where(x > 0, x, 0.25 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "soft_sign": lambda x: x / (1 + np.abs(x)),
    "sine": np.sin,
    "identity": lambda x: x,
}


NAMES = [name for name in ACTIVATIONS if name != "function"]


BESIDE = GRID + 0.0031
"""Points that are no breakpoints."""


@cache
def on_grid(name):
    """Return an activation by name, its values on the grid and slopes beside it, by one program."""
    activation = build(ACTIVATIONS, name, "activation")
    slope = jax.vmap(jax.grad(activation.function))
    both = jax.jit(lambda x, y: (activation.function(x), slope(y)))
    return activation, *map(np.asarray, both(GRID, BESIDE))


def test_every_activation_has_a_reference():
    assert set(FORMULAS) == set(NAMES)


def test_an_activation_of_ones_own_claims_nothing_and_must_be_elementwise():
    own = ACTIVATIONS["function"](lambda x: jnp.where(x > 0, x, 0.0), breakpoints=(0.0,))
    assert not own.flat
    assert not own.piecewise_linear
    with pytest.raises(InputError, match="same shape and dtype"):
        ACTIVATIONS["function"](lambda x: x.sum())
    with pytest.raises(InputError, match="allow-code"):
        ACTIVATIONS["function"]("math:sqrt")


@pytest.mark.parametrize(
    "spec",
    [
        *NAMES,
        {"name": "leaky_relu", "negative_slope": 0.3},
        {"name": "clipped_relu", "low": 1.0, "high": 2.0},
    ],
)
def test_the_value_tells_the_derivative_where_it_is_said_to(spec):
    activation = build(ACTIVATIONS, spec, "activation")
    x = np.concatenate([GRID, activation.breakpoints])
    if activation.slope_from_value:
        (values,) = evaluated(activation.function, x)
        from_value, slope = evaluated(jax.vmap(jax.grad(activation.function)), values, x)
        assert (from_value == slope).all()


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_its_formula(name):
    _, values, _ = on_grid(name)
    np.testing.assert_allclose(values, FORMULAS[name](GRID), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_keeps_the_dtype(name, dtype):
    function = build(ACTIVATIONS, name, "activation").function
    assert jax.eval_shape(function, jnp.ones(3, dtype)).dtype == dtype


@pytest.mark.parametrize(
    "spec",
    [*NAMES, {"name": "clipped_relu", "low": -0.5, "high": 2.0}],
    ids=lambda s: s if isinstance(s, str) else "clipped",
)
def test_flat_intervals_are_constant_with_derivative_exactly_zero(spec):
    activation = build(ACTIVATIONS, spec, "activation")
    pieces = []
    for low, high in activation.flat:
        ends = [e for e in (low, high) if math.isfinite(e)]
        pieces.append(np.array([*ends, *np.linspace(max(low, -9.0), min(high, 9.0), 301)]))
    if pieces:
        slopes = evaluated(jax.vmap(jax.grad(activation.function)), *pieces)
        for values, slope in zip(evaluated(activation.function, *pieces), slopes, strict=True):
            assert np.unique(values).size == 1
            assert not slope.any()


@pytest.mark.parametrize("name", NAMES)
def test_activation_is_not_flat_outside_its_flat_intervals(name):
    activation, _, slope = on_grid(name)
    flat = np.zeros(BESIDE.shape, bool)
    for low, high in activation.flat:
        flat |= (low <= BESIDE) & (high >= BESIDE)
    assert ((slope == 0) == flat).all()


@pytest.mark.parametrize("name", NAMES)
def test_piecewise_linear_activations_are_affine_between_breakpoints(name):
    activation, values, _ = on_grid(name)
    second = np.diff(values, 2)
    near = np.zeros(second.shape, bool)
    for point in activation.breakpoints:
        near |= np.abs(GRID[1:-1] - point) <= 0.0126
    assert activation.piecewise_linear == (np.abs(second[~near]).max() < 1e-12)


def test_non_negative_flag_is_true_to_the_values():
    for name in NAMES:
        activation, values, _ = on_grid(name)
        assert activation.non_negative == bool((values >= 0).all())


SPECS = [
    *NAMES,
    {"name": "clipped_relu", "low": -0.5, "high": 2.0},
    {"name": "clipped_relu", "low": 0.1, "high": 0.7},
    {"name": "relu_power", "power": 1.0},
    {"name": "relu_power", "power": 1.5},
    {"name": "leaky_relu", "negative_slope": 0.0},
    {"name": "leaky_relu", "negative_slope": -0.5},
    {"name": "leaky_relu", "negative_slope": 3.0},
    {"name": "elu", "alpha": 2.5},
    {"name": "elu", "alpha": -1.0},
    {"name": "celu", "alpha": 0.1},
    {"name": "gelu", "approximate": True},
    {"name": "softplus", "beta": 20.0},
    {"name": "squareplus", "b": 0.01},
    {"name": "sine", "frequency": 30.0},
]


def evaluated(function, *arrays):
    """Return a function's values at several arrays, by one program."""
    return list(map(np.asarray, jax.jit(lambda *of: [function(x) for x in of])(*arrays)))


def false_facts(activation):
    """Return which of an activation's declared facts are false, on a grid and far out."""
    wide = np.concatenate([-np.geomspace(1e30, 8, 60), GRID, np.geomspace(8, 1e30, 60)])
    near = [p + d for p in activation.breakpoints for d in (-1e-6, 0, 1e-6)]
    x = np.unique(np.concatenate([wide, near]))
    single = x[np.abs(x) < 1e4].astype(np.float32)
    ends = [-20.0, *activation.breakpoints, 20.0]
    pieces = [np.linspace(*piece, 101) for piece in pairwise(ends) if activation.piecewise_linear]
    flat = []
    for low, high in activation.flat:
        inside = np.linspace(max(low, -1e3), min(high, 1e3), 301)
        inside = np.array([*(e for e in (low, high) if math.isfinite(e)), *inside])
        flat += [inside.astype(np.float32), inside]
    y, computed, truth, *rest = evaluated(
        activation.function, x, single, single.astype(float), *pieces, *flat
    )
    steepest = np.max(np.abs(np.diff(y)) / np.diff(x))
    false = []
    if steepest > activation.lipschitz * (1 + 1e-9):
        false.append("lipschitz")
    if activation.monotone and (np.diff(y) < -1e-16 * np.abs(y[1:])).any():
        false.append("monotone")
    if activation.non_negative and y.min() < 0:
        false.append("non_negative")
    if list(activation.breakpoints) != sorted(activation.breakpoints):
        false.append("breakpoints")
    for inside in rest[: len(pieces)]:
        if np.abs(np.diff(inside, 2)).max() > 1e-12 * (1 + np.abs(inside).max()):
            false.append("piecewise_linear")
    slopes = evaluated(jax.vmap(jax.grad(activation.function)), *flat) if flat else []
    for values, slope in zip(rest[len(pieces) :], slopes, strict=True):
        if np.unique(values).size > 1 or slope.any():
            false.append("flat")
    if math.isfinite(activation.lipschitz):
        size = np.abs(truth) + activation.lipschitz * np.abs(single)
        # Ends of flat pieces are rounded too: what depends on them moves by half a unit.
        ends = 2.0**-24 * max(map(abs, (*activation.breakpoints, 0.0)))
        allowed = activation.rounding * 2.0**-23 * size + activation.lipschitz * ends + 1e-37
        if (np.abs(computed - truth) > allowed).any():
            false.append("rounding")
    if activation.non_negative and computed.min() < 0:
        false.append("non_negative in float32")
    return false


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_declared_facts_are_true(spec):
    assert false_facts(build(ACTIVATIONS, spec, "activation")) == []


def test_a_false_fact_is_found():
    relu, tent = ACTIVATIONS["relu"](), ACTIVATIONS["gelu"]()
    steep = replace(relu, function=lambda x: 3 * jax.nn.relu(x), rounding=1.0)
    assert false_facts(steep) == ["lipschitz"]
    assert false_facts(replace(steep, lipschitz=3.0)) == []
    assert false_facts(replace(tent, monotone=True)) == ["monotone"]
    assert "flat" in false_facts(replace(relu, flat=((-math.inf, 0.01),)))
    assert "flat" in false_facts(replace(relu, function=lambda x: jnp.maximum(x, 0)))
    assert "piecewise_linear" in false_facts(replace(tent, piecewise_linear=True))
    assert "non_negative" in false_facts(replace(tent, non_negative=True))
    assert "rounding" in false_facts(replace(relu, function=lambda x: jax.nn.relu(x + 9) - 9))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_stated_slopes_are_not_far_from_the_steepest(spec):
    activation = build(ACTIVATIONS, spec, "activation")
    x = np.linspace(-30, 30, 300_001)
    slopes = np.diff(np.asarray(activation.function(jnp.asarray(x)))) / np.diff(x)
    if math.isfinite(activation.lipschitz):
        assert activation.lipschitz < 1.01 * np.abs(slopes).max()
    assert activation.monotone == bool(slopes.min() > -1e-9)


def test_nothing_is_claimed_of_the_users_own_function():
    own = ACTIVATIONS["function"](jax.nn.relu, breakpoints=(0.0,), non_negative=True)
    assert not own.flat
    assert own.lipschitz == math.inf
    assert not any([own.monotone, own.piecewise_linear, own.slope_from_value])


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("rely", "network.activation = 'rely' is not known (did you mean 'relu'?)"),
        ({"name": "relu", "slope": 1}, "network.activation.slope is not a parameter of 'relu'"),
        ({"name": "clipped_relu", "low": 2.0}, "low = 2.0 must be less than high = 1.0"),
        ({"name": "relu_power", "power": 0.5}, "power = 0.5 must be at least 1"),
        ({"name": "relu_power", "power": "two"}, "network.activation.power = 'two'"),
        ({"low": 1}, "lacks 'name'"),
    ],
)
def test_bad_specifications_get_one_sentence(spec, sentence):
    with pytest.raises(InputError) as error:
        build(ACTIVATIONS, spec, "network.activation")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
