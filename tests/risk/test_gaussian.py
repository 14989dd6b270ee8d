"""Closed forms for ReLU students and teachers."""

from functools import cache

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.problem.expression import parse_expression
from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.relu_sums import relu_sum
from jaxsim.problem.targets import ExpressionTarget
from jaxsim.risk import make_risk
from jaxsim.risk.relu_moments import centred_moment, moment
from jaxsim.risk.teacher import TeacherTarget
from tests.risk.cases import (
    draw,
    finite_difference,
    make_network,
    make_problem,
    plain_forward,
)
from tests.studies import slow_but


def precise_moment(a, b, s, t, r):
    """E[A+ B+] by 30-digit quadrature over A of the closed form of E[B+ | A]."""
    with mpmath.workdps(30):
        a, b, s, t, r = (mpmath.mpf(float(v)) for v in (a, b, s, t, r))
        q = mpmath.sqrt(1 - r * r)

        def inner(z):
            m, d = b + r * t * z, t * q
            given = m * mpmath.ncdf(m / d) + d * mpmath.npdf(m / d)
            return (a + s * z) * given * mpmath.npdf(z)

        turn = -b / (r * t)
        points = [-a / s, *(turn + k * q / abs(r) for k in (-10, -4, -1, 0, 1, 4, 10))]
        points += [mpmath.mpf(k) for k in (-12, -6, -3, -1, 0, 1, 3, 6, 12, 40)]
        edges = sorted(p for p in set(points) if -a / s <= p <= 40)
        return float(mpmath.quad(inner, edges))


def test_moments_are_exact_also_for_nearly_equal_and_opposite_neurons():
    rng = np.random.default_rng(0)
    cases = []
    for number in range(24):
        r = rng.uniform(-1, 1) if number % 3 == 0 else 1 - 10 ** rng.uniform(-15, -1)
        s, t = np.exp(rng.normal(size=2))
        a, b = 2 * rng.normal(size=2)
        if number % 4 == 0:
            b = a * t / s + 10 ** rng.uniform(-12, -1)
        cases.append((a, b, s, t, r * rng.choice([-1, 1])))
    a, b, s, t, r = np.array(cases).T
    values = jax.jit(moment)(*map(jnp.asarray, (a, b, s**2, t**2, r * s * t)))
    truth = np.array([precise_moment(*case) for case in cases])
    scale = s * t * (1 + abs(a / s)) * (1 + abs(b / t))
    assert (abs(values - truth) / scale < 1e-14).all()


def test_moments_have_finite_and_right_derivatives():
    point = np.array([0.3, -0.2, 1.2, 0.7, 0.5])
    slope = jax.jit(jax.grad(lambda v: moment(*v)))
    expected = finite_difference(lambda v: moment(*v), point)
    np.testing.assert_allclose(slope(point), expected, rtol=1e-6)
    np.testing.assert_allclose(
        jax.jit(jax.grad(lambda v: centred_moment(*v)))(point[2:]),
        finite_difference(lambda v: centred_moment(*v), point[2:]),
        rtol=1e-6,
    )
    for special in ([0.3, 0.3, 1, 1, 1], [0.3, -0.3, 1, 1, -1], [1, 2, 0, 1, 0], [0, 0, 0, 0, 0]):
        assert np.isfinite(slope(np.array(special, float))).all()


def test_the_special_values_are_right():
    one, zero = jnp.ones(()), jnp.zeros(())
    assert abs(centred_moment(one, one, one) - 0.5) < 1e-15
    assert abs(centred_moment(one, one, zero) - 1 / (2 * np.pi)) < 1e-15
    assert abs(centred_moment(one, one, -one)) < 1e-15
    assert moment(2 * one, 3 * one, zero, zero, zero) == 6
    assert moment(-one, 3 * one, zero, one, zero) == 0


def safran_shamir(w, v):
    """Objective of Safran and Shamir 2018 for neurons w [k, d] and target v: f - f_target."""

    def kernel(a, b):
        na, nb = np.linalg.norm(a), np.linalg.norm(b)
        angle = np.arccos(np.clip(a @ b / na / nb, -1, 1))
        return na * nb * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)

    total = sum(kernel(a, b) for a in w for b in w) + sum(kernel(a, b) for a in v for b in v)
    return total - 2 * sum(kernel(a, b) for a in w for b in v)


def shallow(d, m, biases=False):
    return make_network(d, m, 1, biases=biases)


def test_bias_free_risk_is_the_objective_of_safran_and_shamir():
    d, m = 5, 6
    teacher = shallow(d, d)
    theta_teacher = np.concatenate([np.eye(d).ravel(), np.ones(d)])
    student = shallow(d, m)
    law = INPUT_LAWS["normal"](dimension=d)
    problem = make_problem(TeacherTarget(teacher, jnp.asarray(theta_teacher)), law=law)
    rule = make_risk(problem, student)
    assert rule.exact
    assert "closed form" in rule.description
    rng = np.random.default_rng(1)
    evaluate = jax.jit(rule.evaluate)
    for _ in range(5):
        w = rng.normal(size=(m, d))
        theta = np.concatenate([w.T.ravel(), np.ones(m)])
        value, error = evaluate(theta)
        truth = safran_shamir(w, np.eye(d))
        assert abs(value - truth) <= 1e-12 * truth
        assert abs(value - truth) <= error
    sphere = INPUT_LAWS["sphere"](dimension=d, radius=2.0)
    on_sphere = make_risk(make_problem(problem.target, law=sphere), student)
    assert abs(jax.jit(on_sphere.evaluate)(theta)[0] - truth * 4 / d) < 1e-12 * truth


def monte_carlo(problem, network, theta, count=400_000, seed=0):
    x, y = problem.sample(jax.random.key(seed), count, jnp.float64)
    losses = ((plain_forward(network, theta, np.asarray(x)) - np.asarray(y)) ** 2).sum(1)
    return losses.mean(), losses.std() / count**0.5


@pytest.mark.parametrize("law", slow_but(["normal"], ["normal", "sphere"]))
def test_closed_forms_agree_with_sampling(law):
    """A correct rule is refused with probability 4e-7 per case: |z| > 5.07."""
    biases = (law == "normal", True)
    teacher = make_network(3, 3, 2, biases=biases)
    student = make_network(3, 4, 2, biases=biases)
    if law == "normal":
        x = INPUT_LAWS["normal"](mean=(0.5, 0.0, -1.0), std=(1.0, 2.0, 0.5))
    else:
        x = INPUT_LAWS["sphere"](dimension=3, radius=1.5)
    target = TeacherTarget(teacher, jnp.asarray(draw(teacher, 8)))
    problem = make_problem(target, law=x, noise=("normal", {"std": 0.5}))
    rule = make_risk(problem, student)
    assert rule.exact
    for seed in range(2):
        theta = draw(student, seed)
        value = jax.jit(rule.evaluate)(theta)[0]
        mean, deviation = monte_carlo(problem, student, theta, seed=seed)
        assert abs(value - mean) < 5.07 * deviation


@cache
def student(biases):
    """A network, parameters of a teacher like it, and its risk and gradient as one program each."""
    network = shallow(2, 3, biases)
    theta = draw(network, 0)
    target = TeacherTarget(network, jnp.asarray(theta))
    rule = make_risk(make_problem(target, law=INPUT_LAWS["normal"](dimension=2)), network)
    return network, theta, jax.jit(rule.evaluate), jax.jit(jax.grad(rule.population_loss))


@pytest.mark.parametrize("biases", slow_but([True], [False, True]))
def test_student_at_its_teacher_has_no_risk_and_no_gradient(biases):
    _, theta, evaluate, gradient = student(biases)
    value, error = evaluate(theta)
    assert value <= error < 1e-12
    assert (abs(gradient(theta)) < 1e-7).all()


@pytest.mark.parametrize("biases", slow_but([True], [False, True]))
def test_gradients_agree_with_differences(biases):
    network, _, evaluate, gradient = student(biases)
    theta = draw(network, 2)
    expected = finite_difference(lambda t: evaluate(t)[0], theta)
    np.testing.assert_allclose(gradient(theta), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_gradients_in_float32_are_those_in_float64():
    network, teacher = shallow(2, 3, True), shallow(2, 2, True)
    target = TeacherTarget(teacher, jnp.asarray(draw(teacher, 1)))
    rule = make_risk(make_problem(target, law=INPUT_LAWS["normal"](dimension=2)), network)
    theta = draw(network, 2)
    gradient = jax.jit(jax.grad(rule.population_loss))(theta)
    single = jax.jit(jax.grad(rule.population_loss))(jnp.asarray(theta, jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, gradient, rtol=1e-3, atol=1e-4)


def test_one_dimension_agrees_with_quadrature():
    network, teacher = shallow(1, 4, True), shallow(1, 2, True)
    target = TeacherTarget(teacher, jnp.asarray(draw(teacher, 1)))
    law = INPUT_LAWS["normal"](mean=0.3, std=1.5)
    theta = draw(network, 5)
    closed = jax.jit(make_risk(make_problem(target, law=law), network).evaluate)(theta)[0]
    x = 0.3 + 1.5 * np.linspace(-11, 11, 1_000_001)
    density = np.exp(-0.5 * ((x - 0.3) / 1.5) ** 2) / 1.5 / np.sqrt(2 * np.pi)
    residual = plain_forward(network, theta, x[:, None]) - plain_forward(
        teacher, target.theta, x[:, None]
    )
    truth = np.trapezoid(residual[:, 0] ** 2 * density, x)
    assert abs(closed - truth) < 1e-9 * truth


NINE = " + ".join(f"relu(x{i})" for i in range(1, 10))
SUMS = [
    (NINE, 9),
    ("2*relu(x1-x2) - 0.5*relu(0.3*x3+1) + 1", 3),
    ("abs(x1)", 2),
    ("max(x1, 0) - min(x2, 0.5) / 4", 2),
    ("clip(x1 + x2, -1, 1)", 2),
    ("where(x1 > x2, 3*x1 - 3*x2 + x2, x2)", 2),
    ("where(2*x1 <= 1, 0, x1 - 0.5) - (x1 + 2*(x2 - 1))", 2),
    (("abs(x1) + x2", "-3"), 2),
    ("x1", 3),
]
"""Sums of ReLU ridge functions as one writes them."""


@pytest.mark.parametrize(("text", "d"), SUMS)
def test_formulas_that_are_sums_of_ridges_are_recognized(text, d):
    """The sum at random points is the formula's own value."""
    target = ExpressionTarget(parse_expression(list(text) if isinstance(text, tuple) else text, d))
    found = relu_sum(target.expression)
    assert found is not None
    x = np.random.default_rng(0).normal(size=(200, d)) * 2
    values = np.maximum(x @ found.weights + found.biases, 0) @ found.outer + found.constant
    np.testing.assert_allclose(values, target(jnp.asarray(x)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "text",
    ["x1*x2", "relu(x1*x2)", "relu(relu(x1) - 1)", "max(x1, x2, 0)", "where(x1 > 0, x2, 0)",
     "clip(x1, 1, -1)", "where(x1 > 0, 1, 0)", "sqrt(x1**2)", "relu(x1)/x2", "abs(abs(x1)-1)"],
)  # fmt: skip
def test_other_formulas_are_not(text):
    assert relu_sum(parse_expression(text, 2)) is None


@pytest.mark.parametrize("case", slow_but(SUMS[:1], SUMS))
def test_the_risk_of_a_sum_of_ridges_is_that_of_the_network_it_is(case):
    """Against the closed form of a teacher network, and by the mean of plain draws."""
    text, d = case
    outputs = len(text) if isinstance(text, tuple) else 1
    law = INPUT_LAWS["normal"](mean=0.3, std=1.5, dimension=d)
    problem = make_problem(text, law=law, dimension=d, noise=("normal", {"std": 0.1}))
    network = make_network(d, 3, outputs)
    rule = make_risk(problem, network)
    assert rule.exact
    assert rule.evidence.proved
    theta = draw(network, 1)
    value, error = jax.jit(rule.evaluate)(theta)
    x = np.random.default_rng(1).normal(size=(200_000, d)) * 1.5 + 0.3
    losses = ((plain_forward(network, theta, x) - problem.target(jnp.asarray(x))) ** 2).sum(1)
    mean, deviation = losses.mean() + 0.01 * outputs, losses.std() / len(losses) ** 0.5
    assert abs(value - mean) < 5.5 * deviation
    assert error < 1e-11 * (1 + value)


@pytest.mark.slow
def test_a_formula_and_the_same_teacher_have_the_same_risk():
    """relu(x1) + ... + relu(x4) without biases, normal and on a sphere."""
    teacher = make_network(4, 4, 1, biases=False)
    target = TeacherTarget(teacher, jnp.concatenate([jnp.eye(4).ravel(), jnp.ones(4)]))
    network = make_network(4, 3, 1, biases=False)
    theta = draw(network, 2)
    for law in (INPUT_LAWS["normal"](dimension=4), INPUT_LAWS["sphere"](dimension=4)):
        text = " + ".join(f"relu(x{i})" for i in range(1, 5))
        rules = [make_risk(make_problem(t, law=law, dimension=4), network) for t in (text, target)]
        (one, _), (other, _) = (jax.jit(r.evaluate)(theta) for r in rules)
        assert abs(one - other) <= 1e-14 * other


@pytest.mark.parametrize(
    ("text", "law", "words"),
    [("relu(x1)*x2", "normal", "a target that is a sum of terms c*relu(w1*x1 + ... + b)"),
     ("relu(x1) + relu(x2)", "uniform", "closed form for normal inputs"),
     ("sin(x1)", "normal", ""), ("x1*x2", "uniform", "")],
)  # fmt: skip
def test_the_form_that_would_be_exact_is_named(text, law, words):
    rule = make_risk(make_problem(text, law=law, dimension=2), make_network(2, 2, 1))
    assert not rule.exact
    assert (words in rule.description) if words else "exact in closed form" not in rule.description
