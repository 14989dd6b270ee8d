import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from jaxsim.errors import InputError
from jaxsim.problem import losses
from jaxsim.problem.losses import LOSSES, best_constant
from jaxsim.registry import build

REGRESSION = {
    "squared": losses.squared(),
    "absolute": losses.absolute(),
    "power 1": losses.power(1.0),
    "power 1.5": losses.power(1.5),
    "power 3": losses.power(3.0),
    "power 4": losses.power(4.0),
    "huber": losses.huber(0.7),
    "log_cosh": losses.log_cosh(),
    "quantile": losses.quantile(0.3),
}
PLAIN = {
    "squared": lambda r: r**2,
    "absolute": np.abs,
    "power 1": np.abs,
    "power 1.5": lambda r: np.abs(r) ** 1.5,
    "power 3": lambda r: np.abs(r) ** 3,
    "power 4": lambda r: r**4,
    "huber": lambda r: np.where(np.abs(r) <= 0.7, r**2 / 2, 0.7 * (np.abs(r) - 0.35)),
    "log_cosh": lambda r: np.log(np.cosh(r)),
    "quantile": lambda r: np.where(r > 0, 0.7 * r, -0.3 * r),
}


@pytest.mark.parametrize("name", REGRESSION)
def test_sums_the_residual_function_over_the_outputs(name):
    rng = np.random.default_rng(0)
    prediction, y = rng.normal(size=(2, 5, 3)) * 2
    loss = REGRESSION[name]
    expected = PLAIN[name](prediction - y).sum(-1)
    np.testing.assert_allclose(loss.function(jnp.array(prediction), jnp.array(y)), expected, 1e-13)
    residuals = jnp.asarray(prediction - y)
    np.testing.assert_allclose(loss.residual(residuals), PLAIN[name](prediction - y), 1e-13)
    assert loss.additive
    assert loss.kind == "regression"
    assert (
        loss.function(jnp.zeros((4, 2), "float32"), jnp.ones((4, 2), "float32")).dtype == "float32"
    )


@pytest.mark.parametrize("name", REGRESSION)
def test_is_a_polynomial_of_the_stated_degree_between_the_stated_kinks(name):
    loss = REGRESSION[name]
    edges = [-3.0, *loss.kinks, 3.0]
    for low, high in pairwise(edges):
        r = np.linspace(low, high, 40)
        values = PLAIN[name](r)
        degree = 4 if loss.degree is None else loss.degree
        fit = np.polynomial.Chebyshev.fit(r, values, degree)
        error = np.abs(fit(r) - values).max()
        assert (error < 1e-12) == (loss.degree is not None)
    for kink in loss.kinks:
        # Some derivative up to the degree jumps there, as a fit across it shows.
        r = np.linspace(kink - 0.1, kink + 0.1, 40)
        fit = np.polynomial.Chebyshev.fit(r, PLAIN[name](r), 4)
        assert np.abs(fit(r) - PLAIN[name](r)).max() > 1e-6


@pytest.mark.parametrize("name", [n for n in REGRESSION if n != "quantile"])
def test_derivative_vanishes_without_residual(name):
    derivative = jax.grad(lambda p: REGRESSION[name].function(p, jnp.zeros(2)))(jnp.zeros(2))
    assert (np.asarray(derivative) == 0).all()


def test_quantile_derivative_at_zero_is_the_mean_of_those_beside_it():
    derivative = jax.grad(lambda p: REGRESSION["quantile"].residual(p))(0.0)
    assert float(derivative) == pytest.approx((0.7 - 0.3) / 2)


def test_log_cosh_is_precise_for_small_and_large_residuals():
    rho = losses.log_cosh().residual
    assert float(rho(jnp.float32(1e-4))) == pytest.approx(0.5e-8, rel=1e-6)
    assert float(rho(jnp.float64(1e-9))) == pytest.approx(0.5e-18, rel=1e-14)
    assert float(rho(jnp.float64(-2000.0))) == pytest.approx(2000 - math.log(2), rel=1e-15)
    slopes = jax.vmap(jax.grad(rho))(jnp.array([-2000.0, -1.0, -0.5, 0.0, 0.99, 1.01, 3.0, 2000.0]))
    expected = np.tanh([-2000.0, -1.0, -0.5, 0.0, 0.99, 1.01, 3.0, 2000.0])
    np.testing.assert_allclose(slopes, expected, rtol=1e-14)


def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(1)
    p, y = rng.normal(size=(2, 6, 3)) * 3
    tp, ty = torch.tensor(p), torch.tensor(y)
    labels, binary = rng.integers(0, 3, 6), rng.integers(0, 2, (6, 1))
    pairs = [
        (losses.squared(), functional.mse_loss(tp, ty, reduction="none").sum(-1)),
        (losses.absolute(), functional.l1_loss(tp, ty, reduction="none").sum(-1)),
        (losses.huber(0.7), functional.huber_loss(tp, ty, reduction="none", delta=0.7).sum(-1)),
    ]
    for loss, expected in pairs:
        np.testing.assert_allclose(loss.function(jnp.array(p), jnp.array(y)), expected, 1e-13)
    entropy = functional.cross_entropy(tp, torch.tensor(labels), reduction="none")
    found = losses.softmax_cross_entropy().function(jnp.array(p), jnp.array(labels))
    np.testing.assert_allclose(found, entropy, 1e-13)
    logits = tp[:, :1]
    entropy = functional.binary_cross_entropy_with_logits(
        logits, torch.tensor(binary, dtype=torch.float64), reduction="none"
    )[:, 0]
    found = losses.logistic().function(jnp.array(p[:, :1]), jnp.array(binary))
    np.testing.assert_allclose(found, entropy, 1e-13)
    sign = torch.tensor(2 * binary[:, 0] - 1)
    margin = torch.clamp(1 - sign * logits[:, 0], min=0)
    found = losses.hinge().function(jnp.array(p[:, :1]), jnp.array(binary))
    np.testing.assert_allclose(found, margin, 1e-13)
    score = (torch.sigmoid(logits[:, 0]) - torch.tensor(binary[:, 0])) ** 2
    found = losses.brier().function(jnp.array(p[:, :1]), jnp.array(binary))
    np.testing.assert_allclose(found, score, 1e-13)


def test_small_brier_scores_keep_their_digits():
    found = losses.brier().function(jnp.array([[30.0], [-40.0]]), jnp.array([1, 0]))
    np.testing.assert_allclose(found, [math.exp(-60), math.exp(-80)], 1e-12)


@pytest.mark.parametrize("name", ["logistic", "hinge", "brier"])
def test_binary_labels_may_be_integers_or_columns(name):
    loss = LOSSES[name]()
    prediction = jnp.array([[0.3], [-2.0], [1.5]])
    labels = jnp.array([0, 1, 1])
    column = labels[:, None].astype("float64")
    np.testing.assert_array_equal(
        loss.function(prediction, labels), loss.function(prediction, column)
    )
    assert loss.function(prediction, labels).shape == (3,)


@pytest.mark.parametrize("name", REGRESSION)
def test_best_constant_is_that_of_a_fine_grid(name):
    rng = np.random.default_rng(2)
    y, weights = rng.normal(size=(7, 2)), rng.uniform(0.1, 1, 7)
    weights /= weights.sum()
    value, risk = best_constant(REGRESSION[name], y, weights, 2)
    grid = np.linspace(-3, 3, 6001)
    risks = np.stack([weights @ PLAIN[name](grid - y[:, [o]]) for o in range(2)])
    assert risk <= risks.min(1).sum() + 1e-13
    assert risk >= risks.min(1).sum() - 2e-3
    attained = sum(weights @ PLAIN[name](value[o] - y[:, o]) for o in range(2))
    assert risk == pytest.approx(attained, rel=1e-13)
    assert value == pytest.approx(grid[risks.argmin(1)], abs=2e-3)


def test_best_constants_of_classes_are_their_entropy():
    labels, weights = np.array([0, 2, 2, 1]), np.array([0.1, 0.4, 0.2, 0.3])
    value, risk = best_constant(losses.softmax_cross_entropy(), labels, weights, 3)
    shares = np.array([0.1, 0.3, 0.6])
    assert risk == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-14)
    np.testing.assert_allclose(np.exp(value) / np.exp(value).sum(), shares)
    _, absent = best_constant(losses.softmax_cross_entropy(), labels, weights, 4)
    assert absent == pytest.approx(risk, rel=1e-14)


@pytest.mark.parametrize("name", ["logistic", "hinge", "brier"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_best_constants_of_binary_labels_are_those_of_a_fine_grid(name, share):
    grid = np.linspace(-20, 20, 40001)
    if name == "logistic":
        risks = -share * np.log(expit(grid)) - (1 - share) * np.log(expit(-grid))
    elif name == "brier":
        risks = share * expit(-grid) ** 2 + (1 - share) * expit(grid) ** 2
    else:
        risks = share * np.maximum(0, 1 - grid) + (1 - share) * np.maximum(0, 1 + grid)
    _, risk = best_constant(LOSSES[name](), [1, 0], [share, 1 - share], 1)
    assert risk == pytest.approx(risks.min(), abs=1e-8)
    assert risk <= risks.min() + 1e-14


def test_best_constant_of_equal_values_has_no_risk():
    for loss in REGRESSION.values():
        value, risk = best_constant(loss, np.full((3, 1), 1.25), np.ones(3), 1)
        assert value == pytest.approx([1.25])
        assert risk == pytest.approx(0, abs=1e-15)


def test_binary_labels_other_than_0_and_1_are_refused():
    with pytest.raises(InputError, match=r"label 0.5 is not accepted by the loss 'hinge'"):
        best_constant(losses.hinge(), [0.0, 0.5], [0.5, 0.5], 1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "power", "power": 0.5}, "problem.loss: power = 0.5 is not accepted"),
        ({"name": "huber", "delta": 0.0}, "delta = 0.0 is not accepted"),
        ({"name": "quantile", "level": 1.0}, "level = 1.0 is not accepted"),
        ("quantile", "problem.loss.level is missing"),
        ("cross_entropy", "accepted: absolute, brier, function"),
        ({"name": "function", "function": "math:sqrt"}, "allow-code"),
    ],
)
def test_bad_parameters_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        build(LOSSES, spec, "problem.loss")


def test_own_loss_needs_permission_and_the_right_shape():
    with pytest.raises(InputError, match="allow-code"):
        losses.function("math:sqrt")
    loss = losses.function(lambda p, y: ((p - y) ** 2).max(-1), lower_bound=0.0)
    prediction, y = jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 5.0]])
    assert loss.function(prediction, y) == pytest.approx([9.0])
    wrong = losses.function(lambda p, y: (p - y) ** 2)
    with pytest.raises(InputError, match=r"\(1, 2\); accepted: \(1,\)"):
        wrong.function(prediction, y)
    value, risk = best_constant(loss, [[0.0]], [1.0], 1)
    assert np.isnan(value).all()
    assert risk == 0.0
    assert best_constant(wrong, [[0.0]], [1.0], 1)[1] == -math.inf
