"""Distribution functions of sums against exact rational arithmetic and mpmath."""

import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from jaxsim.theory.laws import HalfNormal, HalfUniform
from jaxsim.theory.sum_distribution import Summand, probability_below

N, U, T = HalfNormal(), HalfUniform(), HalfNormal(2.0)


def uniform_sum_below(scales, t):
    """P(sum a_i U_i <= t), exactly: inclusion-exclusion over the corners of the cube."""
    scales = [Fraction(a) for a in scales if a != 0]
    t = Fraction(t) - sum(a for a in scales if a < 0)
    sizes = [abs(a) for a in scales]
    n = len(sizes)
    if n == 0:
        return Fraction(int(t >= 0))
    total = Fraction(0)
    for corner in itertools.product((0, 1), repeat=n):
        rest = t - sum((a for a, bit in zip(sizes, corner, strict=True) if bit), Fraction(0))
        if rest > 0:
            total += (-1) ** sum(corner) * rest**n
    return total / (math.factorial(n) * math.prod(sizes))


def exact(terms, t):
    pairs = [(term.first, term.second) for term in terms for _ in range(term.count)]
    combinations = list(itertools.product(*pairs))
    return sum(uniform_sum_below(scales, t) for scales in combinations) / len(combinations)


@pytest.mark.parametrize(
    ("terms", "t"),
    [
        ([Summand(U, 1.0, 0.5)], 0.25),
        ([Summand(U, 1.0, -0.5)], -0.125),
        ([Summand(U, 1.0, -1.0), Summand(U, 1.0, 0.25)], 0.125),
        ([Summand(U, 1.0, -1.0), Summand(U, 1.0, 0.25)], -0.9375),
        ([Summand(U, 2.0, -1.0, 2)], 0.5),
        ([Summand(U, 1.0, -1.0), Summand(U, 0.5, 0.125, 2)], 0.0),
        ([Summand(U, 1.0, -1.0), Summand(U, 0.5, 0.0, 3)], -0.25),
        ([Summand(U, 1.0, -1.0), Summand(U, 0.75, 0.5, 2), Summand(U, 2.0, -1.0)], -1.75),
        ([Summand(U, 1.0, -1.0), Summand(U, 0.75, 0.5, 3), Summand(U, 0.25, -1.0)], 0.25),
        ([Summand(U, 1.0, -1.0), Summand(U, 1.0, 0.0), Summand(U, 0.5, -0.25, 2)], 0.0),
        ([Summand(U, 1.0, 0.0, 3)], 0.0),
    ],
)
def test_uniform_sums_equal_exact_arithmetic(terms, t):
    value, error = probability_below(terms, t)
    truth = float(exact(terms, t))
    assert value == pytest.approx(truth, rel=1e-12)
    assert abs(value - truth) <= error + 1e-16
    assert error <= 1e-11 * truth


@pytest.mark.parametrize("d", [1, 2, 3, 5, 10, 30, 60])
def test_tiny_probabilities_keep_their_relative_accuracy(d):
    value, error = probability_below([Summand(U, 1.0, -1.0), Summand(U, 1.0, 1.0, d)], 0.0)
    truth = 1 / (2 * math.factorial(d + 1))
    assert value == pytest.approx(truth, rel=1e-12)
    assert abs(value - truth) <= error


def test_truncated_normal_pair_equals_a_double_integral():
    # B + A X: bias cut at 2 with std 0.3, A in {1.2, -0.5}.
    terms, t = [Summand(T, 0.3, -0.3), Summand(T, 1.2, -0.5)], 0.1
    with mpmath.workdps(20):
        mass = mpmath.erf(mpmath.sqrt(2))
        z = lambda x: mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi) / mass  # noqa: E731

        def cdf(y):
            y = min(max(y, -2), 2)
            return mpmath.mpf(1) / 2 + mpmath.erf(y / mpmath.sqrt(2)) / (2 * mass)

        def supremum_below(y):
            positive = cdf(y / 1.2) - mpmath.mpf(1) / 2 if y > 0 else 0
            negative = mpmath.mpf(1) / 2 if y >= 0 else 1 - cdf(-y / 0.5)
            return positive + negative

        cuts = sorted({-2, 2, mpmath.mpf(t) / 0.3, (mpmath.mpf(t) + 1) / 0.3})
        cuts = [c for c in cuts if -2 <= c <= 2]
        truth = mpmath.quad(lambda x: z(x) * supremum_below(t - 0.3 * x), cuts)
    value, error = probability_below(terms, t)
    assert abs(value - float(truth)) <= 1e-13
    assert error <= 1e-12


@pytest.mark.parametrize("bias", [N, U, T])
@pytest.mark.parametrize("t", [-0.3, 0.0, 0.4])
def test_mixed_triples_equal_direct_integration(bias, t):
    # Independent of the inversion: plain Gauss-Legendre over the two weights' half-laws.
    terms = [Summand(bias, 0.8, -0.8), Summand(T, 0.7, 0.2), Summand(U, 0.5, -0.3)]
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def panels(edges):
        edges = np.unique(np.asarray(edges))
        middle, radius = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
        return (middle[:, None] + radius[:, None] * nodes).ravel(), (
            radius[:, None] * weights
        ).ravel()

    truth, end = 0.0, min(bias.end, 30.0)
    for a, b in itertools.product((0.7, 0.2), (0.5, -0.3)):
        # Kinks of the inner integral, as a function of x: where t - a x - b y meets 0 or the ends.
        corners = [(t - b * y - s * e * 0.8) / a for y in (0, 1) for s in (-1, 1) for e in (0, end)]
        xs, wx = panels(np.clip([0.0, 2.0, *corners], 0.0, 2.0))
        for x, w in zip(xs, wx, strict=True):
            kinks = [(t - a * x - s * e * 0.8) / b for s in (-1, 1) for e in (0, end)]
            ys, wy = panels(np.clip([0.0, 1.0, *kinks], 0.0, 1.0))
            u = (t - a * x - b * ys) / 0.8
            below = 0.5 + np.sign(u) * bias.cdf(np.abs(u)) / 2
            truth += w * float(T.pdf(np.asarray(x))) * float(wy @ below) / 4
    value, error = probability_below(terms, t)
    assert abs(value - truth) <= 2e-12
    assert error <= 1e-11


def test_impossible_and_certain_sums():
    assert probability_below([Summand(U, 1.0, 0.5, 3)], -1e-9) == (0.0, 0.0)
    assert probability_below([Summand(U, 1.0, 0.5, 3)], 3.0)[0] == 1.0
    assert probability_below([], 0.0)[0] == 1.0
    assert probability_below([], -1.0)[0] == 0.0


def test_normal_sums_are_normal():
    from scipy.special import ndtr

    value, _ = probability_below([Summand(N, 3.0, -3.0), Summand(N, 4.0, -4.0)], -10.0)
    assert value == pytest.approx(ndtr(-2.0), rel=1e-14)
