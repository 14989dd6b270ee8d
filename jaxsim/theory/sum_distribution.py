r"""P(Y <= t) for sums Y of independent multiples of half-laws, with a bound on the error.

Y = sum_i A_i X_i, where X_i >= 0 has a half-law and A_i is one of two scales with probability 1/2
each. Its distribution function is the inverse Laplace transform

    P(Y <= t) = (1 / 2 pi i) int_{c - i inf}^{c + i inf} e^{s t} E e^{-s Y} ds / s,     c > 0,

taken by the trapezoidal rule along the vertical line through the saddle point, where nothing
cancels, so that the *relative* error stays near rounding however small the probability is. With
step h the rule's error is exactly sum_{k != 0} e^{-2 pi k c / h} P(Y <= t + 2 pi k / h) (Abate and
Whitt, Queueing Systems 10, 1992, section 5), which Chernoff's inequality bounds; the cut-off tail
is bounded by |E e^{-s A X}| <= 2 max_x e^{-Re(s) A x} f(x) / |A Im s|, from integration by parts
for the unimodal integrand. Sums of two terms are integrated directly instead (`panels`). Errors
are bounds: of what is cut off, and of rounding in units in the last place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.theory import panels
from jaxsim.theory.laws import Entry, HalfLaw, HalfNormal

_DIGITS = 37.0  # e^-37 = 8.5e-17
_CHUNK = 1 << 15
_MOST_NODES = 1 << 21
_MOST_SPLITS = 4096


@dataclass(frozen=True)
class Summand:
    """`count` independent copies of A X: A = first or second with probability 1/2 each.

    Attributes:
        half: law of X.
        first: one scale.
        second: the other scale.
        count: the number of copies.
    """

    half: HalfLaw
    first: float
    second: float
    count: int = 1

    @property
    def normal(self) -> bool:
        """Whether A X is normally distributed."""
        return (
            isinstance(self.half, HalfNormal)
            and self.half.end > 38
            and (self.first == -self.second)
        )

    @property
    def low(self) -> float:
        """Essential infimum of A X."""
        smallest = min(self.first, self.second)
        return smallest * self.half.end if smallest < 0 else 0.0

    @property
    def high(self) -> float:
        """Essential supremum of A X."""
        largest = max(self.first, self.second)
        return largest * self.half.end if largest > 0 else 0.0

    def log_transform(self, s: np.ndarray) -> np.ndarray:
        """Return log E exp(-s A X)."""
        if self.normal:
            return (s * self.first) ** 2 / 2
        a = self.half.log_transform(s * self.first)
        if self.first == self.second:
            return a
        b = self.half.log_transform(s * self.second)
        top = np.maximum(np.real(a), np.real(b))
        return top + np.log((np.exp(a - top) + np.exp(b - top)) / 2)

    def log_decay(self, c: float) -> float:
        """Return log C with |E exp(-s A X)| <= C / Im s for Re s = c."""
        peaks = [self.half.log_peak(-c * a) - math.log(abs(a)) for a in (self.first, self.second)]
        return float(np.logaddexp(peaks[0], peaks[1]))


def symmetric_term(entry: Entry) -> Summand:
    """Return the term with the law of a random weight or bias itself."""
    assert entry.half is not None
    return Summand(entry.half, entry.scale, -entry.scale)


def probability_below(terms: Sequence[Summand], t: float) -> tuple[float, float] | None:
    """Return (P(Y <= t), bound on its error) for the sum Y of independent terms.

    Example:
        >>> from jaxsim.theory.laws import HalfNormal
        >>> g = Summand(HalfNormal(), 1.0, 1.0)              # P(Z + |Z'| <= 0) = 1/4
        >>> value, error = probability_below([Summand(HalfNormal(), 1.0, -1.0), g], 0.0)
        >>> abs(value - 0.25) < 1e-14 and error < 1e-12
        True

    Returns:
        None where the terms have too many different scales with atoms at 0 to be enumerated.
    """
    whole, split = [], []
    for term in terms:
        if term.count == 0 or (term.first == 0 and term.second == 0):
            continue
        (split if term.first == 0 or term.second == 0 else whole).append(term)
    if math.prod(term.count + 1 for term in split) > _MOST_SPLITS:
        return None
    value = error = 0.0
    # Given which copies have the scale 0, the others have a continuous law.
    for counts in itertools.product(*(range(term.count + 1) for term in split)):
        weight, rest = 1.0, list(whole)
        for term, kept in zip(split, counts, strict=True):
            weight *= math.comb(term.count, kept) / 2**term.count
            scale = term.first + term.second
            if kept:
                rest.append(Summand(term.half, scale, scale, kept))
        v, e = _continuous(rest, t)
        value, error = value + weight * v, error + weight * e
    return value, error + 1e-15 * value


def _continuous(terms: list[Summand], t: float) -> tuple[float, float]:
    """Return (P(Y <= t), error) where no scale is 0."""
    if not terms:
        return float(t >= 0), 0.0
    if t <= sum(term.count * term.low for term in terms):
        return 0.0, 0.0
    if t >= sum(term.count * term.high for term in terms):
        return 1.0, 0.0
    normal = [term for term in terms if term.normal]
    if len(normal) == len(terms):
        std = math.sqrt(sum(term.count * term.first**2 for term in normal))
        return _rounded(float(scipy.special.ndtr(t / std)))
    number = sum(term.count for term in terms)
    if number == 1:
        return _rounded(float(_below(terms[0], np.asarray(t))))
    if number == 2 and not normal:
        return _pair(terms[0], terms[-1], t)
    return _inverse_transform(terms, t)


def _rounded(value: float) -> tuple[float, float]:
    return value, 4e-16 * value


def _below(term: Summand, t: np.ndarray) -> np.ndarray:
    """Return P(A X <= t)."""
    total = np.zeros_like(t, float)
    for scale in (term.first, term.second):
        cdf = term.half.cdf(t / scale)
        total = total + (cdf if scale > 0 else 1 - cdf) / 2
    return total


def _pair(one: Summand, two: Summand, t: float) -> tuple[float, float]:
    """Integrate P(A' X' <= t - a x) against the density of X, for both values a of A."""
    value = error = 0.0
    pdf_bound, cdf_bound = one.half.log_bounds()[0], two.half.log_bounds()[1]
    bound = pdf_bound + float(np.logaddexp(cdf_bound, 0.0))
    for scale in (one.first, one.second):
        kinks = [t / scale]
        for other in (two.first, two.second):
            kinks += [(t - other * x) / scale for x in panels.landmarks(two.half.end)]
        v, e = panels.integrate(
            lambda x, a=scale: one.half.pdf(x) * _below(two, t - a * x),
            panels.landmarks(one.half.end)[-1],
            [*panels.landmarks(one.half.end), *kinks],
            lambda middle, radius: np.full_like(middle, bound),
        )
        # What rounding of t - a x moves is worth the density of X.
        e += 4e-16 * abs(t / scale) * math.exp(one.half.log_peak(0.0))
        value, error = value + v / 2, error + e / 2
    return value, error


def window_probability(terms: Sequence[Summand], width: float) -> float:
    """Return a bound of P(-width < Y <= 0, not all terms 0).

    Given the others, a term that is not 0 has a density of at most the peak of its half-law's.
    """
    total = 0.0
    for term in terms:
        peak = math.exp(term.half.log_peak(0.0))
        sides = [width / abs(scale) for scale in (term.first, term.second) if scale]
        total += term.count * peak * sum(sides) / 2
    return total


def integral_over_norm(
    dimension: int, reach: float, bias: Summand, t: float
) -> tuple[float, float]:
    """Return (P(A X + reach |g| <= t), bound on its error), g standard normal in R^dimension.

    The density of |g|, 2^(1 - d/2) / Gamma(d/2) x^(d-1) e^(-x^2/2), times P(A X <= t - reach x).

    Args:
        dimension: d.
        reach: factor of the norm.
        bias: A X.
        t: the threshold.
    """
    log_constant = (1 - dimension / 2) * math.log(2) - math.lgamma(dimension / 2)
    cdf_bound = bias.half.log_bounds()[1]

    def integrand(x: np.ndarray) -> np.ndarray:
        log_pdf = log_constant + scipy.special.xlogy(dimension - 1, x) - x * x / 2
        return np.exp(log_pdf) * _below(bias, t - reach * x)

    def log_bound(middle: np.ndarray, radius: np.ndarray) -> np.ndarray:
        across, up = radius * panels.REACH, radius * panels.HEIGHT
        decay = (np.maximum(middle - across, 0) ** 2 - up**2) / 2
        growth = (dimension - 1) * np.log(middle + across)
        return log_constant + growth - decay + np.logaddexp(cdf_bound, 0.0)

    stop = math.sqrt(dimension) + 38.0
    breaks = [*np.arange(0.0, stop, panels.PANEL)]
    for scale in (bias.first, bias.second):
        breaks += [(t - scale * x) / reach for x in panels.landmarks(bias.half.end)]
    value, error = panels.integrate(integrand, stop, breaks, log_bound)
    # The logarithm of the density is a sum of numbers of about d log d.
    return value, error + 4e-16 * dimension * (4 + math.log(dimension)) * value


def _inverse_transform(terms: list[Summand], t: float) -> tuple[float, float]:
    """Return (P(Y <= t), error) by the trapezoidal rule through the saddle point."""
    counts = np.array([term.count for term in terms])

    def log_chernoff(c: np.ndarray) -> np.ndarray:
        """Return log of the bound e^{c t} E e^{-c Y} of P(Y <= t)."""
        s = np.asarray(c, complex)
        return c * t + sum(term.count * np.real(term.log_transform(s)) for term in terms)

    scale = math.sqrt(sum(term.count * (term.first**2 + term.second**2) for term in terms))
    minimum: Any = scipy.optimize.minimize_scalar(
        lambda x: float(log_chernoff(np.exp(x))) - x,
        bounds=(math.log(1e-4 / scale), math.log(1e12 / scale)),
        method="bounded",
    )
    c = math.exp(minimum.x)
    level = float(log_chernoff(np.asarray(c)))
    if level < -690:
        return 0.0, math.exp(level)
    width = _DIGITS - level
    step = 2 * math.pi * c / width
    # Copies at t + 2 pi k / step: to the right P <= 1; to the left P <= Chernoff with any c'.
    others = c * np.linspace(1.0, 6.0, 101)[1:]
    left = float(np.min(log_chernoff(others) - (others - c) * (width / c)))
    wrapped = math.exp(-width) / (1 - math.exp(-width)) + 2 * math.exp(min(left, 0.0))

    at_c = np.array([float(np.real(term.log_transform(np.asarray(c + 0j)))) for term in terms])
    decay = np.array([np.inf if term.normal else term.log_decay(c) for term in terms])
    normal = sum(term.count * term.first**2 for term in terms if term.normal)

    def cut_off(stop: float) -> float:
        """Return a bound on what the integral holds beyond `stop`."""
        falling = decay - math.log(stop) < at_c
        power = int(counts[falling].sum())
        size = c * t + float((counts * np.where(falling, decay - math.log(stop), at_c)).sum())
        size -= normal * stop**2 / 2
        powers = power + normal * stop**2
        return math.exp(min(size, 50.0)) / (math.pi * powers) if powers else math.inf

    goal = 1e-13 * math.exp(level)
    nodes = 256
    while nodes < _MOST_NODES and cut_off(nodes * step) > goal:
        nodes *= 2
    total = size = 0.0
    for start in range(0, nodes + 1, _CHUNK):
        k = np.arange(start, min(start + _CHUNK, nodes + 1))
        s = c + 1j * step * k
        logs = s * t + sum(term.count * term.log_transform(s) for term in terms)
        values = (np.exp(logs) / s).real * np.where(k == 0, 0.5, 1.0)
        total, size = total + float(values.sum()), size + float(np.abs(values).sum())
    value = step / math.pi * total
    # Each logarithm is wrong by a few units in the last place, each copy multiplies that.
    rounding = step / math.pi * size * 4e-16 * (16 + abs(level) + int(counts.sum()))
    return min(max(value, 0.0), 1.0), wrapped + cut_off(nodes * step) + rounding
