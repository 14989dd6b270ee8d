"""Polynomials in exact arithmetic: whole numbers over one common denominator.

Every float is a whole number over a power of two, so that what a formula says of its polynomials
can be computed without rounding: sums, products and powers lose nothing, however close two roots
of the result lie.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

MOST_BITS = 2**18
"""Size of a coefficient's numerator above which a polynomial is given up."""


class Polynomial(NamedTuple):
    """The polynomial sum_k numerators[k] x^k / denominator, in lowest terms.

    Attributes:
        numerators: ascending, the last one not 0 except for the polynomial 0.
        denominator: positive.
    """

    numerators: tuple[int, ...]
    denominator: int

    @property
    def degree(self) -> int:
        """The degree, 0 for constants and for the polynomial 0."""
        return len(self.numerators) - 1

    def floats(self) -> tuple[float, ...] | None:
        """Return the coefficients, correctly rounded; None if one is too large for a float.

        Example:
            >>> reduced([2, 0, 1], 4).floats()
            (0.5, 0.0, 0.25)
        """
        try:
            return tuple(n / self.denominator for n in self.numerators)
        except OverflowError:
            return None

    def sign_at(self, x: Fraction) -> int:
        """Return the sign of the value at x, without rounding: -1, 0 or 1."""
        p, q = x.numerator, x.denominator
        value, scale = self.numerators[-1], 1
        for coefficient in self.numerators[-2::-1]:
            scale *= q
            value = value * p + coefficient * scale
        return (value > 0) - (value < 0)

    def __neg__(self) -> Polynomial:
        """Return the negative."""
        return Polynomial(tuple(-n for n in self.numerators), self.denominator)


def reduced(numerators: list[int], denominator: int) -> Polynomial:
    """Return a polynomial in lowest terms, without leading zeros."""
    while len(numerators) > 1 and numerators[-1] == 0:
        numerators = numerators[:-1]
    divisor = math.gcd(denominator, *numerators)
    return Polynomial(tuple(n // divisor for n in numerators), denominator // divisor)


def polynomial(coefficients: tuple[float, ...]) -> Polynomial:
    """Return the polynomial with finite coefficients, ascending."""
    ratios = [float(c).as_integer_ratio() for c in coefficients]
    denominator = math.lcm(*(q for _, q in ratios))
    return reduced([p * (denominator // q) for p, q in ratios], denominator)


def add(p: Polynomial, q: Polynomial) -> Polynomial:
    """Return the sum."""
    denominator = math.lcm(p.denominator, q.denominator)
    a, b = denominator // p.denominator, denominator // q.denominator
    total = [0] * max(len(p.numerators), len(q.numerators))
    for k, n in enumerate(p.numerators):
        total[k] += a * n
    for k, n in enumerate(q.numerators):
        total[k] += b * n
    return reduced(total, denominator)


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    """Return the product."""
    product = [0] * (p.degree + q.degree + 1)
    for i, a in enumerate(p.numerators):
        if a:
            for j, b in enumerate(q.numerators):
                product[i + j] += a * b
    return reduced(product, p.denominator * q.denominator)


def divide(p: Polynomial, q: Polynomial) -> Polynomial:
    """Return the quotient by a constant that is not 0."""
    (n,), d = q
    sign = 1 if n > 0 else -1
    return reduced([sign * c * d for c in p.numerators], p.denominator * abs(n))


def power(p: Polynomial, exponent: int) -> Polynomial:
    """Return a power with an exponent 0, 1, 2, ..."""
    result = Polynomial((1,), 1)
    while exponent:
        if exponent % 2:
            result = multiply(result, p)
        exponent //= 2
        if exponent:
            p = multiply(p, p)
    return result


def size(p: Polynomial) -> int:
    """Return the bits of the largest whole number of a polynomial."""
    return max(n.bit_length() for n in (*p.numerators, p.denominator))
