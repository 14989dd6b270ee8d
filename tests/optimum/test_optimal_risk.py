"""Brackets of the optimal true risk."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from jaxsim.errors import InputError
from jaxsim.evidence import PROVED, Bound, estimated, stated
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import normal
from jaxsim.network.network import Layer, fully_connected
from jaxsim.optimum.bracket import Bracket
from jaxsim.optimum.optimal_risk import Stated, optimal_risk
from jaxsim.optimum.parabola import Parabola
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.risk import make_risk
from jaxsim.risk.teacher import TeacherTarget
from tests.risk.cases import draw, make_network, make_problem
from tests.studies import study


def test_what_the_user_states_is_used_and_named():
    problem, network = make_problem("sin(x)"), make_network(1, 2, 1)
    bracket = optimal_risk(problem, network, 0.25)
    assert bracket.lower.value == bracket.upper.value == 0.25
    bracket = optimal_risk(problem, network, (0.1, 0.2))
    assert (bracket.lower.value, bracket.upper.value) == (0.1, 0.2)
    assert "stated" in bracket.reason
    assert bracket.lower.evidence.word == bracket.upper.evidence.word == "stated"
    with pytest.raises(InputError, match="empty"):
        optimal_risk(problem, network, (0.2, 0.1))


@pytest.mark.parametrize(
    ("problem", "network", "given", "why"),
    [
        (make_problem("sin(x)"), make_network(1, 2, 1), -1.0, "risks are not negative"),
        (make_problem(), make_network(1, 4, 1), 2e-4, "at most 0.000142222"),
        (make_problem(), make_network(1, 4, 1), (0.0, 1e-4), "at least 0.000142222"),
        (
            make_problem("x", noise=("normal", {"std": 0.5})),
            make_network(1, 4, 1),
            0.2,
            "at least 0.25",
        ),
    ],
)
def test_what_is_stated_is_checked_against_what_is_known(problem, network, given, why):
    with pytest.raises(InputError, match=f"problem.optimum = .*{why}"):
        optimal_risk(problem, network, given)


def test_a_proof_is_preferred_to_the_same_value_stated():
    for given in (4 / 45 / 625, 0.000142222, 0.00014222223, (0, 1)):
        bracket = optimal_risk(make_problem(), make_network(1, 4, 1), given)
        assert bracket.upper.evidence.proved
        assert bracket.lower.evidence.proved
        assert bracket.width < 1e-9
        assert not bracket.contradictions


def test_a_run_lowers_the_upper_end_only():
    bracket = Bracket((Bound(0.1, reason="Bayes"),))
    better = bracket.with_risk(0.2, 0.01, PROVED, "best of 10 runs")
    assert (better.lower.value, better.upper.value) == (0.1, 0.2 + 0.01)
    assert "best of 10 runs" in better.reason
    assert better.with_risk(0.3, 0.0, PROVED, "worse").upper == better.upper
    assert bracket.width == math.inf
    assert abs(better.width - 0.11) < 1e-15
    exact = Bracket.of(0.1, 0.1, "closed form")
    assert exact.width == 0
    attained = exact.with_risk(0.1 - 1e-16, 0.0, PROVED, "rounding")
    assert attained.upper.value == 0.1
    assert not attained.contradictions


def test_an_estimated_error_is_no_end_without_a_margin():
    bracket = Bracket((Bound(0.0),)).with_risk(0.2, 0.01, estimated("quadrature"), "run")
    assert bracket.upper.value == pytest.approx(0.23)
    assert bracket.upper.evidence.word == "estimated"


def test_contradictions_are_named_and_the_weaker_side_is_left_out():
    said = Bracket((Bound(0.0, reason="Bayes"), Bound(0.5, stated("0.5"), "stated")))
    found = said.with_risk(0.3, 0.01, estimated("quadrature"), "best run")
    assert found.lower.value == 0.0
    assert found.upper.value == pytest.approx(0.33)
    (sentence,) = found.contradictions
    assert "stated" in sentence
    assert "best run" in sentence
    # A proof is kept, an estimate above it is not.
    proof = Bracket((Bound(0.5, reason="proof"),)).with_risk(0.3, 0.01, estimated("q"), "run")
    assert proof.lower.value == 0.5
    assert proof.upper.value == math.inf
    assert len(proof.contradictions) == 1
    # A network that exists refutes a proof: something is wrong, and both are named.
    wrong = Bracket((Bound(0.5, reason="proof"),)).with_risk(0.3, 0.0, PROVED, "run")
    assert wrong.lower.value == -math.inf
    assert wrong.upper.value == 0.3
    assert len(wrong.contradictions) == 1


def teacher_of(*widths, **options):
    network = make_network(*widths, **options)
    return TeacherTarget(network, jnp.asarray(draw(network, 1)))


def test_realizable_problems_have_the_noise_as_optimum():
    target = teacher_of(2, 3, 2)
    for noise, floor in [("none", 0.0), (("normal", {"std": 0.5}), 0.5)]:
        problem = make_problem(target, dimension=2, noise=noise)
        bracket = optimal_risk(problem, make_network(2, 4, 2))
        assert bracket.lower.value <= floor <= bracket.upper.value
        assert bracket.width < 1e-14
    problem = make_problem(target, dimension=2, loss="absolute", noise=("normal", {"std": 0.5}))
    bracket = optimal_risk(problem, make_network(2, 3, 2))
    assert bracket.lower.value <= np.sqrt(2 / np.pi) <= bracket.upper.value + 1e-10
    assert bracket.width < 1e-9


def frozen_network():
    layers = (
        Layer(2, 3, normal(), normal(), train_weights=False),
        Layer(3, 2, normal(), normal()),
    )
    return fully_connected(layers, ACTIVATIONS["relu"]())


@pytest.mark.parametrize(
    "student",
    [
        make_network(2, 2, 2),
        make_network(2, 3, 3, 2, activation="leaky_relu"),
        make_network(2, 3, 2, activation="tanh"),
        make_network(2, 3, 2, biases=(False, True)),
        frozen_network(),
    ],
)
def test_smaller_or_other_families_are_not_called_realizable(student):
    bracket = optimal_risk(make_problem(teacher_of(2, 3, 2), dimension=2), student)
    assert bracket.lower.value == 0
    assert bracket.upper.value == math.inf


def test_a_teacher_without_biases_fits_a_student_without():
    target = teacher_of(2, 3, 1, biases=False)
    bracket = optimal_risk(make_problem(target, dimension=2), make_network(2, 3, 1, biases=False))
    assert bracket.upper.value == 0


def test_parabola_levels_are_those_of_free_knot_fits():
    assert abs(Parabola().lower(0) - 4 / 45) < 1e-16
    assert abs(Parabola(3.0, 0.0, 0.5).lower(4) - 9 * 4 * 0.5**4 / (45 * 5**4)) < 1e-18
    bracket = optimal_risk(make_problem("x**2"), make_network(1, 4, 1))
    assert bracket.lower.value == bracket.upper.value == Parabola().lower(4)
    shifted = make_problem("3 * (x - 1)**2 + 2", low=0.5, high=1.5, noise=("normal", {"std": 1.0}))
    bracket = optimal_risk(shifted, make_network(1, 2, 1))
    assert bracket.width == 0
    assert abs(bracket.lower.value - 1 - Parabola(3.0, 0.0, 0.5).lower(2)) < 1e-15
    odd = optimal_risk(make_problem("x**2"), make_network(1, 3, 1))
    assert (odd.lower.value, odd.upper.value) == (Parabola().lower(3), Parabola().lower(2))


@pytest.mark.parametrize(
    ("problem", "network"),
    [
        (make_problem("x**2"), make_network(1, 4, 1, activation="leaky_relu")),
        (make_problem("x**2"), make_network(1, 4, 1, biases=(True, False))),
        (make_problem("x**2"), make_network(1, 2, 2, 1)),
        (make_problem("x**3"), make_network(1, 4, 1)),
        (make_problem("abs(x)"), make_network(1, 1, 1)),
        (make_problem("x**2", loss="absolute"), make_network(1, 4, 1)),
        (make_problem("x**2", law=INPUT_LAWS["normal"]()), make_network(1, 4, 1)),
    ],
)
def test_other_problems_get_only_the_bayes_risk(problem, network):
    bracket = optimal_risk(problem, network)
    assert bracket.lower.value == 0
    assert bracket.upper.value == math.inf


def best_found(problem, network, starts):
    """Least risk that BFGS finds, from starts spread over the interval."""
    rule = make_risk(problem, network)
    value_and_slope = jax.jit(jax.value_and_grad(rule.population_loss))

    def objective(theta):
        value, slope = value_and_slope(theta)
        return float(value), np.asarray(slope)

    m = network.hidden[0]
    rng = np.random.default_rng(0)
    low, high = problem.law.low[0], problem.law.high[0]
    best = math.inf
    for start in range(starts):
        sign = rng.permutation(np.where((np.arange(m) + start) % 2, 1.0, -1.0))
        kinks = low + (high - low) * np.sort(rng.uniform(size=m))
        theta = np.concatenate([sign, -sign * kinks, np.ones(m) / m, [0.0]])
        found = minimize(objective, theta, jac=True, method="BFGS", options={"gtol": 1e-12})
        best = min(best, float(found.fun))
    return best


@pytest.mark.parametrize(
    ("text", "m", "starts"),
    [
        ("x**2", 2, 6),
        ("x**2", 4, 12),
        ("x**2", 3, 8),
        ("x**2 + 0.3 * x", 2, 8),
        ("2*x**2 - x", 1, 8),
    ],
)
def test_no_network_found_leaves_the_parabola_bracket(text, m, starts):
    problem, network = make_problem(text), make_network(1, m, 1)
    bracket = optimal_risk(problem, network)
    best = best_found(problem, network, starts)
    assert best >= bracket.lower.value * (1 - 1e-9)
    assert best <= bracket.upper.value * (1 + 1e-6)
    if m % 2 == 0 and text == "x**2":
        assert bracket.width == 0


def test_an_asymmetric_loss_needs_an_output_bias_to_reach_the_noise_floor():
    target = teacher_of(2, 3, 1, biases=False)
    loss, noise = ("quantile", {"level": 0.2}), ("uniform", {"half_width": 1.0})
    problem = make_problem(target, dimension=2, loss=loss, noise=noise)
    without = optimal_risk(problem, make_network(2, 3, 1, biases=(True, False)))
    assert abs(without.lower.value - 0.16) < 1e-9
    assert without.upper.value == math.inf
    assert optimal_risk(problem, make_network(2, 3, 1)).width < 1e-9


@pytest.mark.parametrize(
    ("alpha", "slope", "half"),
    [(1.0, 0.0, 1.0), (-2.0, 0.7, 0.5), (1.0, 1.9, 1.0), (0.3, -0.2, 2.0), (1.0, 5.0, 1.0)],
)
def test_one_neuron_is_known_exactly(alpha, slope, half):
    """Against least squares in c and v for a fine grid of kinks, both orientations."""
    x, w = np.polynomial.legendre.leggauss(8)
    best = math.inf
    for t in np.linspace(-half, half, 4001)[1:-1]:
        # Gauss-Legendre on both sides of the kink is exact for the quartic integrand.
        points = np.concatenate(
            [(t - half) / 2 + (t + half) / 2 * x, (half + t) / 2 + (half - t) / 2 * x]
        )
        weights = np.concatenate([(t + half) / 2 * w, (half - t) / 2 * w]) / (2 * half)
        target = alpha * points**2 + slope * points
        for side in (1, -1):
            basis = np.stack([np.ones_like(points), np.maximum(side * (points - t), 0)], 1)
            root = np.sqrt(weights)
            residual = np.linalg.lstsq(basis * root[:, None], target * root)[1]
            best = min(best, float(residual[0]))
    affine = alpha**2 * half**4 * 4 / 45  # the kink at an end
    level = Parabola(alpha, slope, half).lower(1)
    assert level <= best + 1e-15
    assert abs(level / min(best, affine) - 1) < 1e-6


def test_a_linear_part_that_shifts_the_count_of_left_facing_neurons_is_exact():
    """With m = 1 and slope beta = 2 alpha h (1/2 - s), s = 0: beta = 1 for alpha = 1, H = 1."""
    problem = make_problem("x**2 + x")
    bracket = optimal_risk(problem, make_network(1, 1, 1))
    assert bracket.width == 0
    assert abs(best_found(problem, make_network(1, 1, 1), 8) / bracket.lower.value - 1) < 1e-6


@pytest.mark.parametrize("q", [30.0, 99.0, 101.0, 1e4, 1e6, 1e8])
def test_steep_lines_leave_the_bracket_of_one_neuron_right(q):
    """A steep line takes the neuron's slope: the optimum tends to the affine fit's 4/45."""
    bracket = Parabola(1.0, q, 1.0).bracket(1)
    assert bracket.lower.value <= 4 / 45
    assert bracket.upper.value >= 4 / 45 * (1 - 3 / q)


@pytest.mark.parametrize("target", ["1e-200*x**2 + x", "1e-310*x**2 + x", "1e155*x**2"])
def test_parabolas_that_float64_does_not_hold_are_other_problems(target):
    bracket = optimal_risk(make_problem(target), make_network(1, 3, 1))
    assert bracket.lower.value == 0
    assert bracket.upper.value == math.inf


def test_what_is_stated_may_come_with_a_reason_and_one_end():
    problem, network = make_problem("sin(x)"), make_network(1, 2, 1)
    bracket = optimal_risk(problem, network, Stated(0.1, 0.2, "a table of mine"))
    assert bracket.lower.reason == bracket.upper.reason == "stated in the study: a table of mine"
    least = optimal_risk(problem, network, Stated(0.1, math.inf))
    assert (least.lower.value, least.upper.value) == (0.1, math.inf)
    assert "at least 0.1" in least.lower.evidence.clause
    most = optimal_risk(problem, network, Stated(-math.inf, 0.2))
    assert (most.lower.value, most.upper.value) == (0.0, 0.2)
    with pytest.raises(InputError, match=r"problem\.optimum = at most -1"):
        optimal_risk(problem, network, Stated(-math.inf, -1.0))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"reason": "I know"}, "should have a value, or lower"),
        ({"value": 0.1, "lower": 0.0}, "should have a value, or lower"),
        ({"lower": 0.2, "upper": 0.1}, "lower <= upper"),
        ({"value": 0.1, "why": "x"}, "problem.optimum.why = 'x' is not a key"),
        ({"value": "low"}, "problem.optimum.value = 'low' is not accepted"),
        ({"value": 0.1, "reason": "a\nb"}, "should be one line"),
    ],
)
def test_what_is_stated_wrongly_is_refused_in_one_sentence(given, why):
    with pytest.raises(InputError, match=r"problem\.optimum") as refused:
        study(problem__optimum=given)
    assert why in str(refused.value)
    value = study(problem__target="sin(x)", problem__optimum={"value": 0.1}).experiments[0].optimum
    assert value.lower.value == value.upper.value == 0.1


def test_a_bias_alone_has_the_best_constants_risk():
    """E(b - Y)^2 is least at the mean: the variance, 0.09 for Bernoulli(0.1)."""
    law = {"law": "points", "points": [0.0, 1.0], "weights": [0.9, 0.1]}
    changes = {"problem": {"input": law, "target": "x"}, "network__hidden": []}
    alone = {"network__weights": "zero", "network__freeze": ["output.weights"]}
    bias = study(**changes, **alone).experiments[0].optimum
    assert bias.lower.value == pytest.approx(0.09, rel=1e-12)
    assert bias.width < 1e-12
    assert bias.evidence.proved
    # A weight that is trained, or frozen at a random value, makes a better fit possible.
    for other in ({}, {"network__freeze": ["output.weights"]}):
        assert study(**changes, **other).experiments[0].optimum.lower.value == 0
