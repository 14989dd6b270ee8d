"""Strata of formulas with rare large values, and risks that could be infinite."""

from math import acos, exp, gamma, pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.risk import RiskOptions, make_risk
from jaxsim.risk.constants import best_constant_risk
from jaxsim.risk.coordinates import coordinates_of
from jaxsim.risk.quasi_monte_carlo import sample_of, scrambled_points
from jaxsim.risk.strata import stratify
from tests.risk.cases import make_network, make_problem
from tests.studies import slow_but

CORNER = ("where(x1>0.99996,100,0)", "uniform", 2, 1e4 * 2e-5)
BALL = ("where(x1**2+x2**2<1e-4,50,0)", "uniform", 2, 2500 * pi * 1e-4 / 4)
TAIL = ("exp(5*x1)", "normal", 2, exp(50))
RARE = [
    CORNER,
    BALL,
    TAIL,
    ("where(x1**2+x2**2+x3**2+x4**2+x5**2<0.01,50,0)", "uniform", 5,
     2500 * pi**2.5 / gamma(3.5) * 1e-5 / 32),
    ("50*exp(-1e4*((x1-.3)**2+x2**2))", "uniform", 2, 2500 * pi / 2e4 / 4),
    ("where(x1+x2>1.999,100,0)", "uniform", 2, 1e4 * 0.5e-6 / 4),
    ("where(x1>0.9999,100,0)", "ball", 2, 1e4 * (acos(0.9999) - 0.9999 * sqrt(1 - 0.9999**2)) / pi),
    ("where(x1>0.99999,100,0)", "sphere", 3, 1e4 * 0.5e-5),
    ("where(x2<-0.9999,100,0)", "sphere", 2, 1e4 * acos(0.9999) / pi),
    ("where(x1>4.5,100,0)*x2", "normal", 3, 1e4 * 3.397673124730053e-06),
    ("x1**4", "normal", 2, 105.0),
    ("1/abs(x1)**0.3", "uniform", 2, 1 / 0.4),
    ("exp(-1e5*(x1**2+x2**2+x3**2))*1e3", "uniform", 3, 1e6 * (pi / 2e5) ** 1.5 / 8),
]  # fmt: skip
"""Formula, law, dimension, and the mean of the formula's square: the risk of the zero network."""


def problem_of(text, law, dimension):
    return make_problem(text, law=law, dimension=dimension)


def test_a_rare_jump_is_all_of_the_risk_and_is_seen():
    """At the default seed; 16,384 points of the square saw nothing of it: 0 +- 0."""
    text, law, dimension, truth = CORNER
    problem, network = problem_of(text, law, dimension), make_network(dimension, 2, 1)
    rule = make_risk(problem, network)
    assert rule.evidence.word == "estimated"
    theta = np.zeros(network.size)
    value, error = jax.jit(rule.evaluate)(theta)
    assert abs(value - truth) <= error
    assert 0 < error < 0.01 * truth
    assert best_constant_risk(problem).lower.value <= value + error
    single = jax.jit(rule.population_loss)(jnp.asarray(theta, jnp.float32))
    assert abs(single - value) < 1e-5 * value


@pytest.mark.parametrize("case", slow_but([BALL], RARE))
def test_errors_hold_for_rare_and_heavy_tailed_formulas(case):
    """Twenty seeds; the interval is an estimate, so that one of them may fail."""
    text, law, dimension, truth = case
    problem = problem_of(text, law, dimension)
    held = 0
    for seed in range(20):
        options = RiskOptions(seed=seed)
        sample = sample_of(problem, options)
        assert sample.weights is not None
        assert abs(sample.weights.sum() - 1) < 1e-12
        losses = (sample.y[..., 0] ** 2) @ sample.weights
        width = 8 * losses.std(ddof=1) / sqrt(len(losses))
        width += np.max(sample.weights * sample.y[..., 0] ** 2) / len(losses)
        held += abs(losses.mean() - truth) <= width
        assert 0 < width < 0.25 * truth
        if seed == 0:  # the same points: no constant is better than the best one
            assert best_constant_risk(problem, options).value <= losses.mean() * (1 + 1e-12)
    assert held >= 19


@pytest.mark.parametrize(("text", "truth"), [("where(abs(x1-x2)<1e-7,100,0)", 1e-3)])
def test_what_no_point_saw_is_part_of_the_error(text, truth):
    """A band too narrow for strata: its values are known from the comparison, not from points."""
    network = make_network(2, 2, 1)
    value, error = jax.jit(make_risk(problem_of(text, "uniform", 2), network).evaluate)(
        np.zeros(network.size)
    )
    assert abs(value - truth) <= error


@pytest.mark.parametrize(
    ("text", "law", "dimension"),
    [("x1*x2", "uniform", 2), ("where(x1*x2>0,1,0)", "uniform", 2), ("x1**2", "normal", 2),
     ("sin(9*x1)*x2+x1**2-abs(x2)", "ball", 3), ("x1*x2*x3*x4*x5", "normal", 5)],
)  # fmt: skip
def test_ordinary_formulas_keep_their_points(text, law, dimension):
    problem, options = problem_of(text, law, dimension), RiskOptions(points=64, replicates=2)
    sample = sample_of(problem, options)
    assert sample.weights is None
    np.testing.assert_array_equal(sample.points, scrambled_points(problem.law, options))


@pytest.mark.parametrize(
    ("text", "low", "infinite"),
    [("1/x1", -1.0, True), ("tan(2*x1)", -1.0, True), ("1/(x1+x2)", 0.0, True),
     ("1/(x1**2+x2**2)", -1.0, True), ("1/abs(x1)**0.5", -1.0, True),
     ("sin(x1)/x1+x2", -1.0, False), ("log(abs(x1))", -1.0, False), ("x1/(x1+x2)", 0.0, False),
     ("1/abs(x1)**0.4", -1.0, False), ("sqrt(x1)*x2", 0.0, False)],
)  # fmt: skip
def test_risks_without_finite_mean_are_found(text, low, infinite):
    problem = make_problem(text, dimension=2, low=low)
    found = stratify(problem, np.zeros(1), 64)
    assert found is not None
    assert found.unbounded is infinite


@pytest.mark.parametrize("text", ["1/x1", "1/(x1 - x2)"])
def test_a_risk_that_could_be_infinite_has_an_infinite_error_and_says_so(text):
    network, problem = make_network(2, 2, 1), make_problem(text, dimension=2)
    rule = make_risk(problem, network, RiskOptions(points=64))
    _, error = jax.jit(rule.evaluate)(np.zeros(network.size))
    assert error == np.inf
    assert "could be infinite" in rule.description
    assert best_constant_risk(problem, RiskOptions(points=64)).error == np.inf


@pytest.mark.parametrize(
    "law",
    [INPUT_LAWS["uniform"](low=-2.0, high=1.0, dimension=2),
     INPUT_LAWS["normal"](mean=1.0, std=2.0, dimension=2),
     *(INPUT_LAWS[name](radius=2.0, dimension=d) for name in ("ball", "sphere") for d in (2, 3))],
)  # fmt: skip
def test_cells_have_their_masses_and_images(law):
    """Against 40,000 plain draws in a random cell of each coordinate."""
    found = coordinates_of(law)
    assert found is not None
    rng = np.random.default_rng(0)
    x = np.asarray(law.sample(jax.random.key(0), 40_000, jnp.float64))
    k = len(found.low)
    for _ in range(5):
        a, b = np.sort(rng.uniform(size=(2, k)), 0)
        if found.low[0] < 0:
            a, b = 4 * a - 2, 4 * b - 2  # standard deviations
        low, high = a[:, None], b[:, None]
        inside = found.points(low.T, high.T, rng.uniform(size=(2000, k)))
        start, stop = (e[:, 0] for e in found.image(low, high))
        assert (inside >= start - 1e-12).all()
        assert (inside <= stop + 1e-12).all()
        # Moments of the points of a cell, weighted with its mass, are part of those of the law.
        within = ((x >= start) & (x <= stop)).all(1).mean()
        assert found.mass(low, high)[0] <= within + 5 * sqrt(0.25 / len(x))
    whole = found.mass(found.low[:, None], found.high[:, None])[0]
    assert abs(whole - 1) < 1e-12
