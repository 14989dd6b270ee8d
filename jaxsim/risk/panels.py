"""Panels of an interval on which a target is nearly a polynomial, found once per problem.

On a panel of half-width r a function differs from a polynomial of degree m - 1, the interpolating
one in Chebyshev points, by at most

    2 (r / 2)^m  max |f^(m) / m!|,

which interval arithmetic bounds (see `problem.intervals`). Panels are halved where the probability
of the panel times this bound is largest, until the total is negligible or there are too many; so a
narrow feature cannot hide between nodes. What is left is each panel's `doubt`. Targets of the
user's own show no more than their values: there the bound is an estimate from many samples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.problem.expression import Apply, Node
from jaxsim.problem.growth import NEARLY_ONE, Growth, growth_near, loss_growth
from jaxsim.problem.intervals import enclose
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import ExpressionTarget, Target
from jaxsim.risk.integral import Line
from jaxsim.risk.target_error import TargetError

ORDER = 12
"""Taylor coefficient behind the bound: polynomials of degree 11, whose squares QK15 integrates."""
MOST_PANELS = 1024
"""Panels at the most, those that were asked for included."""
TOLERANCE = 1e-9
"""Mean doubt, as a share of the root mean square of the target, that is negligible."""
_SAMPLED = 1e-7
_MOST_SAMPLED = 256
_ROUNDS = 64
_MOST_WORK = 12_000
"""Operations of the formula times rounds of halving."""
_MOST_SINGULAR = 64
_NEAR = 1e-6
"""Share of the interval around a point of growth where estimates stand in for enclosures."""
_COARSE, _FINE = 512, 48


class Panels(NamedTuple):
    """Panels with what is not known of the target on each.

    Attributes:
        edges: ends of all panels, increasing [n + 1].
        doubt: bounds on the distance of each output to a polynomial of degree 11 [n, outputs];
            infinite where the risk could be.
        growth: points near which the target grows without bound.
        enclosed: whether the doubts come from enclosures, which see kinks and jumps, too.
    """

    edges: np.ndarray
    doubt: np.ndarray
    growth: tuple[Growth, ...]
    enclosed: bool

    @property
    def inner(self) -> tuple[float, ...]:
        """The edges between panels."""
        return tuple(float(t) for t in self.edges[1:-1])

    def at(self, x: Array) -> Array:
        """Return the doubts [..., outputs] of the panels that hold the points x [...]."""
        place = jnp.searchsorted(jnp.asarray(self.edges[1:-1], x.dtype), x)
        return jnp.asarray(self.doubt, x.dtype)[place]

    @property
    def singular(self) -> bool:
        """Whether the target may be infinite at an end of a panel."""
        return bool(self.growth) or not np.isfinite(self.doubt).all()

    def with_doubt(self, error: TargetError | None) -> TargetError | None:
        """Return bounds of the target's errors that hold what panels leave open, too.

        Twice the doubt: once for the target's distance to a polynomial at the nodes of a rule, once
        for its distance between them.
        """
        if not self.doubt.any():
            return error

        def both(x: Array, x_error: Array) -> Array:
            doubt = 2 * self.at(x[:, 0])
            return doubt if error is None else doubt + error(x, x_error)

        return both


def target_panels(problem: Problem, line: Line, start: tuple[float, ...]) -> Panels:
    """Return panels that resolve the target of a problem with one input.

    Args:
        problem: with a target that is no piecewise polynomial, or one of a high degree.
        line: law of the input.
        start: inner edges to begin with, among them all points where the target is not smooth.
    """
    return _found(problem, line.low, line.high, line.density is not None, tuple(start))


@lru_cache(maxsize=64)
def _found(
    problem: Problem, low: float, high: float, weighted: bool, start: tuple[float, ...]
) -> Panels:
    from jaxsim.risk.line import line_of

    line = line_of(problem.law)
    assert line is not None
    target = problem.target
    edges = np.unique([low, *start, high])
    with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
        if isinstance(target, ExpressionTarget):
            decided = target.pieces(low, high).complete
            nodes = target.expression.nodes
            work = sum(_count(node, set()) for node in nodes)

            def doubts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
                return np.stack([_doubt(node, a, b, decided) for node in nodes], axis=-1)

            rounds = min(_ROUNDS, max(4, _MOST_WORK // max(work, 1)))
            edges, doubt = _halve(line, target, edges, doubts, TOLERANCE, MOST_PANELS, rounds)
            return _with_growth(problem, line, edges, doubt)

        def sampled(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return _sampled_doubt(target, a, b, high - low)

        most = max(_MOST_SAMPLED, len(edges) - 1)
        edges, doubt = _halve(line, target, edges, sampled, _SAMPLED, most, 24)
        return Panels(edges, doubt, (), False)


def degree_known(degree: int | None) -> bool:
    """Return whether a target's pieces are polynomials that need no panels of their own."""
    return degree is not None and degree < ORDER


def _count(node: Node, seen: set[int]) -> int:
    """Return the number of operations of a formula."""
    if not isinstance(node, Apply) or id(node) in seen:
        return 0
    seen.add(id(node))
    return 1 + sum(_count(a, seen) for a in node.arguments)


def _doubt(node: Node, a: np.ndarray, b: np.ndarray, decided: bool) -> np.ndarray:
    """Return bounds on the distance of one output to a polynomial on the panels [a, b]."""
    enclosure = enclose(node, a[None], b[None], ORDER, decided)
    orders = np.arange(1, ORDER + 1)[:, None]
    bounds = 2 * ((b - a) / 4) ** orders * enclosure.size[1:]
    spread = enclosure.high[0] - enclosure.low[0]
    best = np.fmin.reduce([*bounds, spread])
    return np.where(np.isnan(best), np.inf, best)


def _sampled_doubt(target: Target, a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Return estimates of the same from samples: many on wide panels, fewer on narrow ones."""
    result = np.zeros((len(a), target.outputs))
    wide = b - a > width / 64
    for chosen, count in ((wide, _COARSE), (~wide, _FINE)):
        places = np.flatnonzero(chosen)
        if not places.size:
            continue
        s = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        basis = np.polynomial.chebyshev.chebvander(s, ORDER - 1)
        residue = np.eye(count) - basis @ np.linalg.pinv(basis)
        x = (a + b)[places, None] / 2 + (b - a)[places, None] / 2 * s
        y = _values(target, x.ravel()).reshape(len(places), count, -1)
        off = np.abs(np.einsum("st,pto->pso", residue, y)).max(1)
        # What is rounding of the samples is no doubt.
        off = np.where(off <= 64 * np.finfo(float).eps * np.abs(y).max(1), 0.0, 2 * off)
        result[places] = np.where(np.isnan(off), np.inf, off)
    return result


def _values(target: Target, x: np.ndarray) -> np.ndarray:
    """Return the target at x [n], evaluated in arrays of few different lengths."""
    length = 1 << max(6, (len(x) - 1).bit_length())
    padded = np.concatenate([x, np.repeat(x[-1:], length - len(x))])
    return np.asarray(target(jnp.asarray(padded)[:, None]))[: len(x)]


def _halve(
    line: Line,
    target: Target,
    edges: np.ndarray,
    doubts: Callable[[np.ndarray, np.ndarray], np.ndarray],
    tolerance: float,
    most: int,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges after halving panels where it matters most, and the doubts [n, outputs]."""
    a, b = edges[:-1], edges[1:]
    doubt, size = doubts(a, b), _size(line, target, a, b)
    for _ in range(rounds):
        mass = _mass(line, a, b)
        scale = np.sqrt((mass * size**2)[np.isfinite(size)].sum())
        middle = a + (b - a) / 2
        # The outermost node of a panel lies 1/230 of its width inside of it.
        room = b - a > 2048 * np.spacing(np.maximum(np.abs(a), np.abs(b)))
        share = np.where(room, mass * doubt.max(1), 0.0)
        wrong = np.flatnonzero(share > tolerance * scale / 64)
        left = most - len(a)
        if not wrong.size or left <= 0:
            break
        if wrong.size > left // 2:  # the little that is left goes where it matters most
            wrong = wrong[np.argsort(-share[wrong], kind="stable")][: max(1, left // 2)]
        fresh_a = np.concatenate([a[wrong], middle[wrong]])
        fresh_b = np.concatenate([middle[wrong], b[wrong]])
        keep = np.ones(len(a), bool)
        keep[wrong] = False
        order = np.argsort(np.concatenate([a[keep], fresh_a]))
        doubt = np.concatenate([doubt[keep], doubts(fresh_a, fresh_b)])[order]
        size = np.concatenate([size[keep], _size(line, target, fresh_a, fresh_b)])[order]
        a = np.concatenate([a[keep], fresh_a])[order]
        b = np.concatenate([b[keep], fresh_b])[order]
    return np.concatenate([a, b[-1:]]), doubt


def _mass(line: Line, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return about the probability of panels, rather more."""
    if line.density is None:  # with JAX every number of panels would be a program to compile
        return (b - a) * (1 / (line.high - line.low))
    x = np.stack([a, (a + b) / 2, b])
    return (b - a) * np.asarray(line.weight(jnp.asarray(x))).max(0)


def _size(line: Line, target: Target, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the largest |f| over three inner points of every panel."""
    x = np.stack([a + share * (b - a) for share in (0.21, 0.5, 0.83)])
    return np.abs(_values(target, x.ravel())).max(-1).reshape(3, -1).max(0)


def _with_growth(problem: Problem, line: Line, edges: np.ndarray, doubt: np.ndarray) -> Panels:
    """Replace infinite doubts by estimates where the loss is certainly or probably integrable."""
    degree = loss_growth(problem.loss)
    target = problem.target
    doubt = doubt.copy()
    singular = np.flatnonzero(np.isinf(doubt).any(1))
    reach = _NEAR * (line.high - line.low)
    growths: list[Growth] = []
    if 0 < singular.size <= _MOST_SINGULAR:
        for i in singular:
            a, b = edges[i], edges[i + 1]
            growth = growth_near(
                lambda x: _values(target, x), (a + b) / 2, b - a, line.low, line.high
            )
            growths.append(growth)
            exponent = growth.power(degree)
            if exponent < NEARLY_ONE:
                # Next to the point enclosures may be wide without reason, as those of sin(x) / x.
                near = (edges[1:] > a - reach) & (edges[:-1] < b + reach)
                size = _largest(target, edges[:-1][near], edges[1:][near])
                # The p-th power over a panel next to the point is 1 / (1 - p a) times its size.
                doubt[near] = np.fmin(doubt[near], 2 * (1 - exponent) ** (-1 / degree) * size)
    if line.density is not None:
        _mark_tails(line, target, degree, edges, doubt)
    return Panels(edges, doubt, tuple(growths), True)


def _largest(target: Target, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the largest |f| over eight inner points of panels [n, outputs], infinite for none."""
    s = np.linspace(-0.5, 0.5, 8)
    x = (a + b)[:, None] / 2 + (b - a)[:, None] / 2 * s
    size = np.abs(_values(target, x.ravel())).reshape(len(a), len(s), -1).max(1)
    return np.where(np.isnan(size), np.inf, size)


def _mark_tails(
    line: Line, target: Target, degree: float, edges: np.ndarray, doubt: np.ndarray
) -> None:
    """Set infinite doubts at the ends if the integral still grows where it is cut off."""
    units = np.array([line.low, *line.edges, line.high])
    shares = []
    for a, b in pairwise(units):
        x = np.linspace(a, b, 9)
        size = np.abs(_values(target, x)).max(-1)
        density = np.asarray(line.weight(jnp.asarray(x)))
        shares.append(float(((1 + size) ** degree * density).mean() * (b - a)))
    total = float(np.sum(shares))
    if not shares[0] <= 1e-12 * total:
        doubt[0] = np.inf
    if not shares[-1] <= 1e-12 * total:
        doubt[-1] = np.inf
