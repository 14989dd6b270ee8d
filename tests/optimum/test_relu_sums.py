"""The optimal risk of targets that are sums of ReLU terms."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.optimum.optimal_risk import optimal_risk
from jaxsim.optimum.relu_sums import relu_form, represents
from jaxsim.problem.expression import parse_expression
from jaxsim.problem.targets import ExpressionTarget
from jaxsim.risk.teacher import TeacherTarget
from tests.risk.cases import draw, make_network, make_problem

NINE = " + ".join(f"relu(x{i})" for i in range(1, 10))


@pytest.mark.parametrize(
    ("text", "dimension", "neurons", "hidden_biases", "constants"),
    [
        (NINE, 9, 9, False, False),
        ("relu(x1) + relu(3*x1) - 0.1*relu(x2)", 2, 2, False, False),
        ("relu(x1) - relu(0.5*x1)*2", 2, 0, False, False),
        ("relu(x) + x", 1, 2, False, False),
        ("abs(x1 - x2) + 1", 2, 2, False, True),
        ("clip(x, -1, 1)", 1, 2, True, True),
        ("max(x1, x2)", 2, 3, False, False),
        ("x1 - 2*x2", 2, 2, False, False),
        ("4", 1, 0, False, True),
        # Rounded, these two rays are one: 3 * 0.1 is not 0.3.
        ("relu(x1 + 3*0.1*x2) + relu(x1 + 0.3*x2)", 2, 2, False, False),
        (("relu(x1)", "relu(2*x1) + relu(x2)"), 2, 2, False, False),
    ],
)
def test_terms_are_counted_by_their_rays(text, dimension, neurons, hidden_biases, constants):
    target = ExpressionTarget(parse_expression(text, dimension))
    assert relu_form(target) == (neurons, hidden_biases, constants)


@pytest.mark.parametrize("text", ["x1*x2", "sin(x1)", "relu(relu(x1) - x2)", "where(x1 > 0, 1, 0)"])
def test_other_formulas_are_no_sums(text):
    assert relu_form(ExpressionTarget(parse_expression(text, 2))) is None


def test_a_wide_enough_network_attains_the_noise():
    noise = ("normal", {"std": 0.5})
    problem = make_problem(NINE, "normal", noise=noise, dimension=9)
    bracket = optimal_risk(problem, make_network(9, 9, 1))
    assert bracket.lower.value <= 0.25 <= bracket.upper.value
    assert bracket.width < 1e-12
    assert bracket.upper.evidence.proved
    assert "sum of ReLU terms" in bracket.reason
    narrow = optimal_risk(problem, make_network(9, 8, 1))
    assert narrow.upper.value == np.inf


@pytest.mark.parametrize(
    ("text", "widths", "options", "fits"),
    [
        ("abs(x)", (1, 2, 1), {}, True),
        ("abs(x)", (1, 1, 1), {}, False),
        ("abs(x)", (1, 2, 1), {"biases": False}, True),
        ("abs(x) + 1", (1, 3, 1), {"biases": False}, False),
        ("abs(x) + 1", (1, 3, 1), {"biases": (True, False)}, True),
        ("abs(x) + 1", (1, 2, 1), {"biases": (True, False)}, False),
        ("abs(x - 1)", (1, 2, 1), {"biases": (False, True)}, False),
        ("abs(x)", (1, 2, 1), {"activation": "leaky_relu"}, False),
        ("abs(x)", (1, 1), {}, False),
        ("abs(x) + abs(x - 1)", (1, 4, 2, 3, 1), {}, True),
        ("abs(x) + abs(x - 1)", (1, 4, 1, 3, 1), {}, False),
        ("relu(x)", (1, 4, 1, 3, 1), {}, True),
    ],
)
def test_what_a_network_represents_follows_from_its_layers(text, widths, options, fits):
    network = make_network(*widths, **options)
    assert represents(network, ExpressionTarget(parse_expression(text, 1))) is fits


def test_a_deeper_student_holds_a_shallow_teacher():
    master = make_network(2, 3, 1)
    theta = jnp.asarray(draw(master, 0))
    teacher = TeacherTarget(master, theta)
    problem = make_problem(teacher, "normal", dimension=2)
    bracket = optimal_risk(problem, make_network(2, 3, 2, 1))
    assert (bracket.lower.value, bracket.upper.value) == (0, 0)
    # A network that is the teacher: positive and negative parts of the output in its second layer.
    (w, b), (u, c) = (tuple(map(np.asarray, layer)) for layer in master.layers(theta))
    x = np.random.default_rng(0).normal(size=(50, 2))
    hidden = np.maximum(x @ w + b, 0) @ np.hstack([u, -u])
    np.testing.assert_allclose(
        np.maximum(hidden, 0) @ [[1], [-1]] + c, np.asarray(teacher(jnp.asarray(x))), atol=1e-12
    )
