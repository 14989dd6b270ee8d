"""Lower bounds for convex losses other than the squared one."""

import numpy as np
import pytest
from scipy.optimize import minimize

from jaxsim.optimum.line.dual_costs import dual_costs
from jaxsim.optimum.line.free_knots import knot_bound
from jaxsim.optimum.line.masses import first_grid, masses_of
from jaxsim.optimum.line.nodes import loss_with_slope
from jaxsim.optimum.line.other_losses import least_risk, verify_dual
from tests.risk.cases import make_network, make_problem

RESIDUAL = ["absolute", ("quantile", {"level": 0.3}), ("huber", {"delta": 0.1}), "log_cosh"]


def lower(problem, kinks, cells=60):
    masses = masses_of(problem, first_grid(problem, cells))
    return least_risk(masses, knot_bound(masses, dual_costs(problem.loss, masses), kinks).square, 1)


def best_line(problem, x, y):
    loss = loss_with_slope(problem)

    def risk(c):
        return float(loss((c[0] + c[1] * x)[:, None], y[:, None])[0].mean())

    starts = [[y.mean() + c, s] for c in (-0.3, 0.0) for s in (-1.0, 0.0, 1.0)]
    # Restarted, for a simplex may get stuck at a kink.
    first = min((minimize(risk, s, method="Nelder-Mead") for s in starts), key=lambda r: r.fun)
    return minimize(risk, first.x, method="Nelder-Mead").fun


@pytest.mark.parametrize("loss", RESIDUAL)
@pytest.mark.parametrize("target", ["x**2", "sin(3*x)"])
def test_the_best_line_is_bounded_closely(loss, target):
    problem = make_problem(target, loss=loss)
    x = (np.arange(4_000) + 0.5) / 2_000 - 1
    y = x**2 if target == "x**2" else np.sin(3 * x)
    exact = best_line(problem, x, y)
    assert 0.99 * exact < lower(problem, 0) <= exact * (1 + 1e-5)


def test_absolute_loss_of_a_parabola_has_closed_forms():
    """E |x^2 - line| on a piece of length h is h^2 / 16: both pieces together 1 / 16."""
    problem = make_problem(loss="absolute")
    assert 0.24 < lower(problem, 0) <= 1 / 4
    assert 0.055 < lower(problem, 1) <= 1 / 16


def test_logistic_loss_of_labels_that_no_line_separates():
    problem = make_problem("where(abs(x) < 0.5, 1, 0)", loss="logistic")
    x = (np.arange(4_000) + 0.5) / 2_000 - 1
    exact = best_line(problem, x, (np.abs(x) < 0.5) * 1.0)
    assert 0.99 * exact < lower(problem, 0) <= exact * (1 + 1e-5)
    # One kink is enough to separate them: the infimum is 0.
    assert lower(problem, 1) < 1e-9


def test_no_network_is_below_the_bound():
    problem, network = make_problem("sin(3*x)", loss="absolute"), make_network(1, 2, 1)
    grid = first_grid(problem, 60)
    (bound,) = verify_dual(problem, network, {"grid": grid})
    x = np.linspace(-1, 1, 2001)
    rng = np.random.default_rng(0)
    for _ in range(300):
        signs, knots = rng.choice([-1, 1], 2), rng.uniform(-1, 1, 2)
        features = np.column_stack([np.ones_like(x), np.maximum(signs * (x[:, None] - knots), 0)])
        best = np.linalg.lstsq(features, np.sin(3 * x), rcond=None)[0]
        assert bound.value <= np.abs(features @ best - np.sin(3 * x)).mean() + 1e-3
    assert bound.value > 0.02
