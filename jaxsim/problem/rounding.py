"""How far a formula's value in floating-point arithmetic is from its value without rounding.

Running error analysis (Higham 2002, section 3.3) along the formula's tree: every operation adds its
own rounding to what the errors of its arguments become, to the bound of the exact result. Where a
comparison cannot be decided within the errors of what is compared, both branches count.

Constants count as the floats that they are. Functions may err by a few units in the last place,
divisions and powers too: compilers replace them by products.

A value that overflows is infinite. Beside it the error 0 says that the exact value has the same
sign and is at least an eighth of the largest float, which is enough for what divides by it:
1 / (1 + exp(-1000 x)) is 0 far on the left, up to 1e-307.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

from jaxsim.problem.expression import FUNCTIONS, OPERATIONS, Apply, Node, Number, Variable

_FEW = 4
"""Units in the last place by which a function may err."""


class Rounded(NamedTuple):
    """A computed value.

    Attributes:
        value: as floating-point arithmetic gives it.
        error: bound of its distance to the exact value; of an infinite value within formulas 0 if
            the exact one is huge, too.
    """

    value: Any
    error: Any


class _Arithmetic(NamedTuple):
    """What the rules need: a module (numpy or jax.numpy) and facts of the precision."""

    xp: Any
    unit: float
    tiny: float
    largest: float


def with_rounding(node: Node, columns: Sequence[Any], errors: Sequence[Any], xp: Any) -> Rounded:
    """Return the value of a node and a bound on its error.

    Args:
        node: of an expression.
        columns: the coordinates, arrays of one shape.
        errors: bounds of the errors of the coordinates themselves.
        xp: numpy or jax.numpy.

    Returns:
        Arrays or numbers; the error is infinite or not a number where nothing is known.

    Example:
        >>> import numpy as np
        >>> from jaxsim.problem.expression import parse_expression
        >>> (node,) = parse_expression("(x + 10000)**2 - 20000*x - 100000000", 1).nodes
        >>> value, error = with_rounding(node, [np.array([0.1])], [0.0], np)
        >>> bool(abs(value[0] - 0.01) <= error[0] < 1e-6)
        True
    """
    info = xp.finfo(columns[0].dtype)
    arithmetic = _Arithmetic(xp, float(info.eps), float(info.tiny), float(info.max))
    value, error = _follow(node, columns, errors, arithmetic, {})
    return Rounded(value, xp.where(xp.isinf(xp.asarray(value)), xp.inf, error))


def _follow(
    node: Node, columns: Sequence[Any], errors: Sequence[Any], a: _Arithmetic, known: dict
) -> Rounded:
    if isinstance(node, Number):
        return Rounded(node.value, 0.0)
    if isinstance(node, Variable):
        return Rounded(columns[node.index], errors[node.index])
    if id(node) not in known:
        parts = [_follow(n, columns, errors, a, known) for n in node.arguments]
        rule = OPERATIONS[node.name] if node.name in OPERATIONS else FUNCTIONS[node.name]
        value = rule(a.xp, *(p.value for p in parts))
        error = RULES[node.name](a, value, *parts)
        if node.name in ("+", "-"):
            more = a.unit * _regrouped(node)
            error = (
                error + a.xp.where(a.xp.isinf(a.xp.asarray(value)), 0.0, more) if more else error
            )
        known[id(node)] = node, Rounded(value, error)
    return known[id(node)][1]


def _regrouped(node: Apply) -> float:
    """Return the size of the constants of a sum that a compiler may add up first, 0 for one.

    XLA computes (x - c) + d as x + (d - c), whose rounding is that of c, however small x - c is.
    """
    constants: list[float] = []
    stack: list[Node] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, Number):
            constants.append(abs(part.value))
        elif isinstance(part, Apply) and part.name in ("+", "-", "negative"):
            stack += part.arguments
    return sum(constants) if len(constants) > 1 else 0.0


Rule = Callable[..., Any]


def _overflown(a: _Arithmetic, v: Any, surely: Any, error: Any) -> Any:
    """Return the error 0 where a value is infinite and surely huge without rounding, too."""
    return a.xp.where(a.xp.isinf(a.xp.asarray(v)) & surely, 0.0, error)


def _huge(a: _Arithmetic, x: Rounded) -> Any:
    """Return where a value is infinite and surely huge."""
    return a.xp.isinf(a.xp.asarray(x.value)) & (a.xp.asarray(x.error) == 0)


def _sum(a: _Arithmetic, v: Any, x: Rounded, y: Rounded) -> Any:
    xp = a.xp
    error = x.error + y.error + a.unit * xp.abs(v)
    sizes = [xp.abs(p.value) + p.error for p in (x, y)]
    # Few terms in a row can take anything from a huge one that is seen.
    small = [size <= a.largest * 2.0**-30 for size in sizes]
    both = (x.error <= a.largest / 64) & (y.error <= a.largest / 64)
    one, other = _huge(a, x), _huge(a, y)
    surely = (one & (small[1] | other)) | (other & small[0]) | (both & ~one & ~other)
    return _overflown(a, v, surely, error)


def _product(a: _Arithmetic, v: Any, x: Rounded, y: Rounded) -> Any:
    xp = a.xp
    lost = (xp.abs(v) < 2 * a.tiny) & (xp.asarray(x.value) != 0) & (xp.asarray(y.value) != 0)
    moved = xp.abs(x.value) * y.error + xp.abs(y.value) * x.error + x.error * y.error
    error = moved + a.unit * xp.abs(v) + xp.where(lost, a.tiny, 0.0)
    close = [16 * p.error <= xp.abs(p.value) for p in (x, y)]
    large = [xp.abs(p.value) - p.error >= 1 for p in (x, y)]
    one, other = _huge(a, x), _huge(a, y)
    surely = (one & (large[1] | other)) | (other & large[0])
    finite = xp.isfinite(xp.asarray(x.value)) & xp.isfinite(xp.asarray(y.value))
    return _overflown(a, v, surely | (finite & close[0] & close[1]), error)


def _quotient(a: _Arithmetic, v: Any, x: Rounded, y: Rounded) -> Any:
    xp = a.xp
    room = xp.abs(y.value) - y.error
    moved = (x.error + xp.abs(v) * y.error) / xp.where(room > 0, room, 1.0)
    lost = (xp.abs(v) < 2 * a.tiny) & (xp.asarray(x.value) != 0)
    moved = moved + 2 * a.unit * xp.abs(v) + xp.where(lost, a.tiny, 0.0)
    error = xp.where(room > 0, moved, xp.inf)
    by_huge = (xp.abs(x.value) + x.error) / (a.largest / 8) + a.tiny
    return xp.where(_huge(a, y) & xp.isfinite(by_huge), by_huge, error)


def _power(a: _Arithmetic, v: Any, x: Rounded, y: Rounded) -> Any:
    xp = a.xp
    exponent = y.value
    if isinstance(exponent, float) and exponent.is_integer() and exponent >= 0:
        if exponent == 0:
            return 0.0 * xp.abs(v)
        steep = exponent * (xp.abs(x.value) + x.error) ** int(exponent - 1)
        error = steep * x.error + exponent * a.unit * xp.abs(v) + a.tiny * (x.value != 0)
        close = xp.isfinite(xp.asarray(x.value)) & (2 * exponent * x.error <= xp.abs(x.value))
        return _overflown(a, v, _huge(a, x) | close, error)
    # a^b = exp(b log a): the relative error of a and the absolute one of b log a.
    room = xp.abs(x.value) - x.error
    sure = room > 0
    share = x.error / xp.where(sure, room, 1.0)
    logarithm = xp.abs(xp.log(xp.where(sure, xp.abs(x.value), 1.0)))
    growth = xp.abs(exponent) * share + (logarithm + share) * y.error
    counts = 2 * _FEW * (1 + xp.abs(exponent)) * a.unit
    moved = xp.abs(v) * (xp.expm1(growth) + counts) + a.tiny
    # At 0 a root is known to the root of its argument's error.
    root = xp.where(
        (xp.asarray(exponent) > 0) & (xp.asarray(exponent) < 1) & (xp.asarray(y.error) == 0),
        (2 * x.error) ** xp.abs(exponent) + counts * xp.abs(v),
        xp.inf,
    )
    exact = (xp.asarray(x.error) == 0) & (xp.asarray(y.error) == 0) & (xp.asarray(exponent) > 0)
    return xp.where(sure, moved, xp.where(exact, 0.0, root))


def _kept(a: _Arithmetic, v: Any, *parts: Rounded) -> Any:
    """Return the largest error of the arguments, for functions of slope 1 at most."""
    return reduce(a.xp.maximum, (p.error for p in parts))


def _monotone(name: str) -> Rule:
    """Return the rule of a function that increases in every argument, by steps of 1 at most.

    Its values within the errors are extreme at their ends: relu(x) of an x that is certainly
    negative has no error, however large that of x is.
    """
    function = FUNCTIONS[name]

    def rule(a: _Arithmetic, v: Any, *parts: Rounded) -> Any:
        kept = _kept(a, v, *parts)
        # x + error is itself rounded.
        reach = [p.error + 2 * a.unit * a.xp.abs(p.value) for p in parts]
        high, low = (
            function(a.xp, *(p.value + side * r for p, r in zip(parts, reach, strict=True)))
            for side in (1, -1)
        )
        return a.xp.fmin(kept, a.xp.maximum(high - v, v - low))

    return rule


def _undecided(a: _Arithmetic, difference: Any, error: Any) -> Any:
    return (a.xp.abs(difference) <= error) & (a.xp.asarray(error) > 0)


def _compared(a: _Arithmetic, v: Any, x: Rounded, y: Rounded) -> Any:
    difference = a.xp.subtract(x.value, y.value)
    unsure = _undecided(a, difference, x.error + y.error) | a.xp.isnan(difference)
    return a.xp.where(unsure, 1.0, 0.0)


def _stepped(a: _Arithmetic, v: Any, x: Rounded) -> Any:
    return a.xp.where(_undecided(a, x.value, x.error), 1.0, 0.0)


def _signed(a: _Arithmetic, v: Any, x: Rounded) -> Any:
    return a.xp.where(_undecided(a, x.value, x.error), 2.0, 0.0)


def _joined(a: _Arithmetic, v: Any, x: Rounded, y: Rounded) -> Any:
    """Return the error of x and y, which are 0 or 1."""
    xp = a.xp
    moved = xp.abs(x.value) * y.error + xp.abs(y.value) * x.error + x.error * y.error
    return xp.minimum(moved, 1.0)


def _either(a: _Arithmetic, v: Any, x: Rounded, y: Rounded) -> Any:
    return _joined(a, v, Rounded(1 - x.value, x.error), Rounded(1 - y.value, y.error))


def _chosen(a: _Arithmetic, v: Any, c: Rounded, x: Rounded, y: Rounded) -> Any:
    xp = a.xp
    unsure = _undecided(a, c.value, c.error)
    apart = xp.abs(xp.subtract(x.value, y.value))
    sure = xp.where(xp.asarray(c.value) != 0, x.error, y.error)
    return xp.where(unsure, apart + xp.maximum(x.error, y.error), sure)


def _function(
    slope: Callable[[_Arithmetic, Any, Rounded], Any], name: str = "", grows: bool = False
) -> Rule:
    """Return the rule of a function whose value moves by at most slope * error.

    Args:
        slope: bound of the derivative between the exact and the computed argument.
        name: of an increasing function, which is looked at again where that says nothing.
        grows: whether it overflows as the exponential does.
    """

    def rule(a: _Arithmetic, v: Any, x: Rounded) -> Any:
        xp = a.xp
        moved = xp.where(xp.asarray(x.error) == 0, 0.0, slope(a, v, x) * x.error)
        if name:
            reach = x.error + 2 * a.unit * xp.abs(x.value)
            high, low = (FUNCTIONS[name](xp, x.value + side * reach) for side in (1, -1))
            ends = xp.maximum(high - v, v - low) + _FEW * a.unit * (xp.abs(high) + xp.abs(low))
            moved = xp.where(8 * moved <= xp.abs(v), moved, xp.fmin(moved, ends))
        error = moved + _FEW * a.unit * xp.abs(v) + a.tiny
        if not grows:
            return error
        # By a factor of e at most where the argument moves by 1.
        near = xp.isfinite(xp.asarray(x.value)) & (xp.asarray(x.error) <= 1)
        return _overflown(a, v, near | _huge(a, x), error)

    return rule


def _wave(a: _Arithmetic, v: Any, x: Rounded) -> Any:
    return a.xp.minimum(x.error, 2.0) + _FEW * a.unit


def _reciprocal_room(a: _Arithmetic, v: Any, x: Rounded) -> Any:
    room = x.value - x.error
    return a.xp.where(room > 0, 1 / a.xp.where(room > 0, room, 1.0), a.xp.inf)


def _root(a: _Arithmetic, v: Any, x: Rounded) -> Any:
    xp = a.xp
    linear = x.error / xp.where(v > 0, v, 1.0)
    moved = xp.minimum(xp.where(v > 0, linear, xp.inf), xp.sqrt(2 * x.error))
    return moved + a.unit * xp.abs(v)


def _tangent_slope(a: _Arithmetic, v: Any, x: Rounded) -> Any:
    room = a.xp.abs(a.xp.cos(x.value)) - x.error - _FEW * a.unit
    return a.xp.where(room > 0, 1 / a.xp.where(room > 0, room, 1.0) ** 2, a.xp.inf)


RULES: dict[str, Rule] = {
    "+": _sum,
    "-": _sum,
    "*": _product,
    "/": _quotient,
    "**": _power,
    "negative": _kept,
    "<": _compared,
    "<=": _compared,
    ">": _compared,
    ">=": _compared,
    "==": _compared,
    "!=": _compared,
    "and": _joined,
    "or": _either,
    "not": _kept,
    "abs": _kept,
    "relu": _monotone("relu"),
    "min": _monotone("min"),
    "max": _monotone("max"),
    "clip": _monotone("clip"),
    "sign": _signed,
    "step": _stepped,
    "heaviside": _stepped,
    "where": _chosen,
    "sin": _wave,
    "cos": _wave,
    "sqrt": _root,
    "arctan": _function(lambda a, v, x: 1.0, "arctan"),
    "tanh": _function(lambda a, v, x: 1.0, "tanh"),
    "exp": _function(lambda a, v, x: a.xp.abs(v) * a.xp.exp(x.error), "exp", grows=True),
    "log": _function(_reciprocal_room),
    "sinh": _function(lambda a, v, x: a.xp.cosh(a.xp.abs(x.value) + x.error), "sinh", grows=True),
    "cosh": _function(lambda a, v, x: a.xp.sinh(a.xp.abs(x.value) + x.error), grows=True),
    "tan": _function(_tangent_slope),
}
"""(arithmetic, computed value, arguments) -> bound of the error, by the operation's name."""
