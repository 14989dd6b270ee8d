"""Functions evaluated operation by operation, some of them otherwise.

What compiles badly is replaced where it stands in the trace of a function, such as in a gradient
that automatic differentiation has written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
}
"""Primitives that call a function, and their parameter that holds it."""

Rule = Callable[[Any, Sequence[Any]], list[Any] | None]
"""(equation, values of its operands) -> its results, None to leave it as it is."""


def evaluate(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any], rule: Rule) -> list[Any]:
    """Return the results of a function, operations replaced by a rule.

    Args:
        jaxpr: the function; what it calls is written out, branches and loops stay as they are.
        consts: its constants.
        arguments: its arguments.
        rule: what replaces an operation.
    """
    known = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        inner = called(equation)
        if inner is not None:
            results = evaluate(*inner, operands, rule)
        else:
            results = rule(equation, operands)
            results = bind(equation, operands) if results is None else results
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def called(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    """Return the function that an equation calls, and its constants."""
    parameter = _CALLS.get(equation.primitive.name)
    if parameter is None:
        return None
    closed = equation.params[parameter]
    return closed.jaxpr, closed.consts


def bind(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """Return the results of an operation."""
    primitive = equation.primitive
    results = primitive.bind(*operands, **primitive.get_bind_params(equation.params))
    return list(results) if primitive.multiple_results else [results]
