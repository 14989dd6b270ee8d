"""Risks of constant predictions and Bayes risks."""

import numpy as np
import pytest
from scipy import stats

from jaxsim.problem.input_laws import INPUT_LAWS, PointsLaw
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import LabelTarget
from jaxsim.risk.constants import bayes_risk, best_constant_risk
from tests.risk.cases import make_problem


def equal(x):
    return PointsLaw(x, np.full(len(x), 1 / len(x)))


@pytest.mark.parametrize(
    ("problem", "truth", "precision"),
    [
        (make_problem("x**2"), 4 / 45, 1e-13),
        (make_problem("abs(x)", noise=("normal", {"std": 0.2})), 1 / 12 + 0.04, 1e-12),
        (make_problem("x", loss="absolute"), 0.5, 1e-3),
        (make_problem(("x", "x**2")), 1 / 3 + 4 / 45, 1e-12),
        (make_problem("x", law=INPUT_LAWS["normal"](mean=3.0, std=2.0)), 4.0, 1e-10),
        (make_problem("x1 * x2", dimension=2), 1 / 9, 1e-2),
        (make_problem("step(x)", loss="logistic", low=-1.0, high=3.0),
         -0.75 * np.log(0.75) - 0.25 * np.log(0.25), 1e-12),
        (make_problem("0", loss="absolute", noise=("normal", {"std": 0.5})),
         0.5 * np.sqrt(2 / np.pi), 1e-9),
    ],
)  # fmt: skip
def test_best_constant_risk_is_safe_and_sharp(problem, truth, precision):
    found = best_constant_risk(problem)
    value, error = found.value, found.error
    assert abs(value - truth) <= error + 1e-15
    assert error <= precision * truth + 1e-15


@pytest.mark.parametrize("level", [0.3, 0.999, 1e-3, 1e-4, 1e-5])
def test_quantiles_far_out_in_the_noise_are_found(level):
    """With noise N(0, 1) alone the best constant is the quantile z, of risk phi(z)."""
    loss = ("quantile", {"level": level})
    problem = make_problem("0*x", loss=loss, noise=("normal", {"std": 1.0}))
    truth = stats.norm.pdf(stats.norm.ppf(level))
    for found in (best_constant_risk(problem), bayes_risk(problem)):
        value, error = found.value, found.error
        assert abs(value - truth) <= error
        assert error < 1e-6 * truth


def test_best_constant_of_data_is_the_variance_or_the_entropy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    law = equal(x)
    problem = Problem(law, LabelTarget(y), LOSSES["squared"](), NOISES["none"]())
    found = best_constant_risk(problem)
    value, error = found.value, found.error
    assert abs(value - y.var(0).sum()) <= error + 1e-14
    labels = rng.integers(0, 3, 30)
    problem = Problem(
        law, LabelTarget(labels, 3), LOSSES["softmax_cross_entropy"](), NOISES["none"]()
    )
    found = best_constant_risk(problem)
    value, error = found.value, found.error
    assert abs(value - stats.entropy(np.bincount(labels))) <= error + 1e-14


def test_bayes_risk_is_the_noise():
    assert bayes_risk(make_problem("x**2")).value == 0
    value = bayes_risk(make_problem(("x", "x"), noise=("uniform", {"half_width": 0.6}))).value
    assert abs(value - 2 * 0.36 / 3) < 1e-14
    found = bayes_risk(make_problem("x", loss="absolute", noise=("normal", {"std": 2.0})))
    value, error = found.value, found.error
    assert abs(value - 2 * np.sqrt(2 / np.pi)) <= error + 1e-10
    found = bayes_risk(
        make_problem("x", loss=("quantile", {"level": 0.2}), noise=("uniform", {"half_width": 1.0}))
    )
    assert abs(found.value - 0.16) <= 1e-9  # the quantile is -0.6: (0.2 * 1.6^2 + 0.8 * 0.4^2) / 4


def test_bayes_risk_of_data_knows_repeated_points():
    x = np.array([[0.0], [0.0], [1.0], [2.0], [2.0], [2.0]])
    y = np.array([[0.0], [2.0], [5.0], [1.0], [1.0], [4.0]])
    problem = Problem(equal(x), LabelTarget(y), LOSSES["squared"](), NOISES["none"]())
    found = bayes_risk(problem)
    value, error, name = found.value, found.error, found.reason
    assert abs(value - (2 * 1.0 + 3 * 2.0) / 6) <= error + 1e-15
    assert "repeated" in name
    labels = np.array([0, 1, 0, 1, 1, 1])
    problem = Problem(equal(x), LabelTarget(labels, 2), LOSSES["logistic"](), NOISES["none"]())
    assert abs(bayes_risk(problem).value - np.log(2) / 3) < 1e-15
