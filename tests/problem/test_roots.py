"""Changes of sign of polynomials: none lost, however close they lie."""

import random
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from jaxsim.problem.expression import parse_expression
from jaxsim.problem.piecewise import analyze
from jaxsim.problem.polynomials import add, divide, multiply, polynomial, power, reduced
from jaxsim.problem.roots import real_roots, sign_changes


def product_of(factors):
    result = polynomial((1.0,))
    for root, multiplicity in factors:
        result = multiply(result, power(polynomial((-root, 1.0)), multiplicity))
    return result


@pytest.mark.parametrize("seed", range(6))
def test_changes_of_sign_are_the_roots_of_odd_multiplicity(seed):
    rng = random.Random(seed)
    for _ in range(10):
        factors = {}
        while len(factors) < 6:
            root = rng.uniform(-1, 1)
            factors[root] = rng.choice([1, 1, 1, 2, 3, 4])
            if rng.random() < 0.5:  # a neighbour that floats hardly tell apart
                factors[root + rng.choice([1e-4, 1e-8, 1e-12, 1e-15])] = rng.choice([1, 2])
        found = sign_changes(product_of(factors.items()), -1.0, 1.0)
        assert found == sorted(r for r, k in factors.items() if k % 2 and -1 < r < 1)


def roots_by_eigenvalues(coefficients):
    """All roots, of the companion matrix: mpmath's own roots take coefficients in either order."""
    degree = len(coefficients) - 1
    companion = mpmath.matrix(degree, degree)
    for i in range(degree):
        companion[i, degree - 1] = -mpmath.mpf(coefficients[i]) / coefficients[-1]
        if i:
            companion[i, i - 1] = 1
    return mpmath.eig(companion, left=False, right=False)


@pytest.mark.parametrize("seed", range(4))
def test_roots_agree_with_mpmath_at_sixty_digits(seed):
    rng = random.Random(100 + seed)
    for _ in range(8):
        coefficients = [rng.uniform(-1, 1) * 10 ** rng.uniform(-3, 3) for _ in range(9)]
        with mpmath.workdps(60):
            every = roots_by_eigenvalues(coefficients)
            real = sorted(
                float(mpmath.re(z)) for z in every if abs(mpmath.im(z)) < mpmath.mpf(10) ** -40
            )
        expected = [t for t in real if -1 < t < 1]
        found = real_roots(tuple(coefficients), -1.0, 1.0)
        np.testing.assert_allclose(found, expected, rtol=3e-16, atol=0)


def chebyshev(degree):
    coefficients = np.polynomial.chebyshev.cheb2poly([0] * degree + [1])
    return " + ".join(f"({int(c)})*x**{k}" for k, c in enumerate(coefficients) if c)


LOST_BEFORE = [
    ("where((x - 0.5)**10 < 1e-20, 1, 0)", (0.49, 0.51)),
    ("where((x - 0.3)**6 < 1e-24, x, 0)", (0.2999, 0.3001)),
    ("where((x + 0.25)**64 < 2**-90 * 2**-90 * 2**-76, 1, 0)", (-0.25 - 2**-4, -0.25 + 2**-4)),
    ("abs((x - 0.1) * (x - 0.1001))", (0.1, 0.1001)),
    ("abs((x - 0.1)**3 * (x - 0.1000001)**3)", (0.1, 0.1000001)),
    ("max((x - 0.2)**10, (x - 0.2)**10 + 1e-25 * (x - 0.7))", (0.7,)),
    ("abs(abs(x - 0.123) - 1e-12)", (0.123 - 1e-12, 0.123, 0.123 + 1e-12)),
    ("where(x**2 < 1e-40, 1, 0)", (-1e-20, 1e-20)),
    ("sign((x*x - 0.25)*(x*x - 0.25) - 1e-24)", (-0.5, -0.5, 0.5, 0.5)),
    (
        f"sign({chebyshev(30)})",
        tuple(np.cos(np.pi * (np.arange(30)[::-1] + 0.5) / 30)),
    ),
]


@pytest.mark.parametrize(("formula", "breakpoints"), LOST_BEFORE)
def test_close_roots_cut_targets_into_their_pieces(formula, breakpoints):
    found = analyze(parse_expression(formula, 1), -1.0, 1.0)
    assert found.complete
    tolerance = 2e-12 if "0.25)*" in formula else 1e-15
    assert found.breakpoints == pytest.approx(breakpoints, rel=1e-15, abs=tolerance)


def test_arithmetic_of_polynomials_is_exact():
    rng = random.Random(3)
    for _ in range(20):
        p, q = (polynomial(tuple(rng.uniform(-1, 1) for _ in range(4))) for _ in range(2))
        constant = polynomial((rng.uniform(-3, -1),))
        x = Fraction(rng.uniform(-2, 2))

        def at(r, x=x):
            return sum(Fraction(n, r.denominator) * x**k for k, n in enumerate(r.numerators))

        assert at(add(p, q)) == at(p) + at(q)
        assert at(multiply(p, q)) == at(p) * at(q)
        assert at(divide(p, constant)) == at(p) / at(constant)
        assert at(power(p, 5)) == at(p) ** 5
        assert p.sign_at(x) == (at(p) > 0) - (at(p) < 0)
    assert reduced([4, 0, 2, 0], 6) == ((2, 0, 1), 3)
    assert polynomial((1e300, 1.0)).floats() == (1e300, 1.0)
    assert power(polynomial((1e300,)), 2).floats() is None
