"""The elementwise operations of a jaxpr, each as the text of a C expression.

What is *uniform* is written in plain C, what is *varying* in vectors of lanes (native.h).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxsim.engines.native.values import Value, ctype, vector

_ARITHMETIC = {"add": "+", "add_any": "+", "sub": "-", "mul": "*"}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_LOGIC = {"and": "&", "or": "|", "xor": "^"}
_FUNCTIONS = (
    *("exp", "expm1", "log", "log1p", "tanh", "sinh", "cosh", "sin", "cos", "erf", "erfc"),
    *("atan", "asinh", "exp2", "cbrt"),
)


def uniform(name: str, dtype: np.dtype, parameters: Any, values: Sequence[Value]) -> str | None:
    """Return an operation on single numbers, None if it is not known.

    Args:
        name: of the primitive.
        dtype: of the result.
        parameters: of the primitive.
        values: its operands.
    """
    a, *rest = (value.text for value in values)
    plain = _plain(name, a, rest, dtype.kind == "f")
    if plain is not None:
        return plain
    if name in _COMPARISONS:
        return f"{a} {_COMPARISONS[name]} {rest[0]}"
    if name in ("max", "min"):
        sign = "<" if name == "max" else ">"
        return f"({a} {sign} {rest[0]} || {rest[0]} != {rest[0]}) ? {rest[0]} : {a}"
    if name == "select_n" and values[0].dtype.kind == "b":
        return f"{a} ? {rest[1]} : {rest[0]}"
    if name == "convert_element_type":
        return f"{a} != 0" if dtype.kind == "b" else f"({ctype(dtype)})({a})"
    if name == "not" and dtype.kind == "b":
        return f"!{a}"
    if name == "is_finite":
        return f"isfinite({a})"
    if name == "integer_pow":
        return _power(a, parameters["y"], "1")
    if dtype.kind != "f":
        return None
    suffix = "f" if dtype == np.float32 else ""
    if name == "abs":
        return f"fabs{suffix}({a})"
    if name == "rsqrt":
        return f"1 / sqrt{suffix}({a})"
    if name in ("pow", "atan2"):
        return f"{name}{suffix}({a}, {rest[0]})"
    if name in ("sqrt", "floor", "ceil", *_FUNCTIONS):
        return f"{name}{suffix}({a})"
    return None


def varying(name: str, real: np.dtype, parameters: Any, values: Sequence[Value]) -> str | None:
    """Return an operation on vectors of lanes, None if it is not known.

    Args:
        name: of the primitive.
        real: the dtype of vectors of floating-point numbers.
        parameters: of the primitive.
        values: its operands.
    """
    first = values[0]
    a, *others = (vector(value) for value in values)
    floating = first.dtype.kind == "f"
    plain = _plain(name, a, others, floating)
    if plain is not None:
        return plain
    if name in _COMPARISONS:
        return f"(mask)({a} {_COMPARISONS[name]} {others[0]})"
    if name in ("max", "min"):
        return _extreme("<" if name == "max" else ">", a, others[0], values)
    if name == "select_n" and first.dtype.kind == "b":
        kind = "select" if values[1].dtype.kind == "f" else "select_integer"
        return f"{kind}({a}, {others[1]}, {others[0]})"
    if name == "convert_element_type":
        return _converted(a, first.dtype, np.dtype(parameters["new_dtype"]))
    if name == "not" and first.dtype.kind == "b":
        return f"~{a}"
    if name == "abs" and floating:
        return f"absolute({a})"
    if name == "sign" and floating:
        return f"signum({a})"
    if name == "is_finite":
        return f"is_finite({a})"
    if name == "integer_pow":
        return _power(a, parameters["y"], "splat(1)")
    if name == "sqrt":
        return f"square_root({a})"
    if name == "rsqrt":
        return f"splat(1) / square_root({a})"
    if name == "logistic":
        return f"splat(1) / (splat(1) + exp_(-{a}))"
    if name in ("pow", "atan2"):
        return f"{name}_({a}, {others[0]})"
    if name == "bitcast_convert_type":
        new = np.dtype(parameters["new_dtype"])
        same = new.itemsize == first.dtype.itemsize == real.itemsize
        return f"({'vec' if new.kind == 'f' else 'mask'}){a}" if same else None
    if name == "one_minus_square":
        return f"(splat(1) - {a}) * (splat(1) + {a})"
    if name == "polynomial":
        return _horner(a, others)
    if name in _FUNCTIONS:
        return f"{name}_({a})"
    return None


def _extreme(sign: str, a: str, b: str, values: Sequence[Value]) -> str:
    """Return the larger (or smaller) of two, not-a-number if one of them is."""
    select = "select" if values[0].dtype.kind == "f" else "select_integer"
    if values[1].literal is not None:
        return f"{select}((mask)({a} {sign} {b}), {b}, {a})"
    if values[0].literal is not None:
        return f"{select}((mask)({b} {sign} {a}), {a}, {b})"
    return f"{select}((mask)({a} {sign} {b}) | (mask)({b} != {b}), {b}, {a})"


def _plain(name: str, a: str, rest: Sequence[str], floating: bool) -> str | None:
    """Return what C writes alike for numbers and for vectors, None for other operations."""
    if name in _ARITHMETIC:
        return f"{a} {_ARITHMETIC[name]} {rest[0]}"
    if name in _LOGIC:
        return f"{a} {_LOGIC[name]} {rest[0]}"
    if name == "div" and floating:
        return f"{a} / {rest[0]}"
    if name == "neg":
        return f"-{a}"
    if name == "square":
        return f"{a} * {a}"
    return None


def _converted(a: str, old: np.dtype, new: np.dtype) -> str | None:
    if old.kind == "f" and new.kind == "f":
        return a
    if old.kind == "b":
        return f"select({a}, splat(1), splat(0))" if new.kind == "f" else f"-{a}"
    if old.kind in "iu" and new.kind == "f":
        return f"__builtin_convertvector({a}, vec)"
    if old.kind == "f" and new.kind in "iu":
        return f"__builtin_convertvector({a}, mask)"
    if old.kind in "iu" and new.kind in "iu":
        return a
    return None


def _power(a: str, exponent: int, one: str) -> str:
    if exponent < 0:
        return f"{one} / ({_power(a, -exponent, one)})"
    if exponent == 0:
        return one
    half = f"({_power(a, exponent // 2, one)})" if exponent > 1 else ""
    square = f"{half} * {half}" if exponent > 1 else ""
    if exponent % 2 == 0:
        return square
    return f"{square} * {a}" if square else a


def _horner(x: str, coefficients: Sequence[str]) -> str:
    """Return c_0 + c_1 x + c_2 x^2 + ..."""
    *lower, text = coefficients
    for coefficient in reversed(lower):
        text = f"({coefficient} + {x} * {text})"
    return text
