"""The true risk of piecewise linear networks with one input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.problem.input_laws import INPUT_LAWS
from jaxsim.problem.targets import FunctionTarget
from jaxsim.risk import RiskOptions, make_risk
from jaxsim.risk.teacher import TeacherTarget
from tests.risk.cases import (
    draw,
    finite_difference,
    make_network,
    make_problem,
    members,
    plain_forward,
    plain_risk,
)
from tests.studies import slow_but


def evaluate(rule, thetas):
    return (np.asarray(v) for v in jax.jit(jax.vmap(rule.evaluate))(jnp.asarray(thetas)))


def square(r):
    return r**2


def huber(r):
    return np.where(abs(r) <= 0.3, r**2 / 2, 0.3 * (abs(r) - 0.15))


X = np.array


EXACT = [
    ("relu", (1, 6, 1), {}, "x**2", lambda x: X([x**2]).T, (), "squared", square, ()),
    (
        "relu", (1, 5, 6, 2), {}, ("x**3", "abs(x - 0.2)"),
        lambda x: X([x**3, abs(x - 0.2)]).T, (0.2,), "squared", square, (),
    ),
    (
        "leaky_relu", (1, 4, 4, 4, 4, 1), {"negative_slope": 0.2}, "sign(x) * x",
        lambda x: X([abs(x)]).T, (0.0,), ("power", {"power": 4.0}), lambda r: r**4, (),
    ),
    ("clipped_relu", (1, 5, 4, 1), {}, "x", lambda x: X([x]).T, (), "absolute", abs, (0.0,)),
    (
        "hard_tanh", (1, 6, 5, 4, 2), {}, ("x", "1 - x"), lambda x: X([x, 1 - x]).T, (),
        ("huber", {"delta": 0.3}), huber, (-0.3, 0.3),
    ),
    ("relu", (1, 6, 1), {}, "x**2", lambda x: X([x**2]).T, (), "absolute", abs, (0.0,)),
    (
        "relu", (1, 4, 4, 1), {}, "step(x)", lambda x: X([1.0 * (x >= 0)]).T, (0.0,),
        ("quantile", {"level": 0.2}), lambda r: np.maximum(0.8 * r, -0.2 * r), (0.0,),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "widths", "parameters", "text", "target", "breaks", "loss", "rho", "levels"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (i not in (0, 6)))
        for i, case in enumerate(EXACT)
    ],
)
def test_polynomial_pieces_are_integrated_to_rounding(
    name, widths, parameters, text, target, breaks, loss, rho, levels
):
    network = make_network(*widths, activation=name, **parameters)
    problem = make_problem(text, loss=loss, low=-1.0, high=1.5)
    rule = make_risk(problem, network)
    assert rule.exact
    assert rule.evidence.proved
    thetas = members(network, 10, seed=4)
    values, errors = evaluate(rule, thetas)
    losses = np.asarray(jax.jit(jax.vmap(rule.population_loss))(thetas))
    for theta, value, error, loss_value in zip(thetas, values, errors, losses, strict=True):
        truth = plain_risk(network, theta, target, rho, -1.0, 1.5, breaks, levels)
        assert abs(value - truth) <= 1e-12 * truth
        assert abs(value - truth) <= error + 1e-14 * truth
        assert error <= 1e-9 * (1 + truth)
        assert abs(loss_value - truth) <= 1e-11 * truth


def test_a_student_equal_to_its_teacher_has_the_risk_zero():
    network = make_network(1, 5, 5, 1)
    theta = draw(network, 2)
    rule = make_risk(make_problem(TeacherTarget(network, jnp.asarray(theta))), network)
    assert rule.exact
    value, error = jax.jit(rule.evaluate)(theta)
    assert value <= error
    assert error < 1e-20


def test_noise_adds_its_variance_for_each_output():
    network = make_network(1, 5, 2)
    theta = draw(network, 1)
    clean = make_risk(make_problem(("x", "x**2")), network)
    noisy = make_risk(make_problem(("x", "x**2"), noise=("normal", {"std": 0.5})), network)
    assert noisy.exact
    difference = jax.jit(noisy.evaluate)(theta)[0] - jax.jit(clean.evaluate)(theta)[0]
    assert abs(difference - 0.5) < 1e-12


ESTIMATED = [
    ("sin(5 * x)", lambda x: X([np.sin(5 * x)]).T, "squared", square, ()),
    ("exp(x) * sin(9 * x)", lambda x: X([np.exp(x) * np.sin(9 * x)]).T, "absolute", abs, (0.0,)),
    ("x**3", lambda x: X([x**3]).T, ("huber", {"delta": 0.3}), huber, (-0.3, 0.3)),
    ("x**2", lambda x: X([x**2]).T, "log_cosh", lambda r: np.log(np.cosh(r)), ()),
    ("x**2", lambda x: X([x**2]).T, ("power", {"power": 1.5}), lambda r: abs(r) ** 1.5, (0.0,)),
]


@pytest.mark.parametrize(
    ("text", "target", "loss", "rho", "levels"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (case in ESTIMATED[2:4]))
        for case in ESTIMATED
    ],
)
def test_estimated_errors_cover_the_truth(text, target, loss, rho, levels):
    network = make_network(1, 6, 5, 1)
    rule = make_risk(make_problem(text, loss=loss), network)
    assert rule.evidence.word == "estimated"
    assert not rule.exact
    slop = 1e-5 if loss == ("power", {"power": 1.5}) else 0.0  # of the truth, at |r|^1.5
    thetas = members(network, 25, seed=7)
    values, errors = evaluate(rule, thetas)
    for theta, value, error in zip(thetas, values, errors, strict=True):
        truth = plain_risk(network, theta, target, rho, -1.0, 1.0, (), levels, order=60)
        assert abs(value - truth) <= error + slop
        assert error <= 2e-3 * (1 + truth)


@pytest.mark.parametrize("offset", slow_but([1e-6], [1e-2, 1e-4, 1e-6]))
def test_close_pairs_of_roots_are_found(offset):
    """The residual sin(9 x) + 1 - offset is negative near three points only, by `offset`."""
    network = make_network(1, 1)
    rule = make_risk(make_problem(f"sin(9 * x) + 1 - {offset}", loss="absolute"), network)
    value, error = jax.jit(rule.evaluate)(np.zeros(2))
    width = np.arccos(1 - offset) / 9
    minima = np.pi * (1.5 + 2 * np.arange(-4, 4)) / 9
    inside = sum(abs(minima) < 1 - width)
    signed = 1 - offset  # the mean of the odd part vanishes
    lobe = np.sin(9 * width) / 9 - (1 - offset) * width  # half the lobe, negated integral
    truth = signed + 2 * inside * lobe
    assert inside == 3
    assert abs(value - truth) <= error
    assert error < 1e-8


def test_targets_of_unknown_smoothness_are_covered():
    network = make_network(1, 5, 1)
    target = FunctionTarget(lambda x: jnp.where(x > 0.1234, 1.0, jnp.abs(x + 0.4321)))
    rule = make_risk(make_problem(target), network)
    thetas = members(network, 25, seed=1)
    values, errors = evaluate(rule, thetas)

    def plain(x):
        return np.where(x > 0.1234, 1.0, abs(x + 0.4321))[:, None]

    for theta, value, error in zip(thetas, values, errors, strict=True):
        truth = plain_risk(network, theta, plain, square, -1.0, 1.0, (0.1234, -0.4321))
        assert abs(value - truth) <= error


def test_normal_inputs_agree_with_gauss_hermite_between_kinks():
    network = make_network(1, 5, 5, 1)
    law = INPUT_LAWS["normal"](mean=0.5, std=2.0)
    rule = make_risk(make_problem("x", law=law), network)
    thetas = members(network, 6, seed=3)
    values, errors = evaluate(rule, thetas)
    x = 0.5 + 2 * np.linspace(-12, 12, 400001)
    density = np.exp(-((x - 0.5) ** 2) / 8) / np.sqrt(8 * np.pi)
    for theta, value, error in zip(thetas, values, errors, strict=True):
        residual = plain_forward(network, theta, x[:, None])[:, 0] - x
        truth = np.trapezoid(residual**2 * density, x)
        assert abs(value - truth) <= 1e-7 * truth
        assert error <= 1e-9 * truth


@pytest.mark.parametrize(
    ("widths", "loss"),
    [pytest.param((1, 5, 1), "squared", marks=pytest.mark.slow), ((1, 4, 4, 1), "absolute")],
)
def test_gradients_are_those_of_the_true_risk(widths, loss):
    network = make_network(*widths)
    rule = make_risk(make_problem("x**2", loss=loss), network)
    theta = draw(network, 5)
    gradient = jax.jit(jax.grad(rule.population_loss))(theta)
    expected = finite_difference(lambda t: rule.evaluate(t)[0], theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", slow_but([jnp.float32], [jnp.float32, jnp.float64]))
def test_inactive_neurons_have_exactly_no_gradient(dtype):
    network = make_network(1, 4, 3, 1)
    theta = draw(network, 0)
    theta[1], theta[4 + 1] = 0.4, -0.41  # neuron 1 of layer 1: 0.4 x - 0.41 < 0 on [-1, 1]
    theta[8:20].reshape(4, 3)[:, 2] = -abs(theta[8:20].reshape(4, 3)[:, 2])
    theta[20 + 2] = -0.1  # neuron 2 of layer 2: no positive term
    rule = make_risk(make_problem("x**2"), network)
    gradient = np.asarray(jax.jit(jax.grad(rule.population_loss))(jnp.asarray(theta, dtype)))
    assert gradient.dtype == dtype
    second = gradient[8:20].reshape(4, 3)
    assert gradient[1] == gradient[5] == gradient[22] == gradient[25] == 0
    assert not second[1].any()
    assert not second[:, 2].any()
    assert np.count_nonzero(gradient) >= 8


def test_too_few_pieces_make_the_error_infinite():
    network = make_network(1, 8, 8, 1)
    thetas = members(network, 10)
    full = make_risk(make_problem(), network)
    tight = make_risk(make_problem(), network, RiskOptions(pieces=9))
    right, errors = evaluate(full, thetas)
    values, bounds = evaluate(tight, thetas)
    assert np.isfinite(errors).all()
    assert np.isinf(bounds).any()
    sure = np.isfinite(bounds)
    np.testing.assert_allclose(values[sure], right[sure], rtol=1e-12)


def test_linear_models_need_no_kinks():
    network = make_network(1, 1)
    value, _ = jax.jit(make_risk(make_problem("x**2"), network).evaluate)(jnp.array([0.5, 0.25]))
    assert abs(value - (1 / 5 + 0.25 / 3 + 0.0625 - 2 * 0.25 / 3)) < 1e-15


def test_hinge_loss_is_exact_for_labels_in_pieces():
    network = make_network(1, 5, 1)
    rule = make_risk(make_problem("step(x)", loss="hinge"), network)
    assert rule.exact
    thetas = members(network, 6, seed=2)
    values, _ = evaluate(rule, thetas)
    x = np.linspace(-1, 1, 400000, endpoint=False) + 2.5e-6
    for theta, value in zip(thetas, values, strict=True):
        margin = np.sign(x) * plain_forward(network, theta, x[:, None])[:, 0]
        assert abs(value - np.maximum(1 - margin, 0).mean()) < 1e-9 * (1 + value)


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("where((x - 0.5)**10 < 1e-20, 1, 0)", 0.01),
        ("where((x + 0.3)**8 < 1e-32, 10, 0)", 0.01),
        pytest.param(
            "abs((x - 0.1) * (x - 0.1001)) / ((x - 0.1) * (x - 0.1001)) - 1 + 0 * x",
            2e-4,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_narrow_pieces_count(text, truth):
    """Two roots that lie close in the expanded polynomial cut a narrow piece."""
    network = make_network(1, 2, 1)
    rule = make_risk(make_problem(text), network)
    value, error = jax.jit(rule.evaluate)(np.zeros(network.size))
    assert abs(value - truth) <= error + 1e-12 * truth
    assert error < 1e-9


def test_jumps_between_floats_are_in_the_bound():
    """A steep network follows a jump at sqrt(1/2) so closely that the place of the jump counts."""
    network = make_network(1, 2, 1)
    rule = make_risk(make_problem("where(x**2 < 0.5, 1, 0) * (x > 0)"), network)
    t, h = 0.5**0.5, 1e-9  # 1 below t, 0 above t + h, and a jump at 0 that it cannot follow
    theta = np.array([1.0, 1.0, -t, -t - h, -1 / h, 1 / h, 1.0])
    value, error = jax.jit(rule.evaluate)(theta)
    truth = 0.5 + h / 6
    assert abs(value - truth) <= error < 1e-3
    assert rule.exact
