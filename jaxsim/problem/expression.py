"""Targets written as text: "x**2", "sin(3*x1) + abs(x2)", "where(0 < x < 1, 1, 0)".

The text is parsed by Python's own parser and then translated, node by node, by a list of what is
allowed: nothing is ever evaluated as Python code. What is not on the list is an error.

    numbers, pi, e        the variables x (for d = 1) or x1, ..., xd
    + - * / **            with their usual precedence
    < <= > >= == !=       give 1 or 0, also chained; `and`, `or`, `not` join them; `a if c else b`
    functions             see FUNCTIONS; min and max take two or more arguments,
                          clip(v, low, high), where(condition, a, b)

Conventions: sign(0) = 0, step(0) = heaviside(0) = 1.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.errors import InputError, unknown

MAX_LENGTH = 4000
"""Characters of one expression."""
MAX_DEPTH = 150
"""Nested operations of one expression."""
MAX_EXPONENT = 100
"""Largest modulus of a constant exponent."""


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Variable:
    """The coordinate of x with an index that counts from 0."""

    index: int


@dataclass(frozen=True)
class Apply:
    """An operation or function, by its name in OPERATIONS or FUNCTIONS, applied to arguments."""

    name: str
    arguments: tuple[Node, ...]


Node = Number | Variable | Apply
Rule = Callable[..., Any]


def _power(xp: Any, base: Any, exponent: Any) -> Any:
    if isinstance(exponent, float) and exponent.is_integer():
        return base ** int(exponent)
    return xp.power(base, exponent)


def _truth(xp: Any, value: Any, like: Any) -> Any:
    """Return 0 or 1 in the dtype of the values that were compared."""
    return xp.asarray(value).astype(xp.result_type(*like, xp.float32))


def _comparison(compare: Callable[[Any, Any], Any]) -> Rule:
    return lambda xp, a, b: _truth(xp, compare(a, b), (a, b))


OPERATIONS: dict[str, Rule] = {
    "+": lambda xp, a, b: a + b,
    "-": lambda xp, a, b: a - b,
    "*": lambda xp, a, b: a * b,
    "/": lambda xp, a, b: a / b,
    "**": _power,
    "negative": lambda xp, a: -a,
    "<": _comparison(lambda a, b: a < b),
    "<=": _comparison(lambda a, b: a <= b),
    ">": _comparison(lambda a, b: a > b),
    ">=": _comparison(lambda a, b: a >= b),
    "==": _comparison(lambda a, b: a == b),
    "!=": _comparison(lambda a, b: a != b),
    "and": lambda xp, a, b: a * b,
    "or": lambda xp, a, b: a + b - a * b,
    "not": lambda xp, a: 1 - a,
}
"""Rules (module numpy or jax.numpy, arguments) -> value of the operators."""

LOGICAL = ("<", "<=", ">", ">=", "==", "!=", "and", "or", "not")
"""Operations whose values are 0 and 1."""


def _step(xp: Any, a: Any) -> Any:
    return _truth(xp, a >= 0, (a,))


FUNCTIONS: dict[str, Rule] = {
    "abs": lambda xp, a: xp.abs(a),
    "arctan": lambda xp, a: xp.arctan(a),
    "clip": lambda xp, a, low, high: xp.minimum(xp.maximum(a, low), high),
    "cos": lambda xp, a: xp.cos(a),
    "cosh": lambda xp, a: xp.cosh(a),
    "exp": lambda xp, a: xp.exp(a),
    "heaviside": _step,
    "log": lambda xp, a: xp.log(a),
    "max": lambda xp, *a: reduce(xp.maximum, a),
    "min": lambda xp, *a: reduce(xp.minimum, a),
    "relu": lambda xp, a: xp.where(a <= 0, 0.0, a),
    "sign": lambda xp, a: xp.sign(a),
    "sin": lambda xp, a: xp.sin(a),
    "sinh": lambda xp, a: xp.sinh(a),
    "sqrt": lambda xp, a: xp.sqrt(a),
    "step": _step,
    "tan": lambda xp, a: xp.tan(a),
    "tanh": lambda xp, a: xp.tanh(a),
    "where": lambda xp, c, a, b: xp.where(c != 0, a, b),
}
"""Rules (module numpy or jax.numpy, arguments) -> value of the functions."""

_ARGUMENTS = {"clip": (3, 3), "where": (3, 3), "min": (2, MAX_LENGTH), "max": (2, MAX_LENGTH)}
_CONSTANTS = {"pi": math.pi, "e": math.e}
_BINARY: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**",
}  # fmt: skip
_COMPARE: dict[type, str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """Functions R^d -> R^outputs written as text.

    Attributes:
        text: one per output.
        dimension: number of variables d.
        nodes: the parsed expressions, one per output.
    """

    text: tuple[str, ...]
    dimension: int
    nodes: tuple[Node, ...] = field(repr=False, compare=False)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.nodes)

    def __call__(self, x: Array) -> Array:
        """Return the values [batch, outputs] at x [batch, d], in the dtype of x."""
        columns = [x[..., i] for i in range(self.dimension)]
        known: dict[int, Any] = {}
        values = [evaluate(node, columns, jnp, known) for node in self.nodes]
        shaped = [jnp.broadcast_to(jnp.asarray(v, x.dtype), x.shape[:-1]) for v in values]
        return jnp.stack(shaped, axis=-1)


def evaluate(
    node: Node, columns: Sequence[Any], xp: Any, known: dict[int, Any] | None = None
) -> Any:
    """Return the value of a node for arrays of the coordinates, with numpy or jax.numpy as xp.

    A node that occurs in several places is computed once: chained comparisons share their middle.
    """
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Variable):
        return columns[node.index]
    known = {} if known is None else known
    if id(node) not in known:
        rule = OPERATIONS[node.name] if node.name in OPERATIONS else FUNCTIONS[node.name]
        arguments = [evaluate(a, columns, xp, known) for a in node.arguments]
        known[id(node)] = rule(xp, *arguments)
    return known[id(node)]


def parse_expression(text: str | Sequence[str], dimension: int) -> Expression:
    """Parse a target with one output, or several as a list or as a tuple in one text.

    Example:
        >>> import jax.numpy as jnp
        >>> parse_expression("x**2 + 1", 1)(jnp.array([[3.0]]))
        Array([[10.]], dtype=float64)
        >>> parse_expression(["x1 + x2", "x1 * x2"], 2)(jnp.array([[3.0, 4.0]]))
        Array([[ 7., 12.]], dtype=float64)

    Args:
        text: the expression, or one per output.
        dimension: number of variables d.

    Raises:
        InputError: for what is not an expression of the allowed kind, naming the offending part.
    """
    texts = [text] if isinstance(text, str) else list(text)
    if not texts:
        raise InputError("[] has no expressions; accepted: at least one, for one output each")
    pairs: list[tuple[str, Node]] = []
    for t in texts:
        tree = _python_tree(t)
        if isinstance(tree, ast.Tuple) and isinstance(text, str):
            if not tree.elts:
                raise InputError(f"{t!r} has no expressions; accepted: one per output")
            pairs += [
                (ast.unparse(part), _Translator(t, dimension).node(part)) for part in tree.elts
            ]
        else:
            pairs.append((t.strip(), _Translator(t, dimension).node(tree)))
    return Expression(tuple(p[0] for p in pairs), dimension, tuple(p[1] for p in pairs))


def _python_tree(text: Any) -> ast.expr:
    """Return Python's syntax tree of a text."""
    if not isinstance(text, str):
        raise InputError(f"{text!r} is not an expression; accepted: a text such as 'x**2'")
    if not text.strip():
        raise InputError("the expression is empty; accepted: a text such as 'x**2'")
    if len(text) > MAX_LENGTH:
        raise InputError(
            f"the expression {text[:40]!r}... has {len(text)} characters; accepted: up to "
            f"{MAX_LENGTH}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        place = f" near position {error.offset}" if error.offset else ""
        raise InputError(f"{_short(text)} is not an expression: {error.msg}{place}") from None
    except (ValueError, MemoryError, RecursionError, OverflowError):
        raise InputError(f"{_short(text)} cannot be parsed: it is too deep or too large") from None


def _short(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 80 else text[:77] + "...")


class _Translator:
    """From Python's syntax tree to nodes, by a list of what is allowed."""

    def __init__(self, text: str, dimension: int) -> None:
        self.text = text
        self.dimension = dimension

    def error(self, reason: str) -> InputError:
        return InputError(f"{_short(self.text)}: {reason}")

    def node(self, tree: ast.expr, depth: int = 0) -> Node:
        if depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} nested operations")
        match tree:
            case ast.Constant():
                return self.number(tree.value)
            case ast.Name():
                return self.name(tree.id)
            case ast.BinOp() if type(tree.op) in _BINARY:
                left, right = self.node(tree.left, depth + 1), self.node(tree.right, depth + 1)
                return self.binary(_BINARY[type(tree.op)], left, right)
            case ast.UnaryOp(op=ast.USub()):
                return self.apply("negative", (self.node(tree.operand, depth + 1),))
            case ast.UnaryOp(op=ast.UAdd()):
                return self.node(tree.operand, depth + 1)
            case ast.UnaryOp(op=ast.Not()):
                return self.apply("not", (self.logical(tree.operand, depth + 1),))
            case ast.BoolOp():
                name = "and" if isinstance(tree.op, ast.And) else "or"
                parts = [self.logical(v, depth + 1) for v in tree.values]
                return self.join(name, parts)
            case ast.Compare():
                return self.compare(tree, depth)
            case ast.IfExp():
                parts = (tree.test, tree.body, tree.orelse)
                return self.apply("where", tuple(self.node(p, depth + 1) for p in parts))
            case ast.Call():
                return self.call(tree, depth)
            case _:
                raise self.error(f"{self.kind(tree)} is not accepted; {self.accepted()}")

    def kind(self, tree: ast.expr) -> str:
        if isinstance(tree, ast.BinOp | ast.UnaryOp):
            hint = "; a power is written **" if isinstance(tree.op, ast.BitXor) else ""
            return f"the operator {type(tree.op).__name__}{hint}"
        if isinstance(tree, ast.Attribute):
            return f"the attribute {'.' + tree.attr!r}"
        return f"Python's {type(tree).__name__}"

    def accepted(self) -> str:
        names = ", ".join(sorted(FUNCTIONS))
        return f"accepted: numbers, {self.variables()}, + - * / **, comparisons, pi, e, {names}"

    def variables(self) -> str:
        d = self.dimension
        return "x" if d == 1 else "x1 and x2" if d == 2 else f"x1 to x{d}"

    def number(self, value: Any) -> Number:
        if isinstance(value, bool) or not isinstance(value, int | float):
            shown = repr(value) if len(repr(value)) < 40 else type(value).__name__
            raise self.error(f"{shown} is not a real number")
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if not math.isfinite(result):
            raise self.error("a number is too large for float64")
        return Number(result)

    def name(self, name: str) -> Node:
        if name in _CONSTANTS:
            return Number(_CONSTANTS[name])
        known = {f"x{i + 1}": i for i in range(self.dimension)}
        if self.dimension == 1:
            known["x"] = 0
        if name in known:
            return Variable(known[name])
        if name in FUNCTIONS:
            raise self.error(f"the function {name!r} lacks its arguments in parentheses")
        if name == "x" or (name[:1] == "x" and name[1:].isdigit()):
            raise self.error(
                f"the variable {name!r} does not exist for inputs of dimension {self.dimension}; "
                f"accepted: {self.variables()}"
            )
        raise self.error(f"the name {name!r} is not known; {self.accepted()}")

    def logical(self, tree: ast.expr, depth: int) -> Node:
        node = self.node(tree, depth)
        # Folded comparisons of constants are the numbers 0 and 1.
        truth = isinstance(node, Apply) and node.name in LOGICAL
        if truth or node in (Number(0.0), Number(1.0)):
            return node
        raise self.error("`and`, `or`, `not` join comparisons only, such as 0 < x and x < 1")

    def compare(self, tree: ast.Compare, depth: int) -> Node:
        values = [self.node(v, depth + 1) for v in (tree.left, *tree.comparators)]
        parts = []
        for op, a, b in zip(tree.ops, values, values[1:], strict=False):
            if type(op) not in _COMPARE:
                raise self.error(f"the operator {type(op).__name__} is not accepted")
            parts.append(self.apply(_COMPARE[type(op)], (a, b)))
        return self.join("and", parts)

    def join(self, name: str, parts: list[Node]) -> Node:
        """Apply an associative operation to many nodes, as a shallow tree."""
        while len(parts) > 1:
            rest = parts[-1:] if len(parts) % 2 else []
            pairs = zip(parts[::2], parts[1::2], strict=False)
            parts = [self.apply(name, pair) for pair in pairs] + rest
        return parts[0]

    def call(self, tree: ast.Call, depth: int) -> Node:
        if not isinstance(tree.func, ast.Name):
            raise self.error(f"a call of {self.kind(tree.func)} is not accepted")
        name = tree.func.id
        if name not in FUNCTIONS:
            raise unknown(f"{_short(self.text)}: the function", name, FUNCTIONS)
        if tree.keywords or any(isinstance(a, ast.Starred) for a in tree.args):
            raise self.error(f"{name} takes plain arguments only")
        least, most = _ARGUMENTS.get(name, (1, 1))
        if not least <= len(tree.args) <= most:
            takes = f"{least} or more" if most > least else f"{least}"
            raise self.error(f"{name} has {len(tree.args)} arguments; accepted: {takes}")
        return self.apply(name, tuple(self.node(a, depth + 1) for a in tree.args))

    def binary(self, name: str, left: Node, right: Node) -> Node:
        if name == "/" and right == Number(0.0):
            raise self.error("division by zero")
        if name == "**" and isinstance(right, Number) and abs(right.value) > MAX_EXPONENT:
            raise self.error(
                f"the exponent {right.value:g} is too large; accepted: from -{MAX_EXPONENT} to "
                f"{MAX_EXPONENT}"
            )
        return self.apply(name, (left, right))

    def apply(self, name: str, arguments: tuple[Node, ...]) -> Node:
        """Return the node, or its value if all arguments are constants."""
        node = Apply(name, arguments)
        if not all(isinstance(a, Number) for a in arguments):
            return node
        with np.errstate(all="ignore"):
            # np.float64: 0.0 ** -1 is infinite, where Python's own floats raise.
            value = evaluate(
                Apply(name, tuple(Variable(i) for i in range(len(arguments)))),
                [np.float64(a.value) for a in arguments if isinstance(a, Number)],
                np,
            )
        if not np.isfinite(value):
            raise self.error("a constant part of it has no finite value")
        return Number(float(value))
