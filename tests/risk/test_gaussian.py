"""Closed forms for ReLU students and teachers."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.targets import TeacherTarget
from jaxsim.risk import make_risk
from jaxsim.risk.relu_moments import centred_moment, moment
from tests.risk.cases import (
    draw,
    finite_difference,
    make_network,
    make_problem,
    plain_forward,
)


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


@pytest.mark.parametrize("law", ["normal", "sphere"])
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


def test_student_at_its_teacher_has_no_risk_and_no_gradient():
    for biases in (False, True):
        network = shallow(3, 3, biases)
        theta = jnp.asarray(draw(network, 0))
        law = INPUT_LAWS["normal"](dimension=3)
        rule = make_risk(make_problem(TeacherTarget(network, theta), law=law), network)
        value, error = jax.jit(rule.evaluate)(theta)
        assert value <= error < 1e-12
        gradient = jax.jit(jax.grad(rule.population_loss))(theta)
        assert (abs(gradient) < 1e-7).all()


def test_gradients_agree_with_differences():
    network = shallow(2, 3, True)
    teacher = shallow(2, 2, True)
    target = TeacherTarget(teacher, jnp.asarray(draw(teacher, 1)))
    rule = make_risk(make_problem(target, law=INPUT_LAWS["normal"](dimension=2)), network)
    theta = draw(network, 2)
    gradient = jax.jit(jax.grad(rule.population_loss))(theta)
    expected = finite_difference(jax.jit(lambda t: rule.evaluate(t)[0]), theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)
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
