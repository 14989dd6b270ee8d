"""Arithmetic with lifted constants, rewritten as XLA rewrites arithmetic with constants.

XLA makes x / c to x (1/c), (x c) d to x (c d), and of (x c) s, where x is an array and s a number,
x (c s). With c as data it cannot do so: it is done here, in the same precision, so that the bits of
a program do not depend on whether its constants are data.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from jaxsim.optimizer.programs import Constant, Operation, Program, each


def as_xla_does(program: Program) -> Program:
    """Rewrite arithmetic with lifted constants as XLA rewrites that with constants."""
    kinds = dict(enumerate(program.inputs))
    kinds |= {r: k for o in program.operations for r, k in zip(o.results, o.kinds, strict=True)}
    made: dict[int, Operation] = {}

    def add(operation: Operation) -> None:
        operation = _merged(operation, made)
        made.update(dict.fromkeys(operation.results, operation))

    for operation in program.operations:
        *before, operation = _with_factor_moved(_with_inverse(operation), made, kinds)
        for number in before:
            kinds[number.results[0]] = number.kinds[0]
            add(number)
        add(operation)
    # In the order in which they were made, each once.
    return program._replace(operations=tuple({o.results: o for o in made.values()}.values()))


def _with_inverse(operation: Operation) -> Operation:
    """Return x / c as x (1/c)."""
    if operation.primitive.name != "div":
        return operation
    x, c = operation.operands
    if not isinstance(c, Constant) or not c.lifted or c.values[0].dtype.kind != "f":
        return operation
    inverse = each(lambda v: np.divide(v.dtype.type(1), v), c)
    return _product(x, inverse, operation.results[0], operation.kinds[0])


def _with_factor_moved(
    operation: Operation, made: dict[int, Operation], kinds: dict[int, str]
) -> list[Operation]:
    """Return x (c s) for (x c) s, and x (c (1/s)) for (x c) / s: x an array, s and c numbers."""
    name, operands = operation.primitive.name, operation.operands
    pairs = {"mul": (operands, operands[::-1]), "div": (operands,)}.get(name, ())
    for array, number in pairs:
        if isinstance(array, Constant) or isinstance(number, Constant):
            break
        inner = made.get(array)
        split = _split(inner) if inner is not None and inner.primitive.name == "mul" else None
        if split is None or not split[1].lifted or not kinds[number].endswith("[]"):
            continue
        x, c = split
        if kinds[x].endswith("[]"):
            continue
        place, before, kind = max(kinds) + 1, [], kinds[number]
        if name == "div":
            ones = Constant(tuple(v.dtype.type(1) for v in c.values))
            alone = operation._replace(operands=(ones, number), results=(place,), kinds=(kind,))
            before, number, place = [alone], place, place + 1
        factor = _product(number, c, place, kind)
        return [*before, factor, _product(x, place, operation.results[0], operation.kinds[0])]
    return [operation]


def _product(a: Any, b: Any, result: int, kind: str) -> Operation:
    primitive, parameters = _multiplication()
    return Operation(primitive, parameters, (a, b), (result,), (kind,))


@functools.lru_cache(maxsize=1)
def _multiplication() -> tuple[Any, dict[str, Any]]:
    (equation,) = jax.make_jaxpr(jax.lax.mul)(1.0, 1.0).jaxpr.eqns
    return equation.primitive, equation.params


def _merged(operation: Operation, made: dict[int, Operation]) -> Operation:
    """Return (x c) d as x (c d), and (x + c) + d as x + (c + d)."""
    name = operation.primitive.name
    split = _split(operation)
    if name not in ("mul", "add") or split is None or isinstance(split[0], Constant):
        return operation
    x, outer = split
    inner = made.get(x)
    again = None if inner is None or inner.primitive.name != name else _split(inner)
    if again is None:
        return operation
    y, c = again
    if not (c.lifted or outer.lifted):
        return operation
    combined = each(np.multiply if name == "mul" else np.add, c, outer)
    return operation._replace(operands=(y, combined))


def _split(operation: Operation) -> tuple[Any, Constant] | None:
    """Return (variable, constant number) of a commutative operation of floats."""
    if len(operation.operands) != 2:
        return None
    a, b = operation.operands
    if isinstance(a, Constant):
        a, b = b, a
    if isinstance(a, Constant) or not isinstance(b, Constant):
        return None
    number = b.values[0].dtype.kind == "f" and not b.values[0].shape and not b.fixed
    return (a, b) if number else None
