"""Linear models: the convex optimum between explicit weights and a dual point."""

import dataclasses
import warnings
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxsim.optimum.data import LinearModel
from jaxsim.optimum.strategy import Budget, CertificateError
from jaxsim.problem.input_laws import INPUT_LAWS
from tests.optimum.data.cases import bounds_of, bracket, data_problem, net, problem_of
from tests.risk.cases import make_problem

LINEAR = LinearModel()


def sklearn_risk(problem) -> float:
    """The optimum of scikit-learn or statsmodels, evaluated by jaxsim's loss."""
    from sklearn.linear_model import LinearRegression, LogisticRegression

    x, weights = problem.law.finite
    y = problem.targets_at_points()
    name = problem.loss.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "squared":
            z = LinearRegression().fit(x, y).predict(x)
        elif name in ("logistic", "softmax_cross_entropy"):
            found = LogisticRegression(C=1e12, tol=1e-12, max_iter=3000).fit(x, y)
            z = found.decision_function(x).reshape(len(x), -1)
        else:
            import statsmodels.api as sm

            quantile = 0.5 if name == "absolute" else 0.25
            model = sm.QuantReg(y[:, 0], sm.add_constant(x))
            z = model.fit(quantile, max_iter=20_000, p_tol=1e-12).fittedvalues[:, None]
    losses = problem.loss.function(jnp.asarray(z), jnp.asarray(y))
    return float(weights @ np.asarray(losses))


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        pytest.param("iris", "softmax_cross_entropy", marks=pytest.mark.slow),
        ("diabetes", "squared"),
        ("diabetes", "absolute"),
        ("diabetes", ("quantile", {"level": 0.25})),
    ],
)
def test_brackets_hold_what_other_libraries_find(name, loss):
    problem = data_problem(name, loss)
    network = net(problem.law.dimension, problem.outputs)
    lower, upper = bracket(LINEAR, problem, network)
    assert 0 <= upper - lower <= 1e-9 * upper
    # They stop early, above the optimum.
    assert lower <= sklearn_risk(problem) * (1 + 1e-12) <= upper * (1 + 1e-6)


@pytest.mark.parametrize(
    ("name", "loss", "scale"),
    [
        ("wine", "softmax_cross_entropy", "standardize"),
        ("breast_cancer", "logistic", "standardize"),
        pytest.param("digits", "softmax_cross_entropy", "unit", marks=pytest.mark.slow),
    ],
)
def test_separable_data_sets_have_weights_of_vanishing_risk(name, loss, scale):
    problem = data_problem(name, loss, scale=scale)
    lower, upper = bracket(LINEAR, problem, net(problem.law.dimension, problem.outputs))
    assert -1e-12 <= lower <= upper < 1e-6


def test_the_iris_bracket_closes_though_weights_are_infinite():
    problem = data_problem("iris", "softmax_cross_entropy")
    lower, upper = bracket(LINEAR, problem, net(4, 3))
    assert lower <= 0.039661822638 + 5e-13
    assert upper >= 0.039661822638 - 5e-13
    assert upper - lower < 1e-11
    # What keeps the weights infinite is the separated class alone.
    x, y = problem.law.finite[0], problem.targets_at_points()
    versus = problem_of(x, (y == 2).astype(int), "logistic", classes=2)
    one = bracket(LINEAR, versus, net(4, 1))
    assert abs(one[0] - lower) < 1e-10


def reference(problem, x: np.ndarray) -> float:
    """The optimum by a general minimizer; a vertex of all if the loss is piecewise linear."""
    y = problem.targets_at_points()[:, 0]
    p = problem.law.finite[1]
    rho = jax.jit(lambda w: p @ problem.loss.residual(x @ w - y))
    if problem.loss.degree == 1:
        triples = np.array(list(combinations(range(len(x)), 3)))
        corners = np.linalg.solve(x[triples], y[triples][:, :, None])[:, :, 0]
        residual = corners @ x.T - y
        return float((np.asarray(problem.loss.residual(residual)) @ p).min())
    start = np.linalg.lstsq(x, y, rcond=None)[0]
    found = scipy.optimize.minimize(
        lambda w: float(rho(w)), start, method="Nelder-Mead",
        options={"maxiter": 4000, "xatol": 1e-9, "fatol": 1e-13},
    )  # fmt: skip
    return float(found.fun)


@pytest.mark.parametrize(
    "loss",
    [
        "squared", "absolute", ("quantile", {"level": 0.9}), ("huber", {"delta": 0.1}), "log_cosh",
        ("power", {"power": 3.0}),
    ],
)  # fmt: skip
def test_regression_with_weights_brackets_the_minimum(loss):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(25, 2))
    y = 3 * x[:, 0] - 50 + rng.standard_t(2, size=25)
    problem = problem_of(x, y, loss, weights=tuple(rng.random(25) + 0.1))
    lower, upper = bracket(LINEAR, problem, net(2, 1))
    assert 0 < lower <= upper <= lower * (1 + 1e-9)
    best = reference(problem, np.column_stack([x, np.ones(25)]))
    assert lower <= best <= upper * (1 + 1e-6)


def test_a_squared_loss_has_its_noise_and_every_output():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    problem = problem_of(x, y, noise=("normal", {"std": 0.5}))
    table = np.column_stack([x, np.ones(30)])
    residual = y - table @ np.linalg.lstsq(table, y, rcond=None)[0]
    truth = (residual**2).sum() / 30 + 2 * 0.25
    lower, upper = bracket(LINEAR, problem, net(3, 2))
    assert lower <= truth * (1 + 1e-13)
    assert upper >= truth * (1 - 1e-13)
    assert upper - lower < 1e-11


def test_odd_data_are_bracketed():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    labels = (x[:, 0] + rng.normal(size=20) > 0).astype(int)
    for problem in (
        problem_of(x, 1e120 * y, "absolute"),
        problem_of(1e150 * x, y),
        problem_of(np.column_stack([x, x, np.zeros(20)]), y, ("quantile", {"level": 0.3})),
        problem_of(np.column_stack([x, x, np.ones(20)]), labels, "logistic", classes=2),
        problem_of(np.zeros((3, 1)), [0, 2, 2], "softmax_cross_entropy", classes=3),
        problem_of(np.zeros((3, 1)), [0.0, 2.0, 2.0], "huber"),
    ):
        for biases in (True, False):
            network = net(problem.law.dimension, problem.outputs, biases=biases)
            lower, upper = bracket(LINEAR, problem, network)
            assert 0 <= upper - lower <= 1e-8 * upper


def test_without_biases_there_is_no_constant():
    problem = data_problem("diabetes", "squared")
    x, y = problem.law.finite[0], problem.targets_at_points()
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    lower, upper = bracket(LINEAR, problem, net(10, 1, biases=False))
    assert lower <= (residual**2).mean() <= upper
    with_constant = bracket(LINEAR, problem, net(10, 1))
    assert with_constant[1] < 0.2 * lower


def test_points_that_separate_in_one_column_only_are_bracketed():
    """A dummy variable whose points have one label: its weight is infinite."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = (x[:, 0] + rng.normal(size=60) > 0).astype(int)
    dummy = rng.random(60) < 0.2
    y[dummy] = 1
    for loss in ("logistic", "hinge"):
        both = [
            bracket(LINEAR, problem_of(np.column_stack([x, d]), y, loss, classes=2), net(3, 1))
            for d in (dummy, 3.0 * dummy - 1.7)
        ]
        rest = problem_of(x[~dummy], y[~dummy], loss, classes=2)
        truth = bracket(LINEAR, rest, net(2, 1))[0] * (~dummy).mean()
        for lower, upper in both:
            assert upper - lower < 1e-8 * upper
            assert abs(lower - truth) < 1e-7 * upper


def test_a_class_that_a_dummy_variable_rules_out_is_bracketed():
    """On the dummy's rows two of three classes remain: their equations are one and the same."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 2))
    labels = rng.integers(0, 3, 90)
    dummy = (np.arange(90) % 4 == 0) & (labels < 2)
    alone = (np.arange(90) % 5 == 1) & (labels == 2)
    problem = problem_of(np.column_stack([x, dummy, alone]), labels, "softmax_cross_entropy",
                         classes=3)  # fmt: skip
    lower, upper = bracket(LINEAR, problem, net(4, 3))
    assert 0 < upper - lower < 1e-8 * upper


def test_contradictory_labels_have_the_entropy():
    problem = problem_of(
        [[0.0], [0.0], [1.0]], [0, 1, 1], "logistic", weights=(1.0, 2.0, 3.0), classes=2
    )
    share = np.array([1 / 3, 2 / 3])
    entropy = -(share @ np.log(share)) / 2
    lower, upper = bracket(LINEAR, problem, net(1, 1))
    assert lower <= entropy <= upper
    assert upper - lower < 1e-8


def test_other_networks_do_no_worse_than_the_linear_model():
    problem = data_problem("diabetes", "squared")
    linear = bracket(LINEAR, problem, net(10, 1))
    for network in (net(10, 4, 3, 1), net(10, 1, 1, activation="tanh")):
        lower, upper = bracket(LINEAR, problem, network)
        assert (lower, upper) == (-np.inf, linear[1])
    # A deep linear network is a linear model, of full rank or not.
    assert bracket(LINEAR, problem, net(10, 3, 1, activation="identity")) == linear
    narrow = problem_of(np.eye(3), np.eye(3))
    assert bracket(LINEAR, narrow, net(3, 1, 3, activation="identity"))[1] == np.inf


def test_frozen_parameters_leave_the_lower_bound_only():
    problem = data_problem("diabetes", "squared")
    network = net(10, 1, freeze=("biases 1",), frozen_biases="normal")
    assert bracket(LINEAR, problem, network)[1] == np.inf
    assert "frozen" in LINEAR.unsupported_reason(problem, net(10, 4, 1, freeze=("weights 1",)))


def test_the_parameters_have_the_risk_that_is_stated():
    problem = data_problem("iris", "softmax_cross_entropy")
    network = net(4, 3)
    found = bounds_of(LINEAR, problem, network)
    assert found is not None
    assert found.theta is not None
    x, weights = problem.law.finite
    z = network.apply(jnp.asarray(found.theta), jnp.asarray(x))
    value = weights @ np.asarray(problem.loss.function(z, problem.targets_at_points()))
    assert value - 1e-15 <= found.uppers[0].value <= value + 1e-12


def test_a_damaged_certificate_shows_nothing_false():
    problem, network = data_problem("diabetes", "absolute"), net(10, 1)
    found = LINEAR.search(problem, network, Budget(60.0))
    assert found is not None
    lower, upper = bracket(LINEAR, problem, network)
    for name, array in found.arrays.items():
        for wrong in (1.01 * array, array[:-1], np.full_like(array, np.nan), array[::-1]):
            arrays = {**found.arrays, name: wrong}
            try:
                shown = LINEAR.verify(problem, network, dataclasses.replace(found, arrays=arrays))
            except CertificateError:
                continue
            assert all(b.value <= upper for b in shown.lowers)
            assert all(b.value >= lower for b in shown.uppers)


def test_random_dual_points_are_never_above_random_weights():
    """Weak duality holds whatever the certificate is."""
    rng = np.random.default_rng(2)
    for loss in ("absolute", "logistic", "hinge", "log_cosh"):
        labels = rng.integers(0, 2, 12)
        y, classes = (labels, 2) if loss in ("logistic", "hinge") else (rng.normal(size=12), None)
        problem = problem_of(rng.normal(size=(12, 1)), y, loss, classes=classes)
        network = net(1, 1)
        found = LINEAR.search(problem, network, Budget(60.0))
        assert found is not None
        upper = LINEAR.verify(problem, network, found).uppers[0].value
        for _ in range(20):
            dual = found.arrays["dual"] + rng.normal(size=(12, 1)) * 10.0 ** rng.uniform(-14, 0)
            damaged = dataclasses.replace(found, arrays={"dual": dual})
            try:
                assert LINEAR.verify(problem, network, damaged).lowers[0].value <= upper
            except CertificateError:
                continue


def test_damaged_shares_are_never_above_the_optimum():
    """Weak duality of the softmax cross-entropy, three classes of which one may be separated."""
    rng = np.random.default_rng(3)
    for separated in (False, True):
        x = rng.normal(size=(30, 2))
        labels = rng.integers(0, 2, 30)
        labels[x[:, 0] > 0.8 if separated else rng.random(30) < 0.3] = 2
        problem, network = problem_of(x, labels, "softmax_cross_entropy", classes=3), net(2, 3)
        lower, upper = bracket(LINEAR, problem, network)
        assert upper - lower < 1e-8
        found = LINEAR.search(problem, network, Budget(60.0))
        assert found is not None
        shown = 0
        for _ in range(60):
            noise = rng.normal(size=(30, 3)) * 10.0 ** rng.uniform(-16, -1)
            own = found.arrays["dual"]
            # Shares of 0 stay, of which a separated class has many, or become anything.
            shares = own * (1 + noise) if rng.random() < 0.7 else own + noise
            damaged = dataclasses.replace(found, arrays={"dual": shares})
            try:
                bound = LINEAR.verify(problem, network, damaged).lowers[0]
            except CertificateError:
                continue
            shown += bound.evidence.proved
            assert bound.value <= upper
        assert shown > 5


def test_out_of_budget_the_best_weights_stay_and_the_search_goes_on():
    for name, loss, widths in (
        ("iris", "softmax_cross_entropy", (4, 3)),
        ("diabetes", "log_cosh", (10, 1)),
    ):
        problem, network = data_problem(name, loss), net(*widths)
        cut = LINEAR.search(problem, network, Budget(0.0))
        assert cut is not None
        assert not cut.finished
        first = LINEAR.verify(problem, network, cut)
        more = LINEAR.search(problem, network, Budget(60.0), cut)
        assert more is not None
        assert more.finished
        last = LINEAR.verify(problem, network, more)
        assert last.uppers[0].value < first.uppers[0].value
        assert last.lowers[0].value > last.uppers[0].value * (1 - 1e-9)


def test_what_has_no_dual_problem_is_said():
    assert "finite" in LINEAR.unsupported_reason(make_problem(), net(1, 1))
    law = INPUT_LAWS["points"]((0.0, 1.0))
    noisy = make_problem("x", law=law, loss="absolute", noise=("normal", {"std": 1.0}))
    assert "noise" in LINEAR.unsupported_reason(noisy, net(1, 1))
