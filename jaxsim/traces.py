"""Reading what JAX has traced, equation by equation."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

CALLS = "jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"
"""Primitives that call a function, whether they change its derivative or not."""


def called(equation: Any, primitives: Container[str] = CALLS) -> tuple[Any, Sequence[Any]] | None:
    """Return the function that an equation calls and its constants; None if it calls none.

    Args:
        equation: of a jaxpr.
        primitives: names of those that are calls to the reader.
    """
    inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
    if equation.primitive.name not in primitives or inner is None:
        return None
    return getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
