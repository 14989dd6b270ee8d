"""The parabola: a problem without realizable target whose optimal risk is known in closed form.

Let X be uniform on an interval of half length H, f(x) = alpha x^2 plus an affine function, beta the
slope of f at the middle, and the loss squared. A ReLU network with one hidden layer of m neurons is
continuous and piecewise linear with at most m kinks, hence m + 1 pieces. On an interval of length h
the best affine fit of alpha x^2 has the error alpha^2 h^5 / 180 in the integral of the square, and
sum h_i^5 is least for equal h_i, so that

    inf L >= alpha^2 / (2 H) (m + 1) (2 H / (m + 1))^5 / 180 = 4 alpha^2 H^4 / (45 (m + 1)^4).

The optimal pieces meet, since their residuals are alpha h^2 / 6 at both ends, and slopes jump
by 2 alpha h. m neurons with all kinks inside, s of them left-facing, make the function if its first
slope is minus the sum of s jumps. The first slope is beta - alpha m h: the bound is attained if
s = m / 2 - beta / (2 alpha h) is one of 0, 1, ..., m, thus for even m and beta = 0. In general m
neurons make every continuous piecewise linear function with m - 1 inner kinks (the first slope
takes one neuron), whence inf L <= 4 alpha^2 H^4 / (45 m^4).

One neuron is known exactly, too. Scaled to [-1, 1] and alpha = 1, the target is u^2 + q u with
q = beta / (alpha H), and c + v relu(u - t), h = 1 - t, fitted by least squares in c and v, leaves

    L(h) = 1/5 + q^2/3 - G(h) / 2,  G(h) = ( 4/27 - 2/3 h c(h) + 2 h c(h)^2 ) / ( 2/3 - h/4 ),
    c(h) = (1 + q) / 2 - (1/3 + q/6) h + h^2 / 12;

the zeros of G' in [0, 2] are those of a polynomial. relu(t - u) is its mirror image, q -> -q.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial

from jaxsim.network.network import Network
from jaxsim.optimum.bracket import Bracket
from jaxsim.problem.input_laws import UniformLaw
from jaxsim.problem.problem import Problem

EPS = float(np.finfo(float).eps)
STEEPEST = 100.0
"""Largest |q| for which the level of one neuron is computed: its terms grow as q^2 and cancel."""


@dataclass(frozen=True)
class Parabola:
    """A parabola with X uniform on an interval, the squared loss, and 1-m-1 ReLU networks.

    Attributes:
        alpha: coefficient of x^2.
        slope: beta, of the target at the middle of the interval.
        half: half length H of the interval.
        noise: variance of Y given X.

    Example:
        >>> [round(Parabola().lower(m), 9) for m in (0, 1, 2, 4)]
        [0.088888889, 0.056317787, 0.001097394, 0.000142222]
    """

    alpha: float = 1.0
    slope: float = 0.0
    half: float = 1.0
    noise: float = 0.0

    def lower(self, m: int) -> float:
        """Return a lower bound of the true risk of all networks with m neurons.

        It is the infimum for m = 0, but for rounding for m = 1, and where `bracket` is one value.
        """
        q = self.slope / (self.alpha * self.half)
        if m == 0:
            return self.noise + self._scale * 4 / 45 + (self.slope * self.half) ** 2 / 3
        if m == 1 and abs(q) <= STEEPEST:
            rounding = 64 * EPS * (1 + q**2)
            level = min(_one_neuron(q), _one_neuron(-q)) - rounding
            return max(self.noise + self._scale * level, self._free_knots(1))
        return self._free_knots(m)

    def bracket(self, m: int) -> Bracket:
        """Return the bracket of the infimum over all networks with m neurons."""
        q = self.slope / (self.alpha * self.half)
        left_facing = m / 2 - q * (m + 1) / 4
        attained = abs(left_facing - round(left_facing)) < 1e-12 * (m + 1)
        reason = f"closed form for a parabola and {m} ReLU {'neuron' if m == 1 else 'neurons'}"
        if attained and 0 <= round(left_facing) <= m:
            return Bracket.of(self._free_knots(m), self._free_knots(m), reason)
        lower = self.lower(m)
        if m == 1 and abs(q) <= STEEPEST:
            return Bracket.of(lower, lower + self._scale * 128 * EPS * (1 + q**2), reason)
        reason = f"free-knot linear fits of a parabola with {m} and {m - 1} kinks"
        return Bracket.of(lower, self._free_knots(m - 1), reason)

    @property
    def representable(self) -> bool:
        """Whether float64 holds what the closed form is made of."""
        with np.errstate(all="ignore"):
            alpha, half = np.float64(self.alpha), np.float64(self.half)
            scale, q = alpha**2 * half**4, self.slope / (alpha * half)
            return bool(0 < scale < np.inf and np.isfinite(q**2) and np.isfinite(self.slope * half))

    @property
    def _scale(self) -> float:
        return self.alpha**2 * self.half**4

    def _free_knots(self, kinks: int) -> float:
        return self.noise + 4 * self._scale / (45 * (kinks + 1) ** 4)


def _one_neuron(q: float) -> float:
    """Return the least risk of c + v relu(u - t) for u^2 + q u, u uniform on [-1, 1]."""
    h = Polynomial([0.0, 1.0])
    c = (1 + q) / 2 - (1 / 3 + q / 6) * h + h**2 / 12
    above, below = 4 / 27 - h * c * (2 / 3) + 2 * h * c**2, 2 / 3 - h / 4
    zeros = (above.deriv() * below - above * below.deriv()).roots()
    # Roots that rounding moved off the real axis or the interval cost only a second-order error.
    places = [0.0, 2.0, *(float(min(max(z.real, 0.0), 2.0)) for z in zeros)]
    return 1 / 5 + q**2 / 3 - max(float(above(p) / below(p)) for p in places) / 2


def parabola_of(problem: Problem, network: Network) -> Parabola | None:
    """Return the parabola that problem and network are about, None if it is another problem.

    That is: X uniform on an interval, f a polynomial of degree 2, squared loss, and a ReLU network
    1-m-1 with all biases and nothing frozen.
    """
    if not isinstance(problem.law, UniformLaw) or problem.law.dimension != 1:
        return None
    if problem.loss.name != "squared" or not network.fully_connected or network.outputs != 1:
        return None
    activation = network.activation
    if len(network.hidden) != 1 or activation is None or activation.name != "relu":
        return None
    if not network.trainable.all() or any(s.biases is None for s in network.layer_specs):
        return None
    support = problem.law.support
    pieces = problem.target.pieces(support.low[0], support.high[0])
    if pieces.polynomial is None or len(pieces.polynomial) != 3:
        return None
    _, linear, alpha = pieces.polynomial
    half = (support.high[0] - support.low[0]) / 2
    middle = (support.high[0] + support.low[0]) / 2
    slope = linear + 2 * alpha * middle
    if abs(slope) <= 1e-14 * (abs(linear) + 2 * abs(alpha * middle)):
        slope = 0.0
    parabola = Parabola(float(alpha), float(slope), float(half), float(problem.noise.variance))
    return parabola if parabola.representable else None
