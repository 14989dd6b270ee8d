"""Risks of constant predictions and Bayes risks."""

from fractions import Fraction
from itertools import pairwise

import mpmath
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
from tests.studies import slow_but


def equal(x):
    return PointsLaw(x, np.full(len(x), 1 / len(x)))


@pytest.mark.parametrize(
    ("problem", "truth", "precision"),
    [
        (make_problem("x**2"), 4 / 45, 1e-12),
        (make_problem("abs(x)", noise=("normal", {"std": 0.2})), 1 / 12 + 0.04, 1e-12),
        (make_problem("x", loss="absolute"), 0.5, 1e-3),
        (make_problem(("x", "x**2")), 1 / 3 + 4 / 45, 1e-12),
        (make_problem("x", law=INPUT_LAWS["normal"](mean=3.0, std=2.0)), 4.0, 1e-10),
        (make_problem("x1 * x2", dimension=2), 1 / 9, 1e-2),
        (make_problem("step(x)", loss="logistic", low=-1.0, high=3.0),
         -0.75 * np.log(0.75) - 0.25 * np.log(0.25), 1e-11),
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


def of_data(y, loss, weights=None, repeated=False, classes=None):
    """Data at points of their own, or all at one point, where Bayes and constant risks agree."""
    n = len(y)
    x = np.zeros((n, 1)) if repeated else np.arange(n, dtype=float)[:, None]
    law = PointsLaw(x, np.full(n, 1 / n) if weights is None else weights)
    name, options = loss if isinstance(loss, tuple) else (loss, {})
    return Problem(law, LabelTarget(y, classes), LOSSES[name](**options), NOISES["none"]())


def exact_minimum(rho, kinks, y, weights):
    """min_c sum_i w_i rho(c - y_i) for a convex rho, linear or of degree 2 between its kinks."""
    values, shares = [Fraction(float(v)) for v in y], [Fraction(float(w)) for w in weights]
    total = sum(shares)

    def mean(c):
        return sum(w * rho(c - v) for v, w in zip(values, shares, strict=True)) / total

    places = sorted({v + Fraction(k) for v in values for k in (*kinks, 0)})
    best = min(map(mean, places))
    for a, b in pairwise(places):
        left, middle, right = mean(a), mean((a + b) / 2), mean(b)
        bend = left + right - 2 * middle
        if bend > 0:  # the parabola's vertex, in units of half the interval around the middle
            place = (left - right) / (4 * bend / 2) / 2
            if -1 < place < 1:
                best = min(best, middle - (right - left) ** 2 / (16 * (bend / 2)))
    return best


def huber(delta):
    d = Fraction(delta)
    return lambda r: r * r / 2 if abs(r) <= d else d * (abs(r) - d / 2)


def pinball(level):
    return lambda r: abs(r) / 2 + (Fraction(1, 2) - Fraction(level)) * r


LABELS = {
    "neighbours": 1e6 + np.array([0.0, 1.0, 2.0]) * 2.0**-33,
    "pair": 1e6 + np.array([0.0, 1.0]) * 2.0**-33,
    "spread": 1e6 + np.random.default_rng(0).normal(size=21),
    "wide": np.random.default_rng(1).normal(size=20) * 1e6,
    "equal": np.full(5, 1e6 + 1 / 3),
}


@pytest.mark.parametrize("labels", slow_but(["neighbours", "spread"], LABELS))
@pytest.mark.parametrize(
    ("loss", "rho", "kinks"),
    [
        (("power", {"power": 1.0}), abs, ()),
        ("absolute", abs, ()),
        (("quantile", {"level": 0.3}), pinball(0.3), ()),
        ("squared", lambda r: r * r, ()),
        *((("huber", {"delta": d}), huber(d), (-d, d)) for d in (1e-12, 1e-6, 1.0)),
    ],
)  # fmt: skip
def test_lower_ends_are_never_above_the_infimum_whatever_the_size_of_labels(
    loss, rho, kinks, labels
):
    """The infimum in rational arithmetic; both risks of constants, with unequal weights."""
    y = LABELS[labels]
    weights = np.arange(1.0, len(y) + 1)
    weights /= weights.sum()
    truth = exact_minimum(rho, kinks, y, weights)
    for found in (
        best_constant_risk(of_data(y, loss, weights)),
        bayes_risk(of_data(y, loss, weights, repeated=True)),
    ):
        assert Fraction(found.value) - Fraction(found.error) <= truth
        assert truth <= Fraction(found.value) + Fraction(found.error)
        if labels in ("spread", "wide"):
            assert found.error <= 1e-8 * truth


@pytest.mark.parametrize("loss", ["logistic", "hinge", "softmax_cross_entropy"])
@pytest.mark.parametrize("rare", [1e-3, 1e-9, 1e-15])
def test_entropies_of_rare_classes_are_covered(loss, rare):
    weights = np.array([0.3, 0.7 - rare, rare])
    problem = of_data(np.array([0, 0, 1]), loss, weights, classes=2)
    found = best_constant_risk(problem)
    with mpmath.workdps(40):
        q = mpmath.mpf(float(weights[2])) / sum(map(mpmath.mpf, map(float, weights)))
        truth = 2 * q if loss == "hinge" else -q * mpmath.log(q) - (1 - q) * mpmath.log(1 - q)
        assert abs(mpmath.mpf(found.value) - truth) <= found.error
        assert found.error < 1e-12


def test_a_bound_of_the_users_own_loss_is_stated():
    def own(prediction, y):
        return (prediction - y).sum(-1) ** 2 - 1.0

    for bound, word in ((-1.0, "stated"), (None, "proved")):
        problem = of_data(
            np.array([0.0, 1.0]), ("function", {"function": own, "lower_bound": bound})
        )
        for found in (best_constant_risk(problem), bayes_risk(problem)):
            assert found.evidence.word == word
            assert found.value == (-np.inf if bound is None else bound)


@pytest.mark.parametrize("size", [1e160, 1e200, 1.2e154])
def test_labels_whose_squares_overflow_bound_nothing(size):
    x = np.array([[0.0], [1.0], [2.0]])
    target = LabelTarget(np.array([size, -size, 0.3 * size]))
    problem = Problem(equal(x), target, LOSSES["squared"](), NOISES["none"]())
    found = best_constant_risk(problem)
    assert found.lower.value <= found.upper.value
    assert not np.isnan(found.lower.value)
