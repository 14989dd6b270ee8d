"""Functions evaluated operation by operation, some of them otherwise.

What compiles badly is replaced where it stands in the trace of a function, such as in a gradient
that automatic differentiation has written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxsim.traces import called

WRITTEN_OUT = "jit", "pjit", "closed_call", "custom_jvp_call"
"""Primitives that call a function, which is written out."""

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
        inner = called(equation, WRITTEN_OUT)
        if inner is not None:
            results = evaluate(*inner, operands, rule)
        else:
            results = rule(equation, operands)
            results = bind(equation, operands) if results is None else results
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def bind(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """Return the results of an operation."""
    primitive = equation.primitive
    results = primitive.bind(*operands, **primitive.get_bind_params(equation.params))
    return list(results) if primitive.multiple_results else [results]
