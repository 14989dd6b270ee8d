"""What a formula can be on an interval: enclosures of its values and of its Taylor coefficients.

Every node of the formula becomes intervals [low, high] with rounding outwards, one for each panel
(a box of inputs) and each order k = 0, ..., K,

    f^(k)(x) / k!  is in  [low_k, high_k]  for all x in the panel,

by interval arithmetic (Moore, Kearfott, Cloud 2009, "Introduction to interval analysis", chapters
5 and 9; recurrences of Taylor coefficients: Griewank and Walther 2008, table 13.2). So nothing that
a formula does between two points stays unseen: neither poles nor narrow peaks. What is not known is
[-inf, inf]. In several variables there is order 0 only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxsim.problem.expression import Apply, Node, Number, Variable, evaluate
from jaxsim.problem.interval_arithmetic import (
    ARITHMETIC,
    Enclosure,
    exp,
    log,
    multiply,
    real_power,
    square,
    whole_power,
)


def enclose(
    node: Node,
    low: np.ndarray,
    high: np.ndarray,
    order: int = 0,
    decided: bool = False,
) -> Enclosure:
    """Return enclosures of a node on panels.

    Args:
        node: of an expression.
        low: lower ends of the panels [d, n].
        high: upper ends [d, n].
        order: K; more than 0 for one variable only.
        decided: whether no argument of abs, max, where, ... changes its sign inside of a panel, so
            that the middle of the panel decides which branch holds on all of it.

    Example:
        >>> from jaxsim.problem.expression import parse_expression
        >>> (node,) = parse_expression("x**2 - 1", 1).nodes
        >>> found = enclose(node, np.array([[-1.0]]), np.array([[2.0]]))
        >>> bool(found.low[0, 0] <= -1), bool(3 <= found.high[0, 0] < 3.0001)
        (True, True)
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    assert order == 0 or len(low) == 1
    with np.errstate(all="ignore"):
        return _Rules(low, high, order, decided).of(node)


class _Rules:
    """Enclosures of the nodes of one expression; each node is looked at once."""

    def __init__(self, low: np.ndarray, high: np.ndarray, order: int, decided: bool) -> None:
        self.low, self.high, self.order, self.decided = low, high, order, decided
        self.panels = low.shape[1]
        self.middle = [low_i / 2 + high_i / 2 for low_i, high_i in zip(low, high, strict=True)]
        self.known: dict[int, tuple[Node, Enclosure]] = {}
        self.values: dict[int, np.ndarray] = {}

    def of(self, node: Node) -> Enclosure:
        if isinstance(node, Number):
            return self.constant(node.value)
        if id(node) not in self.known:
            self.known[id(node)] = node, self._find(node)
        return self.known[id(node)][1]

    def _find(self, node: Node) -> Enclosure:
        if isinstance(node, Variable):
            enclosure = self.constant(0.0).with_range(self.low[node.index], self.high[node.index])
            if self.order:
                enclosure.low[1] = enclosure.high[1] = 1.0
            return enclosure
        assert isinstance(node, Apply)
        if node.name in SELECTIONS:
            return SELECTIONS[node.name](self, node.arguments)
        if node.name == "**":
            return self._power(*node.arguments)
        parts = [self.of(a) for a in node.arguments]
        if node.name == "*" and node.arguments[0] == node.arguments[1]:
            return square(parts[0])
        return ARITHMETIC[node.name](*parts)

    def constant(self, value: float) -> Enclosure:
        array = np.zeros((self.order + 1, self.panels))
        array[0] = value
        return Enclosure(array, array.copy())

    def _power(self, base: Node, exponent: Node) -> Enclosure:
        if isinstance(exponent, Number) and exponent.value.is_integer():
            return whole_power(self.of(base), int(exponent.value))
        if isinstance(exponent, Number):
            return real_power(self.of(base), exponent.value)
        return exp(multiply(self.of(exponent), log(self.of(base))))

    def sign(self, node: Node) -> tuple[np.ndarray, np.ndarray]:
        """Return bounds (low, high) of the sign of a node on every panel."""
        enclosure = self.of(node)
        low, high = np.sign(enclosure.low[0]), np.sign(enclosure.high[0])
        if self.decided:
            if id(node) not in self.values:
                value = evaluate(node, self.middle, np)
                self.values[id(node)] = np.broadcast_to(np.sign(value), low.shape)
            middle = self.values[id(node)]
            unsure = (low != high) & np.isfinite(middle)
            low, high = np.where(unsure, middle, low), np.where(unsure, middle, high)
        return low, high

    def select(self, node: Node, below: Node, equal: Node, above: Node) -> Enclosure:
        """Return the enclosure of below, equal or above, as the node is < 0, 0 or > 0."""
        low, high = self.sign(node)
        parts = [self.of(n) for n in (below, equal, above)]
        possible = [low < 0, (low <= 0) & (high >= 0), high > 0]
        # Across a change of sign between branches there are no derivatives.
        several = (possible[0] & possible[2] & (below != above)) | (
            possible[1] & (possible[0] & (equal != below) | possible[2] & (equal != above))
        )
        lows = [np.where(p, e.low, np.inf) for p, e in zip(possible, parts, strict=True)]
        highs = [np.where(p, e.high, -np.inf) for p, e in zip(possible, parts, strict=True)]
        least, most = np.minimum.reduce(lows), np.maximum.reduce(highs)
        least[1:, several], most[1:, several] = -np.inf, np.inf
        return Enclosure(least, most)


_ZERO, _ONE, _MINUS = Number(0.0), Number(1.0), Number(-1.0)
_Arguments = tuple[Node, ...]
_Selection = Callable[[_Rules, _Arguments], Enclosure]


def _by_sign(below: Node, equal: Node, above: Node) -> _Selection:
    return lambda rules, a: rules.select(a[0], below, equal, above)


def _by_order(below: Node, equal: Node, above: Node) -> _Selection:
    return lambda rules, a: rules.select(Apply("-", a), below, equal, above)


def _extreme(rules: _Rules, arguments: _Arguments, largest: bool) -> Enclosure:
    """Return the maximum or minimum of several nodes, with a range as sharp as theirs."""
    if len(arguments) == 1:
        return rules.of(arguments[0])
    name, half = "max" if largest else "min", len(arguments) // 2
    parts = arguments[:half], arguments[half:]
    first, last = (p[0] if len(p) == 1 else Apply(name, p) for p in parts)
    difference = Apply("-", (first, last))
    chosen = (last, last, first) if largest else (first, first, last)
    chosen_side = rules.select(difference, *chosen)
    a, b = rules.of(first), rules.of(last)
    pick = np.maximum if largest else np.minimum
    low = np.maximum(chosen_side.low[0], pick(a.low[0], b.low[0]))
    high = np.minimum(chosen_side.high[0], pick(a.high[0], b.high[0]))
    return chosen_side.with_range(low, high)


def _absolute(rules: _Rules, arguments: _Arguments) -> Enclosure:
    (a,) = arguments
    enclosure = rules.select(a, Apply("negative", (a,)), a, a)
    inner = rules.of(a)
    inside = (inner.low[0] <= 0) & (inner.high[0] >= 0)
    ends = np.abs(inner.low[0]), np.abs(inner.high[0])
    return enclosure.with_range(np.where(inside, 0.0, np.minimum(*ends)), np.maximum(*ends))


def _relu(rules: _Rules, arguments: _Arguments) -> Enclosure:
    (a,) = arguments
    enclosure = rules.select(a, _ZERO, _ZERO, a)
    inner = rules.of(a)
    high = np.minimum(enclosure.high[0], np.maximum(inner.high[0], 0.0))
    return enclosure.with_range(np.minimum(np.maximum(inner.low[0], 0.0), high), high)


def _clip(rules: _Rules, arguments: _Arguments) -> Enclosure:
    a, low, high = arguments
    return rules.of(Apply("min", (Apply("max", (a, low)), high)))


SELECTIONS: dict[str, _Selection] = {
    "abs": _absolute,
    "clip": _clip,
    "max": lambda rules, a: _extreme(rules, a, True),
    "min": lambda rules, a: _extreme(rules, a, False),
    "relu": _relu,
    "sign": _by_sign(_MINUS, _ZERO, _ONE),
    "step": _by_sign(_ZERO, _ONE, _ONE),
    "heaviside": _by_sign(_ZERO, _ONE, _ONE),
    "where": lambda rules, a: rules.select(a[0], a[1], a[2], a[1]),
    "<": _by_order(_ONE, _ZERO, _ZERO),
    "<=": _by_order(_ONE, _ONE, _ZERO),
    ">": _by_order(_ZERO, _ZERO, _ONE),
    ">=": _by_order(_ZERO, _ONE, _ONE),
    "==": _by_order(_ZERO, _ONE, _ZERO),
    "!=": _by_order(_ONE, _ZERO, _ONE),
}
