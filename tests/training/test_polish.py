"""Polishing on the parabola with three neurons, against NumPy's exact risk and closed forms."""

import jax
import numpy as np
import pytest
from scipy import optimize

from jaxsim.optimum.parabola import Parabola
from jaxsim.training import polish as module
from jaxsim.training.polish import Basin, make_polish
from tests.studies import study

LEVELS = {
    "optimum": 0.000646617982785,
    "another minimum with 3 kinks": 0.000716892884449,
    "R*(2)": 4 / 45 / 81,
    "one kink, free slopes": 4 / 45 / 16,
    "three kinks that face one way": 0.056251039562,
    "two kinks that face one way": 0.0562550724034,
    "R*(1)": 0.0563177871577,
    "constant": 4 / 45,
}
"""All levels that 600 initializations with three active neurons lead to."""
RARE = 0.00074644331823, [1.2, 1.15, -1.3, -0.17, 0.46, 0.98, 0.93, 0.96, 1.04, -1.45]
"""A ninth level, of one start in 624 that SciPy polished, and parameters near it."""


@pytest.fixture(scope="module")
def experiment():
    return study().experiments[0]


@pytest.fixture(scope="module")
def starts(experiment):
    """Initializations without an inactive neuron, [R, P]."""
    theta = np.asarray(
        jax.jit(jax.vmap(experiment.network.init))(jax.random.split(jax.random.key(0), 300))
    )
    w, b = theta[:, :3], theta[:, 3:6]
    return theta[(b + np.abs(w) > 0).all(1)][:128].astype(np.float64)


@pytest.fixture(scope="module")
def polish(experiment):
    return make_polish(experiment)


@pytest.fixture(scope="module")
def polished(polish, starts):
    return polish(starts, lambda: False)


def numpy_risk(theta: np.ndarray) -> float:
    """Return the exact risk of a 1-3-1 network for x^2 on [-1, 1], by moments of its pieces."""
    w, b, v, c = theta[:3], theta[3:6], theta[6:9], theta[9]
    with np.errstate(divide="ignore", invalid="ignore"):
        kinks = -b / w
    cuts = np.concatenate([[-1.0], np.sort(kinks[np.abs(kinks) < 1]), [1.0]])
    nodes, weights = np.polynomial.legendre.leggauss(3)
    left, right = cuts[:-1, None], cuts[1:, None]
    x = (left + right) / 2 + (right - left) / 2 * nodes
    hidden = np.maximum(x[..., None] * w + b, 0.0)
    return float(((hidden @ v + c - x**2) ** 2 * (right - left) / 4 * weights).sum())


def test_three_active_neurons_end_at_these_levels_to_nine_digits(polished):
    values = np.array(list(LEVELS.values()))
    nearest = np.abs(polished.risk[:, None] / values - 1)
    assert nearest.min(1).max() < 1e-9
    assert sorted(set(nearest.argmin(1))) == list(range(8)), "every level is found"
    one, two = Parabola().bracket(1), Parabola().bracket(2)
    assert one.lower.value * (1 - 1e-9) <= LEVELS["R*(1)"] <= one.upper.value * (1 + 1e-9)
    assert two.lower.value == pytest.approx(LEVELS["R*(2)"], rel=1e-12)
    assert (polished.risk >= Parabola().lower(3)).all()


def test_a_rare_level_is_a_minimum_too(polish):
    value, near = RARE
    found = polish(np.array([near]), lambda: False)
    assert found.risk[0] == pytest.approx(value, rel=1e-9)
    assert found.risk[0] == pytest.approx(numpy_risk(found.theta[0]), rel=1e-11)
    assert found.basin[0] == Basin.MINIMUM


def test_every_end_is_a_local_minimum_of_the_risk_that_numpy_computes(polished):
    assert (polished.basin == Basin.MINIMUM).all()
    assert polished.gradient.max() < 1e-7
    rng = np.random.default_rng(1)
    for value in LEVELS.values():
        place = int(np.abs(polished.risk - value).argmin())
        theta = polished.theta[place]
        assert numpy_risk(theta) == pytest.approx(polished.risk[place], rel=1e-11)
        begin = theta + 1e-4 * rng.standard_normal(10)
        again = optimize.minimize(numpy_risk, begin, method="BFGS", options={"gtol": 1e-9})
        assert again.fun == pytest.approx(value, rel=1e-7)


def test_only_active_neurons_make_a_level(polished):
    assert ((polished.active >= 1) & (polished.active <= 3)).all()
    assert polished.active[polished.risk < 0.0009].min() == 3
    assert polished.active[polished.risk < 0.0555].min() == 2


def test_a_run_does_not_depend_on_its_neighbours_and_diverged_ones_stay(polish, polished, starts):
    some = starts[:5].copy()
    some[2] = np.nan
    found = polish(some, lambda: False)
    assert np.isnan(found.risk[2])
    assert found.basin[2] == Basin.OPEN
    rest = [0, 1, 3, 4]
    assert np.allclose(found.risk[rest], polished.risk[rest], rtol=1e-9, atol=0)
    assert polish(starts[:2], lambda: True) is None, "a request to stop is heard"


def test_a_point_beside_which_the_function_has_more_directions_is_no_minimum(polish):
    """All weights 0: the gradient vanishes, but two weights together lower the risk."""
    theta = np.zeros((1, 10))
    theta[0, 9] = 1 / 3
    found = polish(theta, lambda: False)
    assert found.risk[0] == pytest.approx(4 / 45)
    assert found.basin[0] == Basin.STATIONARY


def test_saddle_points_repel():
    """f(x, y) = x^4 / 4 - x^2 / 2 + y^2 has its minima, -1/4, at x = -1 and 1."""

    def oracle(theta):
        x, y = theta.T
        return x**4 / 4 - x**2 / 2 + y**2, np.stack([x**3 - x, 2 * y], 1)

    begin = np.array([[0.0, 1.0], [1e-9, -0.2], [0.5, 0.0]])
    ended = module._newton(oracle, begin, np.ones(2, bool), 1.0, lambda: False)
    assert ended is not None
    assert np.allclose(np.abs(ended[:, 0]), 1, atol=1e-6)
    assert np.allclose(ended[:, 1], 0, atol=1e-6)
