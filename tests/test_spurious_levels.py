"""Levels at which runs end, against closed forms that know nothing of the simulator."""

import re

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import optimize

from jaxsim.optimum.parabola import Parabola
from jaxsim.risk import make_risk
from jaxsim.risk.constants import best_constant_risk
from jaxsim.study.catalogue import ready_table
from jaxsim.study.study import Study

START = (1.0, -0.02, 1.8, 1.3, -0.75, 1.5)  # the third, fourth and sixth are of k = 1


def angle_term(a, b, dot):
    """E relu(w.X) relu(v.X) for normal X, |w| = a, |v| = b (Cho and Saul 2009)."""
    cosine = dot / (a * b)
    angle = mpmath.acos(cosine)
    return a * b * (mpmath.sin(angle) + (mpmath.pi - angle) * cosine) / (2 * mpmath.pi)


def objective(u, k, p):
    """F = E(sum relu(w_i.X) - sum relu(X_i))^2 / 2 of weights with the symmetry S_{k-p} x S_p.

    Rows of the first kind are (a, b, ..., b; c, ..., c), of the second (d, ..., d; e, g, ..., g).
    """
    a, b, c, d, e, g = u
    q = k - p
    first = mpmath.sqrt(a**2 + (q - 1) * b**2 + p * c**2)
    second = mpmath.sqrt(q * d**2 + e**2 + (p - 1) * g**2)
    among_first = 2 * a * b + (q - 2) * b**2 + p * c**2
    across = a * d + (q - 1) * b * d + c * e + (p - 1) * c * g
    among_second = q * d**2 + 2 * e * g + (p - 2) * g**2
    students = (
        q * first**2 / 2
        + p * second**2 / 2
        + q * (q - 1) * angle_term(first, first, among_first)
        + 2 * q * p * angle_term(first, second, across)
        + p * (p - 1) * angle_term(second, second, among_second)
    )
    cross = q * (
        angle_term(first, 1, a) + (q - 1) * angle_term(first, 1, b) + p * angle_term(first, 1, c)
    ) + p * (
        q * angle_term(second, 1, d) + angle_term(second, 1, e) + (p - 1) * angle_term(second, 1, g)
    )
    teachers = mpmath.mpf(k) / 2 + k * (k - 1) * angle_term(1, 1, 0)
    return (students - 2 * cross + teachers) / 2


def critical_point(k, p):
    """Return the unknowns of the critical point near the target but for p neurons, and its F."""
    free = 5 if p == 1 else 6  # one neuron has no others of its kind

    def filled(u):
        return [*u, mpmath.mpf(0)] if free == 5 else list(u)

    def gradient(*u):
        return [
            mpmath.diff(
                lambda *v: objective(filled(v), k, p), u, tuple(int(i == j) for j in range(free))
            )
            for i in range(free)
        ]

    scale = (1, 1, 1 / k, 1 / k, 1, 1 / k)
    start = [x * s for x, s in zip(START, scale, strict=True)][:free]
    with mpmath.workdps(25):
        root = mpmath.findroot(gradient, start, tol=1e-25)
        point = filled([root[i] for i in range(free)])
        return [float(x) for x in point], float(objective(point, k, p))


def computed():
    """Return (k, neurons apart, printed F) of the study's computed levels."""
    for entry in ready_table("2006.01005")["published"]:
        if entry.get("source", "").startswith("computed"):
            k, p = re.fullmatch(r"symmetry S_(\d+) x S_(\d+)", entry["place"]).groups()
            yield int(k) + int(p), int(p), entry["value"]


FAST = ((6, 1), (10, 2), (20, 5))


@pytest.mark.parametrize(
    ("k", "p", "printed"),
    [
        case if case[:2] in FAST else pytest.param(*case, marks=pytest.mark.slow)
        for case in computed()
    ],
)
def test_computed_levels_are_those_of_critical_points(k, p, printed):
    _, level = critical_point(k, p)
    unit = 10.0 ** -len(printed.partition(".")[2])
    assert len(printed.lstrip("0.")) == 6
    assert float(printed) == pytest.approx(level, abs=0.5001 * unit)


def weights_of(u, k, p):
    """Return the weights [k, k], a neuron in each row."""
    a, b, c, d, e, g = u
    first, second = np.full((k - p, k), b), np.full((p, k), d)
    first[:, k - p :], second[:, k - p :] = c, g
    first[np.arange(k - p), np.arange(k - p)] = a
    second[np.arange(p), k - p + np.arange(p)] = e
    return np.concatenate([first, second])


def risk_of(k):
    """Return the simulator's risk as a function of the weights [k k] of k neurons."""
    table = ready_table("2006.01005") | {"variables": {"k": [k]}, "published": []}
    (experiment,) = Study.from_dict(table).experiments
    assert experiment.network.trainable.tolist() == [True] * k**2 + [False] * k
    rule = make_risk(experiment.problem, experiment.network)
    return lambda x: rule.evaluate(jnp.concatenate([x, jnp.ones(k)]))[0]


@pytest.mark.slow
def test_the_simulator_has_the_same_risk_and_no_gradient_at_the_critical_point():
    u, level = critical_point(6, 1)
    x = jnp.asarray(weights_of(u, 6, 1).T.ravel())
    value, gradient = jax.jit(jax.value_and_grad(risk_of(6)))(x)
    assert float(value) == pytest.approx(2 * level, rel=1e-12)
    assert np.abs(gradient).max() < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("k", "p"), [(6, 1), (13, 3)])
def test_the_critical_point_is_a_minimum(k, p):
    x = jnp.asarray(weights_of(critical_point(k, p)[0], k, p).T.ravel())
    assert np.linalg.eigvalsh(jax.jit(jax.hessian(risk_of(k)))(x)).min() > 1e-4


def variance_of_oscillation():
    """Return the variance of X sin(5 X) for X uniform on [-sqrt 3, sqrt 3]."""
    b = mpmath.sqrt(3)
    mean, square = (
        mpmath.quad(lambda x, n=n: (x * mpmath.sin(5 * x)) ** n, mpmath.linspace(0, b, 9)) / b
        for n in (1, 2)
    )
    return float(square - mean**2)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("2511.06675", [0.1 * 0.9]),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("quickstart", [4 / 45]),
                ("1903.06733/collapse", [1 / 4, variance_of_oscillation()]),
                ("two-relu-xor", [1 / 4]),
                ("2002.04861", [2.0]),
            )
        ),
    ],
)
def test_risks_of_the_best_constants_are_variances(name, exact):
    study = Study.load(name)
    by_problem = {e.problem.target: e for e in reversed(study.experiments)}
    found = [best_constant_risk(e.problem, e.risk) for e in reversed(by_problem.values())]
    assert [one.lower.value for one in found[: len(exact)]] == pytest.approx(exact, rel=1e-9)
    assert [one.upper.value for one in found[: len(exact)]] == pytest.approx(exact, rel=1e-9)


def test_one_and_two_neurons_on_the_parabola_are_least_squares_over_kinks():
    """c + v relu(x - t) fitted to x^2, the best t by search; two neurons: x^2 in three pieces."""

    def left(t):
        x, w = np.polynomial.legendre.leggauss(8)
        pieces = [(-1.0, t), (t, 1.0)]
        nodes = np.concatenate([(b - a) / 2 * x + (a + b) / 2 for a, b in pieces])
        weights = np.concatenate([(b - a) / 4 * w for a, b in pieces])
        design = np.stack([np.ones_like(nodes), np.maximum(nodes - t, 0)], 1)
        root = np.sqrt(weights)
        fit, *_ = np.linalg.lstsq(design * root[:, None], nodes**2 * root, rcond=None)
        return float(((design @ fit - nodes**2) ** 2) @ weights)

    best = optimize.minimize_scalar(left, bounds=(-0.9, 0.9), method="bounded")
    grid = min(left(t) for t in np.linspace(-0.99, 0.99, 199))
    assert best.fun <= grid + 1e-12
    assert Parabola().lower(1) == pytest.approx(best.fun, rel=1e-9)
    assert Parabola().lower(2) == pytest.approx(4 / 45 / 81, rel=1e-12)
