"""Variables of explicit experiments: one table for all values of k, with "{5 / k}" where k enters.

A text that is one pair of braces becomes the value of what stands in them, a number, a text or a
list ("{[width] * depth}"); in a longer text the values are written out ("k = {k}").
"{terms('relu(x#)', k)}" is the formula relu(x1) + ... + relu(xk). Each experiment is made for all
combinations of the variables that it mentions.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxsim.errors import InputError

_BRACES = re.compile(r"\{([^{}]*)\}")
_MOST_EXPONENT = 64
_LONGEST = 1000
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def filled_in(
    experiments: list[dict[str, Any]], variables: Mapping[str, list[Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the experiments with values in the place of their variables.

    Args:
        experiments: explicit ones, as a study file has them.
        variables: names and the values that they run through, each for itself.

    Raises:
        InputError: for a variable that none mentions, or what cannot be computed.

    Example:
        >>> found = filled_in([{"label": "k = {k}", "steps": "{10 * k}"}], {"k": [2, 3]})
        >>> list(found)
        [{'label': 'k = 2', 'steps': 20}, {'label': 'k = 3', 'steps': 30}]
    """
    for name, values in variables.items():
        if not name.isidentifier():
            raise InputError(f"variables.{name} is not a name; accepted: letters, digits and _")
        if not values:
            raise InputError(f"variables.{name} = [] is empty; accepted: at least one value")
        if any(isinstance(v, bool) or not isinstance(v, int | float | str) for v in values):
            raise InputError(
                f"variables.{name} = {values!r} is not accepted: it should hold numbers or texts"
            )
    mentioned = [[n for n in variables if n in _names(table)] for table in experiments]
    for name in variables:
        if not any(name in names for names in mentioned):
            raise InputError(
                f"variables.{name} has no effect: no [[experiment]] has it in braces, such as "
                f'"{{{name}}}"'
            )
    for table, names in zip(experiments, mentioned, strict=True):
        for choice in itertools.product(*(variables[name] for name in names)):
            filled = _filled(table, dict(zip(names, choice, strict=True)))
            if isinstance(filled.get("label"), int | float):
                filled["label"] = _shown(filled["label"])
            yield filled


def grid_size(
    experiments: list[dict[str, Any]],
    variables: Mapping[str, list[Any]],
    grid: Mapping[str, list[Any]],
) -> int:
    """Return how many experiments a study has.

    Args:
        experiments: explicit ones, as a study file has them.
        variables: names and values.
        grid: keys and values.

    Example:
        >>> grid_size([{"steps": "{k}"}, {"steps": 9}], {"k": [2, 3]}, {"seed": [0, 1]})
        6
    """
    stated = max(combinations(experiments, variables), 1)
    return stated * math.prod(len(values) for values in grid.values())


def combinations(experiments: list[dict[str, Any]], variables: Mapping[str, list[Any]]) -> int:
    """Return how many experiments `filled_in` yields."""
    return sum(
        math.prod(len(values) for name, values in variables.items() if name in _names(table))
        for table in experiments
    )


def _names(tree: Any) -> set[str]:
    """Return the names that stand in braces anywhere in a tree."""
    if isinstance(tree, dict):
        return {name for value in tree.values() for name in _names(value)}
    if isinstance(tree, list):
        return {name for value in tree for name in _names(value)}
    if not isinstance(tree, str):
        return set()
    parts = [re.sub(r"'[^']*'", "", part) for part in _BRACES.findall(tree)]
    return {name for part in parts for name in re.findall(r"[A-Za-z_]\w*", part)}


def _filled(tree: Any, values: dict[str, Any]) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, values) for value in tree]
    if not isinstance(tree, str):
        return tree
    whole = _BRACES.fullmatch(tree)
    if whole:
        return _value(whole[1], values)
    return _BRACES.sub(lambda part: _shown(_value(part[1], values)), tree)


def _shown(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _value(text: str, values: dict[str, Any]) -> Any:
    """Return the value of an arithmetic expression.

    Raises:
        InputError: for anything but numbers, variables, + - * / // % **, parentheses and lists.
    """
    try:
        value = _evaluated(ast.parse(text.strip(), mode="eval").body, values)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        known = ", ".join(values) or "none here"
        raise InputError(
            f'experiment: "{{{text}}}" cannot be computed; accepted: arithmetic (+ - * / // % **) '
            f"of numbers and variables ({known}), lists of these, and terms('relu(x#)', k)"
        ) from None
    return value


def _evaluated(node: ast.expr, values: dict[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name) and node.id in values:
        return values[node.id]
    if isinstance(node, ast.List):
        return [_evaluated(part, values) for part in node.elts]
    if isinstance(node, ast.Call):
        return _terms(node, values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluated(node.operand, values)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _evaluated(node.left, values), _evaluated(node.right, values)
        _require_small(node.op, left, right)
        return _OPERATIONS[type(node.op)](left, right)
    raise ValueError


def _terms(node: ast.Call, values: dict[str, Any]) -> str:
    """Return the text of a sum: terms('relu(x#)', k) for # = 1, ..., k."""
    if not isinstance(node.func, ast.Name) or node.func.id != "terms" or len(node.args) != 2:
        raise ValueError
    if node.keywords or not isinstance(node.args[0], ast.Constant):
        raise ValueError
    term, count = node.args[0].value, _evaluated(node.args[1], values)
    if not isinstance(term, str) or not isinstance(count, int) or not 1 <= count <= _LONGEST:
        raise ValueError
    return " + ".join(term.replace("#", str(i)) for i in range(1, count + 1))


def _require_small(operation: ast.operator, left: Any, right: Any) -> None:
    """Check the size of a result before it is computed."""
    if isinstance(operation, ast.Pow) and abs(right) > _MOST_EXPONENT:
        raise ValueError
    for one, other in ((left, right), (right, left)):
        repeated = isinstance(one, list | str) and isinstance(operation, ast.Mult)
        if repeated and len(one) * other > _LONGEST:
            raise ValueError
        if isinstance(one, int) and abs(one) > 2**64:
            raise ValueError
