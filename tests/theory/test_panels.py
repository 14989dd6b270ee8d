"""Integrals behind proved numbers: their errors are bounds, whose premises are checked."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy import special

from jaxsim.network.activations import relu
from jaxsim.network.initializers import INITIALIZERS as LAWS
from jaxsim.network.network import Layer
from jaxsim.problem.support import Ball, Box
from jaxsim.theory import panels
from jaxsim.theory.inactive import inactive_probability
from jaxsim.theory.laws import HalfNormal, HalfUniform


def ellipse(middle, radius):
    angle = np.linspace(0, 2 * np.pi, 101)
    return middle + radius * (panels.REACH * np.cos(angle) + 1j * panels.HEIGHT * np.sin(angle))


@pytest.mark.parametrize("end", [1e-6, 0.1, 0.7, 2.0, 30.0, math.inf])
def test_half_laws_are_bounded_in_the_ellipses(end):
    law = HalfNormal(end)
    mass = math.erf(end / math.sqrt(2))
    pdf_bound, cdf_bound = law.log_bounds()
    edges = panels.landmarks(end)
    for low, high in itertools.pairwise(edges):
        z = ellipse((low + high) / 2, (high - low) / 2)
        pdf = np.abs(np.exp(-z * z / 2)) * math.sqrt(2 / math.pi) / mass
        cdf = np.abs(special.erf(z / math.sqrt(2))) / mass
        assert np.log(pdf.max()) <= pdf_bound + 1e-9
        assert np.log(cdf.max()) <= cdf_bound + 1e-9
        # Far below what 40 nodes leave of them.
        assert max(pdf_bound, cdf_bound) < 40
    assert HalfUniform().log_bounds()[1] >= np.log(np.abs(ellipse(0.75, 0.25)).max())


def test_the_error_is_a_bound_and_no_guess():
    def log_bound(height):
        return lambda middle, radius: np.full_like(middle, height)

    value, error = panels.integrate(lambda x: 0 * x + 1.0, 1.0, [0.5], log_bound(0.0))
    assert abs(value - 1) <= error < 1e-13
    # A function that may be huge beside the panel may hide a spike between the nodes.
    assert panels.integrate(lambda x: 0 * x + 1.0, 1.0, [0.5], log_bound(300.0))[1] > 0.1


def norm_integral(d, reach, below, stops):
    """E below(reach |g|) with 30 digits, g standard normal in R^d."""
    with mpmath.workdps(30):
        constant = mpmath.mpf(2) ** (1 - mpmath.mpf(d) / 2) / mpmath.gamma(mpmath.mpf(d) / 2)
        pdf = lambda x: constant * x ** (d - 1) * mpmath.exp(-x * x / 2)  # noqa: E731
        return float(mpmath.quad(lambda x: pdf(x) * below(reach * x), stops))


@pytest.mark.parametrize(("d", "reach"), [(2, 0.5), (3, 1.5), (8, 0.2), (60, 0.1)])
def test_uniform_biases_on_a_ball_are_within_the_bound(d, reach):
    spec = Layer(d, 4, LAWS["normal"](), LAWS["uniform"]())
    found = inactive_probability(spec, relu(), Ball(reach, d), precision="float64")
    stops = [0, *[s / reach / 8 for s in range(1, 9)]]
    truth = norm_integral(d, reach, lambda t: (1 - t) / 2, stops)
    assert abs(found.value - truth) <= found.error <= 1e-12
    assert found.lower <= truth
    assert found.evidence.proved


@pytest.mark.parametrize(
    ("weights", "biases"), [("uniform", "truncated_normal"), ("truncated_normal", "uniform")]
)
@pytest.mark.parametrize("high", [0.3, 1.0, 40.0])
def test_mixed_laws_on_an_interval_are_within_the_bound(weights, biases, high):
    # P(b + sup w x <= 0) with x in [-1/2, high], by 30-digit integration over the weight.
    spec = Layer(1, 4, LAWS[weights](), LAWS[biases]())
    found = inactive_probability(spec, relu(), Box((-0.5,), (high,)), precision="float64")
    with mpmath.workdps(30):
        mass = mpmath.erf(mpmath.sqrt(2))
        normal_pdf = lambda x: mpmath.npdf(x) / mass  # noqa: E731
        normal_cdf = lambda x: (  # noqa: E731
            mpmath.mpf(1) / 2 + mpmath.erf(max(min(x, 2), -2) / mpmath.sqrt(2)) / mass / 2
        )
        uniform_cdf = lambda x: (max(min(x, 1), -1) + 1) / mpmath.mpf(2)  # noqa: E731
        laws = {"uniform": (1, uniform_cdf), "truncated_normal": (2, normal_cdf)}
        end, bias_end = laws[weights][0], laws[biases][0]
        pdf = normal_pdf if weights == "truncated_normal" else lambda x: mpmath.mpf(1) / 2
        below = laws[biases][1]
        truth = mpmath.mpf(0)
        for reach in (mpmath.mpf("0.5"), mpmath.mpf(high)):
            stops = sorted({0, min(end, bias_end / reach), end})
            truth += mpmath.quad(lambda w, r=reach: pdf(w) * below(-r * w), stops)
    assert abs(found.value - float(truth)) <= found.error <= 1e-12
    assert found.evidence.proved
