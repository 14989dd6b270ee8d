"""Formulas that are sums of ReLU ridge functions, f(x) = sum_k u_k (w_k.x + b_k)+ + c.

relu, abs, max and min of two, clip and where of affine functions, their sums, differences and
multiples; an affine part v is v+ - (-v)+. These are networks with one hidden layer, written as
text, whose risks with normal inputs have a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxsim.problem.expression import Apply, Expression, Node, Number, Variable


class ReluSum(NamedTuple):
    """A sum of ridge functions.

    Attributes:
        weights: w [d, terms].
        biases: b [terms].
        outer: u [terms, outputs].
        constant: c [outputs].
    """

    weights: np.ndarray
    biases: np.ndarray
    outer: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True)
class _Sum:
    """affine.(x, 1) + sum_k factor_k (ridge_k.(x, 1))+ of one output.

    Numbers are float64, or fractions in arrays of objects, where nothing is to be rounded.

    Attributes:
        affine: slopes and offset [d + 1].
        ridges: pairs (factor, slopes and offset [d + 1]).
    """

    affine: np.ndarray
    ridges: tuple[tuple[Any, np.ndarray], ...] = ()

    def __add__(self, other: _Sum) -> _Sum:
        return _Sum(self.affine + other.affine, self.ridges + other.ridges)

    def times(self, factor: Any) -> _Sum:
        return _Sum(factor * self.affine, tuple((factor * u, w) for u, w in self.ridges))

    @property
    def number(self) -> Any:
        """Its value if it is constant, else None."""
        constant = not self.ridges and not self.affine[:-1].any()
        if not constant:
            return None
        number = self.affine[-1]
        return number if self.affine.dtype == object else float(number)


def relu_sum(expression: Expression) -> ReluSum | None:
    """Return an expression as a sum of ridge functions, None if it is not written as one.

    Example:
        >>> from jaxsim.problem.expression import parse_expression
        >>> found = relu_sum(parse_expression("2*relu(x1 - x2) + 1", 2))
        >>> found.weights.T.tolist(), found.outer.tolist(), found.constant.tolist()
        ([[1.0, -1.0]], [[2.0]], [1.0])
        >>> relu_sum(parse_expression("x1 * x2", 2)) is None
        True
    """
    d, terms = expression.dimension, []
    unit = np.eye(d + 1)
    constant = np.zeros(expression.outputs)
    for output, node in enumerate(expression.nodes):
        found = _sum_of(node, unit)
        if found is None:
            return None
        constant[output] = found.affine[-1]
        slopes = np.append(found.affine[:-1], 0.0)
        linear = ((1.0, slopes), (-1.0, -slopes)) if slopes.any() else ()
        terms += [(output, u, w) for u, w in (*found.ridges, *linear)]
    outer = np.zeros((len(terms), expression.outputs))
    for row, (output, factor, _) in enumerate(terms):
        outer[row, output] = factor
    ridges = np.array([w for _, _, w in terms]).reshape(len(terms), d + 1).T
    found_sum = ReluSum(ridges[:-1], ridges[-1], outer, constant)
    return found_sum if all(np.isfinite(a).all() for a in found_sum) else None


def exact_terms(expression: Expression) -> tuple[list[tuple[int, Fraction, Any]], list[Any]] | None:
    """Return a sum's (terms (output, factor, (w, b) [d + 1]), constants), in fractions.

    None if the expression is not written as such a sum.
    """
    d, terms, constants = expression.dimension, [], []
    unit = np.array([[Fraction(int(i == j)) for j in range(d + 1)] for i in range(d + 1)])
    for output, node in enumerate(expression.nodes):
        try:
            found = _sum_of(node, unit)
        except (OverflowError, ValueError):  # infinite or undefined numbers are no fractions
            return None
        if found is None:
            return None
        constants.append(found.affine[-1])
        slopes = found.affine * (1 - unit[-1])
        linear = ((Fraction(1), slopes), (Fraction(-1), -slopes)) if slopes.any() else ()
        terms += [(output, u, w) for u, w in (*found.ridges, *linear)]
    return terms, constants


def _sum_of(node: Node, unit: np.ndarray) -> _Sum | None:
    if isinstance(node, Number):
        exact = unit.dtype == object
        return _Sum((Fraction(node.value) if exact else node.value) * unit[-1])
    if isinstance(node, Variable):
        return _Sum(unit[node.index])
    if node.name == "where":
        return _where(node, unit)
    parts = [_sum_of(a, unit) for a in node.arguments]
    known = [p for p in parts if p is not None]
    if len(known) < len(parts):
        return None
    match node.name, known:
        case "+", [a, b]:
            return a + b
        case "-", [a, b]:
            return a + b.times(-1)
        case "negative", [a]:
            return a.times(-1)
        case "*", [a, b] if a.number is not None:
            return b.times(a.number)
        case "*" | "/", [a, b] if b.number:
            return a.times(b.number if node.name == "*" else 1 / b.number)
        case "**", [a, b] if b.number == 1:
            return a
        case "relu", [a]:
            return _positive(a)
        case "abs", [a]:
            return _combined((1, _positive(a)), (1, _positive(a.times(-1))))
        case "max", [a, b]:
            return _combined((1, b), (1, _positive(a + b.times(-1))))
        case "min", [a, b]:
            return _combined((1, b), (-1, _positive(b + a.times(-1))))
        case "clip", [a, low, high] if _ordered(low, high):
            above = _positive(a + high.times(-1))
            return _combined((1, low), (1, _positive(a + low.times(-1))), (-1, above))
    return None


def _ordered(low: _Sum, high: _Sum) -> bool:
    a, b = low.number, high.number
    return a is not None and b is not None and a <= b


def _positive(a: _Sum) -> _Sum | None:
    """Return a+ of an affine function."""
    if a.ridges:
        return None
    number = a.number
    zero = np.zeros_like(a.affine)
    if number is not None:
        if number > 0:
            zero[-1] = number
        return _Sum(zero)
    return _Sum(zero, ((1, a.affine),))


def _combined(*terms: tuple[Any, _Sum | None]) -> _Sum | None:
    total: _Sum | None = None
    for factor, part in terms:
        if part is None:
            return None
        total = part.times(factor) if total is None else total + part.times(factor)
    return total


def _where(node: Apply, unit: np.ndarray) -> _Sum | None:
    """Return where(a > b, s, t) = t + k (a - b)+ if s - t = k (a - b) is affine."""
    condition, *branches = node.arguments
    chosen, other = (_sum_of(b, unit) for b in branches)
    if not (isinstance(condition, Apply) and condition.name in ("<", "<=", ">", ">=")):
        return None
    sides = [_sum_of(a, unit) for a in condition.arguments]
    if chosen is None or other is None or sides[0] is None or sides[1] is None:
        return None
    above = sides[0] + sides[1].times(-1)
    above = above if condition.name in (">", ">=") else above.times(-1)
    rise = chosen + other.times(-1)
    if above.ridges or rise.ridges or above.number is not None:
        return None
    largest = int(np.argmax(np.abs(above.affine)))
    factor = rise.affine[largest] / above.affine[largest]
    factor = factor if unit.dtype == object else float(factor)
    if not np.array_equal(factor * above.affine, rise.affine):
        return None
    return _combined((1, other), (factor, _positive(above)))
