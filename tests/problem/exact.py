"""Formulas evaluated by mpmath, whose constants are the floats that the parser keeps."""

from functools import reduce

import mpmath

from jaxsim.problem.expression import Number, Variable

_RULES = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a ** int(b) if b == int(b) else mpmath.power(a, b),
    "negative": lambda a: -a,
    "<": lambda a, b: mpmath.mpf(a < b),
    "<=": lambda a, b: mpmath.mpf(a <= b),
    ">": lambda a, b: mpmath.mpf(a > b),
    ">=": lambda a, b: mpmath.mpf(a >= b),
    "==": lambda a, b: mpmath.mpf(a == b),
    "!=": lambda a, b: mpmath.mpf(a != b),
    "and": lambda a, b: a * b,
    "or": lambda a, b: a + b - a * b,
    "not": lambda a: 1 - a,
    "abs": abs,
    "arctan": mpmath.atan,
    "clip": lambda a, low, high: min(max(a, low), high),
    "cos": mpmath.cos,
    "cosh": mpmath.cosh,
    "exp": mpmath.exp,
    "heaviside": lambda a: mpmath.mpf(a >= 0),
    "log": mpmath.log,
    "max": lambda *a: reduce(max, a),
    "min": lambda *a: reduce(min, a),
    "relu": lambda a: max(a, mpmath.mpf(0)),
    "sign": mpmath.sign,
    "sin": mpmath.sin,
    "sinh": mpmath.sinh,
    "sqrt": mpmath.sqrt,
    "step": lambda a: mpmath.mpf(a >= 0),
    "tan": mpmath.tan,
    "tanh": mpmath.tanh,
}


def exact_value(node, x):
    """The value at x (one number, or a sequence of coordinates) in mpmath's working precision."""
    columns = [mpmath.mpf(v) for v in (x if isinstance(x, list | tuple) else [x])]
    if isinstance(node, Number):
        return mpmath.mpf(node.value)
    if isinstance(node, Variable):
        return columns[node.index]
    if node.name == "where":
        condition, a, b = node.arguments
        return exact_value(a if exact_value(condition, columns) != 0 else b, columns)
    return _RULES[node.name](*(exact_value(a, columns) for a in node.arguments))
