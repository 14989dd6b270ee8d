"""Pieces of the nodes of a formula of one variable, with a polynomial in exact arithmetic on each.

abs, relu, sign, step, min, max, clip, where and comparisons cut pieces at the roots of their
arguments. Those of polynomials are all found, for certain (see `roots`); those of other arguments
are looked for on a fine grid, and the answer says that it may be incomplete.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from jaxsim.problem.cuts import MOST_PIECES, Cut, common, distinct, merge_equal, with_edges
from jaxsim.problem.expression import Apply, Node, Number, Variable, evaluate
from jaxsim.problem.polynomials import (
    MOST_BITS,
    Polynomial,
    add,
    divide,
    multiply,
    polynomial,
    power,
    size,
)
from jaxsim.problem.roots import bracketed_root, grid_brackets, sign_changes

HIGHEST_DEGREE = 64
"""Polynomials of a higher degree count as not polynomial."""
MOST_ROOTS = 1024
"""Roots that are looked for in one analysis, so that no formula takes more than seconds."""
MOST_WORK = 2**24
"""Operations on coefficients in one analysis, with the same end."""


class Analysis:
    """The pieces of the nodes of an expression on [a, b]; each node is looked at once.

    Attributes:
        switches: points where some part of the expression changes its branch.
        lost: points between which pieces are narrower than floats can tell.
    """

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b = a, b
        self.roots = 0
        self.work = 0
        self.switches: set[float] = set()
        self.lost: set[float] = set()
        # The node beside its pieces stays alive, so that its id is not used again.
        self.known: dict[int, tuple[Node, Cut]] = {}

    def of(self, node: Node) -> Cut:
        """Return the pieces of a node."""
        if id(node) not in self.known:
            self.known[id(node)] = node, self._find(node)
        return self.known[id(node)][1]

    def _find(self, node: Node) -> Cut:
        if isinstance(node, Number):
            return self._whole(polynomial((node.value,)))
        if isinstance(node, Variable):
            return self._whole(polynomial((0.0, 1.0)))
        return getattr(self, _METHODS.get(node.name, "_smooth"))(node)

    def _whole(self, only: Polynomial | None) -> Cut:
        return Cut((self.a, self.b), (only,))

    def _combine(self, node: Apply, rule: Callable[..., Polynomial | None]) -> Cut:
        """Apply a rule to the arguments' polynomials on every common piece."""
        cuts = self._common([self.of(argument) for argument in node.arguments])
        for parts in zip(*(c.polynomials for c in cuts), strict=True):
            self._count(math.prod(p.degree + 1 for p in parts if p is not None), parts)
        if self.work > MOST_WORK:
            return Cut((self.a, self.b), (None,), False)
        polynomials = tuple(
            rule(*parts) for parts in zip(*(c.polynomials for c in cuts), strict=True)
        )
        return Cut(cuts[0].edges, polynomials, all(c.complete for c in cuts))

    def _common(self, cuts: list[Cut]) -> list[Cut]:
        """Return functions on common pieces; pieces between neighbouring floats are noted."""
        edges = sorted({t for cut in cuts for t in cut.edges[1:-1]})
        kept = distinct(edges, self.a, self.b)
        if len(kept) < len(edges):
            self.lost.update(set(edges) - set(kept))
        return common(cuts)

    def _add(self, node: Apply) -> Cut:
        return self._combine(node, _both(add))

    def _subtract(self, node: Apply) -> Cut:
        return self._combine(node, _both(lambda p, q: add(p, -q)))

    def _multiply(self, node: Apply) -> Cut:
        return self._combine(node, _product)

    def _negative(self, node: Apply) -> Cut:
        return self._combine(node, lambda p: None if p is None else -p)

    def _divide(self, node: Apply) -> Cut:
        _, by = node.arguments
        roots = self._signs(by)

        def quotient(p: Polynomial | None, q: Polynomial | None) -> Polynomial | None:
            if p is None or q is None or q.degree or q == _NOTHING:
                return None
            return _kept(divide(p, q))

        return with_edges(self._combine(node, quotient), roots)

    def _power(self, node: Apply) -> Cut:
        base, exponent = node.arguments
        whole = _whole_exponent(exponent)
        if whole is None:
            cut = with_edges(self._smooth(node), self._signs(base))
            return with_edges(cut, self.of(exponent))

        def raised(p: Polynomial | None, q: Polynomial | None) -> Polynomial | None:
            if p is None or p.degree * whole > HIGHEST_DEGREE or size(p) * whole > MOST_BITS:
                return None
            return _kept(power(p, whole))

        return self._combine(node, raised)

    def _smooth(self, node: Apply) -> Cut:
        """Return the pieces of a function that is smooth inside its domain."""

        def composed(*parts: Polynomial | None) -> Polynomial | None:
            constants = [p.floats() for p in parts if p is not None and p.degree == 0]
            if len(constants) < len(parts):
                return None
            leaves = tuple(Number(c[0]) for c in constants if c is not None)
            value = float(evaluate(Apply(node.name, leaves), [np.zeros(1)], np))
            return polynomial((value,)) if np.isfinite(value) else None

        return self._combine(node, composed)

    def _sqrt(self, node: Apply) -> Cut:
        return with_edges(self._smooth(node), self._signs(node.arguments[0]))

    def _abs(self, node: Apply) -> Cut:
        negative = Apply("negative", node.arguments)
        return self._select(node.arguments[0], negative, negative, node.arguments[0])

    def _relu(self, node: Apply) -> Cut:
        return self._select(node.arguments[0], _ZERO, _ZERO, node.arguments[0])

    def _sign(self, node: Apply) -> Cut:
        return self._select(node.arguments[0], Number(-1.0), _ZERO, _ONE)

    def _step(self, node: Apply) -> Cut:
        return self._select(node.arguments[0], _ZERO, _ONE, _ONE)

    def _min(self, node: Apply) -> Cut:
        a, b = _two(node)
        return self._select(Apply("-", (a, b)), a, a, b)

    def _max(self, node: Apply) -> Cut:
        a, b = _two(node)
        return self._select(Apply("-", (a, b)), b, b, a)

    def _clip(self, node: Apply) -> Cut:
        a, low, high = node.arguments
        return self.of(Apply("min", (Apply("max", (a, low)), high)))

    def _where(self, node: Apply) -> Cut:
        condition, a, b = node.arguments
        return self._select(condition, a, b, a)

    def _not(self, node: Apply) -> Cut:
        return self._select(node.arguments[0], _ZERO, _ONE, _ZERO)

    def _or(self, node: Apply) -> Cut:
        neither = tuple(Apply("not", (c,)) for c in node.arguments)
        return self.of(Apply("not", (Apply("*", neither),)))

    def _compare(self, node: Apply, below: Node, equal: Node, above: Node) -> Cut:
        return self._select(Apply("-", node.arguments), below, equal, above)

    def _less(self, node: Apply) -> Cut:
        return self._compare(node, _ONE, _ZERO, _ZERO)

    def _less_equal(self, node: Apply) -> Cut:
        return self._compare(node, _ONE, _ONE, _ZERO)

    def _greater(self, node: Apply) -> Cut:
        return self._compare(node, _ZERO, _ZERO, _ONE)

    def _greater_equal(self, node: Apply) -> Cut:
        return self._compare(node, _ZERO, _ONE, _ONE)

    def _equal(self, node: Apply) -> Cut:
        return self._compare(node, _ZERO, _ONE, _ZERO)

    def _not_equal(self, node: Apply) -> Cut:
        return self._compare(node, _ONE, _ZERO, _ONE)

    def _select(self, argument: Node, below: Node, equal: Node, above: Node) -> Cut:
        """Return the pieces of below, equal or above, as the argument is < 0, 0 or > 0."""
        signs = self._signs(argument)
        choices = [self.of(n) for n in (below, equal, above)]
        pieces, *parts = self._common([signs, *choices])
        polynomials, used = [], [False] * 3
        for i, sign in enumerate(pieces.polynomials):
            if sign is None:  # nothing is known of which it is
                polynomials.append(None)
                used = [True] * 3
                continue
            chosen = sign.numerators[0] + 1
            used[chosen] = True
            polynomials.append(parts[chosen].polynomials[i])
        complete = signs.complete and all(
            c.complete for c, u in zip(choices, used, strict=True) if u
        )
        return merge_equal(Cut(pieces.edges, tuple(polynomials), complete))

    def _signs(self, node: Node) -> Cut:
        """Return the sign of a node, -1, 0 or 1, on the pieces between its changes of sign."""
        cut = self.of(node)

        def at(x: np.ndarray) -> np.ndarray:
            value = evaluate(node, [np.asarray(x, float)], np)
            return np.broadcast_to(value, np.shape(x))

        edges, signs, complete = [cut.edges[0]], [], cut.complete
        for low, high, exact in zip(cut.edges, cut.edges[1:], cut.polynomials, strict=False):
            if exact is None:
                brackets, complete = grid_brackets(at, low, high), False
                roots = (
                    [] if self._too_many(brackets) else [bracketed_root(at, *t) for t in brackets]
                )
            else:
                self._count(64 * (exact.degree + 1) ** 2, [exact])
                changes = None if self.work > MOST_WORK else sign_changes(exact, low, high)
                complete = complete and changes is not None
                roots = changes or []
                kept = distinct(roots, low, high)
                self.lost.update(roots if len(kept) < len(roots) else ())
                self._too_many(roots)
            inner = distinct(sorted(roots), low, high)
            self.switches.update(inner)
            if self.roots > MOST_ROOTS or len(edges) + len(inner) > MOST_PIECES:
                return Cut((self.a, self.b), (None,), False)
            ends = [low, *inner, high]
            signs += [_sign(at, exact, s, t) for s, t in pairwise(ends)]
            edges += ends[1:]
        return merge_equal(Cut(tuple(edges), tuple(signs), complete))

    def _count(self, operations: int, parts: Iterable[Polynomial | None]) -> None:
        """Note the cost of operations on coefficients, which grows with their length."""
        bits = max((size(p) for p in parts if p is not None), default=0)
        self.work += operations * (1 + bits // 1024)

    def _too_many(self, found: list[Any]) -> bool:
        self.roots += len(found)
        return self.roots > MOST_ROOTS


def _sign(
    function: Callable[[np.ndarray], np.ndarray], exact: Polynomial | None, low: float, high: float
) -> Polynomial | None:
    """Return the sign of a function between two changes of sign, None if it has no value there."""
    # Not the middle: there symmetric functions have more roots than elsewhere.
    probe = low + 0.4142 * (high - low)
    value = (
        np.sign(function(np.array([probe]))[0]) if exact is None else exact.sign_at(Fraction(probe))
    )
    return Polynomial((int(value),), 1) if np.isfinite(value) else None


_NOTHING = Polynomial((0,), 1)
_ZERO = Number(0.0)
_ONE = Number(1.0)
_METHODS = {
    "+": "_add", "-": "_subtract", "*": "_multiply", "/": "_divide", "**": "_power",
    "negative": "_negative", "abs": "_abs", "relu": "_relu", "sign": "_sign",
    "step": "_step", "heaviside": "_step", "min": "_min", "max": "_max", "clip": "_clip",
    "where": "_where", "sqrt": "_sqrt", "log": "_sqrt", "and": "_multiply", "or": "_or",
    "not": "_not", "<": "_less", "<=": "_less_equal", ">": "_greater", ">=": "_greater_equal",
    "==": "_equal", "!=": "_not_equal",
}  # fmt: skip


def _whole_exponent(exponent: Node) -> int | None:
    """Return a constant exponent 0, 1, 2, ... of a power, None for others."""
    if not isinstance(exponent, Number) or exponent.value < 0 or exponent.value % 1:
        return None
    return int(exponent.value)


def _two(node: Apply) -> tuple[Node, Node]:
    """Return min or max of many arguments as one of two, in a shallow tree."""
    middle = len(node.arguments) // 2
    halves = node.arguments[:middle], node.arguments[middle:]
    first, second = (h[0] if len(h) == 1 else Apply(node.name, h) for h in halves)
    return first, second


def _kept(p: Polynomial) -> Polynomial | None:
    """Return a polynomial; None for too high a degree and for coefficients without a float."""
    if p.degree > HIGHEST_DEGREE or size(p) > MOST_BITS or p.floats() is None:
        return None
    return p


def _both(operation: Callable[..., Polynomial]) -> Callable[..., Polynomial | None]:
    return lambda p, q: None if p is None or q is None else _kept(operation(p, q))


def _product(p: Polynomial | None, q: Polynomial | None) -> Polynomial | None:
    if _NOTHING in (p, q):
        return _NOTHING
    if p is None or q is None or p.degree + q.degree > HIGHEST_DEGREE:
        return None
    return _kept(multiply(p, q))
