"""Panels follow the target's own scale: narrow features are seen, and errors cover."""

import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.targets import FunctionTarget
from jaxsim.risk import make_risk
from jaxsim.risk.line import line_of
from jaxsim.risk.panels import MOST_PANELS, _mass, target_panels
from tests.risk.cases import make_network, make_problem, members, plain_forward, plain_kinks

NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


def reference(network, theta, target, points, rho=np.square, low=-1.0, high=1.0, count=1001):
    """Gauss-Legendre between kinks, on panels that get ever finer towards the given points."""
    steps = 2.0 ** np.arange(-52, 1)
    near = [p + side * steps for p in points for side in (-1, 1)]
    smooth = network.activation.name == "tanh"
    kinks = [] if smooth else plain_kinks(network, theta, low, high)
    edges = np.concatenate(
        [np.linspace(low, high, count if rho is np.square else 60 * count), *near, points, kinks]
    )
    edges = np.unique(edges[(edges >= low) & (edges <= high)])
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    x = middle[:, None] + half[:, None] * NODES
    residual = plain_forward(network, theta, x.reshape(-1, 1)).reshape(x.shape) - target(x)
    return float(np.sum(half * (rho(residual) @ WEIGHTS)) / (high - low))


def check(formula, target, points, count=20, activation="relu", loss="squared", rho=np.square):
    """Compare risks of random networks with the reference; return the largest relative error."""
    network = make_network(1, 6, 1, activation=activation)
    rule = make_risk(make_problem(formula, loss=loss), network)
    thetas = members(network, count, seed=5)
    thetas[0] = 0.0
    values, errors = jax.jit(jax.vmap(rule.evaluate))(jnp.asarray(thetas))
    worst = 0.0
    for theta, value, error in zip(thetas, values, errors, strict=True):
        truth = reference(network, theta, target, points, rho)
        assert abs(value - truth) <= error + 2e-15 * truth
        worst = max(worst, float(error) / truth)
    return worst


NARROW = [
    ("exp(-1e6*(x-0.123)**2)", lambda x: np.exp(-1e6 * (x - 0.123) ** 2), [0.123], 1e-5),
    ("exp(-1e4*(x-0.123)**2)", lambda x: np.exp(-1e4 * (x - 0.123) ** 2), [0.123], 1e-5),
    ("exp(-1e9*(x+0.7)**2)", lambda x: np.exp(-1e9 * (x + 0.7) ** 2), [-0.7], 1e-5),
    ("tanh(1000*(x-0.31))", lambda x: np.tanh(1000 * (x - 0.31)), [0.31], 1e-5),
    ("sin(200*x)", lambda x: np.sin(200 * x), [], 1e-5),
    ("1/(1+1e5*(x-.3)**2)", lambda x: 1 / (1 + 1e5 * (x - 0.3) ** 2), [0.3], 1e-5),
    ("x**2*exp(-1e5*x**2)", lambda x: x**2 * np.exp(-1e5 * x**2), [0.0], 1e-5),
    ("sqrt(abs(x-.2))", lambda x: np.sqrt(abs(x - 0.2)), [0.2], 1e-5),
    ("log(x+1.0001)", lambda x: np.log(x + 1.0001), [-1.0], 1e-5),
    ("log(abs(x))", lambda x: np.log(abs(x)), [0.0], 1e-5),
    ("x**2 + exp(-1e6*(x-0.4)**2)/100", lambda x: x**2 + np.exp(-1e6 * (x - 0.4) ** 2) / 100,
     [0.4], 1e-5),
    ("abs(sin(9*x + 1))", lambda x: abs(np.sin(9 * x + 1)),
     [(k * math.pi - 1) / 9 for k in range(-3, 4)], 1e-5),
    ("where(sin(40*x) > 0.5, x, 1)", lambda x: np.where(np.sin(40 * x) > 0.5, x, 1.0),
     [((-1) ** k * math.pi / 6 + k * math.pi) / 40 for k in range(-14, 15)], 1e-4),
]  # fmt: skip


OFTEN = (0, 3)


def some(cases, often):
    """All cases, but only a few in the default suite."""
    return [
        case if i in often else pytest.param(*case, marks=pytest.mark.slow)
        for i, case in enumerate(cases)
    ]


@pytest.mark.parametrize(("formula", "target", "points", "most"), some(NARROW, OFTEN))
def test_errors_cover_narrow_features(formula, target, points, most):
    assert check(formula, target, points) <= most


@pytest.mark.parametrize(("formula", "target", "points", "most"), some(NARROW[:5], [1]))
def test_errors_cover_narrow_features_of_smooth_networks(formula, target, points, most):
    assert check(formula, target, points, 6, "tanh") <= 1e-4


@pytest.mark.parametrize(("formula", "target", "points", "most"), some(NARROW[:5], [3]))
def test_errors_cover_narrow_features_of_other_losses(formula, target, points, most):
    worst = check(formula, target, points, 6, loss="absolute", rho=np.abs)
    assert worst <= 1e-4


@pytest.mark.parametrize("seed", [pytest.param(i, marks=pytest.mark.slow) for i in range(30)])
def test_random_features_are_seen(seed):
    rng = random.Random(seed)
    c, k = rng.uniform(-1, 1), 10 ** rng.uniform(2, 10)
    height = 10 ** rng.uniform(-1, 1)
    shapes = [
        (f"{height}*exp(-{k}*(x-({c}))**2)", lambda x: height * np.exp(-k * (x - c) ** 2)),
        (f"{height}*tanh({k**0.5}*(x-({c})))", lambda x: height * np.tanh(k**0.5 * (x - c))),
        (f"{height}/(1+{k}*(x-({c}))**2)", lambda x: height / (1 + k * (x - c) ** 2)),
    ]
    formula, target = shapes[seed % 3]
    check(formula, target, [c], 8)


def panels_of(target, law="uniform", **options):
    problem = make_problem(target, law=law, **options)
    return target_panels(problem, line_of(problem.law), tuple(np.linspace(-1, 1, 9)[1:-1]))


def test_panels_of_a_uniform_law_compile_the_target_only():
    """For arrays of two lengths; each of some twenty rounds has a number of panels of its own."""
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    problem = make_problem("exp(-1e6*(x-0.2345)**2)")
    line = line_of(problem.law)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        found = target_panels(problem, line, ())
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(found.edges) > 20
    assert len(compiled) < 20
    # The panels are those of the same law by its density.
    by_density = line._replace(density=lambda x: jnp.full(x.shape, 0.5))
    a, b = found.edges[:-1], found.edges[1:]
    np.testing.assert_array_equal(_mass(line, a, b), _mass(by_density, a, b))


def test_smooth_targets_keep_the_panels_they_had():
    for formula in ["sin(5*x)", "exp(x)", "exp(x)*sin(9*x)", "1/(x + 3)"]:
        found = panels_of(formula)
        assert len(found.edges) == 9
        assert found.doubt.max() < 1e-9


def test_panels_are_few_and_what_they_cannot_resolve_is_said():
    found = panels_of("sin(1e5*x)")
    assert len(found.edges) == MOST_PANELS + 1
    assert found.doubt.max() >= 1
    network = make_network(1, 2, 1)
    rule = make_risk(make_problem("sin(1e5*x)"), network)
    value, error = jax.jit(rule.evaluate)(np.zeros(network.size))
    assert abs(value - 0.5) <= error
    assert len(panels_of("exp(-1e6*(x-0.123)**2)").edges) < 64


def test_doubts_bound_the_distance_to_polynomials():
    for formula, function in [
        ("sin(30*x)", lambda x: np.sin(30 * x)),
        ("exp(9*x)", lambda x: np.exp(9 * x)),
    ]:
        found = panels_of(formula)
        for a, b, doubt in zip(found.edges, found.edges[1:], found.doubt[:, 0], strict=False):
            s = np.cos(np.pi * (np.arange(12) + 0.5) / 12)
            fit = np.polynomial.Chebyshev.fit(
                (a + b) / 2 + (b - a) / 2 * s, function((a + b) / 2 + (b - a) / 2 * s), 11
            )
            x = np.linspace(a, b, 101)
            off = np.abs(fit(x) - function(x)).max()
            assert off <= doubt + 1e-13 * np.abs(function(x)).max()


def test_own_functions_are_sampled():
    peak = FunctionTarget(lambda x: jnp.exp(-1e4 * (x - 0.123) ** 2))
    found = panels_of(peak)
    assert not found.enclosed
    assert len(found.edges) < 64
    assert check(peak, lambda x: np.exp(-1e4 * (x - 0.123) ** 2), [0.123]) < 1e-3


@pytest.mark.parametrize("formula", ["1/sqrt(abs(x))", "exp(1/x)"])
def test_risks_that_could_be_infinite_have_infinite_errors(formula):
    network = make_network(1, 3, 1)
    rule = make_risk(make_problem(formula), network)
    _, error = jax.jit(rule.evaluate)(np.zeros(network.size))
    assert error == np.inf


@pytest.mark.parametrize(
    ("formula", "truth"),
    some(
        [
            ("abs(x)**-0.3", 2.5),
            ("abs(x-0.25)**-0.3", (0.75**0.4 + 1.25**0.4) / 0.8),
            ("log(1 - x)", None),
            ("sin(x)/x", None),
        ],
        [1],
    ),
)
def test_integrable_growth_is_integrated(formula, truth):
    if formula.startswith("log"):  # E log(U)^2 for U uniform on [0, 2]
        truth = 2 - 2 * math.log(2) + math.log(2) ** 2
    if formula.startswith("sin"):
        x = np.linspace(-1, 1, 200_001) + 1e-9
        truth = np.trapezoid((np.sin(x) / x) ** 2, x) / 2
    network = make_network(1, 3, 1)
    rule = make_risk(make_problem(formula), network)
    value, error = jax.jit(rule.evaluate)(np.zeros(network.size))
    assert abs(value - truth) <= error + 1e-9
    assert error < 1e-3 * truth
    assert np.isfinite(jax.jit(jax.grad(rule.population_loss))(np.zeros(network.size))).all()


def test_normal_inputs_that_reach_too_far_are_noticed():
    network = make_network(1, 1)
    law = INPUT_LAWS["normal"]()
    for formula, finite in [("exp(2*x)", True), ("exp(9*x)", False), ("exp(x**2)", False)]:
        rule = make_risk(make_problem(formula, law=law), network)
        value, error = jax.jit(rule.evaluate)(np.zeros(2))
        assert np.isfinite(error) == finite
        if finite:
            assert abs(value - math.exp(8)) <= error < 1e-5 * value
