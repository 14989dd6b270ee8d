"""Where a formula of one variable is smooth, and where it is a polynomial.

The formula's tree is followed from its leaves: every node becomes a list of pieces of [a, b], each
with a polynomial in exact arithmetic or the statement that it is none (see `node_pieces`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxsim.errors import InputError
from jaxsim.problem.cuts import distinct, merge_equal
from jaxsim.problem.expression import Expression, evaluate
from jaxsim.problem.intervals import enclose
from jaxsim.problem.node_pieces import Analysis

Coefficients = tuple[float, ...]


@dataclass(frozen=True)
class Pieces:
    """Where a function on [a, b] is smooth.

    Attributes:
        breakpoints: inside (a, b), between which it is smooth, increasing.
        degree: the highest degree of its polynomials, None if it is not piecewise polynomial.
        complete: whether all points where it is not smooth are certainly among the breakpoints.
        polynomial: coefficients, ascending, if it is one polynomial with one output.
    """

    breakpoints: tuple[float, ...]
    degree: int | None
    complete: bool
    polynomial: Coefficients | None


def analyze(expression: Expression, a: float, b: float) -> Pieces:
    """Return the pieces of an expression of one variable on [a, b], of all outputs together.

    Raises:
        InputError: for an expression of several variables, or unless a < b.

    Example:
        >>> from jaxsim.problem.expression import parse_expression
        >>> analyze(parse_expression("abs(x - 0.5)", 1), -1.0, 1.0)
        Pieces(breakpoints=(0.5,), degree=1, complete=True, polynomial=None)
    """
    if expression.dimension != 1:
        raise InputError(f"pieces are known in one dimension only, not in {expression.dimension}")
    if not -np.inf < a < b < np.inf:
        raise InputError(f"[{a:g}, {b:g}] is no interval")
    analysis = Analysis(a, b)
    with np.errstate(all="ignore"):
        cuts = [merge_equal(analysis.of(tree)) for tree in expression.nodes]
    points = distinct(sorted(t for cut in cuts for t in cut.edges[1:-1]), a, b)
    polynomials = [p for cut in cuts for p in cut.polynomials]
    known = [p for p in polynomials if p is not None]
    degree = max(p.degree for p in known) if len(known) == len(polynomials) else None
    single = known[0].floats() if len(cuts) == 1 and len(polynomials) == len(known) == 1 else None
    if _hides(expression, analysis):
        return Pieces(points, degree, False, None)
    return Pieces(points, degree, all(cut.complete for cut in cuts), single)


def _hides(expression: Expression, analysis: Analysis) -> bool:
    """Return whether a piece too narrow for floats may hold other values than what is beside it."""
    if not analysis.lost:
        return False
    x = np.array(sorted(analysis.lost))
    reach = 8 * np.finfo(float).eps * np.abs(x) + np.finfo(float).tiny
    low, high = np.maximum(x - reach, analysis.a), np.minimum(x + reach, analysis.b)
    with np.errstate(all="ignore"):
        for node in expression.nodes:
            inside = enclose(node, low[None], high[None])
            at = np.concatenate([low, high, np.linspace(analysis.a, analysis.b, 99)[1:-1]])
            values = np.broadcast_to(evaluate(node, [at], np), at.shape)
            beside, size = values[: 2 * len(x)].reshape(2, -1), np.abs(values)
            slack = 1e-9 * size[np.isfinite(size)].max(initial=0.0)
            fits = inside.low[0] >= beside.min(0) - slack
            fits &= inside.high[0] <= beside.max(0) + slack
            if not fits.all():
                return True
    return False


def places(expression: Expression, a: float, b: float) -> tuple[float, ...]:
    """Return where on (a, b) any part of a formula switches, be its branches equal or not.

    Between them every part is computed by the same operations.

    Example:
        >>> from jaxsim.problem.expression import parse_expression
        >>> places(parse_expression("where(x < 0.5, x + 0, x)", 1), 0.0, 1.0)
        (0.5,)
    """
    analysis = Analysis(a, b)
    with np.errstate(all="ignore"):
        for tree in expression.nodes:
            analysis.of(tree)
    return distinct(sorted(analysis.switches), a, b)
