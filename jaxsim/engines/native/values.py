"""What expressions of generated C are made of: variables and literals with their dtypes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

LARGEST_CONSTANT = 256


class Untranslatable(Exception):
    """A function does something that the native engine cannot; the message says what."""


class Value(NamedTuple):
    """A C expression.

    Attributes:
        text: a variable or a literal.
        dtype: as in the jaxpr.
        varying: a vector of lanes instead of one number.
        literal: the number, if it is one.
    """

    text: str
    dtype: np.dtype
    varying: bool = False
    literal: Any = None


Values = Any
"""A NumPy array of `Value`s, which type checkers cannot express."""

_CTYPES = {
    "float32": "float",
    "float64": "double",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "bool": "int",
}


def vector(value: Value) -> str:
    """Return the text of a value as a vector of lanes."""
    if value.varying:
        return value.text
    if value.dtype.kind == "f":
        return f"splat({value.text})"
    if value.dtype.kind == "b":
        return f"splat_integer(-(integer)({value.text}))"
    return f"splat_integer({value.text})"


def constant(array: Any) -> Values:
    """Return the literals of an array.

    Raises:
        Untranslatable: if it is large.
    """
    array = np.asarray(array)
    if array.size > LARGEST_CONSTANT or array.dtype.name not in _CTYPES:
        raise Untranslatable(f"it contains a constant {array.dtype}{list(array.shape)}")
    constants = np.empty(array.shape, object)
    for place in np.ndindex(array.shape):
        number = array[place]
        constants[place] = Value(_literal(number), array.dtype, False, number)
    return constants


def inputs(prefix: str, shape: tuple[int, ...], dtype: Any, varying: bool) -> Values:
    """Return an array of variables prefix_0, prefix_1, ..."""
    variables = np.empty(shape, object)
    for number, place in enumerate(np.ndindex(shape)):
        variables[place] = Value(f"{prefix}_{number}", np.dtype(dtype), varying)
    return variables


def ctype(dtype: Any) -> str:
    """Return the C type of a uniform value.

    Raises:
        Untranslatable: if there is none.
    """
    name = np.dtype(dtype).name
    if name not in _CTYPES:
        raise Untranslatable(f"it computes in {name}")
    return _CTYPES[name]


def _literal(number: Any) -> str:
    if number.dtype.kind != "f":
        return str(int(number))
    value, suffix = float(number), "f" if number.dtype == np.float32 else ""
    if math.isnan(value):
        return f"(({_CTYPES[number.dtype.name]})NAN)"
    if math.isinf(value):
        return f"(({_CTYPES[number.dtype.name]}){'-' if value < 0 else ''}INFINITY)"
    return f"({value.hex()}{suffix})"
