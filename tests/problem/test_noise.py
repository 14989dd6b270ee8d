import math

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from jaxsim.errors import InputError
from jaxsim.problem.noise import NOISES
from jaxsim.registry import build

SPECS = {
    "none": ("none", None),
    "normal": ({"law": "normal", "std": 0.7}, stats.norm(0, 0.7)),
    "uniform": ({"law": "uniform", "half_width": 1.3}, stats.uniform(-1.3, 2.6)),
}


@pytest.mark.parametrize("name", SPECS)
def test_quadrature_is_exact_for_polynomials(name):
    spec, law = SPECS[name]
    noise = build(NOISES, spec, "problem.noise", tag="law")
    assert noise.kind == name
    nodes, weights = noise.quadrature(4)
    for power in range(8):
        expected = float(power == 0) if law is None else law.moment(power) if power else 1.0
        assert weights @ nodes**power == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert noise.variance == pytest.approx(0.0 if law is None else law.var())


def test_quadrature_of_many_nodes_agrees_with_adaptive_integration():
    for name in ("normal", "uniform"):
        spec, law = SPECS[name]
        nodes, weights = build(NOISES, spec, "n", tag="law").quadrature(40)
        expected = integrate.quad(lambda t, law=law: np.cos(t) * law.pdf(t), -12, 12, limit=200,
                                  points=(-1.3, 1.3))[0]  # fmt: skip
        assert weights @ np.cos(nodes) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_samples_follow_the_law(name):
    # Kolmogorov-Smirnov with a false-alarm rate of 1e-7.
    spec, law = SPECS[name]
    noise = build(NOISES, spec, "problem.noise", tag="law")
    draws = noise.sample(jax.random.key(3), (5000, 2), "float32")
    assert draws.shape == (5000, 2)
    assert draws.dtype == "float32"
    assert stats.kstest(np.asarray(draws).ravel(), law.cdf).pvalue > 1e-7
    # Columns are independent: correlation is normal with deviation 1 / sqrt(5000), 5.4 of them.
    assert abs(np.corrcoef(np.asarray(draws).T)[0, 1]) < 5.4 / math.sqrt(5000)


def test_no_noise_is_zero():
    draws = NOISES["none"]().sample(jax.random.key(0), (3,), "float64")
    assert (np.asarray(draws) == 0).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"law": "normal", "std": -1.0}, "std = -1.0 is not accepted"),
        ({"law": "uniform", "half_width": -0.1}, "half_width = -0.1"),
        ("normal", "problem.noise.std is missing"),
        ("gaussian", "accepted: none, normal, uniform"),
    ],
)
def test_bad_parameters_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        build(NOISES, spec, "problem.noise", tag="law")


def test_zero_scale_is_no_noise():
    noise = NOISES["normal"](0.0)
    assert noise.variance == 0
    assert (np.asarray(noise.sample(jax.random.key(0), (4,), "float32")) == 0).all()
